# SPDX-License-Identifier: Apache-2.0
"""The real OpenWrt in QEMU, booted once for all tests of this folder.

`installed` has oubli on it, as README's lines leave it.

Each test begins at a snapshot, so that none needs another's. All of them are one group: one worker boots one machine.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from host_sim.openwrt import feeds
from host_sim.openwrt.lab import GatewayLab
from host_sim.openwrt.network import GATEWAY
from host_sim.openwrt.witness import records
from tests.support.interpreters import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.vault.record import Record

HERE = Path(__file__).parent
SLOW = 1800  # seconds, on a machine that does much else: QEMU without KVM
WAIT = 900  # seconds within which the kernel has collected what ended, and the recorder has kept it
SHORT = 0.3  # seconds between two questions at least
PATIENCE = 30  # questions to a recorder that may be starting
PASSWORD = "only in qemu"
# An emulated processor on a busy machine loses time: its clock no longer shows what the battery said at power-up. Here
# it does, for who starts from now on.
AGREES = """/etc/init.d/sysntpd stop
set -- $(dmesg | sed -n 's/^\\[ *\\([0-9]*\\)\\..*: setting system clock to .* (\\([0-9]*\\))$/\\1 \\2/p' | head -n 1)
date -s @$(($2 + $(cut -d. -f1 /proc/uptime) - $1))
rm -f /var/run/oubli-root/clock /var/run/oubli/clock /var/run/oubli/lines
uci set oubli.gateway.hardware_clock=1; uci commit oubli
"""
# A signal that comes while a jail starts is lost, and ujail kills what is in it five seconds later: until then nothing
# is saved.
BATTERY = f"""{AGREES}
/etc/init.d/oubli stop; while pgrep -f '[m]icropython.* agent' >/dev/null; do sleep 1; done; /etc/init.d/oubli start
"""
# procd starts it anew after five seconds: whoever goes on from a saved state waits for little of them.
END_FORWARDER = """pids=$(pgrep -f '[m]icropython.* agent forwarder')
ubus call service signal '{"name":"oubli","instance":"forwarder","signal":15}'
for pid in $pids; do while [ -d /proc/$pid ]; do sleep 1; done; done
sleep 3
"""
PEOPLE = f"""for user in reader:luci-app-oubli 'watcher:*'; do
    uci add rpcd login; uci set rpcd.@login[-1].username="${{user%%:*}}"
    uci add_list rpcd.@login[-1].read="${{user#*:}}"
    uci set rpcd.@login[-1].password="$(uhttpd -m '{PASSWORD}')"
done; uci commit rpcd
uci set luci.main.pollinterval=2; uci commit luci
printf '{PASSWORD}\\n{PASSWORD}\\n' | passwd root
/etc/init.d/rpcd restart; uci set uhttpd.main.script_timeout=600; uci commit uhttpd; /etc/init.d/uhttpd restart
"""
LINES = re.compile(r"## Onto a gateway\n.*?```\n(.*?)```", re.DOTALL)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that boot in one group, and give each what it needs and its time."""
    for item in items:
        if item.path.is_relative_to(HERE) and {"world", "installed"} & {*getattr(item, "fixturenames", ())}:
            for mark in (
                pytest.mark.needs("root", "openwrt", "micropython-1.28", "mosquitto"),
                pytest.mark.long,
                pytest.mark.timeout(SLOW),
            ):
                item.add_marker(mark)
            item.add_marker(pytest.mark.xdist_group("openwrt"))


