# SPDX-License-Identifier: Apache-2.0
"""The auditor: compares what the agent did with the world's truth, and says each thing that isn't so.

It takes nobody's word: it opens the vault as a thief with the files and any clock could, reads spool, logs and the broker's
messages, and holds them against the ground truth; only for losses it reads the agent's own counters. Every check is a row of
the report, with what it looked at; one that looked at nothing fails. Requirements: EXP-1, EXP-2 (readable until, not after),
ANON-2 to ANON-4 (sums, shape), L34-II-5 (no terminal data outside the sealed store).
"""

import ipaddress
import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path

from agent.vault import ring
from host_sim.lab_canary import Needle, address_forms, hits, mac_forms
from host_sim.people import HOUR, SECOND
from host_sim.world import AGENT_DAY_STARTS, DAY, Truth

UNIT = SECOND // 10  # a record's times are in tenths of a second
SUM_B = (4, 1)  # ANON-2's table, arrivals: L1 = 1, epsilon = 0.25
DAILY_B = {"presence": (5, 1), "volume": (5, 1), "active": (40, 3), "classes": (10, 1)}  # the same table
CHANCE = 1e-5  # that a correct agent fails one of the checks of the noise
KEYS_HEADER = 64  # octets of the key ring's file before its slots
TMPFS, FLASH = "var/run/oubli", "srv/oubli"
PURPOSE = "security"
TOPICS = ("health", "state", "summary/arrivals", *(f"summary/{metric}" for metric in DAILY_B))


