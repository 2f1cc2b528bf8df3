# SPDX-License-Identifier: Apache-2.0
"""The straight way: what happens to an ordinary connection that ended, from the kernel's octets to the packed record, in one function.

Ordinary is what nearly every one is: its message has a known layout; its terminal is the only one known to have held the address, or has
since before it began; it leaves the venue; no time-out was changed since it began; it lasted 27 minutes at most, and ended as near to its
terminal's one before; its packets have their headers; the segment of its end is open and has room; and the terminal has a row in the day's
table. Whatever isn't goes the plain way, `Recorder.event`, through the rooms one after the other, which makes what the terminal's next
connection finds made (`learn`). Both ways leave the same octets behind: tests/test_straight.py holds them to it.

Why it is written so: a call, an attribute and an object cost an interpreter more than the work itself. So what holds for a run of
datagrams is named once, before the loop; nothing is called for a connection that needn't be; and a function takes its frame from
MicroPython's heap once a run, not once a connection. Numbers are written many at a time, in one of a few forms; times are compared in a
segment's ticks, which are small integers; the page's head, which makes its records valid, is written once a run. All that asks "is it
ordinary" comes before anything is written.

What is repeated here, and where it is told in full: agent.who (rows, buckets), agent.capture.lan (`stays`), .timeouts (`last`),
agent.summary.day and .terminals (`see`), agent.vault.record (`pack`), agent.vault.ring (`append`).
"""

from struct import calcsize, pack_into

from agent.capture.connections import ASSURED, ICMP, ICMPV6, TCP, UDP
from agent.capture.netlink import HEADER
from agent.runtime.libc import native
from agent.summary import services
from agent.summary.day import QUARTER
from agent.summary.metrics import QUARTERS
from agent.summary.terminals import CLASSES_AT, KIB, MOST, OCTETS, QUARTERS_AT
from agent.vault.record import CODES, FEW, LEAST, TERMINALS, UNIT, UNITS, put
from agent.vault.ring import FULL
from agent.vault.segment import PAGE_HEADER
from agent.who import FORMER, LINK, LINKED, LINKED_4, MAC_WORD, NEXT, NUMBER, ROW, SINCE

_SECOND = 1000000000
_QUARTER = QUARTER // UNIT
_ROOM = FULL + PAGE_HEADER
_PLACES = TERMINALS - 1
_IPV4 = 4  # octets of an address
TWO = (1 << 14) - 1  # what a varint of two octets holds
# Bits of a form: what has two octets (ports: four); the record from its first octet on; without the octets up and down.
_LASTED, _APART, _PORTS, _UP, _DOWN, _WHOLE, _LONG = 1, 2, 4, 8, 16, 32, 64


