# SPDX-License-Identifier: Apache-2.0
"""A custodian's store that is killed at each step of its end, or of its start, loses and doubles nothing (EXP-6).

Random instants are in tests/vault/test_nothing_left.py: these windows are too short for them.
"""

from __future__ import annotations

import itertools
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from host_sim.driver import interpreters
from host_sim.trials import kills
from tools.custodian import segments

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.interpreters import Interpreter

LATER = 1000  # s: within the day, past the time for which a page waits
KILL = "import sys\nsys.path.insert(0, '.')\nfrom tests.support import remote\nremote.die({}, False)\n"


def appended(*numbers: int, now: int = kills.NOON) -> str:
    """Return a script that hands records to a store: nine digits each, and more."""
    return "".join(f"assert store.append({now}, b'{number:9}' + b'.' * 90) == 'kept'\n" for number in numbers)


class Place:
    """A store's folders; `end` closes it in order and compares."""

    def __init__(self, folder: Path, interpreter: Interpreter) -> None:
        self.tmpfs, self.flash = folder / "tmpfs", folder / "flash"
        self.tmpfs.mkdir(parents=True)
        self.flash.mkdir()
        self.key = kills.bundle(self.tmpfs)
        self._interpreter = interpreter

    def lives(self, script: str = "", before: str = "", now: int = kills.NOON) -> int:
        """Let a process open the store and do something; returns its exit status, minus a signal's number."""
        script = before + kills.opened(self.tmpfs, self.flash, now) + script
        words = [*interpreters.command(self._interpreter.name), "-c", script]
        return subprocess.run(words, cwd=self._interpreter.root, env=interpreters.environment(), check=False).returncode

    def end(self, *numbers: int) -> None:
        """Hand in a last record, close in order: these are there, each once, and nothing is damaged."""
        assert self.lives(appended(999, now=kills.NOON + LATER) + "store.close()\n", now=kills.NOON + LATER) == 0
        found, damage = kills.sealed(self.flash, self.key)
        assert (sorted(found), damage) == ([*numbers, 999], [])


def killed_at_each_step(
    folder: Path,
    interpreter: Interpreter,
    live: Callable[[Place, str], int],
    after: Callable[[Place], None] = lambda _: None,
) -> int:
    """Let `live` be killed at each step, each time in a new place, until it isn't; returns how many there were."""
    for instant in itertools.count(1):
        place = Place(folder / f"{instant}", interpreter)
        ended = live(place, KILL.format(instant))
        place.end(1, 2, 3)
        after(place)
        if ended != -signal.SIGKILL:
            assert ended == 0
            return instant
    raise AssertionError


CHUNK = (  # the first two are on flash, one waits
    appended(1, 2)
    + f"store.tick({kills.NOON + LATER} * 10**9, {43_200 + 86_400 + LATER} * 10**9, trusted=True)\n"
    + appended(3)
)


@pytest.mark.long
@pytest.mark.parametrize("first", [appended(1, 2, 3), CHUNK], ids=["in its first chunk", "in a later one"])
def test_a_store_that_is_killed_at_any_step_of_its_end_is_whole(interpreter, tmp_path, first):
    """Once its last chunk is on flash, what comes later that day goes to another segment."""
    assert (
        killed_at_each_step(tmp_path, interpreter, lambda place, kill: place.lives(first + kill + "store.close()")) > 15
    )


@pytest.mark.long
def test_a_store_that_is_killed_at_any_step_of_mending_a_torn_segment_is_whole(interpreter, tmp_path):
    """What waited when a write was cut off waits on, and the stream that was cut off is never gone on with."""

    def live(place: Place, kill: str) -> int:
        assert place.lives(CHUNK) == 0
        (segment,) = (place.flash / "attribution").iterdir()
        with segment.open("ab") as file:
            file.write(b"part of a frame")
        return place.lives(before=kill)

    def after(place: Place) -> None:
        torn, _ = (segments.read(path.read_bytes()) for path in sorted((place.flash / "attribution").iterdir()))
        assert torn.torn

    assert killed_at_each_step(tmp_path, interpreter, live, after) > 15
