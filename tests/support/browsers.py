# SPDX-License-Identifier: Apache-2.0
"""Chromium as the tests start it: its headless shell, the engine without the browser around it.

For the same pages it takes a third to three fifths of the processor's time that the whole browser takes.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright


@contextmanager
def chromium() -> Iterator[Browser]:
    """Give a Chromium, which ends with the block. Root has to start it without its sandbox."""
    rights = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium-headless-shell"), args=["--disable-gpu", *rights]
        )
        try:
            yield browser
        finally:
            browser.close()
