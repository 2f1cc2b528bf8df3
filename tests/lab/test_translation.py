# SPDX-License-Identifier: Apache-2.0
"""NAT64 and the CLAT of 464XLAT on the real kernel.

What connection tracking shows of them, and what is made of it (L34-I-2).

The kernel translates between the families by no code of its own: a translator behind an interface does it (tayga here;
jool, or OpenWrt's nat46), and connection tracking sees two connections that nothing ties together. The terminal's own
one is recorded; the translator's is from no terminal of the LAN, and counted as that.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from host_sim.lab.network import INTERNET_4
from tests.lab.test_terminals import BOTH, EXCHANGE, A, B, venue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.test_terminals import Venue

pytestmark = [pytest.mark.needs("root", "ip", "nft", "conntrack", "mosquitto", "tayga")]

NAT64, CLAT = "2001:db8:64::", "2001:db8:46::"  # of each, the prefix into which it maps IPv4
POOL = "192.168.255"


@contextmanager
def translator(place: Venue, folder: Path) -> Iterator[None]:
    """One in the gateway's namespace: IPv6 to NAT64 goes on as IPv4 of POOL, IPv4 to a canary as IPv6."""
    settings = folder / "tayga.conf"
    lines = (
        "tun-device xlat",
        f"ipv4-addr {POOL}.1",
        f"prefix {NAT64}/96",
        f"dynamic-pool {POOL}.0/24",
        f"data-dir {folder}",
    )
    settings.write_text("\n".join((*lines, f"map 192.168.1.101 {CLAT}101")) + "\n")
    words = place.lab.network.inside(place.gateway, "tayga", "--config", str(settings))
    subprocess.run([*words, "--mktun"], check=True, capture_output=True)
    place.ip(
        place.gateway, "link set xlat up", f"route add {POOL}.0/24 dev xlat", f"route add {NAT64}/96 dev xlat",
        f"route add {place.lab.network.canary4[0]} dev xlat",
    )  # fmt: skip
    process = subprocess.Popen([*words, "--nodetach"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        # Its own address is a change of the gateway's: a newcomer just after it has nothing of before he was told of
        inside = place.lab.network.inside(place.gateway, "ip", "-o", "address", "show", "dev", "xlat")
        place.lab.wait(
            lambda: b"inet6" in subprocess.run(inside, capture_output=True, check=True).stdout, "no address", 120
        )
        time.sleep(2)
        yield
    finally:
        process.terminate()
        process.wait(240)


@BOTH
def test_a_terminal_behind_a_translator_is_recorded_once_by_its_own_connection(name: str, tmp_path: Path) -> None:
    """IPv6 to IPv4 (NAT64) and IPv4 to IPv6 (CLAT): by the address that the terminal has.

    The other family's half is nobody's.
    """
    with venue(name) as place:
        place.start()
        with translator(place, tmp_path):
            for number, source, target, port in (
                (A, place.terminals[A].address6, f"{NAT64}{INTERNET_4}", 26000),
                (B, place.terminals[B].address4, place.lab.network.canary4[0], 26001),
            ):
                place.python(place.terminals[number], EXCHANGE, source, target, str(port), "0.5")
            assert place.holders(26000, 26001) == [A, B]
            place.lab.wait(
                lambda: place.counters().get("excluded: outside", 0) >= 2,
                "the translator's connections are missing",
                120,
            )
        records = place.lab.records()
        assert sorted(record.source_port for record in records) == [26000, 26001]
        counters = place.counters()
        assert (counters["kept"], counters["excluded: outside"]) == (2, 2)
        assert "unknown terminal" not in counters
