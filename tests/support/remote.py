# SPDX-License-Identifier: Apache-2.0
"""The agent's modules behind a pipe: one JSON line in, `[call, argument, ...]`, one JSON line out.

`tests.support.interpreters.Remote` runs it on CPython, MicroPython or MIPS, so that one test asks all of them the same.
Octets travel as hex. A connection is a list in the order of ROW. `die` ends the process with SIGKILL inside a later
call.
"""

import binascii
import json
import struct

from agent import law
from agent.capture import address_rows
from agent.capture import lan as lan_room
from agent.capture.address_table import ADDRESSES, AddressTable
from agent.capture.connections import Decoder, source_of
from agent.capture.lan import Lan
from agent.capture.neighbours import Neighbours
from agent.config import config, uci
from agent.config.reader import ConfigError
from agent.control import calls
from agent.outbox.spool import Spool
from agent.recorder.recorder import Recorder
from agent.runtime import files, memory
from agent.runtime.libc import native, words
from agent.runtime.sodium import SealError, Sodium, Stream
from agent.summary import messages, services
from agent.summary.ledger import Ledger
from agent.summary.metrics import MESSAGES, METRICS
from agent.summary.noise import Sampler
from agent.summary.terminals import Terminals
from agent.vault import expiry, reading, record, ring, windows
from agent.vault.keys import KeyRing, Slot
from agent.vault.record import COLUMN, COLUMNS, COUNT, LARGEST, REST, TERMINALS, Packer
from agent.vault.unpacker import Unpacker
from host_sim.driver import first_boot
from tests.support.pipe import serve

SYSCTL = {"events": 1, "acct": 1, "timestamp": 1, "tcp_timeout_established": 7440}

ROW = (
    "protocol",
    "source",
    "source_port",
    "translated_port",
    "service",
    "packets_up",
    "packets_down",
    "bytes_up",
    "bytes_down",
)
PAGE = 50  # records of one answer
UNIT = 100000000  # ns
_SIGKILL = 9
_held: "dict[str, Any]" = {}  # the modules that are open, by name


class _Exhausted(Exception):
    pass


class Tape:
    """Randomness that is handed in."""

    def __init__(self, octets: str) -> None:
        self.octets = bytes(int(octets[at : at + 2], 16) for at in range(0, len(octets), 2))
        self.at = 0

    def __call__(self, count: int) -> bytes:
        """Return the next octets."""
        if self.at + count > len(self.octets):
            raise _Exhausted
        self.at += count
        return self.octets[self.at - count : self.at]


class _Time:
    def __init__(self, boot: str) -> None:
        self.boot = boot
        self.now = self.since = 0

    def wall(self) -> int:
        return self.now

    def monotonic(self) -> int:
        return self.since


def _octets(text: str) -> bytes:
    return Tape(text).octets


def _hex(data: "bytes | bytearray | memoryview") -> str:
    return "".join("%02x" % octet for octet in data)


class Holder:
    """Who held an address, as `AddressTable.find` answers: told apart by address and MAC."""

    def __init__(self, address: bytes, mac: bytes) -> None:
        self.key = binascii.crc32(address + mac) or 1
        self._mac = mac

    def mac(self) -> bytes:
        """Return the MAC."""
        return self._mac

    def octet(self, number: int) -> int:
        """Return one of the MAC's 6 octets."""
        return self._mac[number]


class Connection:
    """A connection as the decoder tells it: its source and start (ns), and what a row has."""

    def __init__(self, source: bytes, start: int) -> None:
        self.family = 2 if len(source) == 4 else 10
        self.word0, self.word1, self.word2, self.word3 = struct.unpack(">4I", bytes(16 - len(source)) + source)
        self.start = start


