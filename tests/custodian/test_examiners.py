# SPDX-License-Identifier: Apache-2.0
"""A hostile examiner's questions around every edge, answered from a real store's segments and held against the truth.

Nobody is named for a moment at which he did not hold the port. `nothing held` is never said where the store has it
(L34-II-4). Each story says of each holding what is true: when it began and ended, and how long the store can tell.
Faults put into matching, windows, grounds and keys must show in at least one answer.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import product
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from nacl.public import PrivateKey

from agent.purposes.attribution.record import Record, pack
from agent.purposes.requests import executor, requests
from agent.purposes.requests.requests import Request
from agent.vault.stores import parse_name
from tests.custodian.test_answers import DAY, EPOCH, MIDNIGHT, PUBLIC, Gateway
from tests.purposes.test_requests import AGENTS, COMMON, REFUSED, SCOPE, document
from tools.custodian import answers, coverage, destruction, handovers, matching, store
from tools.custodian.handovers import Handover, HandoverError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tools.custodian.answers import Key

MADE = MIDNIGHT + 7200
LISTED = MADE - 75  # of what lasts, the newest list
A, B, C = 10, 11, 12  # terminals
BLOCK = 16384
OTHER_PUBLIC = bytes([203, 0, 113, 3])


class Held(NamedTuple):
    """Terminal `who` had a block from `start` to `end`, in truth.

    The store tells of it until `sure`, and can't exclude `maybe`.
    """

    who: int
    start: int
    end: int
    sure: int | None = None
    maybe: int | None = None
    first: int = BLOCK
    public: bytes = PUBLIC
    protocol: int | None = None  # a connection, of one port

    @property
    def certain(self) -> int:
        """Return until when the store can tell."""
        return self.end if self.sure is None else self.sure

    @property
    def possible(self) -> int:
        """Return until when he can't be excluded."""
        return self.certain if self.maybe is None else self.maybe


@dataclass
class Story:
    """What a gateway wrote: `written` a list for each process, None where its segment is closed.

    And what is true of it.
    """

    written: list[Record | None]
    truth: list[Held]
    unbroken: int = MADE
    second_nat: bool = False
    edges: tuple[int, ...] = ()
    closed: tuple[int, ...] = ()  # days of which the key is destroyed
    marks: tuple[tuple[int, int], ...] = ()  # for which times the recorder vouched, each up to a gap; none: for all
    backs: tuple[tuple[int, int], ...] = ()  # which times came twice, for the clock was set back
    denied: tuple[tuple[int, int], ...] = ()  # which times the time service has contradicted since
    lost: tuple[tuple[int, int], ...] = ()  # day and number of segments that are missing
    alive: int = 0  # connections that had not ended at the handover


def row(
    who: int, start: int, end: int | None, first: int = BLOCK, public: bytes = PUBLIC, *, confirmed: bool = True
) -> Record:
    """Return a holding's row."""
    return Record(
        None,
        public,
        first,
        first + 511,
        bytes([192, 168, 1, who]),
        bytes([2, 0, 0, 0, 0, who]),
        start,
        end,
        confirmed=confirmed,
    )


def flow(who: int, port: int, start: int, end: int, protocol: int = 6, *, confirmed: bool = True) -> Record:
    """Return a connection's record."""
    address, mac = bytes([192, 168, 1, who]), bytes([2, 0, 0, 0, 0, who])
    return Record(protocol, PUBLIC, port, port, address, mac, start, end, confirmed=confirmed)


