# SPDX-License-Identifier: Apache-2.0
"""What was published beside the truth (ANON-2 to ANON-6).

Sums are within their noise, each cell is there once, a kind has one shape, all is delivered.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from pathlib import Path

import jsonschema

from host_sim.checks.findings import Finding
from host_sim.checks.noise_bounds import CERTAIN, CHANCE, Figures, Slot, noise_bound, spread_chance
from host_sim.venue.device_clock import SECOND
from host_sim.venue.truth import AGENT_DAY_STARTS, DAY, HOUR
from host_sim.venue.world import World
from tools.fleet.schemas import schema

SUM_B = (4, 1)  # of arrivals, by the table of agent/summary/README.md (ANON-2): L1 = 1, epsilon = 0.25
DAILY_B = {"presence": (5, 1), "volume": (5, 1), "active": (40, 3), "classes": (10, 1)}  # the same table
TOPICS = ("health", "state", "summary/arrivals", *(f"summary/{metric}" for metric in DAILY_B))


class Published:
    """Follows what the spool of a world's gateway holds, and judges it; `spool` is its folder.

    Times in true ns since the epoch.
    """

    def __init__(self, spool: Path, world: World) -> None:
        self.spool, self.world, self.truth = spool, world, world.truth
        self.spooled: dict[str, bytes] = {}  # every message that was ever seen in the spool, by its name
        self.dropped = 0  # messages that the agent says its spool couldn't hold
        self.cells = Finding("cells", "each cell is drawn at most once, and every cell that is due")
        self.delivered = Finding("delivered", "every message that was spooled arrived, exactly once")
        self.shape = Finding("shape", "every message has its kind's topic, shape and length")
        self.sums = Finding("sums", "every published sum is within its noise of the truth")
        self.spread = Finding("spread", "together the errors are as wide as the noise that is stated")

    def look_into_spool(self) -> None:
        """Keep what is new; a name that is drawn again with other figures gives the truth away."""
        for path in self.spool.glob("[0-9]*"):
            try:
                payload = path.read_bytes()
            except FileNotFoundError:  # the forwarder has just removed what it delivered
                continue
            former = self.spooled.get(path.name)
            self.cells.seen += former is None
            if former is None:
                self.spooled[path.name] = payload
                self._look_at_one(path.name.split("-")[1], payload)
            elif former != payload:
                self.cells.wrong.append(f"a message of {path.name.split('-')[1]} is there again with other figures")

    def _look_at_one(self, metric: str, payload: bytes) -> None:
        """One message as soon as it is there: an error that no noise explains."""
        message = json.loads(payload)
        end = message["end"] * SECOND
        day = _agent_day(end - 1)
        if day in self.truth.muddled:
            return
        if metric == "arrivals":
            value, truth = message["values"][0], self.truth.learned[end - HOUR]
            errors, b = [value - truth], SUM_B
        else:
            truths = self.truth.daily.get(day, {}).get(metric, [])
            values = message["values"][: len(truths)]
            errors, b = Figures(metric, day, values, 0, truths[: len(values)]).errors(), DAILY_B[metric]
        bound = noise_bound(1, *b, chance=CERTAIN)
        self.sums.wrong += [
            f"{metric}: an error of {error:+d}, where {bound} is the most" for error in errors if abs(error) > bound
        ]

    def look_at_delivery(self, messages: list[tuple[str, bytes]]) -> None:
        """What the broker gave out is what was spooled; a message may come twice, the very same, after a cut."""
        arrived = Counter((topic.rsplit("/", 1)[-1], payload) for topic, payload in messages if "/summary/" in topic)
        wanted = Counter((name.split("-")[1], payload) for name, payload in self.spooled.items())
        self.delivered.seen += arrived.total()
        if (never := (wanted - arrived).total()) > self.dropped:
            self.delivered.wrong.append(
                f"{never} of {wanted.total()} never arrived, {self.dropped} are said to have been dropped"
            )
        if strange := len(arrived.keys() - wanted.keys()):
            self.delivered.wrong.append(f"{strange} that nobody spooled")
        if not self.world.events.outages and (more := (arrived - wanted).total()):
            self.delivered.wrong.append(f"{more} came twice")

    def messages(self) -> list[tuple[str, bytes]]:
        """Return every message that was spooled, as (metric's topic, payload), in order of its name."""
        return [("summary/" + name.split("-")[1], payload) for name, payload in sorted(self.spooled.items())]

    def look_at_days(self, messages: list[tuple[str, bytes]], expected: Iterable[int]) -> list[Figures]:
        """Compare what is published once an agent-day with the truth; `expected` are the starts of days over.

        To be called after `look_at_messages`.
        """
        figures, shapes = [], set()
        for topic, payload in messages:
            metric = topic.rsplit("/", 1)[-1]
            if metric in DAILY_B:
                message = json.loads(payload)
                end = message["end"] * SECOND
                if (
                    not 0 < message["end"] - message["start"] <= DAY // SECOND
                    or (end - AGENT_DAY_STARTS) % DAY
                    or message["slot"]
                ):
                    self.shape.wrong.append(f"{metric} has other times than an agent-day's")
                shapes.add(
                    (
                        metric,
                        tuple(message),
                        message["unit"],
                        len(message["values"]),
                        message["gateway"],
                        message["schema"],
                    )
                )
                if (tuple(message["b"]), message["half_width"]) != (
                    DAILY_B[metric],
                    math.ceil(3 * Fraction(*DAILY_B[metric])),
                ):
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
            self.cells.wrong.append(f"{never} of {wanted.total()} daily messages never came")
        if more := (arrived - wanted).total():
            self.cells.wrong.append(f"{more} daily messages came twice or weren't due")
        self.cells.seen += len(figures)
        self.sums.seen += len(figures)
        for metric, b in DAILY_B.items():
            clear = [one for one in figures if one.metric == metric and one.day not in self.truth.muddled]
            errors = [error for one in clear for error in one.errors()]
            self._look_at_noise(errors, b, spread=metric != "classes")
        return sorted(figures, key=lambda one: (one.day, TOPICS.index(f"summary/{one.metric}")))

    def look_at_messages(self, messages: list[tuple[str, bytes]], expected: Iterable[int]) -> list[Slot]:
        """Compare what was published with the truth.

        `expected` are the starts of the slots that must have been published.
        """
        summaries = [json.loads(payload) for topic, payload in messages if topic.endswith(TOPICS[2])]
        slots = []
        for message in summaries:
            start = message["end"] * SECOND - HOUR
            if (message["end"] - message["start"], message["slot"]) != (3600, (start - AGENT_DAY_STARTS) % DAY // HOUR):
                self.shape.wrong.append(f"slot {message['slot']} has other times than its number says")
            slots.append(
                Slot(
                    start,
                    message["values"][0],
                    message["half_width"],
                    self.truth.learned[start],
                    self.truth.arrived[start],
                )
            )
        arrived, wanted = Counter(slot.start for slot in slots), Counter(expected)
        if never := (wanted - arrived).total():
            self.cells.wrong.append(f"{never} of {wanted.total()} that are due never came")
        if more := (arrived - wanted).total():
            self.cells.wrong.append(f"{more} came twice or weren't due")
        shapes = {(tuple(m), m["unit"], tuple(m["b"]), m["half_width"], m["gateway"], m["schema"]) for m in summaries}
        if len(shapes) > 1:
            self.shape.wrong.append(f"{len(shapes)} shapes of summaries")
        if any((tuple(m["b"]), m["half_width"]) != (SUM_B, math.ceil(3 * SUM_B[0] / SUM_B[1])) for m in summaries):
            self.sums.wrong.append("b isn't ANON-2's, or half_width isn't ceil(3b)")
        self.cells.seen += len(slots)
        self.sums.seen = self.spread.seen = len(slots)
        clear = [slot for slot in slots if _agent_day(slot.start) not in self.truth.muddled]
        self._look_at_noise([slot.value - slot.defined for slot in clear], SUM_B)
        return sorted(slots, key=lambda slot: slot.start)

    def look_at_schemas(self, messages: list[tuple[str, bytes]]) -> None:
        """ANON-4: every message is one of its kind's schema, which knows each key and each word of a closed list."""
        for topic, payload in messages:
            kind = topic.rsplit("/", 1)[-1]
            if f"summary/{kind}" in TOPICS or kind in TOPICS:
                try:
                    _validator(kind).validate(json.loads(payload))
                except (ValueError, jsonschema.ValidationError) as failure:
                    self.shape.wrong.append(f"{kind}: {getattr(failure, 'message', 'not JSON')}"[:120])

    def look_at_lengths(self, messages: list[tuple[str, bytes]]) -> None:
        """ANON-4: no other door than the three topics, and one length each (`state` tells what it is by its length)."""
        self.shape.seen += len(messages)
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
        self.sums.wrong += [
            f"an error of {error:+d}, where {bound} is the most" for error in errors if abs(error) > bound
        ]
        total = sum(map(abs, errors))
        if errors and spread and spread_chance(total, len(errors), *b) < CHANCE:
            self.spread.wrong.append(f"errors add up to {total} over {len(errors)} sums")


@cache
def _validator(kind: str) -> jsonschema.protocols.Validator:
    """Return what holds a message against its kind's schema, made once."""
    return jsonschema.validators.validator_for(schema(kind))(schema(kind))


def _agent_day(time: int) -> int:
    return (time - AGENT_DAY_STARTS) // DAY * DAY + AGENT_DAY_STARTS