class World(GatewayLab):
    """The lab of the gateway, and what the document's lines said and how long they took, once they were followed."""

    def __init__(self, *, disk_mib: int = 192, chip: bool = False) -> None:
        super().__init__(disk_mib=disk_mib, chip=chip)
        self.said: dict[str, str] = {}
        self.seconds: dict[str, float] = {}

    def document(self, lines: list[str]) -> str:
        """Run lines of the document as a user types them, on the administrator's machine.

        ssh and scp are given her key.
        """
        tools = self.folder / "tools"
        if not tools.exists():
            tools.mkdir()
            for name in ("ssh", "scp"):
                (tools / name).write_text(
                    f'#!/bin/sh\nexec {shlex.join([f"/usr/bin/{name}", *self.machine.credentials()])} "$@"\n'
                )
                (tools / name).chmod(0o755)
        script = "\n".join(["set -e", *lines])
        path = f"{tools}:{PROJECT}/.venv/bin:{os.environ['PATH']}"
        command = self.wires.inside(self.wires.administrator, "bash", "-c", script)
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=os.environ | {"PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        log = self.machine.ask("logread | tail -n 40").stdout.decode() if done.returncode else ""
        assert done.returncode == 0, "\n".join([*lines, done.stdout[-2000:], done.stderr[-2000:], log])
        return done.stdout + done.stderr

    def add(self, *names: str) -> None:
        """Install some of oubli's packages, as the document's first line built them."""
        paths = [next((self.folder / "packages" / feeds.BOARD).glob(f"{name}-[0-9]*.apk")) for name in names]
        for path in paths:
            self.machine.put(f"/tmp/{path.name}", path.read_bytes())
        self.machine.run(f"apk add --allow-untrusted {' '.join(f'/tmp/{path.name}' for path in paths)}")

    def save(self, name: str) -> None:
        """Keep the machine under a name, without a connection that it alone would remember.

        MQTT's keep-alive ends such a one late.
        """
        self.broker.disconnect()
        self.internet.stop("broker")
        self.machine.run(END_FORWARDER)
        self.until(lambda: not self.status()["forwarder"]["connected"])
        self.machine.save(name)
        self.internet.start_broker()
        self.broker.connect()

    def recorded(self, connections: int = 4) -> list[Record]:
        """Let the terminals hold conversations and return the records that came of them, as soon as none is missing."""
        lan, deadline = self.lan, time.monotonic() + WAIT
        before = {_values(record) for record in records(self.machine)}

        def new() -> list[Record]:
            here = {terminal.mac for terminal in lan.terminals}  # the administrator's ssh is a connection, too
            return [
                record
                for record in records(self.machine)
                if bytes(record.mac) in here and _values(record) not in before
            ]

        lan.generate(connections)
        lan.ended(self.machine, WAIT)
        while len(kept := new()) < connections:
            assert time.monotonic() < deadline, (
                len(kept),
                connections,
                self.machine.run("oubli status; logread -e oubli | tail -n 5"),
            )
            time.sleep(2)
        return kept

    def until(self, condition: Callable[[], object], seconds: float = WAIT) -> None:
        """Wait until something holds; it is asked at most a third of the time, for Machine.wait's reason."""
        began = asked = time.monotonic()
        while not condition():
            assert time.monotonic() < began + seconds, self.machine.run("logread -e oubli | tail -n 20")
            time.sleep(min(max(SHORT, 2 * (time.monotonic() - asked)), 10))
            asked = time.monotonic()

    def loaded(self) -> int:
        """Return how often the firewall was loaded anew because the WAN came up: the last that follows from it."""
        return int(self.machine.ask("logread | grep -c 'Reloading firewall due to ifup of wan '").stdout)

    def status(self) -> dict[str, Any]:
        """Return what `oubli status --json` says, {} where no recorder answers for a while.

        A busy machine keeps one waiting.
        """
        for _ in range(PATIENCE):
            done = self.machine.ask("oubli status --json")
            if done.returncode == 0:
                said: dict[str, Any] = json.loads(done.stdout)
                return said
            time.sleep(1)
        return {}

    def found(self) -> list[str]:
        """Return the ids of what doctor finds."""
        done = self.machine.ask("oubli doctor --json")
        assert done.stdout, (done.returncode, done.stderr)
        return [finding["id"] for finding in json.loads(done.stdout)["findings"]]

    def health(self) -> dict[str, Any]:
        """Return the health message that the recorder wrote last."""
        said: dict[str, Any] = json.loads(self.machine.run("cat /var/run/oubli-live/health"))
        return said

    def change(self, *options: str) -> None:
        """Set options of oubli, and let procd know as LuCI's "Save & Apply" does."""
        told = """ubus call service event '{"type":"config.change","data":{"package":"oubli"}}'"""
        self.machine.run("".join(f"uci set oubli.{option}; " for option in options) + f"uci commit oubli; {told}")


def _values(record: Record) -> tuple[object, ...]:
    return tuple(getattr(record, name) for name in record.__slots__)


def documented() -> list[str]:
    """Return README's lines for a new device, for this board, without comments."""
    found = LINES.search((PROJECT / "README.md").read_text())
    assert found is not None
    lines = [line.split("  #")[0].rstrip() for line in found[1].replace("gl-mt6000", "x86-64").splitlines()]
    return [line.replace("192.168.1.1", GATEWAY) for line in lines if line]


@pytest.fixture(scope="package")
def world() -> Iterator[World]:
    """Give the booted gateway and its surroundings."""
    with World() as made:
        made.machine.boot()
        yield made


@pytest.fixture(scope="package")
def followed(world: World) -> World:
    """Follow the document's own lines once; the snapshot `installed` is what they lead to."""
    machine = world.machine
    build, copy, add, edit, start, status = documented()
    with ThreadPoolExecutor(1) as aside:  # dnsmasq takes three seconds to see that nobody has an address yet
        joined = aside.submit(world.lan.join, 2)
        world.said["build"] = world.document([build])
        world.said["copy"] = world.document([copy])
        began, waited = time.monotonic(), machine.waited()
        world.said["add"] = world.document([add])
        joined.result()
    assert edit.endswith("vi /etc/config/oubli"), edit
    world.configure()
    world.hurry()  # the recorder reads these limits as it starts
    world.said["start"] = world.document([start])
    world.until(world.status)
    world.said["status"] = world.document([status])
    world.lan.generate(8)
    world.lan.ended(machine, WAIT)
    world.until(lambda: world.status()["counters"]["kept"])
    # What else runs here isn't the gateway's fault
    world.seconds["first record"] = time.monotonic() - began - (machine.waited() - waited)
    world.until(lambda: world.broker.messages("/health"))
    world.save("installed")
    return world


@pytest.fixture
def installed(followed: World) -> World:
    """Give the gateway with oubli running, as the document's lines leave it, and two terminals with leases."""
    followed.machine.restore("installed")
    return followed


@pytest.fixture(scope="package")
def equipped(followed: World) -> World:
    """Install the other packages once, from a signed feed, let two users in, believe the battery.

    The snapshot `complete`.
    """
    machine = followed.machine
    machine.restore("installed")
    machine.run(AGREES)
    followed.add_packages()  # which starts the service anew
    machine.run(PEOPLE)
    followed.until(lambda: followed.status().get("clock") == "trusted" and not followed.found())
    followed.save("complete")
    return followed


@pytest.fixture
def complete(equipped: World) -> World:
    """Give the gateway with all three packages and a trusted clock, on which doctor finds nothing."""
    equipped.machine.restore("complete")
    return equipped
