# SPDX-License-Identifier: Apache-2.0
"""A guest who invents a MAC for each connection, and what the day's figures cost (ANON-8)."""

from __future__ import annotations

import json
import resource
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from agent.runtime.sodium import Sodium
from agent.summary.metrics import MESSAGES, METRICS
from agent.summary.terminals import Terminals
from host_sim.privacy.paired import PORTS, TRUSTED, Device, Silence, cells
from host_sim.privacy.terminal_signs import DAY, HOUR, OPENS, SECOND, Sign
from host_sim.venue import kernel
from tests.support.interpreters import Remote

ROWS, FLOOD = 4096, 100_000  # the default size; MACs in an hour
RESIDENTS = 100


@pytest.mark.long
def test_100_000_macs_in_an_hour_fill_the_table_and_harm_nothing_else(memory):
    """Memory stays bounded, every connection is kept, who came before still counts, nobody is displaced by turns.

    The effect on the figures is README's: the flood's hour and the day's cells are those of
    the table's size, later hours are empty.
    """
    device = Device(memory / "flood", Silence, rows=ROWS, security="option budget '16000000'")
    recorder = device.recorder

    def come(terminal: int, port: int = 443) -> None:
        near, event, _ = Sign(device.time.second, terminal, port=port).messages()
        recorder.streams.neighbour(near, len(near))
        recorder.streams.datagram(event, len(event))

    device.pass_to(TRUSTED + 60)
    for terminal in range(RESIDENTS):
        come(terminal)
    device.pass_to(HOUR + 60)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(FLOOD):
        device.time.second = HOUR + 60 + number * 3500 // FLOOD
        if number % 50 == 0:
            recorder.tick()
        come(RESIDENTS + number)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    table, status = recorder.day.terminals, recorder.status()
    used = table.used()
    assert table.filled()
    assert status["summary"]["filled"]
    assert 0.8 * ROWS < used <= ROWS
    assert recorder.guests.holders.held() <= 4 * ROWS
    assert grown < 16384  # KiB: the segments of its connections lie on disk, and the table was there before
    assert status["counters"]["kept"] == FLOOD + RESIDENTS
    device.pass_to(3 * HOUR - 200)
    # Others had their addresses meanwhile: the kernel asks again before what comes now begins
    for terminal in range(RESIDENTS):
        near, _, _ = Sign(device.time.second, terminal).messages()
        recorder.streams.neighbour(near, len(near))
    device.pass_to(3 * HOUR)
    for terminal in range(RESIDENTS):
        come(terminal, 3478)
    for terminal in range(FLOOD, FLOOD + 1000):
        come(RESIDENTS + terminal)
    device.pass_to(DAY + 1)
    recorder.close()
    assert cells(device.seen, "arrivals") == [RESIDENTS, used - RESIDENTS] + [0] * 22
    assert sum(cells(device.seen, "presence")) == sum(cells(device.seen, "volume")) == used
    assert sum(cells(device.seen, "classes")) == RESIDENTS
    assert len({len(text) for text in device.seen.spool.values()}) == 1


@pytest.mark.needs("micropython")
@pytest.mark.long
def test_a_flood_of_macs_leaves_a_small_heap_alone(memory, remotes):
    """The same recorder on MicroPython: 3,000 MACs take no more memory than 300, all is counted and kept.

    Those for whose terminals there was no room any more are nobody's.
    """
    ask = remotes("micropython")
    root = memory / "small"
    root.mkdir()
    (root / "config").write_text(f"config gateway\n option id '{'a' * 16}'\nconfig summary\n option rows '64'\n")
    since = 10**15
    ask("recorder_open", str(root / "config"), str(root), "a1" * 16, OPENS * SECOND, since, "")
    lan = kernel.link("lan"), kernel.address(bytes((10, 20, 0, 1)), 16)
    ask("recorder", [*(["neighbour", told.hex()] for told in lan), ["confirm"]])
    ask("recorder", [["time", (OPENS + 600) * SECOND, since + 600 * SECOND], ["confirm"]])
    resident = Path(f"/proc/{ask.process.pid}/status")
    held = []
    for part in range(100):
        steps: list[list[object]] = []
        for number in range(30 * part, 30 * part + 30):
            near, event, _ = Sign(632 + part, number, 1).messages()
            steps += [["neighbour", near.hex()], ["datagram", event.hex()]]
        answer = ask("recorder", steps)
        held.append(int(resident.read_text().split("VmRSS:")[1].split()[0]))
    ask("recorder_close")
    counters = answer["status"]["counters"]
    assert answer["status"]["summary"]["filled"]
    assert counters["connections"] == counters["kept"] == 3000
    assert counters["unknown terminal"] == 3000 - 4 * 64
    assert held[-1] - held[10] < 512, held  # KiB


