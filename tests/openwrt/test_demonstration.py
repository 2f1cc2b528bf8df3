# SPDX-License-Identifier: Apache-2.0
"""`oubli-sim gateway`: the pages that it shows, its door to OpenWrt's own servers, and Ctrl-C, which leaves nothing behind.

That one command does all of it from the boot to the pages, `tools/soak --room gateway` tries: it boots a second machine.
"""

from __future__ import annotations

import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from host_sim.openwrt import command
from host_sim.openwrt.doorway import Doorway
from tests.openwrt.conftest import SLOW
from tests.support.interpreters import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = [sys.executable, "-m", "host_sim", "gateway"]


def made() -> set[str]:
    """Return what such labs have on this machine: namespaces and folders."""
    named = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return {*re.findall(r"oubli-\d+-[0-9a-f]{8}-\w+", named), *map(str, Path("/dev/shm").glob("oubli-gateway-*"))}


def _read(path: Path) -> bytes:
    """Return what a process's file says, nothing where it has ended meanwhile."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.timeout(SLOW)
@pytest.mark.xdist_group("openwrt")
@pytest.mark.needs("root", "openwrt", "micropython-1.28", "mosquitto")
def test_interrupted_it_leaves_nothing_behind():
    before = made()
    process = subprocess.Popen(
        WORDS, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert process.stdout is not None
    said = process.stdout.readline() + process.stdout.readline()
    assert "OpenWrt boots" in said
    ours = made() - before
    assert len(ours) >= 4  # a switch, an internet, an administrator, a folder
    (folder,) = [Path(name) for name in ours if name.startswith("/")]
    while "Linux version" not in (folder / "serial.log").read_text() and process.poll() is None:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=300)[0]
    assert process.returncode == 130, rest
    assert rest.splitlines()[-1] == "oubli-sim: interrupted; everything it made is removed"
    assert not made() & ours
    running = [path for path in Path("/proc").glob("[0-9]*/cmdline") if folder.name.encode() in _read(path)]
    assert not running


def test_fleet_page_shows_the_gateway(complete):
    """What the command prints as `fleet`: whoever logs in there sees this gateway."""
    ident = complete.machine.run("uci get oubli.gateway.id").strip()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with command.fleet(complete) as address:
        (token,) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.open(f"{address}/login").read().decode())
        form = {"username": "operator", "password": command.PASSWORD, "csrfmiddlewaretoken": token}
        browser.open(f"{address}/login", urllib.parse.urlencode(form).encode())
        complete.until(lambda: ident in browser.open(f"{address}/").read().decode())


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"oubli-{secrets.token_hex(4)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.needs("root", "ip")
def test_door_leads_out_of_the_lab_to_one_place_alone(namespace):
    """How an image that somebody has downloaded comes to OpenWrt's own packages: a port inside is a server outside."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        door = Doorway(namespace, "127.0.0.1", server.getsockname()[1], inside="127.0.0.1")

        def answer() -> None:
            visitor, _ = server.accept()
            visitor.sendall(visitor.recv(100).upper())
            visitor.close()

        thread = threading.Thread(target=answer)
        thread.start()
        script = f"import socket; s = socket.create_connection(('127.0.0.1', {door.port})); s.send(b'hello'); print(s.recv(9))"
        said = subprocess.run(["ip", "netns", "exec", namespace, sys.executable, "-c", script], capture_output=True, text=True, check=False)
        thread.join(60)
        door.close()
    assert said.stdout == "b'HELLO'\n", said.stderr


@pytest.mark.needs("root", "openwrt")
def test_image_that_no_machine_can_start_from_is_refused_in_one_line(tmp_path):
    for name, content, why in (
        ("", None, "isn't a file"),
        ("absent.img", None, "isn't a file"),
        ("text.img", b"OpenWrt", "isn't a disk that a PC can start from"),
        ("cut.img.gz", b"\x1f\x8b\x08\x00", "isn't a disk that a PC can start from"),
    ):
        image = tmp_path / name
        if content is not None:
            image.write_bytes(content)
        done = subprocess.run([*WORDS, "--image", str(image)], cwd=PROJECT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (2, f"oubli-sim: --image: {image}: {why}; {command.ACCEPTED}\n")
