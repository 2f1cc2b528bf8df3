# SPDX-License-Identifier: Apache-2.0
"""A guest who invents a MAC for each connection, and what the day's figures cost (ANON-8)."""

from __future__ import annotations

import resource

import pytest

from host_sim.paired import HOUR, TRUSTED, Device, Sign, Silence, cells

ROWS, FLOOD = 1024, 20_000


def test_a_flood_of_macs_fills_the_table_and_harms_nothing_else(memory):
    """Memory stays bounded, every connection is kept, who came before the flood still counts, nobody is displaced by turns."""
    device = Device(memory / "flood", Silence, rows=ROWS, security="option budget '4000000'")
    recorder = device.recorder
    device.pass_to(TRUSTED + 60)
    for terminal in range(100):
        near, event, _ = Sign(device.time.second, terminal).messages()
        recorder.neighbour(near, len(near))
        recorder.datagram(event, len(event))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(FLOOD):
        device.time.second = TRUSTED + 60 + number * 2400 // FLOOD
        if number % 50 == 0:
            recorder.tick()
        near, event, _ = Sign(device.time.second, 1000 + number % 50_000).messages()
        recorder.neighbour(near, len(near))
        recorder.datagram(event, len(event))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    table, status = recorder._terminals, recorder.status()
    assert table.filled()
    assert status["summary"]["filled"]
    assert 0.7 * ROWS < table.used() <= ROWS
    assert recorder._who.held() <= 4 * ROWS
    assert grown < 8192  # KiB
    assert status["counters"]["kept"] == FLOOD + 100
    device.pass_to(HOUR)
    (first,) = [text for text in device.seen.spool if text.endswith("arrivals-00")]
    assert len(device.seen.spool[first]) == 320
    arrived = cells(device.seen, "arrivals")
    used = table.used()
    recorder.close()
    assert arrived == [used]  # README: the figure of that hour is the size of the table, of which 100 are true


@pytest.mark.needs("micropython")
def test_the_noise_of_a_day_takes_less_than_50_ms_of_cpu(micropython):
    """49 cells of the five metrics, on MicroPython; ten days at once, because the kernel counts in hundredths of a second."""
    text = """
import os
from agent.summary.metrics import METRICS, scale
from agent.summary.noise import Sampler
def spent():
    with open('/proc/self/stat') as file:
        return sum([int(word) for word in file.read().rsplit(') ', 1)[1].split(' ')[11:13]])
sampler, before, cells = Sampler(os.urandom), spent(), 0
for _ in range(10):
    for metric in METRICS:
        for _ in range(metric.slots * len(metric.cells)):
            sampler.laplace(scale(metric.l1, metric.epsilon))
            cells += 1
print(cells, spent() - before)
"""
    cells_drawn, hundredths = map(int, micropython.run("-c", text).stdout.split())
    assert cells_drawn == 490
    assert hundredths <= 50


SIGNS = [(hour, 17, port, octets) for hour, port in ((1, 443), (2, 123), (6, 3478), (9, 51820), (15, 31337)) for octets in (0, 3 << 30)]


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
