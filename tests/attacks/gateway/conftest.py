# SPDX-License-Identifier: Apache-2.0
"""A gateway with both packages, its daemons' users and a jail; what it is told to start doesn't run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.openwrt import gateway as roots
from tests.openwrt.trial import build, connected, run_script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[roots.Gateway]:
    """Give one."""
    root = tmp_path / "root"
    roots.make(root)
    scripts = [roots.unpack_apk(build()[name][1], root)["post-install"] for name in ("oubli", "oubli-purposes")]
    (root / "sbin/ujail").symlink_to("../host/ujail")
    with connected(root) as made:
        run_script(made, scripts[0])
        yield made
