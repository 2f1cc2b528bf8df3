# SPDX-License-Identifier: Apache-2.0
"""The real OpenWrt in QEMU, booted once for all tests of this folder: `fresh` as it leaves the factory, `installed` with oubli on it.

Each test begins at a snapshot, so that none needs another's. All of them are one group: one worker boots one machine.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from host_sim.lab_network import TIMEOUTS
from host_sim.openwrt.lab import GatewayLab
from host_sim.openwrt.network import GATEWAY
from tests.interpreters import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
SLOW = 1800  # seconds, on a machine that does much else: QEMU without KVM
WAIT = 900  # seconds within which the kernel has collected what ended, and the recorder has kept it
LINES = re.compile(r"## Onto a device\n.*?```\n(.*?)```", re.DOTALL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that boot in one group, and give each what it needs and its time."""
    for item in items:
        if item.path.is_relative_to(HERE) and {"world", "fresh", "installed"} & {*getattr(item, "fixturenames", ())}:
            for mark in (
                pytest.mark.needs("root", "openwrt", "micropython-1.28", "mosquitto"),
                pytest.mark.long,
                pytest.mark.timeout(SLOW),
            ):
                item.add_marker(mark)
            item.add_marker(pytest.mark.xdist_group("openwrt"))


class World(GatewayLab):
    """The lab of the gateway, and what the document's lines said and how long they took, once they were followed."""

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[str, str] = {}
        self.seconds: dict[str, float] = {}

    def document(self, lines: list[str]) -> str:
        """Run lines of the document as a user types them, on the administrator's machine; ssh and scp are given her key."""
        tools = self.folder / "tools"
        if not tools.exists():
            tools.mkdir()
            for name in ("ssh", "scp"):
                (tools / name).write_text(f'#!/bin/sh\nexec {shlex.join([f"/usr/bin/{name}", *self.machine.credentials()])} "$@"\n')
                (tools / name).chmod(0o755)
        script = "\n".join(["set -e", *lines])
        path = f"{tools}:{PROJECT}/.venv/bin:{os.environ['PATH']}"
        command = self.wires.inside(self.wires.administrator, "bash", "-c", script)
        done = subprocess.run(
            command, cwd=self.folder, env=os.environ | {"PATH": path}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (lines, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout + done.stderr


def documented() -> list[str]:
    """Return README's lines for a new device, for this board, without comments."""
    found = LINES.search((PROJECT / "README.md").read_text())
    assert found is not None
    lines = [line.split("  #")[0].rstrip() for line in found[1].replace("gl-mt6000", "x86-64").splitlines()]
    return [line.replace("192.168.1.1", GATEWAY) for line in lines if line]


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """Give the booted gateway and its surroundings; the snapshot `fresh` is what it is like before anything was done to it."""
    with World() as made:
        made.machine.boot()
        made.machine.save("fresh")
        yield made


@pytest.fixture
def fresh(world: World) -> World:
    """Give the gateway as it leaves the factory, running."""
    world.machine.restore("fresh")
    return world


@pytest.fixture(scope="session")
def followed(world: World) -> World:
    """Follow the document's own lines once; the snapshot `installed` is what they lead to."""
    machine = world.machine
    machine.restore("fresh")
    # Connections end sooner than by the kernel's own limits: as in the lab, each state by another one.
    limits = " ".join(f"net.netfilter.nf_conntrack_{name}={seconds}" for name, seconds in TIMEOUTS.items())
    machine.run(f"sysctl -qw {limits}")
    build, copy, add, edit, start, status, new = documented()
    world.said["build"] = world.document([build])
    world.said["copy"] = world.document([copy])
    began, waited = time.monotonic(), machine.waited()
    world.said["add"] = world.document([add])
    assert edit.endswith("vi /etc/config/oubli"), edit
    world.configure()
    world.said["start"] = world.document([start])
    world.said["status"] = world.document([f"until {status}; do sleep 1; done"])
    world.said["new"] = world.document([new])
    world.lan.join(2)
    world.lan.generate(8)
    deadline = began + WAIT
    while not cast("dict[str, int]", machine.status()["counters"])["kept"] and time.monotonic() < deadline:
        time.sleep(1)
    world.seconds["first record"] = time.monotonic() - began - (machine.waited() - waited)  # what else runs here isn't the gateway's fault
    machine.save("installed")
    return world


@pytest.fixture
def installed(followed: World) -> World:
    """Give the gateway with oubli running, as the document's lines leave it, and two terminals with leases."""
    followed.machine.restore("installed")
    return followed
