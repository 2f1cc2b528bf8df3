# SPDX-License-Identifier: Apache-2.0
"""`oubli doctor` on a real OpenWrt: nothing on a healthy gateway, then what was broken on purpose, nothing else.

The rows are those of tests/openwrt/broken.py. As many are broken at a time as don't hide one another. A recorder that
has ended can't say that the LAN is missing. A configuration that is refused hides what else is written in it. None
starts while there is swap on a disk. A start repairs owners and modes: what breaks these comes after what starts the
service anew.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.openwrt.broken import BROKEN, run

if TYPE_CHECKING:
    from tests.openwrt.conftest import World

SOON = 300  # seconds within which what is broken has come to light
ROWS = {row.name: row for row in BROKEN}
TOGETHER = (
    (
        "configuration",
        "watch",
        "page",
        "forwarder",
        "events",
        "acct",
        "timestamp",
        "table-size",
        "offload",
        "second-nat",
        "tmpfs",
    ),
    ("swap",),
    ("root", "no-lan", "unconnected", "wan", "certificate", "secret", "bundle-missing"),
    ("recorder", "broker-missing", "flash", "libsodium", "clock-wrong"),
    ("clock-battery", "unfiltered", "flash-refuses", "plain-text"),
    ("clock-untrusted", "bundle-refused", "agents", "store", "folders", "broker"),
)
CONNECTED = (
    """n=60; until oubli status --json | grep -q '"connected": *true' || [ $((n -= 1)) = 0 ]; do sleep 1; done"""
)
# What follows there and not in a root with busybox: nothing listens at that port of that broker;
# certificates are younger than that clock.
THERE = {"unconnected": {"broker"}, "clock-wrong": {"certificate"}}


class Gateway:
    """The words of the table, on the machine; a restart waits until something else needs it."""

    def __init__(self, world: World) -> None:
        self._world, self._lines, self._restart = world, ["WAN=eth1"], False

    def shell(self, line: str) -> None:
        """Run a line as root, whatever its status: some fill the flash until nothing fits."""
        self._due()
        self._lines.append(line)

    def set(self, option: str, value: str | None) -> None:
        """Write an option, None takes it out. Another broker is for a forwarder that has read of the first one."""
        if value and option in ("mqtt.host", "mqtt.port") and not self._restart:
            self._lines.append(CONNECTED)
        self._lines.append(
            (f"uci set oubli.{option}='{value}'" if value else f"uci delete oubli.{option}") + "; uci commit oubli"
        )

    def restart(self) -> None:
        """Start the service anew."""
        self._restart = True

    def end(self, instance: str) -> None:
        """End a process of the service for good; ujail loses a signal that comes before its jail runs."""
        self.shell(f"""ubus call service delete '{{"name":"oubli","instance":"{instance}"}}'""")
        self.shell(f"sleep 1; kill $(pgrep -f '^/sbin/ujail .*-n oubli-{instance} ') 2>/dev/null")

    def _due(self) -> None:
        if self._restart:
            self._lines.append(
                # What the former forwarder says to its very end isn't the new one's word
                "/etc/init.d/oubli stop; while pgrep -f '[m]icropython.* agent' >/dev/null; do sleep 1; done"
                "; rm -f /var/run/oubli-live/forwarder.json"
                "; /etc/init.d/oubli start; until oubli status >/dev/null 2>&1; do sleep 1; done"
                "; n=30; until [ -e /var/run/oubli-live/forwarder.json ] || [ $((n -= 1)) = 0 ]; do sleep 1; done"
            )
        self._restart = False

    def go(self) -> None:
        """Do all of it."""
        self._due()
        self._world.machine.ask("\n".join(self._lines))


def test_every_row_of_the_table_is_broken_there():
    assert sorted(name for names in TOGETHER for name in names) == sorted(ROWS)


@pytest.mark.parametrize("names", TOGETHER, ids="-".join)
def test_doctor_names_what_is_broken_and_nothing_else(complete, names):
    gateway = Gateway(complete)
    for name in names:
        run(gateway, ROWS[name].steps)
    gateway.go()
    expected = {*names, *(other for name in names for other in (*ROWS[name].also, *THERE.get(name, ())))}
    with contextlib.suppress(AssertionError):
        complete.until(lambda: {*complete.found()} == expected, SOON)
    assert {*complete.found()} == expected


def test_doctor_finds_nothing_on_a_healthy_gateway(complete):
    complete.until(lambda: not complete.found())  # the forwarder comes back a moment after the saved state
    assert complete.machine.run("oubli doctor") == "fine\n"
