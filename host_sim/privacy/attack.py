# SPDX-License-Identifier: Apache-2.0
"""An attacker who knows everything but whether one terminal was there, and sees everything that leaves the gateway.

Paired days: the same people with and without the victim, whose behaviour is as extreme as can be. Three attacks:

- the likelihood ratio on the noise that is known (no test is better on the values, says Neyman and Pearson);
- boosted trees on all else too (below);
- the low bits of noise that was made of floats (Mironov 2012): a value that its sampler can't reach from one of the two
  truths.

All else is: number, names, lengths and times of the spool's files, every log line, what is left of the table. And on
the broker's side: what reached it and when (state, last will, topics), what stands around the values, every health
message.

The advantage of an attack is its share of true alarms less its share of false ones. (e^eps - 1) / (e^eps + 1) bounds
it.
"""

import json
import math
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from agent.runtime.sodium import Sodium
from agent.summary.noise import Sampler
from host_sim.checks.key_holder import Custodian
from host_sim.driver.scratch import scratch
from host_sim.privacy.paired import PORTS, TRUSTED, Device, Seen, Silence, crowd
from host_sim.privacy.terminal_signs import DAY, HOUR, OPENS, Address, Claim, Sign

VICTIM = 0
_ABSENT = -1e6
_LEAST = 4  # pairs that a soak plays, however short it is
_HEALTH = 32  # messages of a day that are looked at one by one: as many as its hours, and some for boots
OTHERS = crowd(2, 3)
MANY = crowd(3, 30)  # whose associations a flood would take
EXTREME: list[Sign] = [Sign(at, VICTIM, 1000, 1 << 40, PORTS[at % len(PORTS)]) for at in range(3000, DAY, 3607)]