class Straight:
    """The ordinary connections of one stream of events.

    `rooms` are those that a connection goes through, `values` the recorder's counters. `plain` says whether everything must go the plain
    way at present: where there is something to do for a connection that this way doesn't know of.
    """

    def __init__(self, decoder: "Decoder", rooms: "Rooms", values: "dict[str, int]", plain: "Callable[[], bool]") -> None:
        self._decoder = decoder
        self._who, self._lan, self._timeouts, self._day, self._terminals, self._ring = rooms
        self._values = values
        self._plain = plain
        self._erased = self._terminals.erased
        # What depends on the protocol alone: its code in a record, least octets of a packet, class of each port, class of other ports.
        self._protocols = {}
        for protocol in (TCP, UDP, ICMP, ICMPV6):
            code = CODES[protocol]
            self._protocols[protocol] = code, LEAST[code], services.PORTS.get(protocol, {}), services.service_of(protocol, 0)
        # Where in a row of the day's table each class has its bit.
        self._spots = tuple([(CLASSES_AT + (service >> 3), 1 << (service & 7)) for service in range(len(services.CLASSES))])
        # What a record's numbers look like, and how long it is then, once it was asked for.
        self._forms = [""] * (_LONG + _UP)
        self._sizes = bytearray(_LONG + _UP)
        self.left = 0  # of the limit of the last run
        self._handed = Handed()

    def _form(self, form: int) -> None:
        """Make a form: duration, end, ports, octets up and down, each of one or two octets, ports of two or four."""
        numbers = ["H" if form & bit else "B" for bit in (_LASTED, _APART, _UP, _DOWN)]
        numbers.insert(2, "I" if form & _PORTS else "H")
        self._forms[form] = (">BBB" if form & _WHOLE else ">") + "".join(numbers[:3] if form & _LONG else numbers)
        self._sizes[form] = calcsize(self._forms[form])

    def learn(self, row: int, place: int) -> None:
        """Link the association of a connection that went the plain way with its terminal's row: the next one needn't search.

        `row` is the association's in `who`, `place` where the day's table has its terminal, 0 where that isn't known.
        """
        if self._plain():
            return
        self._unlink()
        if not self._who.linked(row):
            self._who.link(row, place)

    def _unlink(self) -> None:
        """Undo every link where the day's table is another one than they were made for (ANON-7)."""
        if self._erased != self._terminals.erased:
            self._erased = self._terminals.erased
            self._who.unlink()

    def run(self, inbox: "Inbox", limit: int) -> int:
        """Receive at most `limit` datagrams and handle them, up to the first that isn't ordinary.

        Returns the size of that one, which is in the inbox's `view` from `at` on, or what `more` returned instead of a size; 0 where the
        limit was reached.
        """
        self.left = limit
        if self._plain():
            self.left = limit - 1
            if not inbox.sizes:
                inbox.at = 0
                return inbox.more(limit)
            inbox.at += native.SLOT
            return inbox.sizes.pop()
        self._unlink()
        return self._run(inbox)

    def one(self, buffer: "bytearray | bytes", length: int) -> int:
        """Handle the datagram at the start of a buffer; returns its length where it isn't ordinary, 0 where it was."""
        self._handed.view, self._handed.size = buffer, length
        return self.run(self._handed, 1)

    def _run(self, inbox: "Inbox") -> int:  # noqa: C901, PLR0912, PLR0915 (one function is the point)
        # What holds for the whole run, by names of this function: they cost the least.
        tuples, layouts, protocols, lasting = native.values is not None, self._decoder.layouts, self._protocols, self._timeouts.lasting
        forms, sizes, spots = self._forms, self._sizes, self._spots
        heads, table, factors, mask = self._who.parts()
        factor, factor_2, factor_3 = factors[0], factors[1], factors[2]
        factor_4 = factors[3]
        (near_4, near_6), inside, changed = self._lan.near, self._lan.inside, self._timeouts.changed
        counts, opened, counted = self._day.counts()
        rows, row_words = self._terminals.in_place()
        family, few, two, width, link_at, second = HEADER, FEW, TWO, ROW, LINK, _SECOND
        left, handled = self.left, 0
        buffer, here, behind, more, slot = inbox.view, inbox.at, inbox.sizes, inbox.more, native.SLOT
        pop = behind.pop
        # The segment that took the last record, and what it goes on with. Ticks count from its start; it has none as yet.
        entry: "Any" = None
        page: "Any" = None
        places: "Any" = None
        word0 = word1 = word2 = 0
        first_word = second_word = hashed = packed = 0  # of the last IPv6 address; the part of its hash that most have in common
        origin = ticks = at = before = 0
        # A quarter-hour that was touched lately (ticks), where its octet stands in a row, and its bit.
        quarter, quarter_end, octet, bit = 0, 0, 0, 0
        try:
            while left:
                left -= 1
                if behind:
                    here += slot
                    size = pop()
                else:
                    here = 0
                    size = more(left + 1)
                if size & 3:
                    return size
                layout = layouts.get(size | buffer[here + family] >> 3 & 1)
                if layout is None:
                    return size
                if tuples:
                    while layout.heads_of(buffer, here) != layout.wanted:
                        layout = layout.following
                        if layout is None:
                            return size
                    (
                        word0, word1, word2, word3, near, protocol, source_port, destination_port, answers, translated_port,
                        status, remaining, packets_up, bytes_up, packets_down, bytes_down, start, stop,
                    ) = layout.values(buffer, here)  # fmt: skip
                    octets = layout.octets
                else:
                    message = layout.read(buffer, 0)
                    while message is None:
                        layout = layout.following
                        if layout is None:
                            return size
                        message = layout.read(buffer, 0)
                    # At most three at once: MicroPython makes a tuple of more.
                    start, stop, word3 = message.start, message.stop, message.word3
                    near, answers, protocol = message.near, message.answers, message.protocol
                    status, remaining = message.status, message.remaining
                    source_port, destination_port, translated_port = message.source_port, message.destination_port, message.translated_port
                    packets_up, bytes_up = message.packets_up, message.bytes_up
                    packets_down, bytes_down = message.packets_down, message.bytes_down
                    octets = layout.octets
                    if octets != _IPV4:
                        word0, word1, word2 = message.word0, message.word1, message.word2

                # Whose it is. Row 0 stands for "none".
                if octets == _IPV4:
                    if (near_4[near] or near_4[answers]) and inside(buffer, here, layout):
                        return size
                    row = heads[(word3 >> 16) * factor + (word3 & 0xFFFF) * factor_2 >> 16 & mask] * width
                    while table[row + 3] != word3:
                        row = table[row + NEXT] * width
                        if not row:
                            return size
                    link = table[row + link_at]
                    if not link & LINKED_4:
                        return size
                else:
                    if (near_6[near] or near_6[answers]) and inside(buffer, here, layout):
                        return size
                    if word1 != second_word or word0 != first_word:
                        first_word, second_word, hashed = word0, word1, self._who.prefix(word0, word1)
                    row = (word2 >> 16) * factor_3 + (word2 & 0xFFFF) * factor_4 + (word3 >> 16) * factor + (word3 & 0xFFFF) * factor_2
                    row = heads[hashed + row >> 16 & mask] * width
                    while table[row + 3] != word3 or table[row + 2] != word2 or table[row + 1] != word1 or table[row] != word0:
                        row = table[row + NEXT] * width
                        if not row:
                            return size
                    link = table[row + link_at]
                    if not link & LINKED:
                        return size
                if link & FORMER and start < (table[row + SINCE] << 32 | table[row + SINCE + 1]):
                    return size

                # When it ended.
                known = protocols.get(protocol)
                if known is None or start <= changed or not stop or not layout.accounted:
                    return size
                code, least, classes, service = known
                service = classes.get(destination_port, service)
                seconds = lasting[protocol]
                if protocol == TCP:
                    state = buffer[here + layout.state]
                    if state >= len(seconds):
                        return size
                    lasted = seconds[state] - remaining
                else:
                    lasted = seconds[1 if status & ASSURED else 0] - remaining
                end = stop - lasted * second if lasted > 0 else stop
                if end < start:  # noqa: PLR1730 (a call costs more)
                    end = start

                # Where it is kept.
                tick = end // UNIT - origin
                if not 0 <= tick < ticks:
                    if entry is not None:
                        entry.go_on(at - PAGE_HEADER, before, handled - packed)
                    entry, packed = self._ring.taking(end), handled
                    ticks = quarter_end = 0
                    if entry is None:
                        return size
                    page, places = entry.page, entry.packer.places
                    at, before, origin = entry.used + PAGE_HEADER, entry.packer.end, entry.packer.origin
                    tick, ticks = end // UNIT - origin, self._ring.width * UNITS
                begun = start // UNIT - origin
                lasted = tick - begun
                key = table[row + NUMBER]
                place = key & _PLACES
                told = places[place] == key
                apart = tick - (places[place + TERMINALS] if told else before) << 1
                if apart < 0:
                    apart = -apart - 1
                up, down = bytes_up - packets_up * least, bytes_down - packets_down * least
                if at > _ROOM or (counts and link < 8) or lasted | apart > two or up < 0 or down < 0:
                    return size

                # It is ordinary: nothing was written so far. What the day's table has of its terminal:
                if counts:
                    seen = link >> 3 << 5
                    if begun < quarter or tick >= quarter_end:
                        day = opened // UNIT - origin
                        first, last = max((begun - day) // _QUARTER, counted), min((tick - day) // _QUARTER, QUARTERS - 1)
                        quarter_end = 0
                        if first <= last:
                            quarter, octet, bit = day + last * _QUARTER, QUARTERS_AT + (last >> 3), 1 << (last & 7)
                            quarter_end = quarter + _QUARTER
                            for number in range(first, last):
                                rows[seen + QUARTERS_AT + (number >> 3)] |= 1 << (number & 7)
                    if quarter_end:
                        spot, mark = spots[service]
                        if not rows[seen + octet] & bit:
                            rows[seen + octet] |= bit
                        if not rows[seen + spot] & mark:
                            rows[seen + spot] |= mark
                        seen >>= 2
                        volume = bytes_up + bytes_down + row_words[seen + OCTETS]
                        row_words[seen + OCTETS] = volume & 1023
                        if volume > 1023:
                            volume = row_words[seen + KIB] + (volume >> 10)
                            row_words[seen + KIB] = volume if volume < MOST else MOST

                # The record. Of a varint of two octets the first one stands in the upper half.
                head = service * 5 + code << 2
                form = rest = 0
                if lasted > 127:
                    lasted = (lasted & 127 | 128) << 8 | lasted >> 7
                    form = _LASTED
                if apart > 127:
                    apart = (apart & 127 | 128) << 8 | apart >> 7
                    form |= _APART
                if up > two:
                    form |= _LONG
                else:
                    if up > 127:
                        up = (up & 127 | 128) << 8 | up >> 7
                        form |= _UP
                    if down > 127:
                        rest = down >> 14
                        down = (down & 127 | 128) << 8 | down >> 7 & 127 | (128 if rest else 0)
                        form |= _DOWN
                ports = source_port
                if translated_port != source_port:
                    ports = source_port << 16 | translated_port
                    form |= _PORTS
                    head |= 2
                if told and packets_up < few and packets_down < few and form < _WHOLE:
                    form |= _WHOLE
                    if not sizes[form]:
                        self._form(form)
                    pack_into(forms[form], page, at, place, head, packets_up << 4 | packets_down, lasted, apart, ports, up, down)
                    at += sizes[form]
                else:
                    page[at] = place
                    page[at + 1] = head if told else head | 1
                    at += 2
                    if not told:
                        places[place] = key
                        pack_into("<BIH", page, at, octets, table[row + MAC_WORD], table[row + MAC_WORD + 1] & 0xFFFF)
                        if octets == _IPV4:
                            pack_into(">I", page, at + 7, word3)
                        else:
                            pack_into(">IIII", page, at + 7, word0, word1, word2, word3)
                        at += 7 + octets
                    page[at] = (packets_up if packets_up < few else few) << 4 | (packets_down if packets_down < few else few)
                    at += 1
                    if packets_up >= few:
                        at = put(page, at, packets_up - few)
                    if packets_down >= few:
                        at = put(page, at, packets_down - few)
                    if not sizes[form]:
                        self._form(form)
                    if form < _WHOLE:
                        pack_into(forms[form], page, at, lasted, apart, ports, up, down)
                        at += sizes[form]
                    else:
                        pack_into(forms[form], page, at, lasted, apart, ports)
                        at = put(page, put(page, at + sizes[form], up), down)
                if rest:
                    at = put(page, at, rest)
                before = places[place + TERMINALS] = tick
                handled += 1
        finally:
            inbox.at = here
            if entry is not None:
                entry.go_on(at - PAGE_HEADER, before, handled - packed)
            self._values["connections"] += handled
            self._values["kept"] += handled
            self._decoder.connections += handled
            self._decoder.reader.datagrams += handled
            self.left = left
        return 0


class Handed:
    """An inbox with one datagram, which is in a buffer already."""

    def __init__(self) -> None:
        self.view: "Any" = b""
        self.sizes: "list[int]" = []
        self.at = self.size = 0

    def more(self, _limit: int) -> int:
        """Return its size."""
        return self.size


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Protocol

    from agent.capture.connections import Decoder
    from agent.capture.lan import Lan
    from agent.capture.timeouts import Timeouts
    from agent.summary.day import AgentDay
    from agent.summary.terminals import Terminals
    from agent.vault.ring import Ring
    from agent.who import Who

    Rooms = tuple[Who, Lan, Timeouts, AgentDay, Terminals, Ring]

    class Inbox(Protocol):
        """Where datagrams arrive; the last one taken begins in `view` at `at`.

        `more(limit)` receives the next one to the start of `view` and returns its size, or -errno. Others may have come with it, `limit`
        in all: they begin native.SLOT octets apart, and `sizes` has their sizes, the last one's first.
        """

        view: Any
        sizes: list[int]
        at: int

        @property
        def more(self) -> Callable[[int], int]:
            """What receives."""
            ...
