# SPDX-License-Identifier: Apache-2.0
"""An examiner's random questions at a run's end, answered by the custodian's tool, held against the world (L34-II-4).

A question is a public address, a port, a protocol and a window. Most are put around a port's true use, a cut of power
or a step of the clock. The truth is the world's: who used a port when, which ports the kernel gave to an address, who
had that address, when there was no power. An answer is wrong where it names a terminal that didn't hold the port. So is
one that leaves out a terminal that used it, without a word of doubt, and `nothing held` of a port that was used. `not
known` is never wrong; how often it is said is told.
"""

import ipaddress
import secrets
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from agent.purposes.requests import executor, requests
from agent.purposes.requests.requests import Request
from host_sim.venue.device_clock import SECOND
from host_sim.venue.gateway import WAN
from host_sim.venue.kernel import ICMP, ICMPV6, TCP, UDP
from host_sim.venue.world import World
from tools.custodian import answers, times
from tools.custodian.handovers import Handover

EACH_DAY, LEAST, MOST = 34, 100, 1000  # questions
SLACK = 2  # seconds: rows are whole seconds, and a quartz drifts between two confirmations
AFTER = 900  # seconds that a row goes on after its terminal's last sign
_GATEWAY = "oublisimulation2"
_WINDOWS = (1, 1, 10, 60, 600, 3600, 86400)
_HOUR = 3600
_BEFORE = 60  # seconds before the end of the run: so long the recorder's last mark is old at most


class Question(NamedTuple):
    """What is asked; seconds since the epoch."""

    public: bytes
    protocol: int
    port: int
    start: int
    end: int


class Use(NamedTuple):
    """A port that a terminal used in truth, in seconds."""

    address: bytes
    mac: bytes
    start: int
    end: int


