# SPDX-License-Identifier: Apache-2.0
"""A restart doesn't make the recorder forget under which time-outs connections have lived (EXP-1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from host_sim.venue import kernel
from tests.summary.test_summary import BOOT, GATEWAY, OPENS, SECOND, address_of
from tests.support.interpreters import Interpreter, Remote

if TYPE_CHECKING:
    from pathlib import Path

SINCE = 10**15
LONG, SHORT = 432000, 7440  # the kernel's and OpenWrt's
SERVER, WAN = b"\xcb\0\x71\1", b"\xc0\0\2\1"


@pytest.mark.parametrize(
    "how", ["goes on", "is restarted", "is restarted without its file", "starts for the first time"]
)
@pytest.mark.long
def test_a_time_out_that_was_lowered_counts_for_what_lived_under_it(
    interpreter: Interpreter, how: str, tmp_path: Path
) -> None:
    """Five days after its last packet a connection's record is over: none is kept until 24 hours later."""
    (tmp_path / "config").write_text(f"config gateway\n option id '{GATEWAY}'\nconfig summary\n option rows '256'\n")
    remote = Remote(interpreter)

    def opened(second: int) -> None:
        wall, monotonic = OPENS * SECOND + second * SECOND, SINCE + second * SECOND
        remote("recorder_open", str(tmp_path / "config"), str(tmp_path), BOOT, wall, monotonic, "")
        remote(
            "recorder",
            [["neighbour", kernel.link("lan").hex()], ["neighbour", kernel.address(address_of(0), 16).hex()]],
        )

    def at(second: int, *steps: list) -> dict:
        time = ["time", OPENS * SECOND + second * SECOND, SINCE + second * SECOND]
        return remote("recorder", [time, *steps])["status"]["counters"]

    if how != "starts for the first time":
        opened(0)
        at(5, ["sysctl", "tcp_timeout_established", LONG])
        at(200, ["sysctl", "tcp_timeout_established", SHORT])
        at(230)
    if how != "goes on":
        if how != "starts for the first time":
            remote("recorder_close")
        if how == "is restarted without its file":
            (tmp_path / "var/run/oubli/timeouts").unlink()
        opened(310)
    flow = kernel.Flow(
        2, kernel.TCP, address_of(1), SERVER, 1111, 443, SERVER, WAN, 443, 1111, kernel.SEEN_REPLY,
        (OPENS + 60) * SECOND, packets_up=9, packets_down=9, bytes_up=3000, bytes_down=30000,
        state=kernel.ESTABLISHED, stop=(OPENS + 100 + LONG) * SECOND,
    )  # fmt: skip
    counters = at(101 + LONG, ["datagram", kernel.conntrack("destroy", flow).hex()])
    assert (counters["connections"], counters["due on arrival"], counters["kept"]) == (1, 1, 0)
    remote("recorder_close")
    remote.close()
