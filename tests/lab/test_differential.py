# SPDX-License-Identifier: Apache-2.0
"""20,000 mixed connections through the real kernel, read by two recorders and two readers of other people's.

One traffic, both families, translated; a recorder on each interpreter listens beside `conntrack -E`
(libnetfilter_conntrack) and beside pyroute2. In the last quarter the kernel's timeouts are raised and then lowered.
Named rules for what may differ:

- *own*: the gateway's own connections are no terminal's, and not in the vault.
- *changed timeout*: `end` is STOP less the largest value that the state's timeout had since START, as the recorder,
  which looks every ten seconds, knows it. So a connection beside a change may have any value for T that was in force
  near its life, and no other; and no record ever ends after the last packet that its terminal knows of.
"""

from __future__ import annotations

import ipaddress
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from agent.vault import reading
from host_sim.lab.compare import UNIT, Comparison, beyond_the_truth, compare
from host_sim.lab.device import SECOND, Device
from host_sim.lab.lab import CONFIRMATION, LIFETIME, Lab
from host_sim.lab.network import TIMEOUTS
from host_sim.lab.network import run as run_command
from host_sim.lab.reader import Reader
from host_sim.lab.witness import widen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.vault.record import Record
    from host_sim.lab.witness import Seen

pytestmark = pytest.mark.needs("root", "ip", "nft", "conntrack", "mosquitto", "micropython")
PARTS = (16000, 2500, 1500)  # connections: timeouts as they are, raised, lowered
RAISED = {
    "tcp_timeout_time_wait": 12,
    "tcp_timeout_close": 11,
    "udp_timeout": 9,
    "udp_timeout_stream": 13,
    "icmp_timeout": 10,
}
LOWERED = {
    "tcp_timeout_time_wait": 2,
    "tcp_timeout_close": 1,
    "udp_timeout": 1,
    "udp_timeout_stream": 2,
    "icmp_timeout": 2,
}
LOOK = 10  # seconds between two looks of the recorder at the timeouts
# Seconds before and after a connection in which the recorder may still have, or already, another value
NEAR = 2 * LOOK + 5


@dataclass
class Told:
    """What one recorder kept."""

    records: list[Record]
    comparison: Comparison
    beyond: list[str]
    counters: dict[str, int]
    log: str


@dataclass
class Run:
    """What all of them saw."""

    seen: list[Seen]
    read: list[Seen]
    told: dict[str, Told]
    changes: list[tuple[int, dict[str, int]]]

    def values(self, one: Seen) -> set[int]:
        """Return the values that this connection's timeout had near its life."""
        now, found = TIMEOUTS[one.timeout], set()
        for at, changed in [*self.changes, (1 << 63, {})]:
            if at >= one.start - NEAR * SECOND:
                found.add(now)
            if at > one.stop + NEAR * SECOND:
                break
            now = changed.get(one.timeout, now)
        return found


def _change(lab: Lab, devices: list[Device], timeouts: dict[str, int]) -> tuple[int, dict[str, int]]:
    for name, seconds in timeouts.items():
        lab.network.set_timeout(name, seconds)
    at = time.time_ns()
    for device in devices:
        device.jump(LOOK)
    time.sleep(1.5)  # a turn of the recorders' clocks: they look
    return at, timeouts


def _play(lab: Lab, devices: dict[str, Device], reader: Reader) -> Run:
    for device in devices.values():
        device.start("recorder")
        device.wait_for_recorder()
        assert widen(device.pid("recorder"))
        device.call({"call": "ntp"})
        device.jump(CONFIRMATION)
        device.call({"call": "ntp"})
    changes = []
    for connections, timeouts in zip(PARTS, (RAISED, LOWERED, {}), strict=True):
        lab.traffic(connections)
        if timeouts:
            changes.append(_change(lab, list(devices.values()), timeouts))
    lab.settle()
    # Nothing may begin any more while it is counted: a packet sent again by somebody
    # who was left alone is a connection too.
    for link in ("lan", "wan"):
        run_command("ip", "-n", lab.network.gateway, "link", "set", link, "down")
    lab.settle()
    seen, told = lab.witness.seen(), {}
    for name, device in devices.items():
        missed = f"the recorder on {name} misses connections"
        lab.wait(lambda device=device: _counters(device)["connections"] >= len(seen), missed, 120)  # type: ignore[misc]
        records = list(reading.read(str(device.root), "security", device.time.wall(), device.time.monotonic()))
        comparison = compare(seen, records, lab.network.terminals)
        told[name] = Told(
            records,
            comparison,
            beyond_the_truth(records, lab.acts),
            _counters(device),
            device.log("recorder").read_text(),
        )
    terminals = {
        ipaddress.ip_address(one).packed
        for terminal in lab.network.terminals
        for one in (terminal.address4, terminal.address6)
    }
    mine, read = ([one for one in these if one.source in terminals] for these in (seen, reader.seen()))
    return Run(mine, read, told, changes)