def connection(row: "list[Any]", unit: int = 1) -> "Any":
    """Return a connection of a row whose start, in units of so many ns, follows the MAC."""
    made: "Any" = Connection(_octets(row[1]), row[10] * unit)
    for name, value in zip(ROW, row):
        setattr(made, name, value)
    made.destination_port = ~row[ROW.index("service")]
    return made


# A row names its class, where a connection has the port that the class follows from.
def _class_of(protocol: int, port: int) -> int:
    return ~port if port < 0 else services.service_of(protocol, port)


setattr(record, "service_of", _class_of)  # noqa: B010 (typed)


def page() -> bytearray:
    """Return a page with room for one record's rest, from the number of records on."""
    return bytearray(REST + LARGEST)


def packed(packer: Packer, view: bytearray, row: "list[Any]", unit: int = UNIT) -> str:
    """Pack a row as the only one of a page, its times in units of so many ns.

    Returns its octet of each column, then its rest.
    """
    end = packer.pack(REST, 0, connection(row, unit), holder(row), row[11] * unit)
    return _hex(bytes(view[COUNT + column * COLUMN] for column in range(COLUMNS)) + view[REST:end])


def places() -> "Any":
    """Return an empty dictionary of a packer."""
    return words(memory.scratch(8 * TERMINALS).view, 8 * TERMINALS)


def holder(row: "list[Any]") -> "Holder | None":
    """Return the terminal of a row, None where its MAC is unknown."""
    return Holder(_octets(row[1]), _octets(row[9])) if int(row[9], 16) else None


def _plain(record: "Record") -> str:
    """Return a record as text, in the order of a connection: a small heap holds some hundreds of these."""
    row: "list[Any]" = [
        record.protocol,
        _hex(record.address),
        record.source_port,
        record.translated_port,
        record.service,
    ]
    row += [record.packets_up, record.packets_down, record.bytes_up, record.bytes_down]
    return " ".join(str(value) for value in row + [_hex(record.mac), record.start, record.start + record.duration])


def laplace(numerator: int, denominator: int, octets: str) -> "list[int]":
    """Draw until the octets are used up."""
    tape, values = Tape(octets), []
    sampler = Sampler(tape)
    try:
        while True:
            values.append(sampler.laplace((numerator, denominator)))
    except _Exhausted:
        return values


def classes(pairs: "list[list[int]]") -> "list[int]":
    """Return the service class of each protocol and port."""
    return [services.service_of(protocol, port) for protocol, port in pairs]


def summary(day: int, slot: int, start: int, end: int, value: int) -> str:
    """Return a summary message."""
    metric = METRICS[-1]
    return messages.summary("a" * 16, metric, day, slot, start, end, [value] * len(metric.cells), (2000, 999)).decode()


def settings(path: str) -> "dict[str, Any]":
    """Return the canonical form of a configuration and its digest, or the line that refuses it."""
    try:
        read = config.load(path)
    except ConfigError as refused:
        return {"refused": str(refused)}
    return {"canonical": read.canonical, "digest": _hex(Sodium().digest(read.canonical.encode(), 8))}


def pack(window: int, rows: "list[list[Any]]") -> "list[str]":
    """Pack records one by one; returns the octets of each: one of each column, then its rest."""
    view = page()
    packer = Packer(window, places(), view)
    return [packed(packer, view, row) for row in rows]


def unpack(window: "int | None", chunks: "list[str]") -> "list[str]":
    """Unpack a segment's chunks; without a window they go on where the last call ended."""
    unpacker = _held["unpacker"] = _held["unpacker"] if window is None else Unpacker(window)
    rows = []
    for text in chunks:
        chunk = bytearray(_octets(text))
        rows += [_plain(record) for record in unpacker.unpack(chunk, len(chunk))]
    return rows


