# SPDX-License-Identifier: Apache-2.0
"""What a light gateway says, and when: the agent's own moments, metrics and messages, on a clock that may run fast.

Its clock stands at an hour of a day that is over and runs `speed` times as fast as the real one. It ends at a moment
that is past too, since a collector takes no figure of tomorrow. Figures come after their slot's end, health every five
minutes, or every two real ones: a collector takes no more. Each comes at a moment drawn within the agent's own windows.
Figures are those of a venue with its weekdays and hours. A message that is made again is the same to the octet.
"""

from dataclasses import dataclass
from random import Random

from agent.outbox import jitter, topics
from agent.summary import messages
from agent.summary.metrics import METRICS, PROFILES, scale
from agent.summary.noise import Sampler
from tools.fleet import simulated

DAY, BEGINS = 86_400, 3 * 3600  # an agent-day begins at three
HEALTH = len(METRICS)  # what is no metric's number
FIGURES = [number for number, metric in enumerate(METRICS) if metric.name in PROFILES["medium"]]
LONGEST = 300  # days that a run may last by its clock: the collector takes 400
_QUIET = 120  # real seconds between two healths, at least
_SECOND = 1_000_000_000


@dataclass(frozen=True)
class Rhythm:
    """A clock: `begins` on its own, seconds since the epoch, when the real monotonic one says `at`."""

    begins: int
    at: float
    speed: float

    def reads(self, monotonic: float) -> float:
        """Return what it shows at a real moment."""
        return self.begins + (monotonic - self.at) * self.speed

    def real(self, shown: float) -> float:
        """Return the real moment at which it shows this."""
        return self.at + (shown - self.begins) / self.speed

    def first(self, kind: int, draw: Random) -> tuple[float, int]:
        """Return when (real) a gateway says this for the first time, and the end of the slot; 0 of health."""
        if kind == HEALTH:
            return self.real(self.begins + draw.random() * jitter.PERIOD / _SECOND), 0
        metric = METRICS[kind]
        slots = -(-(self.begins - jitter.SETTLE - BEGINS) // metric.slot_seconds)
        return self._drawn(slots * metric.slot_seconds + BEGINS, draw)

    def next(self, kind: int, end: int, moment: float, boot: int, draw: Random) -> tuple[float, int]:
        """Return the same of the next time, after one at a real moment; it booted `boot` seconds before the run."""
        if kind == HEALTH:
            since = self.reads(moment) - self.begins + boot
            wait = jitter.health_sent(int(since * _SECOND), draw.randbytes) / _SECOND - since
            return moment + max(wait / self.speed, _QUIET), 0
        return self._drawn(end + METRICS[kind].slot_seconds, draw)

    def _drawn(self, end: int, draw: Random) -> tuple[float, int]:
        return self.real(end + jitter.SETTLE + draw.random() * jitter.SENT / _SECOND), end


def begin(now: int, seconds: float, speed: float, hour: int) -> int:
    """Return where the clock of a run starts.

    That is the newest day's hour (UTC), as its figures begin to be sent, from which the run ends before `now`.
    """
    into = hour * 3600 + jitter.SETTLE
    return int(now - seconds * speed - into) // DAY * DAY + into


def figure(ident: str, kind: int, end: int) -> tuple[str, bytes]:
    """Return the topic and the octets of a figure: of a venue of its own size, noise as the agent draws it."""
    metric = METRICS[kind]
    opened = end - metric.slot_seconds - BEGINS
    day, slot = opened // DAY, opened % DAY // metric.slot_seconds
    venue = simulated.Venue(ident, "", "", Random(ident).randrange(20, 400))
    sampler, b = Sampler(Random(f"{ident}/{kind}/{end}").randbytes), scale(metric.l1, metric.epsilon)
    values = [cell + sampler.laplace(b) for cell in simulated.truth(venue, day)[metric.name][slot]]
    text = messages.summary(ident, metric, day, slot, end - metric.slot_seconds, end, values, b)
    return topics.summary(ident, metric.name), text


def health(ident: str, shown: float) -> tuple[str, bytes]:
    """Return the topic and the octets of a health message, at a time of the clock."""
    one = simulated.health(ident, int(shown))
    return one.topic, one.payload


def online(ident: str) -> tuple[str, bytes]:
    """Return what it says when it has connected."""
    one = simulated.state(simulated.Venue(ident, "", "", 0))
    return one.topic, one.payload
