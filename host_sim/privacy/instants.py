# SPDX-License-Identifier: Apache-2.0
"""Minutes at a real clock's resolution: how late a busy terminal makes the daemons' loops, and who sees it (ANON-4).

Recorder and forwarder take turns on one processor, as on a router with one core. What they do takes the processor time
that it takes, to the nanosecond. Where both wait, the clock is put forward, so that a quarter of an hour lasts a tenth
of a second. The terminal does its worst: it lets connections end a moment before each whole second, when timers would
run, and at other times. An attacker sees each moment at which a file is made or a message sent, whole, below the second
and below the millisecond: `attack.learned`. `Trial.lateness` is what the moments of `agent.outbox.jitter` have to hide,
`shown` what of it they can't.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

from agent.forwarder import broker_connection, forwarder
from agent.outbox import jitter
from agent.recorder import loop, recorder
from agent.summary.metrics import MESSAGES
from host_sim.driver.scratch import scratch
from host_sim.privacy import attack
from host_sim.privacy.paired import ACCOUNTING, TRUSTED, Device, Silence
from host_sim.privacy.terminal_signs import HOUR, OPENS, SECOND, Sign
from host_sim.venue import kernel

BEFORE = 10 * SECOND  # of the slot's end, when the clock is trusted
LASTS = 900 * SECOND
SINCE = 10**15  # ns since boot, when a span begins
BLINK = 1_000_000  # ns before a whole second
# Connections that end at once, and of each hundred seconds those that the forwarder's grid would have
BURST, SECONDS = 64, (50, 60)
DAY_OF_HEALTH = 86400 * SECOND // jitter.PERIOD
MADE, TOLD, SENT, SAID = "file", "health file", "message", "health message"
WINDOWS = {  # of each kind of moment: how many a day, ns
    MADE: (24, jitter.MADE),  # the last hour's turn makes the day's too
    TOLD: (DAY_OF_HEALTH, jitter.MADE),
    SENT: (MESSAGES, jitter.SENT),
    SAID: (DAY_OF_HEALTH, jitter.PERIOD - jitter.SETTLE * SECOND),
}


class Processor:
    """The clock of a device: this thread's processor time, and what was waited."""

    boot = "d" * 32

    def __init__(self) -> None:
        self._waited = -time.thread_time_ns() - TRUSTED * SECOND  # the clock is to be trusted first

    def now(self) -> int:
        """Return ns since the beginning."""
        return time.thread_time_ns() + self._waited

    def wait_until(self, moment: int) -> None:
        """Put the clock forward."""
        self._waited += max(0, moment - self.now())

    def wall(self) -> int:
        """Return ns since the epoch."""
        return (OPENS + HOUR) * SECOND - BEFORE + self.now()

    def monotonic(self) -> int:
        """Return ns since boot."""
        return SINCE + self.now()


class Moment(NamedTuple):
    """What an attacker sees, ns since the span's beginning, and how late it was (which he doesn't)."""

    kind: str
    at: int
    late: int