def vault_open(root: str, lifetime: int, budget: int, boot: str) -> "dict[str, Any]":
    """Open the ring of `security` below a root; losses are told by later calls."""
    base = root + "/var/run/oubli"
    files.make_folder(base + "/vault/security", 0o700)
    lost: "list[list[Any]]" = []
    sodium = Sodium()
    keys = KeyRing(base + "/keys", windows.slots_for(lifetime, budget), boot, sodium)
    number = law.number("security")
    lose = lambda cause, records: lost.append([cause, records])  # noqa: E731 (one expression)
    store = ring.Ring(base + "/vault/security", keys, sodium, number, lifetime, budget, boot, lose)
    _held["vault"] = (store, keys, lost)
    return {"torn": len(store.torn), "lost": lost}


def vault_append(rows: "list[list[Any]]", wall: int, monotonic: int) -> "dict[str, Any]":
    """Append connections (start and end in ns); returns each one's result and the losses."""
    store, _, lost = _held["vault"]
    store.now(wall, monotonic)
    results = []
    for row in rows:
        made = connection(row)
        results.append(store.append(made, holder(row), row[11]))
    return {"results": results, "lost": _taken(lost)}


def vault_tick(wall: int, monotonic: int, trusted: bool) -> "dict[str, Any]":
    """Close and destroy what is due."""
    store, _, lost = _held["vault"]
    gone = store.tick(wall, monotonic, trusted=trusted)
    late = store.late(wall if trusted else None, monotonic)
    return {"gone": gone, "late": late, "lost": _taken(lost), "status": store.status(monotonic)}


def vault_without(*macs: str) -> "dict[str, Any]":
    """Seal every segment anew without these terminals; returns how many records went of each, and the losses."""
    from agent.purposes.erasure.rounds import without

    store, _, lost = _held["vault"]
    gone = list(without(store, {_octets(mac) for mac in macs}))
    return {"gone": gone, "lost": _taken(lost)}


def vault_destroy_due(root: str, boot: str, monotonic: int) -> int:
    """Destroy what is due below a root, as each start does; returns how many segments."""
    return expiry.destroy_due(root, boot, monotonic)


def vault_close() -> None:
    """Close in order."""
    store, keys, _ = _held.pop("vault")
    store.close()
    keys.close()


def _taken(lost: "list[list[Any]]") -> "list[list[Any]]":
    taken = list(lost)
    lost[:] = []
    return taken


def read(root: str, wall: int, monotonic: int, skip: int) -> "dict[str, Any]":
    """Read PAGE records of the vault from outside after the first `skip`.

    What was read before a SealError is told with it.
    """
    rows: "list[str]" = []
    count = 0
    records: "Any" = reading.read(root, "security", wall, monotonic)
    try:
        for record in records:
            count += 1
            if count > skip + PAGE:
                break
            if count > skip:
                rows.append(_plain(record))
    except SealError:
        return {"rows": rows, "refused": True, "more": False}
    finally:
        records.close()  # MicroPython doesn't end a generator that is given up
    return {"rows": rows, "refused": False, "more": count > skip + PAGE}


def terminals_open(path: str, rows: int, boot: str) -> int:
    """Open the day's table; returns the day that is open in it."""
    table = _held["terminals"] = Terminals(path, rows, boot, Sodium())
    return table.day


def terminals_day(day: int, first: int, end: int, key: str = "") -> None:
    """Open a day, with a key that is given instead of a random one."""
    table = _held["terminals"]
    table.open_day(day, first, end, (1, 2, 3, 4, 5))
    if key:
        table._view[64:80] = _octets(key)


def terminals_see(sightings: "list[list[Any]]") -> "dict[str, Any]":
    """Count connections, each [MAC, hour, first and last quarter-hour, service, octets].

    Returns the cells of every message.
    """
    table = _held["terminals"]
    for mac, hour, first, last, service, volume in sightings:
        table.see(_octets(mac), hour, first, last, service, volume)
    cells: "dict[str, list[int]]" = {}
    for metric in METRICS:
        cells[metric.name] = []
        for slot in range(metric.slots):
            cells[metric.name] += table.count(metric, slot)
    return {"cells": cells, "used": table.used(), "filled": table.filled()}


