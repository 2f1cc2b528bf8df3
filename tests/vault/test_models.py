# SPDX-License-Identifier: Apache-2.0
"""The clock's trust, a segment's anchor and its key as a model.

Spin looks at every state, and the recorder goes the same ways.

tests/models/segment.pml says what is checked. A model proves nothing about a program that does something else: so
random walks of it are played to the real recorder, on both interpreters. It must say the same of trust and key after
each event.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from host_sim.venue import kernel
from tests.support.interpreters import PROJECT, Interpreter, Remote

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MODEL = PROJECT / "tests/models/segment.pml"
CONFIG = """
config gateway
	option id 'aaaaaaaaaaaaaaaa'
config purpose 'security'
	option lifetime '24h'
config summary
	option enabled '0'
"""
SECOND = 1_000_000_000
UNIT = 8 * 3600  # s
BEGINS = 1_800_000_000 // 3600 * 3600 + 1800  # half past an hour: whole units later it is half past one, too
SETTLED = 200  # s after a unit's begin: what the kernel told of meanwhile has been read
WALKS = 8
STEPS = 700  # of spin, about a hundred events

pytestmark = pytest.mark.needs("spin", "cc")


def checked(folder: Path, broken: int) -> str:
    """Look at every state of the model; return what the checker says."""
    subprocess.run(["spin", f"-DBREAK={broken}", "-a", MODEL], cwd=folder, check=True, capture_output=True)
    subprocess.run(["cc", "-O1", "-w", "-DSAFETY", "-o", "pan", "pan.c"], cwd=folder, check=True)
    return subprocess.run([folder / "pan", "-m100000"], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_no_key_outlives_its_deadline_and_no_step_destroys_one_in_any_state(tmp_path: Path) -> None:
    """EXP-1, EXP-4, EXP-5: two boots of two days, each event at any time, any number of them."""
    said = checked(tmp_path, 0)
    assert "errors: 0" in said
    assert "max search depth too small" not in said
    states = re.search(r"(\d+) states, stored", said)
    assert states is not None
    assert int(states[1]) > 500_000


@pytest.mark.parametrize("broken", [1, 2, 3, 4])
def test_a_model_that_is_broken_is_found_out(broken: int, tmp_path: Path) -> None:
    """Each rule that it has is needed for what is checked."""
    assert "assertion violated" in checked(tmp_path, broken)


def walk(seed: int, folder: Path) -> list[tuple[str, int, bool, bool]]:
    """Return a random walk's events: what happened, its amount, whether clock is trusted and key is there.

    Spin leaves a file of one name where it runs, so each walk has a folder.
    """
    words = ["spin", f"-n{seed}", f"-u{STEPS}", str(MODEL)]
    said = subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True).stdout
    rows = [line.split()[1:] for line in said.splitlines() if line.lstrip().startswith("EVENT ")]
    return [(what, int(amount), trusted == "1", key == "1") for what, amount, trusted, key in rows]


class Gateway:
    """A recorder that lives through a walk."""

    def __init__(self, ask: Remote, folder: Path) -> None:
        self.ask, self.folder = ask, folder
        # Without sums: a day that opens moves the floor too, at once.
        (folder / "config").write_text(CONFIG)
        self.before = self.now = self.offset = self.boots = self.settled = 0
        self.start()

    def clocks(self) -> tuple[int, int]:
        """Return wall clock and time since boot, in ns."""
        wall = BEGINS + (self.before + self.now + self.offset) * UNIT + self.settled
        return wall * SECOND, (1000 + self.now * UNIT + self.settled) * SECOND

    def start(self) -> None:
        self.ask(
            "recorder_open", str(self.folder / "config"), str(self.folder), f"{self.boots:032x}", *self.clocks(), ""
        )
        self.does(["neighbour", kernel.link("lan").hex()], ["neighbour", kernel.address(b"\xc0\xa8\x01\x01", 24).hex()])

    def does(self, *steps: list) -> tuple[bool, bool]:
        """Take steps; return whether the clock is trusted and whether a record is held."""
        status = self.ask("recorder", list(steps))["status"]
        return status["clock"] == "trusted", status["purposes"]["security"]["records"] > 0

    def live(self, what: str, amount: int) -> tuple[bool, bool]:
        """Let one event happen."""
        if what == "passed":
            self.now += 1
            self.settled = 0
            self.does(["time", *self.clocks()])
            self.settled = SETTLED
        elif what == "stepped":
            self.offset = amount
        elif what == "confirms":
            return self.does(["confirm"])
        elif what == "ends":
            return self.does(["datagram", kernel.conntrack("destroy", self.flow()).hex()])
        else:
            self.ask("recorder_close")
            if what == "booted":
                self.before, self.now, self.settled, self.boots = self.before + self.now, 0, 0, self.boots + 1
            self.start()
        return self.does(["time", *self.clocks()])

    def flow(self) -> kernel.Flow:
        """Return a connection whose entry has just timed out."""
        wall, _ = self.clocks()
        far = b"\xc6\x12\0\1"
        return kernel.Flow(
            kernel.INET, kernel.UDP, b"\xc0\xa8\x01\x0a", far, 40000, 443, far,
            b"\xcb\0\x71\1", 443, 40000, kernel.SEEN_REPLY, wall - 35 * SECOND,
            packets_up=1, packets_down=1, bytes_up=100, bytes_down=100, stop=wall,
        )  # fmt: skip


def test_the_recorder_goes_the_ways_of_the_model(
    remotes: Callable[[str], Remote], interpreter: Interpreter, tmp_path: Path
) -> None:
    """After each event both say the same of trust and key.

    All kinds of events are there, and each of both is seen to come and go.
    """
    seen: set[tuple[str, bool, bool]] = set()
    for seed in range(1, WALKS + 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        gateway = Gateway(remotes(interpreter.name), folder)
        lived = []
        for what, amount, trusted, key in walk(seed, folder):
            lived.append((what, amount))
            assert gateway.live(what, amount) == (trusted, key), (seed, lived)
            seen.add((what, trusted, key))
        gateway.ask("recorder_close")
    assert {what for what, _, _ in seen} == {"passed", "stepped", "confirms", "ends", "restarted", "booted"}
    assert {(trusted, key) for _, trusted, key in seen} == {(False, False), (False, True), (True, False), (True, True)}
