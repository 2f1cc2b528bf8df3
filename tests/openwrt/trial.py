# SPDX-License-Identifier: Apache-2.0
"""A package's life in a gateway's root: installed, asked for its status, a client's namespace on its LAN."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent import VERSION
from tests.openwrt import gateway as roots
from tests.support.interpreters import PROJECT
from tools.package import apk, board, contents, ipk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LAN = "10.77.1"
WHEN = 1_790_000_000
NEEDS = ("root", "busybox", "micropython", "nft", "ip", "conntrack", "setpriv", "nsenter")
ONE = "import socket; socket.socket(2, 2).sendto(b'x', ('{}', 9))"  # a connection
EACH = """
import socket, sys
for address in sys.argv[2:]:
    phone = socket.socket(2, 2)
    phone.bind((address, 0))
    phone.sendto(b"x", (sys.argv[1], 9))
"""


@contextmanager
def connected(root: Path, processor: str = "host") -> Iterator[roots.Gateway]:
    """Give a root's gateway with a LAN and a kernel that tracks connections and says what oubli needs."""
    (root / "etc/config/network").write_text("config interface 'lan'\n\toption device 'lan0'\n")
    with roots.running(root, processor) as gateway:
        gateway.host("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "client0")
        for command in (f"addr add {LAN}.1/21 dev lan0", "link set lan0 up", "link set client0 up"):
            gateway.host("ip", *command.split())
        gateway.host(
            "nft",
            "add table ip t; add chain ip t c { type filter hook input priority 0; }; "
            "add rule ip t c ct state new accept",
        )
        gateway.host("sysctl", "-q", "-p", str(root / "etc/sysctl.d/50-oubli.conf"))
        yield gateway


@contextmanager
def client(gateway: roots.Gateway, phones: int = 1) -> Iterator[Callable[[], None]]:
    """Give guests' phones on the gateway's LAN, as a function that makes one connection of each."""
    words = gateway.host_command("unshare", "--net", "sh", "-c", "echo up; exec cat")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as phone:
        assert phone.stdout is not None
        assert phone.stdin is not None
        assert phone.stdout.readline() == b"up\n"
        gateway.host("ip", "link", "set", "client0", "netns", str(phone.pid))
        inside = ["nsenter", "--target", str(phone.pid), "--net"]
        there = [str(ipaddress.ip_address(f"{LAN}.2") + number) for number in range(phones)]
        commands = [*(f"addr add {address}/21 dev client0" for address in there), "link set client0 up"]
        subprocess.run([*inside, "ip", "-batch", "-"], input="\n".join(commands), text=True, check=True, timeout=240)
        known = "\n".join(
            f"neigh replace {address} lladdr 02:00:00:00:{at >> 8:02x}:{at & 255:02x} dev lan0"
            for at, address in enumerate(there)
        )
        subprocess.run(gateway.host_command("ip", "-batch", "-"), input=known, text=True, check=True, timeout=240)
        wait_for(lambda: "LOWER_UP" in gateway.host("ip", "link", "show", "lan0").stdout)

        def connect() -> None:
            subprocess.run([*inside, sys.executable, "-c", EACH, LAN + ".1", *there], check=True, timeout=240)

        yield connect
        phone.stdin.close()


def build(name: str = "x86-64") -> dict[str, tuple[bytes, bytes]]:
    """Return each package's ipk and apk for a board, by its name."""
    one = board.load(name)
    parts = contents.cut(contents.files(one, WHEN)).items()
    return {
        package.name: (ipk.build(one, package, part, WHEN), apk.build(one, package, part, WHEN))
        for package, part in parts
    }


def next_version() -> str:
    """Return the number of the version after this one."""
    *head, last = VERSION.split(".")
    return ".".join([*head, str(int(last) + 1)])


@cache
def build_next(name: str = "x86-64", form: str = "ipk") -> dict[str, bytes]:
    """Return each package of the version after this one, as .ipk or .apk: the same tree with a higher number."""
    with tempfile.TemporaryDirectory() as folder:
        tree, out = Path(folder, "tree"), Path(folder, "out")
        for part in ("agent", "boards", "host_sim", "tools"):
            shutil.copytree(PROJECT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        told = (tree / "agent/__init__.py").read_text()
        (tree / "agent/__init__.py").write_text(told.replace(f'VERSION = "{VERSION}"', f'VERSION = "{next_version()}"'))
        words = ["build", "--board", name, "--format", form, "--out", str(out)]
        env = os.environ | {"PYTHONPATH": str(tree), "SOURCE_DATE_EPOCH": str(WHEN)}
        subprocess.run(
            [sys.executable, "-m", "tools.package", *words],
            check=True,
            capture_output=True,
            cwd=tree,
            env=env,
            timeout=240,
        )
        return {re.split(r"[_-]\d", path.name)[0]: path.read_bytes() for path in out.rglob(f"*.{form}")}


def run_script(gateway: roots.Gateway, text: str, *env: str, package: str = "oubli") -> None:
    """Run one of a package's scripts inside."""
    script = gateway.path / f"{package}.script"
    script.write_text(text)
    gateway.run("/bin/sh", f"/{script.name}", env=env)
    script.unlink()


def recorded(gateway: roots.Gateway) -> str:
    """Return what procd was told, and forget it."""
    return gateway.run("/bin/sh", "-c", "cd /tmp && cat procd.calls && rm procd.calls").stdout


SET = "setting system clock to 2026-11-27T18:00:00 UTC"
# The kernel's word of what it read from a clock with a battery two seconds after power-up, on a
# system that is so many seconds ahead of it.
READ = """#!/bin/sh
up=$(cut -d. -f1 /proc/uptime)
[ -z '{said}' ] || echo "[    2.000000] rtc_cmos 00:04: {said} ($(($(date +%s) - up + 2 - {ahead})))"
"""


def with_battery(root: Path, ahead: int = 0, said: str = SET) -> None:
    """Let a root's kernel log say what was read from a clock with a battery; `said` is "" where there is none."""
    (root / "host/dmesg").write_text(READ.format(said=said, ahead=ahead))
    (root / "host/dmesg").chmod(0o755)


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> float:
    """Wait until a condition holds; returns the seconds that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.05)
    return time.monotonic() - began


def status(gateway: roots.Gateway) -> dict[str, Any]:
    """Return the recorder's status, {} where none answers."""
    done = gateway.run("/usr/bin/oubli", "status", "--json", check=False)
    return json.loads(done.stdout) if done.returncode == 0 else {}