def terminals_mark(cells: "list[int]") -> "list[bool]":
    """Mark cells; returns which are marked then."""
    table = _held["terminals"]
    for cell in cells:
        table.mark(cell)
    return [table.drawn(cell) for cell in range(MESSAGES)]


def terminals_erase() -> None:
    """End the day."""
    _held["terminals"].erase()


def terminals_close() -> None:
    """Unmap."""
    _held.pop("terminals").close()


def ledger(path: str, steps: "list[list[Any]]") -> "dict[str, Any]":
    """Open the ledger at a path and take steps: ["start", day, epsilon, ceiling], ["hour", high water], ["new"]."""
    said: "list[str]" = []
    book = Ledger(path, said.append)
    results: "list[bool | None]" = []
    for step in steps:
        if step[0] == "start":
            results.append(book.start(step[1], step[2], step[3]))
        elif step[0] == "new":
            results.append(book.begin())
        else:
            book.hour(step[1])
            results.append(None)
    return {"results": results, "values": book.values, "log": said}


def spool(path: str, octets: int, days: int, steps: "list[list[Any]]") -> "dict[str, Any]":
    """Open a spool and take steps: ["put", due, slot, text], ["trim", now], ["sent", asked].

    Since "sent" a forwarder removes a message when its size is asked for: just before it, or (asked > 0) just after
    the size of one was asked for so many times. Returns what each did, the names and the drops.
    """
    spooled, failures, size_of, left = Spool(path, octets, days), [], files.size_of, [0]

    def sent(path: "str | bytes") -> int:
        left[0] -= 1
        size = size_of(path) if left[0] >= 0 else 0
        if left[0] <= 0:
            files.remove(path)
        return size or size_of(path)

    for step in steps:
        try:
            if step[0] == "put":
                spooled.put(step[1], "arrivals", step[2], step[3].encode())
            elif step[0] == "sent":
                files.size_of, left[0] = sent, step[1]
            else:
                spooled.trim(step[1])
        except OSError as failure:
            failures.append(failure.errno)
    files.size_of = size_of
    return {"names": spooled.names(), "dropped": spooled.dropped, "failures": failures}


def recorder_open(path: str, root: str, boot: str, wall: int, monotonic: int, octets: str) -> None:
    """Start a recorder at a time, with the octets that its noise is drawn from ("": the system's)."""
    source = _Time(boot)
    said: "list[str]" = []
    source.now, source.since = wall, monotonic
    words: "dict[str, Any]" = {"log": said.append, "sysctl": SYSCTL.get, "network": dict}
    words["random"] = bytes  # zeros: nothing waits for its moment
    if octets:
        words["sampler"] = Sampler(Tape(octets))
    first_boot.new_device(root)
    _held["recorder"] = (Recorder(config.load(path), root, source, **words), source, said)


def recorder(steps: "list[list[Any]]") -> "dict[str, Any]":
    """Take steps: ["time", wall, monotonic] (the timers run), ["confirm"], ["datagram", octets], "neighbour", "live".

    ["listed"] ends the listing of links, addresses and neighbours, ["neighbour_overrun"] begins another one, ["call",
    name] makes a call of the control socket. ["sysctl", name, value] changes a setting of connection tracking.
    """
    agent, source, said = _held["recorder"]
    for step in steps:
        if step[0] == "time":
            source.now, source.since = step[1], step[2]
            agent.tick()
        elif step[0] == "confirm":
            agent.confirm_time()
        elif step[0] == "sysctl":
            SYSCTL[step[1]] = step[2]
        elif step[0] == "call":
            calls.answer(agent, json.dumps({"v": 1, "call": step[1]}).encode(), (calls.ROOT,))
        elif step[0] == "listed":
            while agent.streams.neighbour_request():
                agent.streams.neighbour(struct.pack("IHHIIi", 20, 3, 2, 1, 0, 0), 20)
        elif step[0] == "neighbour_overrun":
            agent.streams.neighbour_overrun()
        else:
            data = _octets(step[1])
            take = agent.streams.live_table.datagram if step[0] == "live" else getattr(agent.streams, step[0])
            take(data, len(data))
    return {"status": agent.status(), "log": _taken(said)}