def test_a_table_fills_when_four_fifths_of_its_rows_are_taken_and_not_before(memory):
    """ANON-8: 64 rows are looked at, so nobody waits for a full table.

    The size is four times the busiest day, so there is room.
    """
    chance, found = Random(8), Counter[int]()
    for rows in (64, 1000, 4096):
        for _ in range(3):
            table = Terminals(str(memory / "fill"), rows, "a1" * 16, Sodium())
            table.open_day(1, 0, DAY, (0,) * 5)
            table._view[64:80] = chance.randbytes(16)
            number = 0
            while not table.filled() and number < rows:
                table.see(number.to_bytes(6, "big"), 0, 0, 0, 1, 1)
                number += 1
            found[rows] = min(found[rows] or rows, table.used())
            table.close()
            Path(memory / "fill").unlink()
    assert all(least >= 0.8 * rows for rows, least in found.items()), found
    assert found[64] == 64  # a power of two: each of 64 rows is looked at


@pytest.mark.needs("mips")
@pytest.mark.parametrize("terminals", [1, 1024, 3400])
def test_a_row_update_takes_no_heap_on_big_endian_mips(memory, mips, terminals):
    """Less than 64 octets were asked.

    Words of more than 30 bits would take 32 each there (a connection of over 1 GiB takes 96).
    """
    done = mips.run("-m", "tools.bench.row_stage", memory / f"mips-{terminals}", "4096", str(terminals), "200")
    assert json.loads(done.stdout) == {"heap": 0, "used": terminals, "filled": False}


@pytest.mark.needs("micropython")
def test_the_noise_of_a_day_takes_less_than_50_ms_of_cpu(micropython):
    """49 cells of the five metrics of `medium`, on MicroPython.

    Ten days at once, because the kernel counts in hundredths of a second.
    """
    text = """
import os
from agent.summary.metrics import METRICS, scale
from agent.summary.noise import Sampler
def spent():
    with open('/proc/self/stat') as file:
        return sum([int(word) for word in file.read().rsplit(') ', 1)[1].split(' ')[11:13]])
sampler, before, cells = Sampler(os.urandom), spent(), 0
for _ in range(10):
    for metric in METRICS[:5]:
        for _ in range(metric.slots * len(metric.cells)):
            sampler.laplace(scale(metric.l1, metric.epsilon))
            cells += 1
print(cells, spent() - before)
"""
    cells_drawn, hundredths = map(int, micropython.run("-c", text).stdout.split())
    assert cells_drawn == 490
    assert hundredths <= 50


SIGNS = [
    (hour, 17, port, octets)
    for hour, port in ((1, 443), (2, 123), (6, 3478), (9, 51820), (15, 31337))
    for octets in (0, 3 << 30)
]