class Examiner:
    """Asks about a world that is over.

    `folder` has the sealed segments, `key` gives a day's private key; `kept` days are still there.
    """

    def __init__(self, world: World, folder: Path, key: answers.Key, kept: int) -> None:
        self._world, self._key = world, key
        self._draw = Random(world.scenario.start ^ len(world.table.used))
        self._segments = {path.name: path.read_bytes() for path in folder.glob("*-*")}
        self._made = world.gateway.clock.wall(world.end) // SECOND - _BEFORE
        self._first = max(world.scenario.start, world.end - (kept - 1) * 86400 * SECOND) // SECOND
        self._last = world.people_end // SECOND
        self._uses: dict[tuple[bytes, int, int], list[Use]] = {}
        for entry, over in world.table.used:
            flow = entry.flow
            use = Use(
                entry.source, world.gateway.neighbours.ever_holder(entry), entry.first // SECOND, -(-over // SECOND)
            )
            self._uses.setdefault((flow.reply_destination, flow.protocol, flow.reply_destination_port), []).append(use)
        self._edges = [at // SECOND for at in world.gateway.edges if self._first <= at // SECOND <= self._last]
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []

    def ask(self, count: int) -> None:
        """Ask so many questions."""
        for question in self._questions(count):
            made = self._answer(question)
            self.seen[made.result] += 1
            self.wrong += [f"{what}: {_told(question)}" for what in self._judge(question, made)]

    def _questions(self, count: int) -> Iterator[Question]:
        places = [
            (key, use) for key, uses in self._uses.items() for use in uses if self._first <= use.start <= self._last
        ]
        draw = self._draw
        for number in range(count if places else 0):
            (public, protocol, port), use = draw.choice(places)
            kind = number % 4
            if kind == 0:  # a port that was used, around its use
                at = draw.randint(use.start - 60, use.end + 60)
            elif kind == 1 and self._edges:  # the same, around what happened to the gateway
                at = draw.choice(self._edges) + draw.randint(-2 * _HOUR, 3 * _HOUR)
            elif kind == 2:  # the same, at any time
                at = draw.randint(self._first, self._last)
            else:
                at, public, protocol, port = (
                    draw.randint(self._first, self._last),
                    WAN,
                    draw.choice((TCP, UDP)),
                    draw.randint(1024, 65535),
                )
            end = min(at + draw.choice(_WINDOWS), self._made)
            yield Question(public, protocol, port, min(at, end - 1), end)

    def _answer(self, question: Question) -> answers.Answer:
        fields = {
            "format": requests.FORMAT, "number": secrets.token_hex(16), "gateway": _GATEWAY, "purpose": "attribution",
            "ground": "IIbis-3", "authority_kind": "judicial", "basis": "CPP 77-1-1", "authority": "an examiner",
            "reference": "simulated", "from": times.utc(question.start), "until": times.utc(question.end),
            "issued": times.utc(self._made), "expires": times.utc(self._made + 86400),
            "public_address": str(ipaddress.ip_address(question.public)), "port": str(question.port),
            "protocol": str(question.protocol),
        }  # fmt: skip
        request = Request(requests.document(fields))
        first, last = executor.days(request)
        days = {times.utc(day * 86400)[:10] for day in range(first, last + 1)}
        there = {name: data for name, data in self._segments.items() if name[:10] in days}
        statement: dict[str, Any] = {
            "gateway": _GATEWAY,
            "made": self._made,
            "second_nat": False,
            "unbroken": self._made,
        }
        statement["listed"] = self._made  # when nothing lasted any more
        return answers.answer(Handover(request, [], statement, there), self._key)

    # Judging

    def _judge(self, question: Question, made: answers.Answer) -> Iterator[str]:
        uses = self._uses.get(question[:3], ())
        users = {
            (use.address, use.mac)
            for use in uses
            if use.start + SLACK < question.end and use.end - SLACK > question.start
        }
        named = set()
        for row in made.rows:
            begin, end, *paris = (
                int(datetime.fromisoformat(row[name]).timestamp())
                for name in ("from", "until", "from_paris", "until_paris")
            )
            if paris != [begin, end]:
                yield "Paris time isn't the same as UTC"
            mac = bytes(6) if row["terminal_mac"] == "unknown" else bytes.fromhex(row["terminal_mac"].replace(":", ""))
            who = ipaddress.ip_address(row["terminal_address"]).packed, mac
            named.add(who)
            if wrong := self._accused(question, who, begin, end, uses):
                yield wrong
        if users and made.result == answers.NOTHING:
            yield "nothing held, of a port that was used"
        elif (
            not any(note.doubt for note in made.notes)
            and not {(address, mac) for address, mac in users if (address, bytes(6)) not in named} <= named
        ):
            yield "who used the port isn't named, and nothing is said of it"

    def _accused(
        self, question: Question, who: tuple[bytes, bytes], begin: int, end: int, uses: "list[Use] | tuple[()]"
    ) -> str:
        """Return why it is false that a terminal held the port from `begin` to `end`, "" where it isn't."""
        address, mac = who
        own = [use for use in uses if (use.address, use.mac) == who or (use.address == address and not any(mac))]
        near = any(use.start - AFTER <= end and use.end + AFTER >= begin for use in own)
        using = any(use.start - SLACK <= end and use.end + SLACK >= begin for use in own)
        others = [use for use in uses if use not in own and use.start + SLACK < end and use.end - SLACK > begin]
        if any(off // SECOND + SLACK < begin and end < on // SECOND - SLACK for off, on in self._world.gateway.dark):
            return "a terminal is named while there was no power"
        if others and not using:
            return "a terminal is named while another one used the port"
        held = self._world.gateway.neighbours.held(address, mac, (begin - SLACK) * SECOND, (end + SLACK) * SECOND)
        if any(mac) and not using and not held:
            return "a terminal is named that didn't have its address"
        if not near and len(address) == 4 and not self._gave(address, question.port, begin, end):
            return "a terminal is named whose address had other ports"
        return ""

    def _gave(self, address: bytes, port: int, begin: int, end: int) -> bool:
        """Return True if the kernel gave the address this port at some moment from `begin` to `end`."""
        given = self._world.table.given.get(address, ())
        for number, (since, low, high) in enumerate(given):
            over = given[number + 1][0] if number + 1 < len(given) else self._world.end
            if low <= port <= high and since // SECOND <= end + SLACK and over // SECOND >= begin - SLACK:
                return True
        return False


def _told(question: Question) -> str:
    kind = {TCP: "TCP", UDP: "UDP", ICMP: "ICMP", ICMPV6: "ICMPv6"}.get(question.protocol, "")
    return f"{kind} port {question.port}, {times.utc(question.start)} to {times.utc(question.end)}"