def recorder_close() -> None:
    """Stop it in order."""
    _held.pop("recorder")[0].close()


def addresses_open(limit: int, begun: int = 0) -> None:
    """Make a table of associations."""
    _held["addresses"] = AddressTable(limit, begun)


def _is(wanted: bytes) -> "Any":
    return lambda address: address == wanted


def addresses(steps: "list[list[Any]]") -> "dict[str, Any]":
    """Take steps: ["find", address, start], ["holder", address] and ["user", address] answer the MAC or None.

    So does "named", of who is surely found. ["late", ns] sets how late what comes may be, ["forget", address, ns]
    forgets one, ["sweep", "listing"] sweeps while all are listed anew. One more word of "another" says so, too.
    Others are the table's own calls. Returns answers and counts.
    """
    table, answers = _held["addresses"], []
    for step in steps:
        call = step[0]
        rest: "list[Any]" = [_octets(word) if isinstance(word, str) else word for word in step[1:]]
        if call in ("find", "named", "needed"):
            found = table.find(Connection(*rest))
            if call != "needed":
                answers.append(_hex(found.mac()) if found and (call == "find" or found.sure) else None)
            elif found:
                table.needed(found.row, named=found.sure)
        elif call in ("holder", "user"):
            held = getattr(table, call)(*rest)
            answers.append(_hex(held) if held else None)
        elif call == "late":
            table.late = rest[0]
        elif call == "learn":
            table.learn(*rest[:3], quiet=len(rest) > 3)
        elif call == "sweep":
            table.sweep(whole=not rest)
        elif call == "another":
            table.another(*rest[:3], listing=len(rest) > 3)
        elif call == "forget":
            table.forget(_is(rest[0]), rest[1])
        else:
            getattr(table, call)(*rest)
    counts = {
        "handed_over": table.handed_over,
        "given_up": table.given_up,
        "held": table.held(),
    }
    return {"answers": answers, "counts": counts}


