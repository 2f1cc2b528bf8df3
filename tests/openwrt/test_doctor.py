# SPDX-License-Identifier: Apache-2.0
"""`oubli doctor` on a real OpenWrt: it finds nothing on a healthy gateway, then what was broken on purpose, and nothing else.

The rows are those of tests/openwrt/broken.py, several at a time: no row may hide another one beside it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.openwrt.broken import BROKEN, run

if TYPE_CHECKING:
    from tests.openwrt.conftest import World

# A machine that is emulated on a busy one is behind the time that its battery told, and waits for NTP to agree twice.
CLOCK = {"clock-untrusted", "clock-battery"}
SOON = 300  # seconds within which what is broken has come to light
ROWS = {row.name: row for row in BROKEN}
TOGETHER = (
    ("events", "acct", "timestamp", "table-size", "offload", "second-nat", "swap", "folders", "secret", "watch", "page", "forwarder"),
    ("no-lan", "root", "wan", "broker"),
    ("recorder", "broker-missing", "flash", "libsodium"),
)


class Gateway:
    """The words of the table, on the machine."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.shell("cp /etc/config/oubli /tmp/whole")

    def shell(self, line: str) -> None:
        """Run a line as root, whatever its status: some fill the flash until nothing fits."""
        self._world.machine.ask(f"WAN=eth1; {line}")

    def set(self, option: str, value: str | None) -> None:
        """Write an option, None takes it out."""
        self.shell((f"uci set oubli.{option}='{value}'" if value else f"uci delete oubli.{option}") + "; uci commit oubli")

    def whole(self) -> None:
        """Bring back the configuration."""
        self.shell("cp /tmp/whole /etc/config/oubli")

    def restart(self) -> None:
        """Start the service anew and wait until the recorder answers."""
        self.shell("/etc/init.d/oubli restart")
        self._world.until(self._world.status)

    def end(self, instance: str) -> None:
        """End a process of the service for good."""
        self.shell(f"""ubus call service delete '{{"name":"oubli","instance":"{instance}"}}'""")


@pytest.mark.parametrize("names", TOGETHER, ids="-".join)
def test_doctor_finds_nothing_on_a_healthy_gateway_then_what_is_broken_and_nothing_else(installed, names):
    installed.add("oubli-purposes")
    gateway = Gateway(installed)
    installed.until(lambda: {*installed.found()} <= CLOCK)
    for name in names:
        run(gateway, ROWS[name].steps)
    expected = {*names, *(other for name in names for other in ROWS[name].also)}
    with contextlib.suppress(AssertionError):
        installed.until(lambda: {*installed.found()} >= expected, SOON)
    assert {*installed.found()} - CLOCK == expected
