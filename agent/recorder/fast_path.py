# SPDX-License-Identifier: Apache-2.0
"""The fast path: an ordinary connection that ended, from the kernel's octets to the packed record, in one function.

Ordinary is what nearly every connection is:

- its message has a known layout, and its packets have their headers;
- its terminal is the only one known to have held the address, or has since before the connection began;
- it leaves the venue, it began since the recorder listens, and no time-out was changed since;
- it lasted 27 minutes at most, and ended as near to its terminal's connection before;
- the segment of its end is open and has room;
- the terminal has a row in the day's table, or is given one there.

All of that is asked before anything is written. Whatever isn't ordinary goes the plain way, `Streams.event`, through
the modules one after the other. Both ways leave the same octets behind: tests/recorder/test_fast_path.py holds them to
it.

Why it is written so: a call, an attribute and an object cost an interpreter more than the work itself.

- What holds for a run of datagrams is named once, before the loop. Nothing is called for a connection that needn't be.
- A function takes its frame from MicroPython's heap once a run, not once a connection.
- A record's rest is written in one of a few forms, behind its octet in each column. The
  page's head makes records valid, once a run.
- Times are compared in a segment's ticks, which are small integers. 30 bits are small on a 32-bit processor: so
  addresses are read in halves, times in an upper and a lower part.

What is repeated here, and where it is told in full: agent.capture.address_rows (rows, buckets), agent.capture.lan
(`stays`), .timeouts (`last`), agent.summary.day and .terminals (`see`), agent.vault.record (`pack`), agent.vault.ring
(`append`).
"""

from struct import pack_into

from agent.capture.address_rows import CACHED, LINK, LINKED, LINKED_4, MAC_WORD, NUMBER, ROW, SINCE
from agent.capture.connections import ASSURED
from agent.capture.netlink import HEADER
from agent.recorder.prepared import DOWN, LONG, LONG_DELTA, LONG_DURATION, UP, Prepared
from agent.runtime.sockets import Handed
from agent.summary.day import QUARTER
from agent.summary.metrics import QUARTERS
from agent.summary.terminals import KIB, MOST, OCTETS, QUARTERS_AT
from agent.vault.open_segment import FULL
from agent.vault.record import COLUMN, COUNT, FEW, REST, TERMINALS, UNIT, UNITS, put
from agent.vault.segment import PAGE_HEADER

_SECOND = 1000000000
_QUARTER = QUARTER // UNIT
_FIRST, _REST_AT = PAGE_HEADER + COUNT, PAGE_HEADER + REST
_LAST, _ROOM = _FIRST + COLUMN - 1, FULL + _REST_AT
_PLACES = TERMINALS - 1
# Of a time in ns, its upper 32 bits and the next 24: of 2**32 ns, how many whole ticks
# and what is left, and a tick, in 2**8 ns.
_TICK = UNIT >> 8
_TICKS, _OVER = divmod(1 << 24, _TICK)
TWO = (1 << 14) - 1  # what a varint of two octets holds


