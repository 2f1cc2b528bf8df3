# SPDX-License-Identifier: Apache-2.0
"""The straight way: what happens to an ordinary connection that ended, from the kernel's octets to the packed record, in one function.

Ordinary is what nearly every one is: its message has a known layout; its terminal is the only one known to have held the address, or has
since before it began; it leaves the venue; no time-out was changed since it began; the segment of its end is open and has room; and the
terminal has a row in the day's table. Whatever isn't goes the plain way, `Recorder.event`,
through the rooms one after the other, which makes what the terminal's next connection finds made (`learn`). Both ways leave the same
octets behind: tests/test_straight.py holds them to it.

Why it is written so: a call, an attribute and an object cost an interpreter more than the work itself. So what holds for a run of
datagrams is named once, before the loop; nothing is called for a connection that needn't be; and a function takes its frame from
MicroPython's heap once a run, not once a connection. All that asks "is it ordinary" comes before anything is written.

What is repeated here, and where it is told in full: agent.who (rows, buckets), agent.capture.lan (`stays`), .timeouts (`last`),
agent.summary.day and .terminals (`see`), agent.vault.record (`pack`), agent.vault.ring (`append`).
"""

from agent.capture.connections import ASSURED, ICMP, ICMPV6, TCP, UDP
from agent.capture.netlink import HEADER
from agent.runtime.libc import native
from agent.summary import services
from agent.summary.day import QUARTER
from agent.summary.metrics import QUARTERS
from agent.summary.terminals import CLASSES_AT, KIB, MOST, OCTETS, QUARTERS_AT
from agent.vault.record import CODES, ENDS, FEW, LEAST, MASK, TERMINALS, UNIT
from agent.vault.ring import FULL
from agent.vault.segment import PAGE_HEADER
from agent.who import FORMER, LINK, LINKED, LINKED_4, MAC, NEXT, NUMBER, ROW, SINCE

