# SPDX-License-Identifier: Apache-2.0
"""`oubli-sim gateway` as its user sees it: it says where everything is, what it says is true, and Ctrl-C leaves nothing behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from tests.openwrt.conftest import SLOW
from tests.support.interpreters import PROJECT

WORDS = [sys.executable, "-m", "host_sim", "gateway"]
SHOWN = "messages at the broker"  # the line that the terminals' first conversations bring


def left() -> set[str]:
    """Return what such a lab makes on this machine: its namespaces and its folders."""
    named = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return {*re.findall(r"oubli-\d+-[0-9a-f]{8}-switch", named)}


def fetched(address: str) -> str:
    """Return a page, LuCI's question for a password (403) too."""
    try:
        with urllib.request.urlopen(address, timeout=120) as answer:  # noqa: S310 (our own doors)
            return str(answer.read().decode())
    except urllib.error.HTTPError as refusal:
        return refusal.read().decode()


@pytest.mark.long
@pytest.mark.timeout(SLOW)
@pytest.mark.xdist_group("openwrt")
@pytest.mark.needs("root", "openwrt", "micropython-1.28", "mosquitto")
def test_gateway_says_where_it_is_and_leaves_nothing_when_it_is_interrupted():
    before = left()
    process = subprocess.Popen(
        WORDS, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if SHOWN in line:
            break
    text = "".join(said)
    addresses = re.findall(r"http://127\.0\.0\.1:\d+\S*", text)
    assert len(addresses) == 2, text
    assert "What isn't real in it:" in text
    pages = [fetched(address) for address in addresses]
    assert "luci" in pages[0].lower()
    assert "oubli" in pages[1]
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=120)[0]
    assert process.returncode == 130, rest
    assert rest.splitlines()[-1] == "oubli-sim: interrupted; everything it made is removed"
    deadline = time.monotonic() + 10
    while left() - before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left() - before == set()


@pytest.mark.needs("root", "openwrt")
def test_image_that_is_no_file_is_refused_in_one_line(tmp_path):
    done = subprocess.run([*WORDS, "--image", str(tmp_path)], cwd=PROJECT, capture_output=True, text=True, check=False)
    accepted = "accepted: an OpenWrt disk image for x86-64, .img or .img.gz"
    assert (done.returncode, done.stderr) == (2, f"oubli-sim: --image: {tmp_path}: isn't a file; {accepted}\n")
