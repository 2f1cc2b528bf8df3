# SPDX-License-Identifier: Apache-2.0
"""A smoke set on the other processors of boards/, little-endian MIPS, 32-bit and 64-bit ARM, under qemu-user.

And on Debian's MicroPython.

Big-endian MIPS, where a wrong byte order shows, runs the modules' own tests (fixture
`any_interpreter`). ARM's are Debian's MicroPython too.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from host_sim.driver.replay import replay
from tests.host_sim.test_replay import EXPECTED, RECORDING
from tests.mqtt_trial import points
from tests.mqtt_trial.candidate import Candidate
from tests.support import processors
from tests.support.interpreters import FOREIGN, INTERPRETERS
from tests.vault.test_vault import Vault, plain, row
from tools.package import board

if TYPE_CHECKING:
    from pathlib import Path

PROCESSORS = [pytest.param(name, marks=pytest.mark.needs(name)) for name in FOREIGN if name != "mips"]
on_processors = pytest.mark.parametrize("name", PROCESSORS)
on_each = pytest.mark.parametrize("name", [*PROCESSORS, pytest.param("debian", marks=pytest.mark.needs("debian"))])


@on_each
def test_recorded_datagrams_give_the_same_figures(name):
    assert replay(RECORDING, " ".join(INTERPRETERS[name].words)) == EXPECTED


@on_each
def test_what_one_processor_seals_another_opens(name, remotes, tmp_path):
    rows = [row(port=40000 + number, size=number * 1_000_003) for number in range(30)]
    vault = Vault(remotes(name), tmp_path)
    vault.keep(*rows)
    assert sorted(vault.read(0)) == sorted(map(plain, rows))
    vault.close()
    assert sorted(Vault(remotes("cpython"), tmp_path).read(0)) == sorted(map(plain, rows))


@on_each
@pytest.mark.parametrize("b", [(4, 1), (40, 3), (640, 3)])
def test_the_same_octets_give_the_same_noise(name, b, remotes):
    octets = random.Random(str(b)).randbytes(2000).hex()
    drawn = [remotes(one)("laplace", *b, octets) for one in ("cpython", name)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) > 3


@on_each
@pytest.mark.needs("mosquitto")
def test_messages_reach_a_real_broker(name, tmp_path: Path):
    words = tuple(INTERPRETERS[name].words)
    points.last_will_arrives(
        Candidate("agent.forwarder.mqtt_small", words, "_identifier", "der", tls=False, memory=1 << 31), tmp_path
    )


@on_processors
def test_both_daemons_rooms_fit_into_the_smallest_boards_memory(name):
    """Resident pages of the guest alone: interpreter, libraries, a 576 KiB heap with the daemon's modules."""
    sizes = {part: processors.resident(name, part) for part in processors.PARTS.values()}
    nothing, forwarder, recorder = (sizes[part] for part in processors.PARTS.values())
    assert nothing < min(forwarder, recorder), sizes
    assert forwarder + recorder <= board.load("gl-mt300n-v2").budget["memory_kib"], sizes