# More IPv6 addresses than a table of 64 rows has associations, all of them before anybody else comes; then neighbours
# that he forges, of addresses that nobody has. Each leaves a row of `attribution`: together they fill what is left on
# flash. (A neighbour whom he forges for an address of somebody else's changes whose a connection is, and so another's
# row: that isn't covered. LIMITS.md says so.)
FLOODING: list[Sign] = [Address(TRUSTED + 1 + number // 8, VICTIM, 1, number) for number in range(1, 280)]
FLOODING += [Claim(TRUSTED + 40 + number // 8, VICTIM, 1, number) for number in range(1, 200)]
ATTRIBUTION = """config purpose 'attribution'
 option enabled '1'
 option lifetime '7d'
 option budget '262144'
 option ground 'IIbis-3'
 option reference 'a simulation'
"""
_ROWS = 7850  # of a store that has room for a hundred more


def bound(epsilon: float) -> float:
    """Return the largest advantage that any attack on an epsilon-private outcome has."""
    return (math.exp(epsilon) - 1) / (math.exp(epsilon) + 1)


class Flash:
    """What an operator puts on a gateway with `attribution`, and a store that is nearly full.

    `install` lays it on a device's flash.
    """

    def __init__(self, folder: Path) -> None:
        first = datetime.fromtimestamp(OPENS, UTC).date() - timedelta(days=1)
        self._custodian = Custodian(("attribution",), first, 4, 7)
        device = Device(folder / "flash", Silence, options=ATTRIBUTION, install=self._custodian.install)
        device.play(
            [Address(TRUSTED + 1 + number * 2, VICTIM, 1, number) for number in range(_ROWS)], end=2 * _ROWS + HOUR
        )
        (self._segment,) = device.root.glob("srv/oubli/vault/attribution/*")
        self._octets = self._segment.read_bytes()
        self._place = self._segment.relative_to(device.root)

    def install(self, root: Path) -> None:
        """Lay it on the flash of the device below a folder."""
        self._custodian.install(root)
        (root / self._place).parent.mkdir(parents=True)
        (root / self._place).write_bytes(self._octets)


class Trial:
    """Days of one kind in a folder.

    `boots` in each, `noise` makes the sampler, `more` as a device takes it, `victim` is what he does.
    """

    def __init__(
        self,
        folder: Path,
        boots: tuple[int, ...] = (),
        noise: Callable[[], Sampler] | None = None,
        more: dict[str, Any] | None = None,
        victim: list[Sign] = EXTREME,
    ) -> None:
        self.folder, self.boots, self.noise, self.more, self.victim = folder, boots, noise, more or {}, victim
        self.others = OTHERS
        if victim is FLOODING:
            self.others, options = MANY, self.more.get("options", "") + ATTRIBUTION
            self.more = {**self.more, "options": options, "install": Flash(folder).install, "salted": True}
        self._sodium = Sodium()
        self.truths = [self.day(there, Silence) for there in (False, True)]

    def day(self, there: bool, noise: Callable[[], Sampler] | None) -> Seen:
        """Play a day with or without the victim."""
        return Device(self.folder / "day", noise, **self.more, forwards=True).play(
            self.others + self.victim * there, boots=self.boots
        )

    def play(self, days: int) -> tuple[list[Seen], list[bool]]:
        """Play so many days of each kind, in turn."""
        there = [number % 2 == 1 for number in range(2 * days)]
        return [self.day(one, self.noise) for one in there], there

    def likelihood_ratio(self, seen: Seen) -> float:
        """Return the logarithm of P(what is seen | there) / P(what is seen | not there)."""
        without, there = (dict(truth.spool) for truth in self.truths)
        ratio = 0.0
        for name, text in seen.sent:
            if name in without:
                message = json.loads(text)
                b = message["b"][0] / message["b"][1]
                counts = zip(
                    message["values"],
                    json.loads(without[name])["values"],
                    json.loads(there[name])["values"],
                    strict=True,
                )
                ratio += sum((abs(value - absent) - abs(value - present)) / b for value, absent, present in counts)
        return ratio

    def features(self, seen: Seen) -> list[float]:
        """Return everything as numbers: the values as they are, all else by length and checksum."""
        names = sorted(self.truths[0].spool)
        values: list[float] = []
        for name in names:
            text = seen.spool.get(name)
            cells = len(json.loads(self.truths[0].spool[name])["values"])
            values += json.loads(text)["values"] if text else [_ABSENT] * cells
        around = [b",".join(name.encode() for name in seen.spool), b",".join(name.encode() for name, _ in seen.sent)]
        for name in names:
            text = seen.spool.get(name, b"")
            start, end = text.find(b"["), text.find(b"]")
            around.append(text[:start] + text[end:].rstrip() + b"%d" % len(text))
        around += [repr(seen.made).encode(), b"".join(around_of(*sent) for sent in seen.wire)]
        around += (seen.health + [b""] * _HEALTH)[:_HEALTH]
        around.append("\n".join(seen.log).encode())
        return [
            *values,
            *(number for octets in around for number in (len(octets), zlib.crc32(octets))),
            self._row_is_left(seen),
        ]

    def _row_is_left(self, seen: Seen) -> bool:
        """Look the victim up in what is left of the table, with the key that is left there."""
        hashed = bytearray(8)
        self._sodium.short_hash(hashed, b"\x02\x11" + VICTIM.to_bytes(4, "big"), 6, seen.table[64:80])
        hashed[3], hashed[7] = hashed[3] & 63, hashed[7] & 63
        return bytes(hashed) in seen.table

    def by_likelihood(self, days: list[Seen], there: list[bool]) -> "Advantage":
        """Return the advantage of the likelihood ratio."""
        return Advantage([self.likelihood_ratio(seen) > 0 for seen in days], there)

    def by_trees(self, days: list[Seen], there: list[bool]) -> "Advantage":
        """Return the advantage of boosted trees that learned from the first half, on the second."""
        return learned([self.features(seen) for seen in days], there)

    def by_low_bits(self, days: list[Seen], there: list[bool]) -> "Advantage":
        """Return the advantage of whoever looks for values that one of the two truths can't give."""
        return Advantage([self._reaches(seen, 0) < self._reaches(seen, 1) for seen in days], there)

    def _reaches(self, seen: Seen, truth: int) -> int:
        """Return how many values naive noise, b ln(k / 2^53), can give on a truth; exact noise gives any."""
        reached = 0
        for name, text in seen.spool.items():
            message = json.loads(text)
            b = message["b"][0] / message["b"][1]
            for value, count in zip(
                message["values"], json.loads(self.truths[truth].spool[name])["values"], strict=True
            ):
                near = round(math.exp(-abs(value - count) / b) * 2**53)
                ks = [k for k in range(near - 4, near + 5) if 0 < k <= 2**53]
                reached += isinstance(value, int) or value in [
                    count + sign * (b * math.log(k / 2**53)) for k in ks for sign in (-1, 1)
                ]
        return reached


def around_of(second: int, topic: str, payload: bytes, retained: bool) -> bytes:
    """Return all of a message on the wire but its values: when, where, how long, what stands around them."""
    start, end = payload.find(b'"values":['), payload.find(b'],"b"')
    text = payload[:start] + payload[end:].rstrip() if start >= 0 else payload
    return b"%d %s %d %d " % (second, topic.encode(), retained, len(payload)) + text


class Advantage:
    """The share of true alarms less the share of false ones, and three deviations of it."""

    def __init__(self, said: list[bool], there: list[bool]) -> None:
        days = len(there) // 2
        alarms = [sum(one for one, truth in zip(said, there, strict=True) if truth is kind) for kind in (True, False)]
        self.value = (alarms[0] - alarms[1]) / days
        shares = [(count + 0.5) / (days + 1) for count in alarms]
        self.band = 3 * math.sqrt(sum(share * (1 - share) for share in shares) / days)


def learned(rows: list[list[float]], there: list[bool]) -> Advantage:
    """Return the advantage of boosted trees that learned from the first half of the days, on the second."""
    half = len(rows) // 4 * 2
    # It takes two seconds, and who reads the help needs it not
    from sklearn.ensemble import GradientBoostingClassifier  # noqa: PLC0415

    trees = GradientBoostingClassifier(n_estimators=60, max_depth=2, random_state=1)
    trees.fit(rows[:half], there[:half])
    return Advantage(trees.predict(rows[half:]).tolist(), there[half:])


class Kind(NamedTuple):
    """A day that is attacked: under which profile, with which boots, what the guarantee is, what the victim does."""

    profile: str = "medium"
    boots: tuple[int, ...] = ()
    epsilon: float = 1.0
    victim: list[Sign] = EXTREME

    @property
    def options(self) -> str:
        """Return the section `summary`'s further lines."""
        return f" option profile '{self.profile}'\n"


KINDS = {
    "a day": Kind(),
    "a day with a boot": Kind(boots=(12 * HOUR,), epsilon=2.0),
    "a day of a guest who floods": Kind(victim=FLOODING),
    "a day of a small venue": Kind("small"),
    "a day of a large venue": Kind("large"),
}


class _Played:
    """Days of one kind that were played in turn with those of the others, and what was guessed of each."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        self.trial = Trial(folder, kind.boots, more={"options": kind.options}, victim=kind.victim)
        self.there: list[bool] = []
        self.guesses: list[bool] = []
        self.rows: list[list[float]] = []

    def pair(self) -> None:
        """Play a day without the victim and one with it."""
        for one in (False, True):
            seen = self.trial.day(one, None)
            self.there.append(one)
            self.guesses.append(self.trial.likelihood_ratio(seen) > 0)
            self.rows.append(self.trial.features(seen))


def soak(seconds: float) -> dict[str, Any]:
    """Play paired days of each kind for so long; returns advantages beside their bounds, and findings."""
    figures: dict[str, Any] = {"findings": []}
    end = time.monotonic() + seconds
    with scratch("oubli-sim-") as folder:
        played = {kind: _Played(Path(folder, kind), each) for kind, each in KINDS.items()}
        pairs = 0
        while time.monotonic() < end or pairs < _LEAST:
            for one in played.values():
                one.pair()
            pairs += 1
    for kind, each in KINDS.items():
        one, epsilon = played[kind], each.epsilon
        found = {"likelihood": Advantage(one.guesses, one.there), "trees": learned(one.rows, one.there)}
        shown = {
            name: {"advantage": round(reached.value, 4), "band": round(reached.band, 4)}
            for name, reached in found.items()
        }
        figures[kind] = {"pairs": pairs, "bound": round(bound(epsilon), 4), **shown}
        beaten = [name for name, reached in found.items() if reached.value - reached.band > bound(epsilon)]
        figures["findings"] += [f"{kind}: {name} beats the bound" for name in beaten]
    return figures