T = MIDNIGHT - DAY + 10 * 3600
NEXT = MIDNIGHT
LONG = MIDNIGHT - 2 * DAY  # before all that is asked about
STORIES = {
    "a holding begins and ends": Story(
        [row(A, T, None), row(A, T, T + 3600)], [Held(A, T, T + 3600)], edges=(T, T + 3600)
    ),
    "a block is handed on after a rest": Story(
        [row(A, T, None), row(A, T, T + 600), row(B, T + 4200, None), row(B, T + 4200, T + 5000)],
        [Held(A, T, T + 600), Held(B, T + 4200, T + 5000)],
        edges=(T, T + 600, T + 4200, T + 5000),
    ),
    "a lease is renewed over midnight": Story(
        [row(A, T, None), row(A, T, NEXT), row(A, NEXT, None), row(A, NEXT, NEXT + 1800)],
        [Held(A, T, NEXT), Held(A, NEXT, NEXT + 1800)],
        edges=(T, NEXT, NEXT + 1800),
    ),
    "an end is written twice, the later one is true": Story(
        [row(A, T, None), row(A, T, T + 500), None, row(A, T, T + 900), None, row(A, T, T + 500)],
        [Held(A, T, T + 900)],
        edges=(T, T + 500, T + 900),
    ),
    "a user logs in within a row's first second": Story(
        [row(A, T, None), row(A, T, T), row(A, T, None)], [Held(A, T, NEXT)], edges=(T, T + 1, NEXT)
    ),
    "what was idle for long had ended, and goes on": Story(
        [row(A, T, None), row(A, T, T + 600), row(A, T, None)], [Held(A, T, NEXT)], edges=(T, T + 600, T + 9000, NEXT)
    ),
    "power is lost, and nothing was written after the begin": Story(
        [row(A, T, None), None, row(B, T + 7200, None), row(B, T + 7200, T + 8000)],
        [Held(A, T, T + 3000, T, T + 7200), Held(B, T + 7200, T + 8000)],
        edges=(T, T + 3000, T + 7200, T + 8000),
        marks=((LONG, T - 60), (T + 7100, MADE)),
    ),
    "power is lost, and a mark tells how long the process lived": Story(
        [row(A, T, None), flow(C, 60000, T + 1000, T + 1900, 17), None, row(B, T + 7200, T + 8000)],
        [
            Held(A, T, T + 3000, T + 1900, T + 7200),
            Held(B, T + 7200, T + 8000),
            Held(C, T + 1000, T + 1900, first=60000, protocol=17),
        ],
        edges=(T, T + 1000, T + 1900, T + 3000, T + 7200),
        marks=((LONG, T + 1900), (T + 7100, MADE)),
    ),
    "power is lost before midnight and the block is nobody's again": Story(
        [row(A, T, None), flow(C, 60000, T + 10, T + 20, 17)],
        [Held(A, T, T + 3000, T + 20, NEXT), Held(C, T + 10, T + 20, first=60000, protocol=17)],
        edges=(T, T + 20, T + 3000, NEXT),
        marks=((LONG, T + 20), (NEXT + 60, MADE)),
    ),
    "the recorder is killed, and the next process goes on in its segment": Story(
        [row(A, T, None), flow(C, 60000, T + 5000, T + 6000, 17)],
        [Held(A, T, T + 400, T + 100, NEXT), Held(C, T + 5000, T + 6000, first=60000, protocol=17)],
        edges=(T, T + 100, T + 101, T + 400, T + 5000, T + 6000, NEXT),
        marks=((LONG, T + 100), (T + 101, MADE)),
    ),
    "the recorder has run since before the holding began": Story(
        [row(A, NEXT + 600, None)],
        [Held(A, NEXT + 600, MADE)],
        unbroken=NEXT,
        edges=(NEXT, NEXT + 600, MADE - 90),
        marks=((LONG, NEXT + 700),),
    ),
    "the recorder has run since before, by a clock that nobody confirmed": Story(
        [row(A, NEXT + 600, None, confirmed=False)],
        [Held(A, 0, MADE, 0, MADE)],
        unbroken=NEXT,
        edges=(NEXT, NEXT + 600, MADE - 90),
    ),
    "the recorder was restarted after the holding began": Story(
        [row(A, NEXT + 600, None), flow(C, 60000, NEXT + 700, NEXT + 900, 17)],
        [Held(A, NEXT + 600, MADE, NEXT + 900, MADE), Held(C, NEXT + 700, NEXT + 900, first=60000, protocol=17)],
        unbroken=NEXT + 950,
        edges=(NEXT + 600, NEXT + 900, MADE - 90),
        marks=((LONG, NEXT + 900), (NEXT + 950, MADE)),
    ),
    "the clock was stepped forward: what was open begins again": Story(
        [row(A, T, None), None, row(A, T + 7200, None), row(A, T + 7200, T + 9000)],
        [Held(A, T, T + 7200, T + 60, T + 7200), Held(A, T + 7200, T + 9000)],
        edges=(T, T + 60, T + 7200, T + 9000),
        marks=((LONG, T + 60), (T + 7201, MADE)),
    ),
    "the clock was stepped back: what was open begins again, earlier": Story(
        [row(A, T, None), None, row(A, T - 7200, None), row(A, T - 7200, T - 6000)],
        [Held(A, T, T + 60, T, NEXT), Held(A, T - 7200, T - 6000)],
        edges=(T - 7200, T - 6000, T, T + 60, NEXT),
        marks=((LONG, T + 60), (T + 120, MADE)),
        backs=((T - 7200, T + 61),),
    ),
    "a clock that nobody confirmed makes no open holding certain": Story(
        [row(A, T, None, confirmed=False), flow(C, 60000, T + 700, T + 900, 17)],
        [Held(A, 0, T + 800, 0, MADE), Held(C, T + 700, T + 900, first=60000, protocol=17)],
        edges=(T, T + 800, NEXT),
    ),
    "a clock that nobody confirmed names nobody, at any time": Story(
        [row(A, T, None, confirmed=False), row(A, T, T + 300), flow(C, 60000, T + 700, T + 900, 17, confirmed=False)],
        [Held(A, 0, T + 300, 0, MADE), Held(C, 0, T + 900, 0, MADE, first=60000, protocol=17)],
        edges=(T, T + 300, T + 900, NEXT),
    ),
    "somebody set the clock, and it was confirmed again": Story(
        [
            row(A, T, None),
            None,
            row(A, T + 7200, None, confirmed=False),
            None,
            row(A, T + 60, T + 120, confirmed=False),
            row(A, T + 120, T + 600),
        ],
        [Held(A, T, T + 60, T, T + 120), Held(A, T + 120, T + 600), Held(A, 0, 1, 0, MADE)],
        edges=(T, T + 60, T + 120, T + 600, T + 7200),
        marks=((LONG, T), (T + 121, MADE)),
        backs=((T + 60, T + 7261),),
    ),
    "the clock was set, and one segment went on": Story(
        [
            row(A, T, None),
            flow(C, 60000, T + 5, T + 9, 17),
            row(A, T + 7200, None, confirmed=False),
            flow(C, 60001, T + 400, T + 500, 17),
        ],
        [Held(A, T, T + 60, T + 9, NEXT), Held(C, T + 5, T + 9, first=60000, protocol=17), Held(A, 0, 1, 0, MADE)],
        edges=(T, T + 9, T + 60, T + 500, T + 7200, NEXT),
        marks=((LONG, T + 9), (T + 300, MADE)),
    ),
    "a connection beside every block": Story(
        [flow(A, 2000, T, T + 30), flow(B, 2000, T + 30, T + 60, 17), flow(B, 2001, T, T + 30)],
        [
            Held(A, T, T + 30, first=2000, protocol=6),
            Held(B, T + 30, T + 60, first=2000, protocol=17),
            Held(B, T, T + 30, first=2001, protocol=6),
        ],
        edges=(T, T + 30, T + 60),
    ),
    "two terminals share a port towards two servers": Story(
        [flow(A, 2000, T, T + 30), flow(B, 2000, T + 10, T + 20)],
        [Held(A, T, T + 30, first=2000, protocol=6), Held(B, T + 10, T + 20, first=2000, protocol=6)],
        edges=(T, T + 10, T + 20, T + 30),
    ),
    "neighbouring blocks, and another public address": Story(
        [row(A, T, T + 600), row(B, T, T + 600, BLOCK + 512), row(C, T, T + 600, public=OTHER_PUBLIC)],
        [Held(A, T, T + 600), Held(B, T, T + 600, first=BLOCK + 512), Held(C, T, T + 600, public=OTHER_PUBLIC)],
        edges=(T, T + 600),
    ),
    "a bundle's last day and the next bundle's first": Story(
        [row(A, NEXT - 30, NEXT), row(A, NEXT, NEXT + 60)],
        [Held(A, NEXT - 30, NEXT), Held(A, NEXT, NEXT + 60)],
        edges=(NEXT - 30, NEXT, NEXT + 60),
    ),
    "below a second NAT": Story([row(A, T, T + 600)], [Held(A, T, T + 600)], second_nat=True, edges=(T, T + 600)),
    "a day whose key is destroyed": Story(
        [row(A, T, T + 600), row(A, NEXT + 60, NEXT + 600)],
        [Held(A, NEXT + 60, NEXT + 600)],
        edges=(T, T + 600, NEXT + 60),
        closed=(T // DAY,),
    ),
    "a block of the same ports behind another address ends nothing": Story(
        [row(A, T, None), row(C, T + 600, T + 900, public=OTHER_PUBLIC)],
        [Held(A, T, T + 700, T + 900, NEXT), Held(C, T + 600, T + 900, public=OTHER_PUBLIC)],
        edges=(T, T + 600, T + 900, NEXT),
        marks=((LONG, T + 900), (NEXT + 60, MADE)),
    ),
    "power is lost, and the day after has other blocks": Story(
        [row(A, T, None), None, row(B, NEXT + 300, NEXT + 400, BLOCK + 1024)],
        [Held(A, T, T + 600, T, NEXT), Held(B, NEXT + 300, NEXT + 400, first=BLOCK + 1024)],
        edges=(T, T + 600, NEXT, NEXT + 300),
        marks=((LONG, T), (NEXT + 200, MADE)),
    ),
    "the segment that has a holding's end is missing": Story(
        [row(A, T, None), None, row(A, T, T + 600), None, row(B, T, T + 60, BLOCK + 1024)],
        [Held(A, T, T + 600, T, NEXT), Held(B, T, T + 60, first=BLOCK + 1024)],
        edges=(T, T + 600, T + 3600),
        lost=((T // DAY, 2),),
    ),
    "the segment that has a holding's end is missing, and the recorder has run since": Story(
        [row(A, NEXT + 60, None), None, row(A, NEXT + 60, NEXT + 600), None, row(B, NEXT, NEXT + 60, BLOCK + 1024)],
        [Held(A, NEXT + 60, NEXT + 600, NEXT + 60, MADE), Held(B, NEXT, NEXT + 60, first=BLOCK + 1024)],
        unbroken=NEXT,
        edges=(NEXT + 60, NEXT + 600, NEXT + 3600),
        lost=((NEXT // DAY, 2),),
    ),
    "the clock was set back, and power is lost at a time that former marks tell of": Story(
        [flow(B, 2001, T, T + 30)],
        [Held(B, T, T + 30, first=2001, protocol=6)],
        edges=(T, T + 900, T + 3600, T + 7200, T + 9000),
        marks=((LONG, T + 7200), (T + 600, T + 1200), (T + 9000, MADE)),
        backs=((T, T + 7201),),
    ),
    "two marks tell of one time, for the clock was set back while no process ran": Story(
        [flow(B, 2001, T, T + 30), row(A, T + 1000, None), row(A, T + 5000, None, BLOCK + 512)],
        [
            Held(B, T, T + 30, first=2001, protocol=6),
            Held(A, T + 1000, T + 1100, T + 1800, NEXT),
            Held(A, T + 5000, NEXT, first=BLOCK + 512),
        ],
        edges=(T, T + 1000, T + 5000),
        marks=((LONG, T + 3600), (T + 1800, MADE)),
    ),
    "a confirmed clock was set back, and both readings name somebody": Story(
        [row(A, T, T + 7200), None, flow(C, 60000, T + 3000, T + 3100, 17)],
        [
            Held(A, T, T + 1800),
            Held(A, T + 1801, T + 3599, 0, T + 3599),
            Held(A, T + 3600, T + 7200),
            Held(C, T + 3000, T + 3100, 0, T + 3100, first=60000, protocol=17),
        ],
        edges=(T, T + 3000, T + 5000, T + 7200),
        marks=((LONG, T + 3600), (T + 1800, MADE)),
    ),
    "a clock was set back, and the recorder has run since": Story(
        [row(A, NEXT + 3600, None), None, row(A, NEXT + 1200, None), row(A, NEXT + 1200, NEXT + 1300)],
        [Held(A, NEXT + 3600, NEXT + 3700, NEXT + 3600, MADE), Held(A, NEXT + 1200, NEXT + 1300)],
        unbroken=NEXT + 1200,
        edges=(NEXT + 1200, NEXT + 1300, NEXT + 3600, NEXT + 3700),
        marks=((LONG, NEXT + 3700), (NEXT + 1500, NEXT + 1600)),
        backs=((NEXT + 1200, NEXT + 3701),),
    ),
    "the time service denies what it had confirmed": Story(
        [row(A, T, T + 7200), row(B, T + 600, None, BLOCK + 512), None, flow(C, 60000, T + 3000, T + 3100, 17)],
        [
            Held(A, T, T + 1799),
            Held(A, T + 1800, T + 3600, 0, T + 3600),
            Held(A, T + 3601, T + 7200),
            Held(B, T + 600, T + 7200, T + 1800, NEXT, first=BLOCK + 512),
            Held(C, T + 3000, T + 3100, 0, T + 3100, first=60000, protocol=17),
        ],
        edges=(T, T + 1700, T + 2550, T + 3000, T + 5000, T + 7200),
        marks=((LONG, T + 2500), (T + 2600, MADE)),  # a record was lost
        denied=((T + 1800, T + 3600),),
    ),
    "the clock was set back before anybody vouched": Story(
        [flow(B, 2001, T, T + 30)],
        [Held(B, T, T + 30, first=2001, protocol=6)],
        edges=(T, T + 900, T + 3600),
        marks=((LONG, T), (T + 3600, MADE)),
        backs=((T, T + 3600),),
    ),
    "the recorder was started anew": Story(
        [flow(B, 2001, T, T + 30)],
        [Held(B, T, T + 30, first=2001, protocol=6)],
        edges=(T, T + 3600, T + 3602, NEXT),
        marks=((MIDNIGHT - 2 * DAY, T + 3600), (T + 3601, MADE)),
    ),
    "power was cut before the first sync": Story(
        [flow(B, 2001, T, T + 30), row(B, NEXT + 3600, NEXT + 3700, BLOCK + 1024)],
        [Held(B, T, T + 30, first=2001, protocol=6), Held(B, NEXT + 3600, NEXT + 3700, first=BLOCK + 1024)],
        edges=(T, T + 900, NEXT - 60, NEXT + 60, NEXT + 3600),
        marks=((MIDNIGHT - 2 * DAY, T + 900), (NEXT + 3500, MADE)),
    ),
    "power was cut as the day began, before what lasted was written": Story(
        [flow(B, 2001, T, T + 30), row(B, NEXT + 3600, NEXT + 3700, BLOCK + 1024)],
        [Held(B, T, T + 30, first=2001, protocol=6), Held(B, NEXT + 3600, NEXT + 3700, first=BLOCK + 1024)],
        edges=(T, NEXT - 600, NEXT, NEXT + 3600),
        marks=((MIDNIGHT - 2 * DAY, NEXT - 1), (NEXT + 3500, MADE)),
    ),
    "one mark follows another, over midnight": Story(
        [flow(B, 2001, T, T + 30), flow(B, 2001, NEXT + 10, NEXT + 20)],
        [Held(B, T, T + 30, first=2001, protocol=6), Held(B, NEXT + 10, NEXT + 20, first=2001, protocol=6)],
        edges=(T, NEXT, NEXT + 10),
        marks=((T + 3600, NEXT + 900), (MIDNIGHT - 2 * DAY, T + 3600), (NEXT + 900, MADE)),
    ),
    "a connection lasts over a midnight": Story(
        [flow(A, 2000, T, NEXT), flow(A, 2000, NEXT, NEXT + 600), flow(A, 2000, T, NEXT)],
        [Held(A, T, NEXT, first=2000, protocol=6), Held(A, NEXT, NEXT + 600, first=2000, protocol=6)],
        edges=(T, T + 7200, NEXT, NEXT + 600),
    ),
    "connections last when it is handed over": Story(
        [row(B, T, T + 600, BLOCK + 1024), row(B, NEXT + 60, NEXT + 600, BLOCK + 1024)],
        [Held(B, T, T + 600, first=BLOCK + 1024), Held(B, NEXT + 60, NEXT + 600, first=BLOCK + 1024)],
        edges=(T, NEXT - 60, NEXT, NEXT + 60, MADE - 60),
        alive=3,
    ),
    "nothing but others": Story(
        [row(B, T, T + 600, BLOCK + 1024)], [Held(B, T, T + 600, first=BLOCK + 1024)], edges=(T,)
    ),
}
PORTS = (BLOCK - 1, BLOCK, BLOCK + 511, BLOCK + 512, 2000, 60000)
WINDOWS = ((-90, -1), (-1, 0), (0, 1), (1, 60), (-30, 30))


class Question(NamedTuple):
    """A port, a protocol and a window of a story."""

    story: str
    port: int
    protocol: int
    start: int
    end: int


def questions() -> Iterator[Question]:
    """Give every window around every edge of each story, for ports in the block, at its ends and beside it."""
    for name, story in STORIES.items():
        for edge in story.edges:
            for number, (before, after) in enumerate(WINDOWS):
                for port in PORTS:
                    start, end = edge + before, edge + after
                    if end <= MADE and (
                        number == 4 or port == BLOCK or (port in (2000, BLOCK + 511) and number in (1, 2))
                    ):
                        yield Question(name, port, 17 if port == 60000 else 6, start, end)


QUESTIONS = [*questions()]


def time_of(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"


def request(question: Question) -> str:
    """Return the document that asks a question."""
    scope = {
        "port": str(question.port),
        "protocol": str(question.protocol),
        "from": time_of(question.start),
        "until": time_of(question.end),
    }
    return document(
        COMMON | SCOPE | scope | {"issued": time_of(max(MADE, question.end)), "expires": time_of(MADE + DAY)}
    )


def expected(question: Question) -> tuple[str, set[tuple[int, int, int]]]:
    """Return the result that is true, and who is to be named with the times, from the story's truth alone."""
    story = STORIES[question.story]
    if story.second_nat:
        return answers.SECOND_NAT, set()
    named, doubt = set(), False
    days = range(question.start // DAY, question.end // DAY + 1)
    written = {record.start // DAY for record in story.written if record is not None}
    doubt = any(day not in written or day in story.closed for day in days) or question.start // DAY - 1 in story.closed
    doubt = doubt or any(day in days for day, _ in story.lost)
    doubt = (
        doubt or not vouched(story, question) or (question.end >= NEXT and (story.alive > 0 or question.end > LISTED))
    )
    for one in story.truth:
        last = one.first if one.protocol else one.first + 511
        if (
            one.public != PUBLIC
            or not one.first <= question.port <= last
            or one.protocol not in (None, question.protocol)
        ):
            continue
        if one.start > question.end or one.possible < question.start:
            continue
        begin, over = max(one.start, question.start), min(one.possible, question.end)
        if any(begin < (day + 1) * DAY and over >= day * DAY for day, _ in story.lost):
            doubt = True
            continue
        if one.certain >= question.start:
            named.add((one.who, max(one.start, question.start), min(one.certain, question.end)))
        doubt = doubt or one.certain < min(one.possible, question.end)
    return answers.HELD if named else answers.NOT_KNOWN if doubt else answers.NOTHING, named


def vouched(story: Story, question: Question) -> bool:
    """Return True if each second from the window's begin to midnight or the handover lies in one mark, once."""
    end = min(MADE, (question.end // DAY + 1) * DAY)
    spans = (*story.marks, *story.backs, *story.denied)
    seconds = [question.start, *(edge for span in spans for edge in span if question.start <= edge < end)]
    return (
        not story.marks
        or question.start >= end
        or all(
            [begun <= second < over for begun, over in story.marks].count(True) == 1
            and not any(begun <= second < over for begun, over in (*story.backs, *story.denied))
            for second in seconds
        )
    )


@pytest.fixture(scope="module")
def examined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Gateway]]:
    """Give a gateway a story, its segments sealed by a real store."""
    gateways = {}
    for name, story in STORIES.items():
        gateways[name] = made = Gateway(tmp_path_factory.mktemp("examined"))
        for record in story.written:
            if record is None:
                assert made.stores["attribution"].seal()
            else:
                made.keep(record)
        assert made.stores["attribution"].seal()
        days = sorted({record.start // DAY for record in story.written if record is not None})
        every = story.marks or [(MIDNIGHT - 3 * DAY, MADE)]
        for confirmed, first, spans in ((True, 0, every), (False, 0, story.backs), (False, 1, story.denied)):
            for (begun, over), day in product(spans, days):  # wherever it stands
                octets = pack(
                    Record(None, bytes(4), first, first, bytes(4), bytes(6), begun, over, confirmed=confirmed)
                )
                assert made.stores["attribution"].append(day * DAY, octets) == "kept"
        assert made.stores["attribution"].seal()
    yield gateways
    for made in gateways.values():
        made.close()


def ask(gateway: Gateway, question: Question, module: Any = answers, key: Key | None = None) -> answers.Answer:
    """Answer a question as the custodian does, with the answers' module that is judged."""
    story = STORIES[question.story]
    asked = Request(request(question))
    held = gateway.stores["attribution"].held(*executor.days(asked))
    segments = {
        Path(path).name: Path(path).read_bytes() for path in held if parse_name(Path(path).name) not in story.lost
    }
    statement = {
        "gateway": COMMON["gateway"],
        "made": MADE,
        "second_nat": story.second_nat,
        "unbroken": story.unbroken,
        "alive": story.alive,
        "listed": LISTED,
    }
    closed = {EPOCH + timedelta(days=day) for day in story.closed}
    given = key or (lambda purpose, day, _: None if day in closed else gateway.key(purpose, day))
    made: answers.Answer = module.answer(Handover(asked, ["A", "B"], statement, segments), given)
    return made


def wrong(gateway: Gateway, question: Question, module: Any = answers) -> str:
    """Return what is wrong with an answer, "" where nothing is."""
    try:
        made = ask(gateway, question, module)
    except Exception as failure:  # noqa: BLE001 (a mutant may fail in any way)
        return f"{type(failure).__name__}"
    result, named = expected(question)
    said = {
        (
            int(one["terminal_mac"][-2:], 16),
            int(datetime.fromisoformat(one["from"]).timestamp()),
            int(datetime.fromisoformat(one["until"]).timestamp()),
        )
        for one in made.rows
    }
    if said - named:
        return f"{said - named} is named"
    if named - said:
        return f"{named - said} isn't named"
    return "" if made.result == result else f"{made.result}, not {result}"


@pytest.mark.long
def test_every_answer_is_what_is_true(examined: dict[str, Gateway]) -> None:
    """L34-II-4: of the questions at least 200 have somebody, or doubt, in their window.

    And what mustn't be answered isn't.
    """
    assert judge_answers(examined, answers) == ""
    seen = Counter(expected(question)[0] for question in QUESTIONS)
    assert len(QUESTIONS) > 500
    assert seen[answers.HELD] + seen[answers.NOT_KNOWN] > 200
    assert min(seen[word] for word in (answers.HELD, answers.NOT_KNOWN, answers.NOTHING, answers.SECOND_NAT)) > 20


# Faults


def judge_answers(gateways: dict[str, Gateway], module: Any) -> str:
    """Return the first answer that is wrong, or what is answered and must not be.

    A window that wasn't over, another custodian's keys.
    """
    for question in QUESTIONS:
        if found := wrong(gateways[question.story], question, module):
            return f"{question}: {found}"
    question = QUESTIONS[0]
    for late, key in ((MADE + 60, None), (question.end, lambda *_: PrivateKey.generate())):
        try:
            ask(gateways[question.story], question._replace(end=late), module, key)
        except HandoverError:
            continue
        return "it is answered"
    return ""


def judge_requests(module: Any) -> str:
    """Return the first document that is understood and must not be, or isn't and must be."""
    for name, (text, reason) in REFUSED.items():
        try:
            module.verify(module.Request(text), AGENTS.of_all(), handovers.signed)
        except module.Refused as refusal:
            if refusal.reason == reason:
                continue
        except Exception:  # noqa: BLE001, S110 (a mutant may fail in any way)
            pass
        return name
    module.verify(module.Request(AGENTS.sign(document(), 0, 1)), AGENTS.of_all(), handovers.signed)
    return ""


def judge_keys(module: Any, folder: Path) -> str:
    """Return which key is given, or called destroyed, and must not be."""
    noon = datetime(2027, 1, 16, 12, tzinfo=UTC)
    passphrase = b"correct horse battery"
    module.Store.make(folder, passphrase, operations=1, octets=8192, now=noon)
    keys = module.Store(folder, passphrase, noon)
    keys.bundle(date(2027, 1, 16), 3, {"attribution": 2})
    given = {day: keys.key("attribution", date(2027, 1, day)) for day in (16, 17, 18)}
    if None in given.values():
        return "a key that is there"
    (folder / "keys/attribution/2027-01-17.json").unlink()
    keys.note("destroy", purpose="attribution", day="2027-01-17")  # begun, and never done
    later = module.Store(folder, passphrase, noon + timedelta(days=2))
    if later.key("attribution", date(2027, 1, 16)) is not None:
        return "a key whose date has come"
    for day in (17, 25):
        try:
            later.key("attribution", date(2027, 1, day))
        except module.StoreError:
            continue
        return "a key that is lost"
    destruction.destroy_due(later)
    try:
        later.key("attribution", date(2027, 1, 16), date(2027, 1, 30))
    except module.StoreError:
        pass
    else:
        return "a key that lives on elsewhere"
    lines = (folder / "log").read_text().splitlines(keepends=True)
    (folder / "log").write_text("".join(lines[:1] + lines[2:]))
    try:
        later.key("attribution", date(2027, 1, 16))
    except module.StoreError:
        (folder / "log").write_text("".join(lines))
    else:
        return "a key by a log with a hole"
    return "" if later.key("attribution", date(2027, 1, 16)) is None else "a key that is destroyed"


class Fault(NamedTuple):
    """A module, a piece of its source, and what stands there instead."""

    module: ModuleType
    before: str
    after: str


FAULTS = {
    "the shorter of two ends": Fault(
        matching, "max(known.end, record.end or 0)", "min(known.end, record.end or known.end)"
    ),
    "what ended in its first second was over": Fault(
        matching, "if record is not known and record.end is None:", "if False:"
    ),
    "whoever hands over has run for ever": Fault(matching, "if one.start >= unbroken else", "if True else"),
    "whoever hands over has not run": Fault(matching, "if one.start >= unbroken else", "if False else"),
    "no mark proves it": Fault(matching, "else coverage.reach(spans, one.start)", "else one.start"),
    "a mark of another process proves it": Fault(
        coverage,
        "next((over for begin, over in spans if begin <= start <= over), start)",
        "max([start, *(over for _, over in spans)])",
    ),
    "a process that began later wrote it": Fault(coverage, "if begin <= start <= over", "if start <= over"),
    "a clock that was set back tells": Fault(coverage, "_TAKEN_BACK = 2", "_TAKEN_BACK = 0"),
    "a mark that takes back vouches": Fault(coverage, "_TAKEN_BACK = 2", "_TAKEN_BACK = 1"),
    "a time that came twice came once": Fault(
        coverage, "elif former not in counts and count", "elif former < 1 and count"
    ),
    "what the time service denies happened": Fault(coverage, "_DENIED = 2", "_DENIED = 0"),
    "what is denied vouches": Fault(coverage, "_DENIED = 2", "_DENIED = 1"),
    "a mark that stands twice is none": Fault(
        coverage,
        "    edges: Counter[int] = Counter()\n",
        "    marks = [*marks, *marks]\n    edges: Counter[int] = Counter()\n",
    ),
    "an unconfirmed clock is believed": Fault(
        matching, "min(until, one.end) if one.confirmed else _AT_NO_TIME", "min(until, one.end)"
    ),
    "an end makes it certain": Fault(
        matching, "Holding(one, one.end if one.confirmed else _AT_NO_TIME,", "Holding(one, one.end,"
    ),
    "a connection's time is certain": Fault(
        matching, "(one.end or 0) if one.confirmed else _AT_NO_TIME,", "one.end or 0,"
    ),
    "its end was confirmed": Fault(
        matching, "known.confirmed = known.confirmed and record.confirmed", "known.confirmed = record.confirmed"
    ),
    "an unconfirmed time is outside": Fault(matching, "return not record.confirmed or (", "return ("),
    "nothing is said of it": Fault(
        matching, " + [_UNTIMED if own else _UNCONFIRMED] * any(not one.record.confirmed for one in touched)", ""
    ),
    "what a clock showed twice was once": Fault(
        matching, "if coverage.touches(denied, ", "if False and coverage.touches(denied, "
    ),
    "who runs since the clock was set back has run since before": Fault(
        matching, "if coverage.touches(back, one.start, one.start):", "if False:"
    ),
    "whatever was taken back was confirmed twice": Fault(coverage, "range(2, _ANY), 0)", "range(1, _ANY), 0)"),
    "the next holder ends nothing": Fault(matching, "min([*later, one", "min([one"),
    "a day doesn't end": Fault(matching, "one.start - one.start % DAY + DAY, ", ""),
    "of any address": Fault(matching, "one.public_address == other.public_address and other.first", "other.first"),
    "a block without its first port": Fault(
        matching, "record.first <= scope.port <= record.last", "record.first < scope.port <= record.last"
    ),
    "a block without its last port": Fault(
        matching, "record.first <= scope.port <= record.last", "record.first <= scope.port < record.last"
    ),
    "any protocol": Fault(matching, "same = record.protocol in (None, scope.protocol) and ", "same = "),
    "any public address": Fault(matching, " and record.public_address == scope.public", ""),
    "not what begins with the window's end": Fault(
        matching, "record.start <= request.end and", "record.start < request.end and"
    ),
    "not what ends with its begin": Fault(
        matching, "(record.end or 0) >= request.start)", "(record.end or 0) > request.start)"
    ),
    "not who is certain until its begin": Fault(
        matching,
        "if one.until >= request.start or (",
        "if one.until > request.start or (",
    ),
    "what has no sure time is told to anybody": Fault(matching, 'own = request.purpose == "access"', "own = True"),
    "what lies before the window": Fault(matching, "held = max(one.start, request.start), ", "held = one.start, "),
    "what lies after the window": Fault(matching, 'min(holding.until, request.end), ""', 'holding.until, ""'),
    "a second NAT is nothing": Fault(answers, 'if statement["second_nat"] and', "if False and"),
    "no doubt": Fault(answers, "NOT_KNOWN if doubt else NOTHING", "NOTHING"),
    "a segment that can't be read is nothing": Fault(answers, "notes = [*missing, ", "notes = ["),
    "an end that isn't known is one": Fault(answers, "*unknown, *lost", "*lost"),
    "a day without a segment is nothing": Fault(answers, "*lost, *unproven", "*unproven"),
    "what is missing can have no end and no denial in it": Fault(
        matching, "for day in damaged if day is not None", "for day in ()"
    ),
    "what lasts is nothing": Fault(answers, ", *alive(handover)]", "]"),
    "what lasted long before is in doubt": Fault(answers, 'or end < said["made"] - said["made"] % 86400:', "or False:"),
    "what wasn't listed has ended": Fault(answers, "or end > listed:", "or False:"),
    "whoever has no mark heard all": Fault(answers, "*unproven, ", ""),
    "a second between two marks is none": Fault(
        coverage, "if reached < min(begun, end):", "if reached + 1 < min(begun, end):"
    ),
    "a mark of a former time ends this one": Fault(coverage, "reached = max(reached, over)", "reached = over"),
    "the window's end is enough": Fault(coverage, "request.end - request.end % _DAY + _DAY", "request.end"),
    "the handover is never there before midnight": Fault(coverage, "end = min(made, ", "end = max(0, "),
    "marks in any order": Fault(coverage, "in sorted(edges)", "in edges"),
    "the future": Fault(answers, 'if request.end > statement["made"]:', "if False:"),
    "anybody's keys": Fault(answers, "if closed and not parts:", "if False:"),
    "two days": Fault(requests, "<= self.start + WINDOW", "<= self.start + 2 * WINDOW"),
    "a window that isn't over": Fault(requests, "if self.end > self.issued:", "if False:"),
    "it waits for months": Fault(requests, "<= self.issued + LIFE", "<= self.issued + 9 * LIFE"),
    "any ground": Fault(requests, "        if ground not in grounds:", "        if ground == law.STRUCK_DOWN:"),
    "any authority": Fault(requests, "            if value not in accepted:", "            if not value:"),
    "one agent": Fault(requests, "if len(names) < 2 or", "if len(names) < 1 or"),
    "everybody who is unknown": Fault(
        requests, 'mac_of(who) if kind == "mac"', '(mac_of(who) or bytes(6)) if kind == "mac"'
    ),
    "another's destroyed key is ours": Fault(store, "if destroy > self.today:", "if False:"),
    "a log with a hole is one": Fault(store, "if wrong := self.changed():", "if wrong := []:"),
    "a lost key is a destroyed one": Fault(store, "if (purpose, str(day)) in self._destroyed():", "if True:"),
    "a key lives a day longer": Fault(
        store,
        "if said is not None and said.destroy <= self.today:",
        "if said is not None and said.destroy < self.today:",
    ),
    "begun is done": Fault(store, 'if said["act"] == "destroyed"}', 'if said["act"] in ("destroy", "destroyed")}'),
}


def with_fault(fault: Fault) -> ModuleType:
    """Return a module with its fault."""
    source = Path(str(fault.module.__file__)).read_text()
    assert source.count(fault.before) == 1, fault.before
    made = ModuleType(fault.module.__name__)
    made.__file__ = fault.module.__file__
    # That is what is tried
    exec(compile(source.replace(fault.before, fault.after), str(made.__file__), "exec"), made.__dict__)  # noqa: S102
    return made


def judged(gateways: dict[str, Gateway], module: Any, name: str, folder: Path, patch: Callable[[Any], None]) -> str:
    """Return what of a module's answers is wrong."""
    if name in ("matching", "coverage"):
        patch(module)
        return judge_answers(gateways, answers)
    judges = {"answers": lambda: judge_answers(gateways, module), "requests": lambda: judge_requests(module)}
    return judges[name]() if name in judges else judge_keys(module, folder)


@pytest.mark.long
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_shows_in_an_answer(
    name: str, examined: dict[str, Gateway], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Matching, windows, grounds and keys, each with a fault: an examiner's questions find it."""
    fault = FAULTS[name]
    module = fault.module.__name__.rpartition(".")[2]

    def patch(made: Any) -> None:
        for place in (answers, matching):
            monkeypatch.setattr(place, module, made, raising=False)

    assert judged(examined, with_fault(fault), module, tmp_path, patch)


def test_without_a_fault_no_document_and_no_key_is_wrong(tmp_path: Path) -> None:
    assert judge_requests(requests) == ""
    assert judge_keys(store, tmp_path) == ""


# The two nights on which Paris changes its clocks

SPRING, AUTUMN = 1_806_195_600, 1_824_944_400  # 2027-03-28 and 2027-10-31, 01:00 UTC
NIGHTS = [
    (change, begin, end, edge, window)
    for change in (SPRING, AUTUMN)
    for begin, end in ((-5400, -1800), (-1800, 0), (-1800, 1800), (0, 1800), (1800, 5400))
    for edge in (begin, end, 0, -3600, 3600)
    for window in WINDOWS
]


def test_an_hour_that_comes_twice_or_never_changes_no_answer() -> None:
    """L34-II-4: around every edge of both nights.

    Paris time beside UTC is the same instant, and no two instants are written alike.
    """
    assert len(NIGHTS) == 250
    written: dict[str, int] = {}
    for change, begin, end, edge, (before, after) in NIGHTS:
        start, over = change + edge + before, change + edge + after
        asked = SimpleNamespace(
            store="attribution",
            purpose="attribution",
            scope=SimpleNamespace(public=PUBLIC, port=BLOCK, protocol=6),
            start=start,
            end=over,
        )
        segment = [pack(row(A, change + begin, None)), pack(row(A, change + begin, change + end))]
        rows, unknown = matching.rows(asked, [segment])  # type: ignore[arg-type]
        assert unknown == []
        assert bool(rows) == (change + begin <= over and change + end >= start)
        for one in rows:
            for name, truth in (("from", max(start, change + begin)), ("until", min(over, change + end))):
                assert datetime.fromisoformat(one[name]).timestamp() == truth
                assert (
                    written.setdefault(one[f"{name}_paris"], truth)
                    == truth
                    == datetime.fromisoformat(one[f"{name}_paris"]).timestamp()
                )
    assert {f"2027-10-31T02:30:00{zone}" for zone in ("+01:00", "+02:00")} <= set(written)


def test_a_denial_lies_in_the_day_that_it_denies_whatever_the_clock_shows(tmp_path: Path) -> None:
    """A store whose clock isn't trusted dates what it keeps from the latest known time: the window's handover has that.

    What has no key has no record either; nothing is owed for it.
    """
    gateway = Gateway(tmp_path)
    store = gateway.stores["attribution"]
    store.tick((T - 20 * DAY) * 10**9, 2 * DAY * 10**9, trusted=False)
    denial = pack(Record(None, bytes(4), 1, 1, bytes(4), bytes(6), T - DAY, T - DAY + 60, confirmed=False))
    assert store.append(T - DAY, denial, owed=True) == "kept"
    assert store.append(T - 9 * DAY, denial, owed=True) == "due on arrival"
    assert gateway.lost == []
    assert store.seal()
    found = [parse_name(Path(path).name) for path in store.held(0, 1 << 20)]
    assert [place[0] for place in found if place] == [(T - DAY) // DAY]
    gateway.close()