@pytest.mark.long
@pytest.mark.needs("micropython")
@pytest.mark.parametrize("others", [0, 60])
def test_one_terminal_changes_a_micropython_days_figures_by_l1_at_most(memory, remotes, others):
    """ANON-2, ANON-8: rows of an extreme terminal beside a table near full, over a restart of the process; 64 rows."""
    ask, found = remotes("micropython"), []
    for there in (True, False):
        path = str(memory / f"table-{others}")
        ask("terminals_open", path, 64, "a1" * 16)
        ask("terminals_day", 20000, 0, 10**15, "5a" * 16)
        for number in range(others):
            ask("terminals_see", [[f"{1000 + number:012x}", number % 24, 4 * (number % 24), 95, number % 11, 10**7]])
        for hour, _, _, octets in SIGNS if there else ():
            ask("terminals_see", [["0" * 12, hour, 4 * hour, 95, hour % 11, octets]])
        ask("terminals_close")
        ask("terminals_open", path, 64, "a1" * 16)
        for hour, _, _, octets in SIGNS[4:] if there else ():
            ask("terminals_see", [["0" * 12, hour, 0, 95, 9, octets]])
        found.append(ask("terminals_see", []))
        ask("terminals_erase")
        ask("terminals_close")
    allowed = 2 if found[0]["filled"] else 1
    bounds = {"arrivals": 1, "presence": 1, "volume": 1, "active": 2, "classes": 2}
    for name, l1 in bounds.items():
        pairs = zip(found[0]["cells"][name], found[1]["cells"][name], strict=True)
        assert sum(abs(one - other) for one, other in pairs) <= l1 * allowed
    assert sum(found[0]["cells"]["arrivals"]) - sum(found[1]["cells"]["arrivals"]) == (0 if allowed == 2 else 1)


CLASHES = [(0, 1), (4, 1), (8, 2)]  # octets that are alike; how many times the bound is allowed


@pytest.mark.needs("micropython")
@pytest.mark.parametrize(("octets", "factor"), CLASHES)
@pytest.mark.long
def test_terminals_whose_hashes_clash_on_micropython_change_the_published_figures_by_l1_at_most(
    memory, micropython, octets, factor
):
    """ANON-2 through the whole pipeline, from the kernel's messages to the spool.

    Two days of one noise, with and without a terminal.
    """
    stage, noise = Remote(micropython, "tests.support.clash_stage"), Random(21).randbytes(4000).hex()
    try:
        stage("clash", octets)
        days = [published(stage, memory / f"clash-{octets}-{there}", noise, there=there) for there in (True, False)]
    finally:
        stage.close()
    assert days[0].keys() == days[1].keys()
    assert len(days[0]) == MESSAGES
    moved = Counter[str]()
    for name, values in days[0].items():
        moved[name.split("-")[1]] += sum(abs(one - other) for one, other in zip(values, days[1][name], strict=True))
    assert moved["arrivals"] == factor  # who shares its row arrives in another hour
    assert all(moved[metric.name] <= factor * metric.l1 for metric in METRICS), moved


def published(stage: Remote, root: Path, noise: str, *, there: bool) -> dict[str, list[int]]:
    """Play a day of seven people and, where it is there, an extreme terminal that comes first.

    Return the values of each message.
    """
    root.mkdir()
    (root / "config").write_text(f"config gateway\n option id '{'a' * 16}'\nconfig summary\n option rows '64'\n")
    since = 10**15
    stage("recorder_open", str(root / "config"), str(root), "a1" * 16, OPENS * SECOND, since, noise)
    lan = kernel.link("lan"), kernel.address(bytes((10, 20, 0, 1)), 16)
    stage("recorder", [*(["neighbour", told.hex()] for told in lan), ["confirm"]])
    stage("recorder", [["time", (OPENS + 600) * SECOND, since + 600 * SECOND], ["confirm"]])
    signs = [Sign(at, 1 + at % 7, 400, 1 << 20 + at % 9, PORTS[at % len(PORTS)]) for at in range(4000, DAY, 4001)]
    signs += [Sign(at, 0, 1000, 1 << 32, PORTS[at % len(PORTS)]) for at in range(3000, DAY, 3607)] if there else []
    steps: list[list[object]] = []
    for sign in sorted(signs):
        near, event, _ = sign.messages()
        steps += [["time", (OPENS + at) * SECOND, since + at * SECOND] for at in (sign.at // HOUR * HOUR, sign.at)]
        steps += [["neighbour", near.hex()], ["datagram", event.hex()]]
    for first in range(0, len(steps), 32):
        stage("recorder", steps[first : first + 32])
    stage("recorder", [["time", (OPENS + DAY + 1) * SECOND, since + (DAY + 1) * SECOND]])
    stage("recorder_close")
    return {path.name: json.loads(path.read_bytes())["values"] for path in (root / "srv/oubli-spool").iterdir()}