_SECOND = 1000000000
_PLACES = 255  # of a segment's dictionary, less one
_IPV4 = 4  # octets of an address
_NEVER = 1 << 62


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
        self.left = 0  # of the limit of the last run

    def learn(self, connection: "Connection") -> None:
        """Link the association of a connection that went the plain way with its terminal's row: the next one needn't search."""
        if self._plain():
            return
        self._unlink()
        terminal = self._who.find(connection)
        if terminal is not None and not self._who.linked(terminal.row):
            self._who.link(terminal.row, self._terminals.find(terminal.address) if self._terminals.day else 0)

    def _unlink(self) -> None:
        """Undo every link where the day's table is another one than they were made for (ANON-7)."""
        if self._erased != self._terminals.erased:
            self._erased = self._terminals.erased
            self._who.unlink()

    def run(self, receive: "Callable[[int, Any], int]", descriptor: int, buffer: "Any", limit: int) -> int:
        """Receive at most `limit` datagrams and handle them, up to the first that isn't ordinary.

        Returns the size of that one, which is in `buffer`, or what `receive` returned instead of a size; 0 where the limit was
        reached.
        """
        self.left = limit
        if self._plain():
            self.left = limit - 1
            return receive(descriptor, buffer)
        self._unlink()
        return self._run(receive, descriptor, buffer)

    def _run(self, receive: "Callable[[int, Any], int]", descriptor: int, buffer: "Any") -> int:  # noqa: C901, PLR0912, PLR0915 (one function is the point)
        # What holds for the whole run, by names of this function: they cost the least.
        tuples, layouts, protocols, lasting = native.TUPLES, self._decoder.layouts, self._protocols, self._timeouts.lasting
        bucket = self._who.bucket
        heads, people, table, factors, mask = self._who.parts()
        factor, factor_2 = factors[0], factors[1]
        (near_4, near_6), inside, changed = self._lan.near, self._lan.inside, self._timeouts.changed
        counts, opened, counted = self._day.counts()
        rows, row_words = self._terminals.in_place()
        left, handled = self.left, 0
        # A quarter-hour that was touched lately, where its octet stands in a row, and its bit.
        quarter, quarter_end, octet, bit = _NEVER, 0, 0, 0
        # The segment that took the last record, and what it goes on with.
        entry: "Any" = None
        page: "Any" = None
        places: "Any" = None
        used: "Any" = None
        counter: "Any" = None
        low = high = at = before = records = generation = origin = 0
        try:
            while left:
                left -= 1
                size = receive(descriptor, buffer)
                if size <= HEADER or size & 3:
                    return size
                layout = layouts.get(size | buffer[HEADER] >> 3 & 1)
                if layout is None:
                    return size
                if tuples:
                    fields = layout.pattern.take(buffer)
                    while fields is None:
                        layout = layout.following
                        if layout is None:
                            return size
                        fields = layout.pattern.take(buffer)
                    (
                        accounted, _, protocol, source_port, destination_port, translated_port, status, remaining, state,
                        packets_up, bytes_up, packets_down, bytes_down, start, stop, word0, word1, word2, word3, near, answers,
                    ) = fields  # fmt: skip
                else:
                    message = layout.pattern.read(buffer, 0)
                    while message is None:
                        layout = layout.following
                        if layout is None:
                            return size
                        message = layout.pattern.read(buffer, 0)
                    # At most three at once: MicroPython makes a tuple of more.
                    start, stop, accounted = message.start, message.stop, message.accounted
                    near, answers, word3 = message.near, message.answers, message.word3
                    protocol, state = message.protocol, message.state
                    status, remaining = message.status, message.remaining
                    source_port, destination_port, translated_port = message.source_port, message.destination_port, message.translated_port
                    packets_up, bytes_up = message.packets_up, message.bytes_up
                    packets_down, bytes_down = message.packets_down, message.bytes_down
                    word0 = word1 = word2 = 0
                    if layout.octets != _IPV4:
                        word0, word1, word2 = message.word0, message.word1, message.word2

                # Whose it is.
                if layout.octets == _IPV4:
                    if (near_4[near] or near_4[answers]) and inside(buffer, layout):
                        return size
                    row = heads[(word3 >> 16) * factor + (word3 & 0xFFFF) * factor_2 >> 16 & mask] * ROW
                    while row and table[row + 3] != word3:
                        row = table[row + NEXT] * ROW
                    link = table[row + LINK]
                    if not link & LINKED_4:
                        return size
                else:
                    if (near_6[near] or near_6[answers]) and inside(buffer, layout):
                        return size
                    row = heads[bucket(word0, word1, word2, word3)] * ROW
                    while row and (table[row + 3] != word3 or table[row + 2] != word2 or table[row + 1] != word1 or table[row] != word0):
                        row = table[row + NEXT] * ROW
                    link = table[row + LINK]
                    if not link & LINKED:
                        return size
                if link & FORMER and start < (table[row + SINCE] << 32 | table[row + SINCE + 1]):
                    return size

                # When it ended.
                known = protocols.get(protocol)
                if known is None or not stop or not accounted or start <= changed:
                    return size
                code, least, ports, service = known
                service = ports.get(destination_port, service)
                seconds = lasting[protocol]
                if protocol == TCP:
                    if state >= len(seconds):
                        return size
                    lasted = seconds[state]
                else:
                    lasted = seconds[1 if status & ASSURED else 0]
                lasted -= remaining
                end = stop - lasted * _SECOND if lasted > 0 else stop
                if end < start:  # noqa: PLR1730 (a call costs more)
                    end = start

                # Where it is kept.
                if end < low or end >= high:
                    if entry is not None:
                        entry.go_on(at - PAGE_HEADER, before, records)
                    entry = self._ring.taking(end)
                    if entry is None:
                        low = high = 0
                        return size
                    low = entry.slot.window * _SECOND
                    high = low + self._ring.width * _SECOND
                    page, places, used, counter = entry.page, entry.packer.places, entry.head, entry.counter
                    at, before, origin = entry.used + PAGE_HEADER, entry.packer.end, entry.packer.origin
                    records, generation = entry.slot.records, entry.slot.generation << 16
                key = table[row + NUMBER]
                place = key & _PLACES
                if at > FULL + PAGE_HEADER or (counts and link < 8):
                    return size

                # It is ordinary: nothing was written so far. What the day's table has of its terminal:
                if counts:
                    seen = link >> 3 << 5
                    if start < quarter or end >= quarter_end:
                        first, last = max((start - opened) // QUARTER, counted), min((end - opened) // QUARTER, QUARTERS - 1)
                        quarter, quarter_end = _NEVER, 0
                        if first <= last:
                            quarter, octet, bit = opened + last * QUARTER, QUARTERS_AT + (last >> 3), 1 << (last & 7)
                            quarter_end = quarter + QUARTER
                            for number in range(first, last):
                                rows[seen + QUARTERS_AT + (number >> 3)] |= 1 << (number & 7)
                    if quarter_end:
                        rows[seen + octet] |= bit
                        rows[seen + CLASSES_AT + (service >> 3)] |= 1 << (service & 7)
                        seen >>= 2
                        volume = bytes_up + bytes_down + row_words[seen + OCTETS]
                        row_words[seen + OCTETS] = volume & 1023
                        if volume > 1023:
                            row_words[seen + KIB] = min(row_words[seen + KIB] + (volume >> 10), MOST)

                # The record.
                page[at] = place
                value = (service * 5 + code) << 2
                page[at + 1] = value if translated_port == source_port else value | 2
                to = at + 2
                if places[place] == key:
                    ended = places[TERMINALS + place]
                else:
                    # Its terminal must be told of.
                    page[at + 1] |= 1
                    places[place] = key
                    ended = before & ENDS
                    page[to] = octets = layout.octets
                    to, value = to + 1, row * 4 + MAC
                    for number in range(6):
                        page[to + number] = people[value + number]
                    to, value = to + 6, layout.source
                    for number in range(octets):
                        page[to + number] = buffer[value + number]
                    to += octets
                page[to] = (packets_up if packets_up < FEW else FEW) << 4 | (packets_down if packets_down < FEW else FEW)
                to += 1
                value = packets_up - FEW
                if value >= 0:
                    while value > 127:
                        page[to] = value & 127 | 128
                        value >>= 7
                        to += 1
                    page[to] = value
                    to += 1
                value = packets_down - FEW
                if value >= 0:
                    while value > 127:
                        page[to] = value & 127 | 128
                        value >>= 7
                        to += 1
                    page[to] = value
                    to += 1
                tick = end // UNIT
                value = tick - start // UNIT
                while value > 127:
                    page[to] = value & 127 | 128
                    value >>= 7
                    to += 1
                page[to] = value
                to += 1
                tick -= origin
                value = tick - ended << 1 if tick >= ended else (ended - tick << 1) - 1
                while value > 127:
                    page[to] = value & 127 | 128
                    value >>= 7
                    to += 1
                page[to] = value
                page[to + 1] = source_port >> 8
                page[to + 2] = source_port & 255
                to += 3
                if translated_port != source_port:
                    page[to] = translated_port >> 8
                    page[to + 1] = translated_port & 255
                    to += 2
                value = bytes_up - packets_up * least
                if value < 0:
                    value &= MASK
                while value > 127:
                    page[to] = value & 127 | 128
                    value >>= 7
                    to += 1
                page[to] = value
                to += 1
                value = bytes_down - packets_down * least
                if value < 0:
                    value &= MASK
                while value > 127:
                    page[to] = value & 127 | 128
                    value >>= 7
                    to += 1
                page[to] = value
                # The page's first word makes the record valid: written after it, so a killed process leaves whole records.
                at = to + 1
                before = tick
                places[TERMINALS + place] = tick & ENDS
                records += 1
                used[0] = at - PAGE_HEADER | generation
                counter[0] = records
                handled += 1
        finally:
            if entry is not None:
                entry.go_on(at - PAGE_HEADER, before, records)
            self._values["connections"] += handled
            self._values["kept"] += handled
            self._decoder.connections += handled
            self._decoder.reader.datagrams += handled
            self.left = left
        return 0


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from agent.capture.connections import Connection, Decoder
    from agent.capture.lan import Lan
    from agent.capture.timeouts import Timeouts
    from agent.summary.day import AgentDay
    from agent.summary.terminals import Terminals
    from agent.vault.ring import Ring
    from agent.who import Who

    Rooms = tuple[Who, Lan, Timeouts, AgentDay, Terminals, Ring]