def addresses_flood(count: int, start: int) -> int:
    """Let a guest under many MACs take `count` addresses that differ from bit `start` on.

    Returns the longest chain of a bucket.
    """
    table = _held["addresses"]
    for number in range(count):
        table.learn((number << start).to_bytes(16, "big"), b"\2\0\0\0" + (number // ADDRESSES).to_bytes(2, "big"), 1)
    longest = 0
    for bucket in range(table._mask + 1):
        row, length = table._heads[bucket], 0
        while row:
            row, length = table._words[row * address_rows.ROW + address_rows.NEXT], length + 1
        longest = max(longest, length)
    return longest


def addresses_chained(count: int) -> int:
    """Let `count` addresses pass to NOBODY; returns how many rows stand in buckets of MACs."""
    table, found = _held["addresses"], 0
    for number in range(count):
        for mac in (b"\2\0\0\0" + number.to_bytes(2, "big"), bytes(6)):
            table.learn(number.to_bytes(4, "big"), mac, 1)
    for bucket in range(table._macs, 2 * table._macs):
        row = table._heads[bucket]
        while row:
            row, found = table._words[row * address_rows.ROW + address_rows.NEXT_OF_MAC], found + 1
    return found


def addresses_close() -> "list[bool]":
    """Close it; says of each of its regions whether it holds nothing but zeros when it is unmapped."""
    table, empty = _held.pop("addresses"), []
    unmap = memory.Region.close

    def look(region: memory.Region) -> None:
        empty.append(not any(region.view))
        unmap(region)

    owner: "Any" = memory.Region
    owner.close = look
    table.close()
    owner.close = unmap
    return empty


def lan(names: "list[str]", datagrams: "list[str]", events: "list[str]") -> "dict[str, Any]":
    """Follow rtnetlink datagrams, then say each connection's side and whether it stays.

    Instead of a datagram: "", a listing begins anew.
    """
    table, told, asked, forgets = AddressTable(256), [], 0, [0]
    forget = table.forget

    def forgotten(gone: "Any", now: int) -> None:
        forgets[0] += 1
        forget(gone, now)

    table.forget = forgotten  # type: ignore[method-assign]
    lan = Lan(names, table, lambda: 9)
    follower = Neighbours(lan)
    for text in datagrams:
        if text:
            follower.feed(_octets(text), len(text) // 2)
        else:
            follower.restart()
        while follower.request():
            asked += 1

    decoder = Decoder()

    def say(one: "Any") -> None:
        found = table.find(one)
        source = source_of(one)
        mac = _hex(found.mac()) if found else None
        told.append([lan.side(source), lan.stays(decoder), mac, table.holder(source) is not None])

    for text in events:
        decoder.feed(_octets(text), len(text) // 2, say)
    held, rowless = table.held(), table._rowless
    table.close()
    present = len(lan.missing) < len(lan.names)
    return {"told": told, "present": present, "held": held, "asked": asked, "forgets": forgets[0], "rowless": rowless}


def within(pairs: "list[list[Any]]") -> "list[bool]":
    """Say of each address, prefix and number of bits whether it lies within.

    The address stands between other octets.
    """
    return [
        lan_room._within(bytes((255,)) + _octets(one) + bytes((0,)), 1, len(one) // 2, _octets(of), bits)
        for one, of, bits in pairs
    ]


def devices(names: "list[str]", path: str) -> "list[str]":
    """Return the interfaces that names stand for, by a network file."""
    return uci.devices(names, path)


def die(instant: int, packing: bool = True) -> None:
    """End by SIGKILL before or after one of the steps that change a file or a mapped page, counted from 1.

    Without `packing`, the steps of packing a record into an open page aren't counted.
    """
    count = [0]
    process = native.library(None)
    kill, own = native.function(process, "i", "kill", "ii"), native.function(process, "i", "getpid", "")

    def pass_instant() -> None:
        count[0] += 1
        if count[0] == instant:
            kill(own(), _SIGKILL)

    def step(owner: "Any", name: str) -> None:
        act = getattr(owner, name)

        def acted(*arguments: "Any", **named: "Any") -> "Any":
            pass_instant()
            result = act(*arguments, **named)
            pass_instant()
            return result

        setattr(owner, name, acted)

    for owner, name in (
        (files, "open_file"),
        (files, "write_all"),
        (files, "truncate"),
        (files, "remove"),
        (files, "write_atomic"),
        (files, "sync_folder"),
        (memory, "copy"),
        (Slot, "save"),
        (Slot, "prepare"),
        (Slot, "commit"),
        (Sodium, "zero"),
        (Sodium, "random"),
        (Stream, "push"),
        (Terminals, "mark"),
        (Terminals, "open_day"),
        (Spool, "put"),
        (Ledger, "save"),
    ):
        step(owner, name)
    if packing:
        step(Packer, "pack")


CALLS = (
    laplace, classes, summary, settings, pack, unpack, vault_open, vault_append, vault_tick, vault_without,
    vault_destroy_due, vault_close, read, terminals_open, terminals_day, terminals_see, terminals_mark,
    terminals_erase, terminals_close, ledger, spool, recorder_open, recorder, recorder_close, addresses_open,
    addresses, addresses_flood, addresses_chained, addresses_close, lan, within, devices, die,
)  # fmt: skip


def main() -> None:
    """Answer until the pipe closes."""
    serve(CALLS)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.vault.record import Record

if __name__ == "__main__":
    main()