def _counters(device: Device) -> dict[str, int]:
    return device.call({"call": "status"})["counters"]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Play it once."""
    with Lab("cpython") as lab:
        folder = lab.folder / "micropython"
        folder.mkdir()
        devices = {
            "cpython": lab.device,
            "micropython": Device(lab.network, folder, "micropython", LIFETIME, -CONFIRMATION),
        }
        reader = Reader(lab.network, lab.folder)
        reader.start()
        try:
            yield _play(lab, devices, reader)
        finally:
            reader.stop()
            devices["micropython"].close()


def test_two_readers_saw_the_same(run: Run) -> None:
    """libnetfilter_conntrack and pyroute2, field by field: what is compared below is what the kernel said."""
    assert set(run.seen) == set(run.read)
    assert len(run.seen) == len(run.read) == len(set(run.seen))
    assert sum(one.source_port != one.translated_port for one in run.seen) > sum(PARTS) // 4
    assert {len(one.source) for one in run.seen} == {4, 16}


@pytest.mark.parametrize("name", ["cpython", "micropython"])
def test_every_connection_is_recorded_field_by_field(run: Run, name: str) -> None:
    """EXP-1: none missing, none extra, all fields equal but for the duration of those beside a changed timeout."""
    found = run.told[name].comparison
    assert (found.missing, found.extra) == (0, 0)
    assert found.terminals_connections >= sum(PARTS)  # a packet that comes late may begin another one
    assert set(found.unequal_in) <= {"duration"}, found.differences
    assert set(found.by_protocol) == {"tcp", "udp", "icmp"}


@pytest.mark.parametrize("name", ["cpython", "micropython"])
def test_every_duration_is_stop_less_start_less_a_timeout_that_was_in_force(run: Run, name: str) -> None:
    """EXP-1: exactly one value for most.

    Beside a change one of those that the timeout had, and the larger ones are used.
    """
    held = defaultdict(list)
    for record in run.told[name].records:
        held[bytes(record.address), record.protocol, record.source_port, record.start].append(record.duration)
    wrong, larger = [], 0
    for one in run.seen:
        found = held[one.source, one.protocol, one.source_port, one.start // UNIT]
        values = run.values(one)
        durations = {one.end_after(value) // UNIT - one.start // UNIT for value in values}
        right = [duration for duration in found if duration in durations]
        if found and not right:
            wrong.append((one.protocol, one.state, found, durations))
        larger += (
            max(values) > TIMEOUTS[one.timeout] and one.end_after(max(values)) // UNIT - one.start // UNIT in right
        )
    assert wrong == []
    assert larger > PARTS[1] // 2
    assert run.told[name].comparison.equal > sum(PARTS) // 4  # by the timeouts that the lab begins with


@pytest.mark.parametrize("name", ["cpython", "micropython"])
def test_no_record_ends_after_the_last_packet(run: Run, name: str) -> None:
    """EXP-1: by the terminals' own clocks, timeouts changed or not."""
    assert run.told[name].beyond == []


@pytest.mark.parametrize("name", ["cpython", "micropython"])
def test_nothing_is_lost_and_every_exclusion_has_its_name(run: Run, name: str) -> None:
    """The counters add up to what the readers saw."""
    counters = {key: value for key, value in run.told[name].counters.items() if value}
    excluded = counters.pop("excluded: own", 0) + counters.pop("excluded: broadcast", 0)
    assert counters == {"connections": len(run.seen) + excluded, "kept": len(run.seen), "starts": 1}
    assert len(run.told[name].records) == len(run.seen)
    assert "lost" not in run.told[name].log