class FastPath:
    """The ordinary connections of one stream of events.

    `collaborators` are those that it goes through, `values` the recorder's counters. `plain` says whether everything
    must go the plain way at present: where there is something to do for a connection that this way doesn't know of.
    """

    def __init__(
        self, decoder: "Decoder", collaborators: "Collaborators", values: "dict[str, int]", plain: "Callable[[], bool]"
    ) -> None:
        self._decoder = decoder
        self._holders, self._lan, self._timeouts, self._day, self._terminals, self._ring = collaborators
        self._values = values
        self._plain = plain
        self._prepared = Prepared(decoder, self._timeouts)
        self._erased = self._terminals.erased
        self.left = 0  # of the limit of the last run
        self._handed: "Handed | None" = None

    def _met(self, at: int) -> int:
        """Return the link of the association at a word, made when the first connection comes by; 0 for nobody's."""
        return 0 if self._holders.is_nobodys(at // ROW) else self._holders.link(at // ROW, 0)

    def _entered(self, at: int, begun: int, ended: int) -> int:
        """Return it with its terminal's row in the day's table, if it counts; `begun` and `ended` in units."""
        row = at // ROW
        return self._holders.link(row, self._day.enter(self._holders.address(row), begun * UNIT, ended * UNIT))

    def _unlink(self) -> None:
        """Undo every link where the day's table is another one than they were made for (ANON-7)."""
        if self._erased != self._terminals.erased:
            self._erased = self._terminals.erased
            self._holders.unlink()

    def run(self, inbox: "Inbox", limit: int) -> int:
        """Receive at most `limit` datagrams and handle them, up to the first that isn't ordinary.

        Returns the size of that one, which stands in `view`, or what `more`
        returned instead; 0 where the limit was reached.
        """
        self.left = limit
        if self._plain():
            self.left = limit - 1
            return inbox.more()
        self._unlink()
        return self._run(inbox)

    def one(self, buffer: "bytearray | bytes", length: int) -> int:
        """Handle the datagram at the start of a buffer; returns its length where it isn't ordinary, 0 where it was."""
        handed = self._handed = self._handed or Handed()
        return self.run(handed, 1) if handed.take(buffer, length) else length

    def _run(self, inbox: "Inbox") -> int:  # noqa: C901, PLR0912, PLR0915 (one function is the point)
        # What a connection has. MicroPython is quicker at the first sixteen names of a function.
        row = link = tick = begun = duration = delta = at = nth = up = down = form = seen = half = place = 0
        page: "Any" = None
        # What holds for the whole run, by names of this function: they cost the least.
        find = self._decoder.layouts.get
        forms, sizes, spots = self._prepared.formats, self._prepared.sizes, self._prepared.spots
        table, cache, halves = self._holders.in_place()
        search = self._holders.search
        (near_4, near_6), inside = self._lan.near, self._lan.inside
        changed = max(self._timeouts.changed, self._holders.begun - 1, self._holders.deaf_until - 1)
        changed_high = changed >> 32
        counts, opened, counted = self._day.counts()
        rows, row_words = self._terminals.in_place()
        family, few, two, link_at, second = HEADER, FEW, TWO, LINK, _SECOND
        linked, linked_4, since_at, number_at = LINKED, LINKED_4, SINCE, NUMBER
        which, terminals, room, octets_at, kib_at, full, assured = _PLACES, TERMINALS, _ROOM, OCTETS, KIB, MOST, ASSURED
        f_duration, f_delta, f_up, f_down, f_long, final = LONG_DURATION, LONG_DELTA, UP, DOWN, LONG, _LAST
        column_2, column_3, column_4, most = COLUMN, 2 * COLUMN, 3 * COLUMN, CACHED - 1
        rest_of_high, ticks_of_high, tick_of_low, unit, units, pack = _OVER, _TICKS, _TICK, UNIT, UNITS, pack_into
        left, handled = self.left, 0
        buffer, more = inbox.view, inbox.more
        # The segment that took the last record, and what it goes on with. Ticks
        # count from its start; it has none as yet.
        entry: "Any" = None
        places: "Any" = None
        word3 = start = stop = end = packed = 0
        origin = ticks = before = day = high = low = 0
        message: "Any" = None
        address: "Any" = None
        seconds: "Any" = None
        near = answers = state = status = timed = 0
        # A quarter-hour that was touched lately (ticks), where its octet stands in a row, and its bit.
        quarter, quarter_end, octet, bit = 0, 0, 0, 0
        try:
            while left:
                left -= 1
                size = more()
                if size & 3:
                    return size
                layout = find(size | buffer[family] >> 3 & 1)
                if layout is None:
                    return size
                held, there, wanted, parts = layout.placed
                if held is not buffer or there != wanted:
                    parts = self._prepared.parts(size | buffer[family] >> 3 & 1, buffer)
                    if parts is None:
                        return size
                (
                    message, layout, is_ipv4, near, answers, state, status, timed, address,
                    source_port, destination_port, translated_port, packets_up, bytes_up, packets_down, bytes_down,
                    start, stop, code, least, service_of, service, seconds,
                ) = parts  # fmt: skip

                # Whose it is. Row 0 stands for "none".
                if is_ipv4:
                    if (near_4[buffer[near]] or near_4[buffer[answers]]) and inside(buffer, layout):
                        return size
                    word3 = address[1]
                    row = cache[word3 & most]
                    half = row << 1
                    if halves[half + 6] != word3 or halves[half + 7] != address[0]:
                        row = search(message)
                    link = table[row + link_at]
                    if not link & linked_4:
                        link = self._met(row)
                        if not link & linked_4:
                            return size
                else:
                    if (near_6[buffer[near]] or near_6[buffer[answers]]) and inside(buffer, layout):
                        return size
                    word3 = address[7]
                    row = cache[word3 & most]
                    half = row << 1
                    if (
                        halves[half + 6] != word3
                        or halves[half + 7] != address[6]
                        or halves[half + 4] != address[5]
                        or halves[half + 5] != address[4]
                        or halves[half + 2] != address[3]
                        or halves[half + 3] != address[2]
                        or halves[half] != address[1]
                        or halves[half + 1] != address[0]
                    ):
                        row = search(message)
                    link = table[row + link_at]
                    if not link & linked:
                        link = self._met(row)
                        if not link:
                            return size
                # At most three at once: MicroPython makes a tuple of more.
                source_port, destination_port, translated_port = source_port[0], destination_port[0], translated_port[0]
                packets_up, bytes_up, packets_down = packets_up[0], bytes_up[0], packets_down[0]
                bytes_down, begun, tick = bytes_down[0], start[0], stop[0]
                service = service_of(destination_port, service)

                # When it ended.
                # `duration` is here for how many seconds before that nothing had come, behind it how long it lasted.
                # So far the upper halves of two times, which nearly always tell.
                if begun <= changed_high and message.start <= changed:
                    return size
                if not tick and not message.stop:
                    return size
                if begun <= table[row + since_at]:  # noqa: SIM102 (the numbers below are large)
                    if message.start < (table[row + since_at] << 32 | table[row + since_at + 1]):
                        return size
                if not code:  # TCP
                    state = buffer[state]
                    if state >= len(seconds):
                        return size
                    duration = seconds[state]
                else:
                    duration = seconds[1 if buffer[status] & assured else 0]
                if timed:
                    duration -= message.remaining
                begun -= high
                begun = begun * ticks_of_high + (begun * rest_of_high + message.start_low - low) // tick_of_low
                tick -= high
                tick = tick * ticks_of_high + (tick * rest_of_high + message.stop_low - low) // tick_of_low
                if duration > 0:
                    tick -= duration * units
                if tick < begun:
                    if begun - tick > (duration * units if duration > 0 else 0):
                        return size  # it began after it ended: stamped by two time lines
                    tick = begun

                # Where it is kept.
                if not 0 <= tick < ticks:
                    start, stop = message.start, message.stop
                    end = max(stop - max(duration, 0) * second, start)
                    if entry is not None:
                        entry.resume(at - _REST_AT, before, handled - packed)
                    entry, packed = self._ring.segment_for(end), handled
                    ticks = quarter_end = 0
                    if entry is None:
                        return size
                    page, places = entry.page, entry.packer.places
                    at, nth = entry.used + _REST_AT, entry.held + _FIRST
                    before, origin = entry.packer.end, entry.packer.origin
                    tick, begun, ticks = end // unit - origin, start // unit - origin, self._ring.width * units
                    day, high, low = opened // unit - origin, origin * unit >> 32, origin * unit >> 8 & 0xFFFFFF
                duration = tick - begun
                key = table[row + number_at]
                place = key & which
                known = places[place] == key
                delta = tick - (places[place + terminals] if known else before) << 1
                if delta < 0:
                    delta = -delta - 1
                up, down = bytes_up - packets_up * least, bytes_down - packets_down * least
                if at > room or nth > final or duration | delta > two or up < 0 or down < 0:
                    return size
                if counts and link < 8:
                    link = self._entered(row, begun + origin, tick + origin)
                    if link < 8:
                        return size

                # It is ordinary: nothing was written so far. What the day's table has of its terminal:
                if counts:
                    seen = link >> 3 << 5
                    if begun < quarter or tick >= quarter_end:
                        first = max((begun - day) // _QUARTER, counted)
                        last = min((tick - day) // _QUARTER, QUARTERS - 1)
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
                        volume = bytes_up + bytes_down + row_words[seen + octets_at]
                        row_words[seen + octets_at] = volume & 1023
                        if volume > 1023:
                            volume = row_words[seen + kib_at] + (volume >> 10)
                            row_words[seen + kib_at] = volume if volume < full else full

                # The record. Of a varint of two octets the first one stands in the upper half.
                head = service * 5 + code << 2
                form = rest = 0
                if duration > 127:
                    duration = (duration & 127 | 128) << 8 | duration >> 7
                    form = f_duration
                if delta > 127:
                    delta = (delta & 127 | 128) << 8 | delta >> 7
                    form |= f_delta
                if up > two:
                    form |= f_long
                else:
                    if up > 127:
                        up = (up & 127 | 128) << 8 | up >> 7
                        form |= f_up
                    if down > 127:
                        rest = down >> 14
                        down = (down & 127 | 128) << 8 | down >> 7 & 127 | (128 if rest else 0)
                        form |= f_down
                page[nth] = place
                page[nth + column_4] = source_port >> 8
                if known and packets_up < few and packets_down < few and translated_port == source_port:
                    page[nth + column_2] = head
                    page[nth + column_3] = packets_up << 4 | packets_down
                else:
                    if not known:
                        head |= 1
                        places[place] = key
                        mac, rest_of_mac = table[row + MAC_WORD], table[row + MAC_WORD + 1] & 0xFFFF
                        pack_into("<BIH", page, at, 4 if is_ipv4 else 16, mac, rest_of_mac)
                        if is_ipv4:
                            pack_into(">I", page, at + 7, message.word3)
                            at += 11
                        else:
                            pack_into(">IIII", page, at + 7, message.word0, message.word1, message.word2, message.word3)
                            at += 23
                    if translated_port != source_port:
                        head |= 2
                        pack_into(">H", page, at, translated_port)
                        at += 2
                    page[nth + column_2] = head
                    page[nth + column_3] = (packets_up if packets_up < few else few) << 4 | (
                        packets_down if packets_down < few else few
                    )
                    if packets_up >= few:
                        packets_up -= few
                        if packets_up < 128:
                            page[at] = packets_up
                            at += 1
                        else:
                            at = put(page, at, packets_up)
                    if packets_down >= few:
                        packets_down -= few
                        if packets_down < 128:
                            page[at] = packets_down
                            at += 1
                        else:
                            at = put(page, at, packets_down)
                if not sizes[form]:
                    self._prepared.make_form(form)
                if form < f_long:
                    pack(forms[form], page, at, duration, delta, source_port & 255, up, down)
                    at += sizes[form]
                else:
                    pack(forms[form], page, at, duration, delta, source_port & 255)
                    at = put(page, put(page, at + sizes[form], up), down)
                if rest:
                    if rest < 128:
                        page[at] = rest
                        at += 1
                    else:
                        at = put(page, at, rest)
                before = places[place + terminals] = tick
                nth += 1
                handled += 1
        finally:
            if entry is not None:
                entry.resume(at - _REST_AT, before, handled - packed)
            self._values["connections"] += handled
            self._values["kept"] += handled
            self._decoder.connections += handled
            self._decoder.reader.datagrams += handled
            self.left = left
        return 0


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Protocol

    from agent.capture.address_table import AddressTable
    from agent.capture.connections import Decoder
    from agent.capture.lan import Lan
    from agent.capture.timeouts import Timeouts
    from agent.summary.day import AgentDay
    from agent.summary.terminals import Terminals
    from agent.vault.ring import Ring

    Collaborators = tuple[AddressTable, Lan, Timeouts, AgentDay, Terminals, Ring]

    class Inbox(Protocol):
        """Where datagrams arrive, one at a time, each at the start of `view`."""

        view: Any

        @property
        def more(self) -> Callable[[], int]:
            """Receive the next one: its size, or -errno."""
            ...
