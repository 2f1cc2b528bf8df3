# SPDX-License-Identifier: Apache-2.0
"""A step of the clock is noticed before what ended meanwhile is read: its stamps may be of either clock (EXP-1)."""

from __future__ import annotations

import signal
import struct
import time

import pytest

from tests.recorder.test_behind import DELETE, INSERT
from tests.recorder.test_late import kernel
from tests.vault.test_nothing_left import NEEDS, gateway

READS = """
from agent.base.time_lines import TimeLines
from agent.recorder.fast_path import FastPath
run, step = FastPath.run, [0]
look = TimeLines.look
def looks(self, offset, monotonic):
    found = look(self, offset, monotonic)
    step[0] = found or step[0]
    return found
def reads(self, inbox, limit):
    with open(PLACE, "a") as file:
        file.write(str(round(step[0] / 10**9)) + " ")
    return run(self, inbox, limit)
FastPath.run, TimeLines.look = reads, looks
"""


@NEEDS
@pytest.mark.parametrize("step", [3600, -3600])
def test_a_step_is_noticed_before_what_ended_since(interpreter, step, tmp_path):
    place = tmp_path / "read"
    with gateway(interpreter, READS.replace("PLACE", repr(str(place)))) as made:
        made.status()
        kernel(made, INSERT.format(8) + DELETE.format(8))
        made.wait(lambda status: status["counters"]["connections"])
        made.process.send_signal(signal.SIGSTOP)
        before = len(place.read_text())
        (made.root / "clock.new").write_bytes(struct.pack("<qq", step * 10**9, -step * 10**9))
        (made.root / "clock.new").replace(made.root / "clock")
        kernel(made, INSERT.format(8) + DELETE.format(8))
        made.process.send_signal(signal.SIGCONT)
        made.wait(lambda status: status["counters"]["connections"] > 1)
        time.sleep(0.1)
        assert set(place.read_text()[before:].split()) == {str(step)}