@dataclass
class Finding:
    """One thing that must hold: what was looked at (`seen` of it), and what was wrong, if anything."""

    what: str
    seen: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether something was looked at and nothing was wrong."""
        return self.seen > 0 and not self.wrong


@dataclass(frozen=True)
class Slot:
    """One published sum beside both truths. `start` in ns since the epoch."""

    start: int
    value: int
    half_width: int
    defined: int
    real: int

    @property
    def inside(self) -> bool:
        """Whether the defined truth lies in the published band."""
        return abs(self.value - self.defined) <= self.half_width


@dataclass(frozen=True)
class Figures:
    """A published message of one agent-day beside the defined truth of each cell, (least, most). `day` is its start, ns."""

    metric: str
    day: int
    values: list[int]
    half_width: int
    truth: list[tuple[int, int]]

    def errors(self) -> list[int]:
        """Return how far each value is from what it may be, 0 where the noise could be any."""
        return [
            value - most if value > most else value - least if value < least else 0
            for value, (least, most) in zip(self.values, self.truth, strict=True)
        ]


def noise_bound(count: int, numerator: int, denominator: int) -> int:
    """Return the least n for which `count` draws of a discrete Laplace with scale b all stay within n but for CHANCE.

    P(|X| > n) = 2 p^(n+1) / (1 + p) with p = exp(-1/b) (Inusah and Kozubowski 2006); the union bound over `count` draws.
    """
    p = math.exp(-denominator / numerator)
    return max(0, math.ceil(math.log(CHANCE * (1 + p) / (2 * max(count, 1))) / math.log(p)) - 1)


def spread_chance(total: int, count: int, numerator: int, denominator: int) -> float:
    """Return a bound on the chance that `count` draws' |X| add up to something as far out as `total`, on its side of the mean.

    Chernoff: P(S >= s) <= E[exp(t |X|)]^count exp(-t s) for each t > 0, P(S <= s) for each t < 0; the best of a row of t.
    """
    p = math.exp(-denominator / numerator)
    zero = (1 - p) / (1 + p)

    def log_bound(t: float) -> float:
        moment = zero + (1 - zero) * (1 - p) * math.exp(t) / (1 - p * math.exp(t))
        return count * math.log(moment) - t * total

    mean = count * 2 * p / (1 - p * p)
    largest = -math.log(p)
    row = (place / 100 * largest for place in range(1, 100)) if total >= mean else (-place / 20 for place in range(1, 200))
    return math.exp(min(0, *map(log_bound, row)))


class Auditor:
    """Collects findings along a run; `report` ends it. `root` is the device's file system, all times ns since the epoch."""

    def __init__(self, root: Path, truth: Truth, lifetime: int) -> None:
        self.root, self.truth = root, truth
        self.lifetime = lifetime * SECOND
        self.early = HOUR if lifetime >= 86400 else 60 * SECOND  # W of EXP-1
        self.records = Finding("every record in the vault equals a connection, and every connection has one")
        self.expired = Finding("past its deadline nothing opens, whatever the clock is set to")
        self.private = Finding("no address of a person, or of where they went, in spool, message or log")
        self.delivered = Finding("every message arrived, exactly once")
        self.shape = Finding("every message has its kind's topic, shape and length")
        self.sums = Finding("every published sum is within its noise of the truth")
        self.spread = Finding("together the errors are as wide as the noise that is stated")
        self.losses = Finding("the agent counts no loss, from any cause")

    def vault_files(self) -> list[Path]:
        """Return the vault's segment files (the pages that wait to be sealed are a fixed area beside them)."""
        return list((self.root / TMPFS / "vault").glob("*/" + "[0-9a-f]" * 8))

    def look_into_vault(self, wall: int) -> int:
        """Compare whatever opens when both clocks are turned back to zero with the truth at `wall`; returns the count."""
        found: Counter[tuple[object, ...]] = Counter()
        overdue = 0
        for record in ring.read(str(self.root), PURPOSE, 0, 0):
            end = record.start + record.duration
            found[
                record.mac, record.address, record.protocol, record.source_port, record.translated_port,
                record.bytes_up, record.bytes_down, record.packets_up, record.packets_down, record.start, end,
            ] += 1  # fmt: skip
            overdue += end * UNIT + self.lifetime <= wall
        possible, due = Counter[tuple[object, ...]](), Counter[tuple[object, ...]]()
        for kept in self.truth.kept:
            left = kept.end + self.lifetime - wall
            record_of = (*kept[:9], kept.start // UNIT, kept.end // UNIT)
            possible[record_of] += left > 0
            due[record_of] += left > self.early  # a segment goes up to W before the last of its records must
        invented, missing = (found - possible).total() - overdue, (due - found).total()
        if overdue:
            self.expired.wrong.append(f"{overdue} records open past their deadline")
        if invented > 0:
            self.records.wrong.append(f"{invented} records that no connection made")
        if missing:
            self.records.wrong.append(f"{missing} connections without their record")
        self.expired.seen += 1
        self.records.seen += found.total()
        return found.total()

    def look_after_expiry(self) -> None:
        """When every deadline has passed: no segment file is left, and no octet of a key or of a page that waited."""
        self.expired.seen += 1
        if files := self.vault_files():
            self.expired.wrong.append(f"{len(files)} segment files are left")
        if any((self.root / TMPFS / "keys").read_bytes()[KEYS_HEADER:]):
            self.expired.wrong.append("octets of keys are left")
        if any((self.root / TMPFS / "vault" / PURPOSE / "chunks").read_bytes()):
            self.expired.wrong.append("octets of records are left in the pages")

    def look_for_people(self, logs: Iterable[Path], messages: Iterable[tuple[str, bytes]]) -> None:
        """Search all that may be seen outside the sealed stores for every person's addresses and where they went, in all forms."""
        places = [path for path in (self.root / FLASH).rglob("*") if path.is_file()]
        places += [path for path in (self.root / TMPFS / "live").rglob("*") if path.is_file()]
        texts = [topic.encode() + b" " + payload for topic, payload in messages]
        for path in (*places, *logs):
            try:
                texts.append(path.name.encode() + b" " + path.read_bytes())
            except FileNotFoundError:  # the forwarder unlinks what it has delivered
                continue
        canaries = self.truth.places.union(self.truth.terminals, *self.truth.terminals.values())
        needles = [needle for canary in canaries for needle in _forms(canary)]
        found = {f"{needle.kind}, {'as text' if needle.text else 'raw'}" for needle in hits(b"\n".join(texts), needles)}
        self.private.wrong += sorted(found)
        self.private.seen += len(texts)

    def look_at_losses(self, counters: dict[str, int]) -> dict[str, int]:
        """Note the newest state of the agent's counters of losses; returns them."""
        named = ("unknown terminal", "malformed", "overruns", "torn segments", "messages dropped", "messages lost")
        losses = {name: count for name, count in counters.items() if name.startswith("lost: ") or name in named}
        self.losses.seen = len(losses)
        self.losses.wrong = [f"{name}: {count}" for name, count in losses.items() if count]
        return losses

    def look_at_days(self, messages: list[tuple[str, bytes]], expected: Iterable[int]) -> list[Figures]:
        """Compare what is published once an agent-day with the truth; `expected` are the starts of the days that are over.

        To be called after `look_at_messages`.
        """
        figures, shapes = [], set()
        for topic, payload in messages:
            metric = topic.rsplit("/", 1)[-1]
            if metric in DAILY_B:
                message = json.loads(payload)
                end = message["end"] * SECOND
                if not 0 < message["end"] - message["start"] <= DAY // SECOND or (end - AGENT_DAY_STARTS) % DAY or message["slot"]:
                    self.shape.wrong.append(f"{metric} has other times than an agent-day's")
                shapes.add((metric, tuple(message), message["unit"], len(message["values"]), message["gateway"], message["schema"]))
                if (tuple(message["b"]), message["half_width"]) != (DAILY_B[metric], math.ceil(3 * Fraction(*DAILY_B[metric]))):
                    self.sums.wrong.append(f"{metric}: b isn't ANON-2's, or half_width isn't ceil(3b)")
                truth = self.truth.daily.get(end - DAY, {}).get(metric, [])
                if len(truth) == len(message["values"]):
                    figures.append(Figures(metric, end - DAY, message["values"], message["half_width"], truth))
                else:
                    self.shape.wrong.append(f"{metric} has {len(message['values'])} values")
        if len(shapes) > len({shape[0] for shape in shapes}):
            self.shape.wrong.append("shapes of a daily summary change")
        wanted = Counter((metric, day) for metric in DAILY_B for day in expected)
        arrived = Counter((one.metric, one.day) for one in figures)
        if never := (wanted - arrived).total():
            self.delivered.wrong.append(f"{never} of {wanted.total()} daily messages never arrived")
        if more := (arrived - wanted).total():
            self.delivered.wrong.append(f"{more} daily messages came twice or weren't due")
        self.delivered.seen += len(figures)
        self.sums.seen += len(figures)
        for metric, b in DAILY_B.items():
            errors = [error for one in figures if one.metric == metric for error in one.errors()]
            self._look_at_noise(errors, b, spread=metric != "classes")
        return sorted(figures, key=lambda one: (one.day, TOPICS.index(f"summary/{one.metric}")))

    def look_at_messages(self, messages: list[tuple[str, bytes]], expected: range) -> list[Slot]:
        """Compare what was published with the truth. `expected` are the starts of the slots that must have been published."""
        self._look_at_lengths(messages)
        summaries = [json.loads(payload) for topic, payload in messages if topic.endswith(TOPICS[2])]
        slots = []
        for message in summaries:
            start = message["start"] * SECOND
            if (message["end"] - message["start"], message["slot"]) != (3600, (start - AGENT_DAY_STARTS) % DAY // HOUR):
                self.shape.wrong.append(f"slot {message['slot']} has other times than its number says")
            slots.append(Slot(start, message["values"][0], message["half_width"], self.truth.learned[start], self.truth.arrived[start]))
        arrived, wanted = Counter(slot.start for slot in slots), Counter(expected)
        if never := (wanted - arrived).total():
            self.delivered.wrong.append(f"{never} of {len(expected)} never arrived")
        if more := (arrived - wanted).total():
            self.delivered.wrong.append(f"{more} came twice or weren't due")
        shapes = {(tuple(m), m["unit"], tuple(m["b"]), m["half_width"], m["gateway"], m["schema"]) for m in summaries}
        if len(shapes) > 1:
            self.shape.wrong.append(f"{len(shapes)} shapes of summaries")
        if any((tuple(m["b"]), m["half_width"]) != (SUM_B, math.ceil(3 * SUM_B[0] / SUM_B[1])) for m in summaries):
            self.sums.wrong.append("b isn't ANON-2's, or half_width isn't ceil(3b)")
        self.delivered.seen = self.sums.seen = self.spread.seen = len(slots)
        self._look_at_noise([slot.value - slot.defined for slot in slots], SUM_B)
        return sorted(slots, key=lambda slot: slot.start)

    def _look_at_lengths(self, messages: list[tuple[str, bytes]]) -> None:
        """ANON-4: no other door than the three topics, and one length each (`state` tells what it is by its length)."""
        self.shape.seen = len(messages)
        lengths: dict[str, set[int]] = {}
        for topic, payload in messages:
            kind = topic.split("/", 3)[-1]
            if kind not in TOPICS:
                self.shape.wrong.append("a topic that no message has")
            elif kind != "state":
                lengths.setdefault(kind, set()).add(len(payload))
        self.shape.wrong += [f"{len(seen)} lengths of {kind}" for kind, seen in lengths.items() if len(seen) > 1]

    def _look_at_noise(self, errors: list[int], b: tuple[int, int], *, spread: bool = True) -> None:
        bound = noise_bound(len(errors), *b)
        self.sums.wrong += [f"an error of {error:+d}, where {bound} is the most" for error in errors if abs(error) > bound]
        total = sum(map(abs, errors))
        if errors and spread and spread_chance(total, len(errors), *b) < CHANCE:
            self.spread.wrong.append(f"errors add up to {total} over {len(errors)} sums")

    def report(self) -> list[Finding]:
        """Return every finding."""
        return [self.records, self.expired, self.delivered, self.shape, self.sums, self.spread, self.losses, self.private]


@cache
def _forms(canary: bytes) -> list[Needle]:
    """Return the forms in which a MAC (6 octets) or an IP address would be told."""
    return mac_forms("a MAC", canary) if len(canary) == 6 else address_forms("an address", str(ipaddress.ip_address(canary)))