class Span:
    """Both daemons around a slot's end and for a while after it; `play` returns the moments."""

    def __init__(self, folder: Path, random: Callable[[int], bytes], sends: Callable[[int], bytes]) -> None:
        self._looks = self._sends = 0
        self.jitter: list[Moment] = []
        device = Device(folder, Silence, security="option lifetime '24h'")
        device.recorder.close()
        self.clock = clock = Processor()
        words: dict[str, Any] = {"log": lambda _: None, "sysctl": ACCOUNTING.get}
        self.recorder = made = recorder.Recorder(
            device.config, str(folder), clock, sampler=Silence(), random=random, **words
        )
        self.forwarder = forwarder.Forwarder(device.config, str(folder), clock, lambda _: None, sends)
        put, health = made.day.releases.spool.put, made.health.write

        def put_and_note(due: int, metric: str, slot: int, text: bytes) -> None:
            put(due, metric, slot, text)
            self._note(MADE, clock.wall() - made.day.due)

        def health_and_note(capture: str, due: int) -> None:
            health(capture, due)
            self._note(TOLD, clock.monotonic() - due)

        made.day.releases.spool.put = put_and_note  # type: ignore[method-assign]
        made.health.write = health_and_note  # type: ignore[method-assign]
        for message in (kernel.link("lan"), kernel.address(b"\x0a\x14\0\1", 16)):
            made.streams.neighbour(message, len(message))
        made.confirm_time()
        clock.wait_until(0)
        made.confirm_time()

    def _note(self, kind: str, late: int) -> None:
        self.jitter.append(Moment(kind, self.clock.now(), late))

    # The forwarder's client

    def connect(self) -> None:
        """Do nothing."""

    def publish(self, topic: str, _payload: bytes, retain: bool = False) -> None:
        """Note the moment of what the spool or health had."""
        if topic.endswith("/health") and self._looks < SINCE + self.clock.now():
            self._note(SAID, self.clock.monotonic() - self._looks)
        elif not retain:
            self._note(SENT, self.clock.wall() - self._sends)

    def idle(self, milliseconds: int) -> None:
        """Note how long it would wait."""
        self._wakes = self.clock.now() + milliseconds * 1_000_000

    def close(self) -> None:
        """Do nothing."""

    def _turn(self) -> None:
        one = self.forwarder
        self._looks = one._next_health  # noqa: SLF001 (the drawn moments are what lateness is counted from)
        self._sends = min((at for at, _ in one._seen.values()), default=0)  # noqa: SLF001 (as above)
        one.turn(1000)

    def play(self, ends: list[int]) -> list[Moment]:
        """Let connections end at these moments (ns, in order)."""
        clock, made, waiting = self.clock, self.recorder, ends[::-1]
        near, event, _ = Sign(1, 0).messages()
        made.streams.neighbour(near, len(near))
        gather = int(loop.GATHER * SECOND)
        self._wakes, gathers, behind = clock.now(), 0, False
        naps = SimpleNamespace(sleep=lambda seconds: clock.wait_until(clock.now() + int(seconds * SECOND)))
        client = mock.patch.object(broker_connection, "Client", return_value=self)
        with client, mock.patch.object(forwarder, "time", naps):
            while clock.now() < LASTS:
                wakes = gathers or min(made.turn.due - SINCE, *waiting[-1:], LASTS)
                clock.wait_until(min(wakes, self._wakes))
                if self._wakes <= wakes:
                    self._turn()
                    continue
                if waiting and waiting[-1] <= clock.now() and not gathers and not behind:
                    gathers = clock.now() + gather  # what ends in the next moment is read in the same turn
                    continue
                gathers = 0
                for _ in range(loop.BATCH):
                    if not waiting or waiting[-1] > clock.now():
                        break
                    waiting.pop()
                    made.streams.datagram(event, len(event))
                behind = bool(waiting) and waiting[-1] <= clock.now()
                if clock.monotonic() >= made.turn.due:
                    made.tick()
        made.close()
        return [moment for moment in self.jitter if BEFORE // 2 < moment.at < LASTS]


def busy(seed: int) -> list[int]:
    """Return when connections end: at whole seconds if the recorder is to wait or handle many, else at random."""
    chance, ends = Random(seed), []
    for second in range(1, LASTS // SECOND):
        burst = second % 100 in SECONDS
        ends += [second * SECOND - (int(loop.GATHER * SECOND) + BLINK // 4 if burst else BLINK)] * (
            BURST if burst else 1
        )
        ends.append(chance.randrange(LASTS))
    return sorted(ends)


def features(seen: list[Moment]) -> list[float]:
    """Return what an attacker has of a span's moments: of each kind the time, below the second, below the ms."""
    rows: list[float] = []
    for kind in WINDOWS:
        most = 1 if kind in {MADE, SENT} else LASTS // jitter.PERIOD - 1
        times = [moment.at for moment in seen if moment.kind == kind][-most:]
        offsets = [time % unit for unit in (jitter.PERIOD, SECOND, BLINK) for time in times]
        rows += (
            offsets
            + [0.0] * (3 * most - len(offsets))
            + [sum(time % unit for time in times) for unit in (SECOND, BLINK)]
        )
    return rows


class Trial:
    """Hours with and without the busy terminal, in turn; what recorder and forwarder draw their moments from."""

    def __init__(
        self, folder: Path, random: Callable[[int], bytes] = os.urandom, sends: Callable[[int], bytes] = os.urandom
    ) -> None:
        self.folder, self._sources = folder, (random, sends)
        self.there: list[bool] = []
        self.rows: list[list[float]] = []
        self.late: dict[tuple[str, bool], list[int]] = {
            (kind, there): [] for kind in WINDOWS for there in (False, True)
        }

    def pair(self) -> None:
        """Play a span without and one with it."""
        for there in (False, True):
            seen = Span(self.folder / "span", *self._sources).play(busy(len(self.rows)) if there else [])
            self.there.append(there)
            self.rows.append(features(seen))
            for moment in seen:
                self.late[moment.kind, there].append(moment.late)

    def advantage(self) -> attack.Advantage:
        """Return how well boosted trees tell the spans apart."""
        return attack.learned(self.rows, self.there)

    def lateness(self, kind: str) -> tuple[float, float]:
        """Return the mean lateness of a kind of moment without and with the terminal, ns."""
        without, there = (self.late[kind, one] for one in (False, True))
        return sum(without) / len(without), sum(there) / len(there)

    def shown(self) -> float:
        """Return what of a whole day's lateness the windows can't hide, at most: a chance (total variation)."""
        return sum(count * sum(self.lateness(kind)) / window for kind, (count, window) in WINDOWS.items())


def soak(seconds: float) -> dict[str, Any]:
    """Play paired spans for so long; a finding where they are told apart, or a day could show more than 5 %."""
    end, found = time.monotonic() + seconds, []
    with scratch("oubli-sim-") as folder:
        trial = Trial(Path(folder))
        while time.monotonic() < end or len(trial.rows) < 16:
            trial.pair()
    reached, shown = trial.advantage(), trial.shown()
    if reached.value - reached.band > shown:
        found.append("the moments of files and messages tell who was there")
    if shown > 0.05:
        found.append("a day's moments can show more than 5 %")
    late = {kind: [round(ns / 1000) for ns in trial.lateness(kind)] for kind in WINDOWS}
    figures = {"pairs": len(trial.rows) // 2, "advantage": round(reached.value, 4), "band": round(reached.band, 4)}
    return {**figures, "late_us": late, "a_day_shows": round(shown, 4), "findings": found}
