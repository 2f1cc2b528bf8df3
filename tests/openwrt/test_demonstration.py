# SPDX-License-Identifier: Apache-2.0
"""`oubli-sim gateway`: its pages, its door to OpenWrt's own servers, and Ctrl-C, which leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
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

from host_sim.openwrt import command, disk
from host_sim.openwrt.doorway import Doorway
from tests.openwrt.conftest import SLOW, WAIT
from tests.support.interpreters import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

PREINIT = "Press the [f] key"  # GRUB has started the kernel, and that has found its root
WORDS = [sys.executable, "-m", "host_sim", "gateway"]


def namespaces(process: subprocess.Popen[str]) -> list[str]:
    """Return the namespaces that a command has made."""
    named = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return re.findall(rf"oubli-{process.pid}-\w+-\w+", named)


def folder_of(process: subprocess.Popen[str]) -> Path:
    """Return the folder that a command's parts have on their command lines."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    lines = b"".join(_read(Path(f"/proc/{child}/cmdline")) for child in children).decode(errors="replace")
    return Path(re.findall(r"/[\w/]*oubli-gateway-\w+", lines)[0])


def parts_of(folder: Path) -> list[bytes]:
    """Return the command lines of what runs with something of a folder."""
    return [line for path in Path("/proc").glob("[0-9]*/cmdline") if folder.name.encode() in (line := _read(path))]


def _read(path: Path) -> bytes:
    """Return what a process's file says, nothing where it has ended meanwhile."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


@contextlib.contextmanager
def started(*options: str) -> Iterator[subprocess.Popen[str]]:
    """Start the command and interrupt it at the end, whatever happened meanwhile: it has a machine to take away."""
    process = subprocess.Popen(
        [*WORDS, *options],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=WAIT)
        finally:
            process.kill()


@pytest.mark.timeout(SLOW)
@pytest.mark.xdist_group("openwrt")
@pytest.mark.needs("root", "openwrt", "micropython-1.28", "mosquitto")
def test_image_starts_by_its_own_boot_loader_and_interrupted_it_leaves_nothing_behind(tmp_path):
    image = tmp_path / "openwrt.img.gz"
    disk.write(image)
    with started("--image", str(image)) as process:
        assert process.stdout is not None
        said = process.stdout.readline() + process.stdout.readline()
        assert "OpenWrt boots" in said
        folder, deadline = folder_of(process), time.monotonic() + WAIT
        while PREINIT not in (shown := _read(folder / "serial.log").decode(errors="replace")):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, shown[-2000:]
            time.sleep(0.2)
        assert len(namespaces(process)) == 3  # a switch, an internet, an administrator
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=WAIT)[0]
    assert process.returncode == 130, rest
    assert rest.splitlines()[-1] == "oubli-sim: interrupted; everything it made is removed"
    assert not folder.exists()
    assert not namespaces(process)
    assert not parts_of(folder)


@pytest.mark.timeout(SLOW)
@pytest.mark.xdist_group("openwrt")
@pytest.mark.needs("root", "openwrt", "micropython-1.28", "mosquitto")
def test_command_that_is_killed_takes_its_machine_along():
    """Nobody can clean up after a SIGKILL: what gives up rights stays, as dnsmasq.

    A machine that goes on would be the worst of it.
    """
    with started() as process:
        assert process.stdout is not None
        said = process.stdout.readline() + process.stdout.readline()
        assert "OpenWrt boots" in said
        folder, made = folder_of(process), namespaces(process)
        try:
            for running in (True, False):
                deadline = time.monotonic() + WAIT
                while any(line.startswith(b"qemu") for line in parts_of(folder)) != running:
                    assert time.monotonic() < deadline, running
                    time.sleep(0.2)
                process.kill()
                process.wait()
        finally:
            for one in made:
                for pid in subprocess.run(["ip", "netns", "pids", one], capture_output=True, check=True).stdout.split():
                    os.kill(int(pid), signal.SIGKILL)
                subprocess.run(["ip", "netns", "del", one], check=True)
            shutil.rmtree(folder)


def test_fleet_page_shows_the_gateway(complete):
    """What the command prints as `fleet`: whoever logs in there sees this gateway."""
    ident = complete.machine.run("uci get oubli.gateway.id").strip()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with command.fleet(complete) as address:
        token, *_ = re.findall(
            r'name="csrfmiddlewaretoken" value="(\w+)"', browser.open(f"{address}/login").read().decode()
        )
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
        script = (
            f"import socket; s = socket.create_connection(('127.0.0.1', {door.port})); "
            "s.send(b'hello'); print(s.recv(9))"
        )
        said = subprocess.run(
            ["ip", "netns", "exec", namespace, sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=False,
        )
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
