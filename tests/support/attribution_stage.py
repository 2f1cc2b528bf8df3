# SPDX-License-Identifier: Apache-2.0
"""The modules of `attribution`, `billing` and requests behind a pipe, on any interpreter. Octets travel as hex."""

import binascii

from agent.capture import address_table
from agent.capture.connections import source_of
from agent.purposes import believed_time, deferred_purposes
from agent.purposes.attribution import attribution, blocks, holdings
from agent.purposes.attribution import record as attribution_records
from agent.purposes.attribution.nftables import Refused, Table
from agent.purposes.billing import billing
from agent.purposes.billing import record as billing_records
from agent.purposes.custodian.varint import Cut
from agent.purposes.device_key import Signer
from agent.purposes.portal import opennds, sessions
from agent.purposes.requests import executor, requests
from agent.runtime import sockets
from agent.runtime.clocks import DeviceTime
from agent.runtime.sodium import Sodium
from tests.support.pipe import serve

NOON = 1795003200
_held: "dict[str, Any]" = {}


def _octets(text: str) -> bytes:
    return binascii.unhexlify(text)


def _hex(data: bytes) -> str:
    return binascii.hexlify(data).decode()


def _row(record: "Any") -> "list[Any]":
    who = [_hex(record.address), _hex(record.mac), _hex(record.portal_user), record.start, record.end, record.confirmed]
    return [record.protocol, _hex(record.public_address), record.first, record.last] + who


def pack_attribution(row: "list[Any]") -> str:
    """Pack one record, given as `_row` writes it."""
    protocol, public, first, last, address, mac, user, start, end, confirmed = row
    record = attribution_records.Record(
        protocol,
        _octets(public),
        first,
        last,
        _octets(address),
        _octets(mac),
        start,
        end,
        _octets(user),
        confirmed=confirmed,
    )
    return _hex(attribution_records.pack(record))


def unpack_attribution(data: str) -> "list[Any] | None":
    """Unpack one record, None for octets that are none."""
    try:
        return _row(attribution_records.unpack(_octets(data)))
    except Cut:
        return None


def pack_billing(row: "list[Any]") -> str:
    """Pack one session: portal user, MAC, start, end, bytes up and down, confirmed."""
    user, mac, start, end, up, down, confirmed = row
    return _hex(
        billing_records.pack(
            billing_records.Record(_octets(user), _octets(mac), start, end, up, down, confirmed=confirmed)
        )
    )


def unpack_billing(data: str) -> "list[Any] | None":
    """Unpack one session, None for octets that are none."""
    try:
        record = billing_records.unpack(_octets(data))
    except Cut:
        return None
    who = [_hex(record.portal_user), _hex(record.mac)]
    return who + [record.start, record.end, record.bytes_up, record.bytes_down, record.confirmed]


class _Kernel:
    """A table that notes what it is told, and refuses where it is told to."""

    def __init__(self) -> None:
        self.calls: "list[list[Any]]" = []
        self.refuses = False

    def _note(self, *words: "Any") -> None:
        if self.refuses:
            raise Refused(2)
        self.calls.append(list(words))

    def load(self, rest: "tuple[int, int]") -> None:
        """Note it."""
        self._note("load", rest[0], rest[1])

    def stands(self) -> bool:
        """Say that nobody took it away."""
        return True

    def remove(self) -> None:
        """Note it."""
        self._note("remove")

    def give(self, address: bytes, block: int, first: int, last: int) -> None:
        """Note it."""
        self._note("give", _hex(address), block, first, last)

    def take(self, address: bytes, block: int) -> None:
        """Note it."""
        self._note("take", _hex(address), block)


def blocks_open(folder: str, size: int, now: int, user_of: "dict[str, str]") -> None:
    """Open the map of a folder, with a table of its own that only takes notes."""
    rows: "list[list[Any]]" = []
    _held["kernel"], _held["rows"], _held["users"], _held["full"] = _Kernel(), rows, user_of, False

    def write(record: "Any") -> bool:
        if _held["full"]:
            return False
        rows.append(_row(record))
        return True

    def user(mac: bytes, start: int) -> bytes:
        name, since = _held["users"].get(_hex(mac), ["", 0])
        return name.encode() if start > since else b""

    _held["blocks"] = blocks.Blocks(folder + "/map", folder + "/marks", size, _held["kernel"], write, user, now)


def _holder(address: bytes) -> bytes:
    return _octets(_held.get("holders", {}).get(_hex(address), ""))


def blocks_do(steps: "list[list[Any]]") -> "list[Any]":
    """Do steps in order; returns what those answer that have an answer."""
    dealt, answers = _held["blocks"], []
    for step in steps:
        name, rest = step[0], step[1:]
        if name == "hold":
            dealt.hold(_octets(rest[0]), _octets(rest[1]), rest[2], rest[3])
        elif name == "resume":
            dealt.rows.resume(rest[0], rest[1])
        elif name == "covers":
            answers.append(dealt.covers(_octets(rest[0]), rest[1], _octets(rest[2]), rest[3], rest[4]))
        elif name == "look":
            answers.append(dealt.tick(rest[0], rest[1], _holder, holdings.OVER))
        elif name in ("tick", "deal"):
            _held["holders"] = rest[2]
            turns = ((dealt.deal, ()), (dealt.tick, (holdings.OVER,)), (dealt.deal, ()))
            for turn, over in turns if name == "tick" else turns[:1]:
                turn(rest[0], rest[1], _holder, *over)
        elif name == "public":
            dealt.rows.restate_public(_octets(rest[0]), rest[1], rest[2], _holder)
        elif name == "restate":
            dealt.rows.restate(rest[0], rest[1], rest[2], ended=rest[3])
        elif name in ("users", "full"):
            _held[name] = rest[0]
        elif name == "refuses":
            _held["kernel"].refuses = rest[0]
        elif name in ("status", "remembered"):
            whose = [dealt.map.users.get(block, b"").decode() for block in dealt.map.users.known()]
            answers.append(dealt.status() if name == "status" else whose)
        elif name in ("kernel", "rows"):
            noted = _held["kernel"].calls if name == "kernel" else _held["rows"]
            answers.append(noted[:])
            del noted[:]
        else:
            getattr(dealt, name)(*rest)
    return answers


class _DeferredPurposes(deferred_purposes.DeferredPurposes):
    """What the recorder does for `attribution`, of which only blocks and terminals are there."""

    suspended = False

    def __init__(self, dealt: "Any", terminals: "Any") -> None:
        self.attribution = attribution.Attribution(lambda _start, _octets: "kept", lambda _mac, _start: b"")
        kept = self.attribution
        kept.holdings = holdings.Holdings(dealt, kept.keep_row, lambda _mac, _start: b"", terminals.known_since)
        self.billing = None
        clock: "Any" = _Clock()
        self._lines = clock.lines
        self._holders = terminals
        self._count = lambda _name: None
        self._time = believed_time.BelievedTime(clock, kept, lambda: None, 1000)
        self._time.wall = NOON


class _Lines:
    """The only one of a clock that nobody has stepped."""

    stepped = False


class _Clock:
    """One that nobody has stepped."""

    lines = _Lines()
    trusted = once = confirmed = missed = refused = floor = 0


class _Connection:
    """A connection as far as `attribution` looks at it; a decoder, too."""

    family, protocol, start, translated_port = 2, 17, NOON * 1000000000, 20000
    word0, word1, word2, word3 = 0, 0, 0xFFFF, 0x0A00000A

    def public(self) -> bytes:
        return bytes((203, 0, 113, 2))


def blocks_heard(alive: bool, sweeps: int) -> "list[int]":
    """Learn a terminal, which the kernel forgets, dump the table so often; then one connection ends or lasts.

    Returns blocks held.
    """
    terminals, address, mac = address_table.AddressTable(64), bytes((10, 0, 0, 10)), bytes((2, 0, 0, 0, 0, 1))
    made = _DeferredPurposes(_held["blocks"], terminals)
    one: "Any" = _Connection()
    terminals.learn(address, mac, NOON * 1000000000)
    terminals.leave(address)
    for _ in range(sweeps):
        terminals.sweep()
    terminal: "Any" = terminals.find(one)
    before = _held["blocks"].status()["held"]
    if alive:
        made.alive(one, one, terminal, 0)
    else:
        made.connection(one, one, terminal, NOON * 1000000000)
    return [before, _held["blocks"].status()["held"]]


def own_addresses(steps: "list[list[Any]]") -> "list[Any]":
    """Hand connections of IPv6, (source, public, MAC, start, end in s), to a purpose in mode blocks.

    No public one: the terminal holds the address from now on; "missed": word of who does was, until start. A sixth
    word is False where another has had it since.
    Returns answers, then rows.
    """
    rows: "list[Any]" = []

    def append(begins: int, data: bytes) -> str:
        rows.append([begins // 86400] + _row(attribution_records.unpack(data)))
        return "kept"

    purpose = attribution.Attribution(append, lambda _mac, _start: b"")
    purpose.holdings = holdings.Holdings(_NoBlocks(), purpose.keep_row, lambda _mac, _start: b"", lambda: known[0])  # type: ignore[arg-type]
    answers, known = [], [0]
    for source, public, mac, start, end, *newest in steps:
        if source == "missed":
            known[0] = start * 1000000000
            continue
        if source is None:
            purpose.holdings.tick(start, start, lambda _address: b"")
            continue
        if public is None:
            purpose.holdings.hold(_octets(source), _octets(mac), start or 0, start or 0)
            continue
        connection, holder = _Made(start * 1000000000), _Holder(_octets(mac))
        holder.newest = newest != [False]
        here, there = _octets(source), _octets(public)
        answer = purpose.connection(connection, here, there, holder, end * 1000000000, end)  # type: ignore[arg-type]
        answers.append(answer)
    return answers + rows


def logged_in(folder: str, steps: "list[list[Any]]") -> "list[Any]":
    """Let users of a terminal log in and out while its connections go on, in both purposes; no port block is left.

    Steps: `at` wall clock and time since boot in s, `session`, `tick`. And `connection` from start to end, `lasts`
    since start, each with a family, IPv6 by its own address. Returns the rows of attribution, then those of billing.
    """
    attributed: "list[Any]" = []
    billed: "list[Any]" = []

    def append(begins: int, data: bytes) -> str:  # noqa: ARG001
        attributed.append(_row(attribution_records.unpack(data)))
        return "kept"

    def bill(begins: int, data: bytes) -> str:  # noqa: ARG001
        billed.append(unpack_billing(_hex(data)))
        return "kept"

    made, holder = _DeferredPurposes(_NoBlocks(), address_table.AddressTable(64)), _Holder(bytes((2, 0, 0, 0, 0, 1)))
    made.sessions = sessions.Sessions()
    purpose = made.attribution = attribution.Attribution(append, made._user)
    made.billing = billing.Billing(folder + "/billing", bill, made._user)
    purpose.holdings = holdings.Holdings(_NoBlocks(), purpose.keep_row, made._user, lambda: 0)  # type: ignore[arg-type]
    purpose.confirmed = made.billing.confirmed = True
    for name, *rest in steps:
        if name == "at":
            made._time.wall, made._time.now = rest
        elif name == "session":
            made.session(holder.mac(), rest[0])
        elif name == "tick":
            purpose.holdings.tick(made._time.wall, made._time.now, lambda _address: b"")
        else:
            one: "Any" = _Made(rest[1] * 1000000000, rest[0])
            if name == "connection":
                made.connection(one, one, holder, rest[2] * 1000000000)  # type: ignore[arg-type]
            else:
                made.alive(one, one, holder, made._time.wall * 1000000000)  # type: ignore[arg-type]
    made.billing.finish()
    for one in (made.billing, made.sessions):
        one.close()
    return [attributed, billed]


def vouched(steps: "list[list[Any]]") -> "list[Any]":
    """Do steps with a purpose in mode connections, `refuse` with its store; a `connection` may be inexact.

    Returns the rows that are kept, each with its day.
    """
    rows: "list[Any]" = []
    refuses = [False]

    def append(begins: int, data: bytes, *, owed: bool = False) -> str:  # noqa: ARG001
        if refuses[0]:
            return "lost"
        rows.append([begins // 86400] + _row(attribution_records.unpack(data)))
        return "kept"

    purpose = attribution.Attribution(append, lambda _mac, _start: b"")
    purpose.confirmed = True
    public, source, mac = bytes((203, 0, 113, 2)), bytes((192, 168, 1, 10)), bytes((2, 0, 0, 0, 0, 1))
    for name, *rest in steps:
        if name == "refuse":
            refuses[0] = rest[0]
        elif name == "connection":
            made, last = _Made(rest[0] * 1000000000), rest[1] * 1000000000
            exact = len(rest) < 3 or rest[2]
            purpose.connection(made, source, public, _Holder(mac), last, 0, exact=exact)  # type: ignore[arg-type]
        elif name == "last":
            purpose.last(_Made(rest[0] * 1000000000), source, public, mac, rest[1])  # type: ignore[arg-type]
        else:
            getattr(purpose, name)(*rest)
    return rows


def believed(steps: "list[list[Any]]") -> "list[Any]":
    """Let a recorder look at its clock: wall clock and time since boot in s, and what of the clock has changed.

    `refuse`, and the store keeps nothing meanwhile.

    Returns the rows.
    """
    rows: "list[Any]" = []

    refuses = [False]

    def append(begins: int, data: bytes, *, owed: bool = False) -> str:
        row = _row(attribution_records.unpack(data))
        assert owed is not row[9]  # who tries again says so
        if refuses[0]:
            return "lost"
        rows.append([begins // 86400] + row)
        return "kept"

    clock: "Any" = _Clock()
    made = believed_time.BelievedTime(clock, attribution.Attribution(append, lambda _mac, _start: b""), lambda: None, 0)
    for step, wall, now, changed in steps:
        refuses[0] = step == "refuse"
        for name, value in changed.items():
            setattr(clock, name, value)
        clock.once = clock.once or clock.trusted
        made.tick(wall * 1000000000, now * 1000000000, trusted=bool(clock.trusted), behind=False)
    return rows


class _NoBlocks:
    public = bytes((203, 0, 113, 2))

    def __init__(self) -> None:
        self.map = self

    def covers(self, *_: "Any") -> bool:
        """Say that no block has the port."""
        return False

    def tick(self, *_: "Any") -> None:
        """Do nothing: only IPv6 is looked at."""

    deal = leave_by = hour = status = of = close = tick


class _Holder:
    key, newest = 1, True

    def __init__(self, mac: bytes) -> None:
        self._mac = mac

    def mac(self) -> bytes:
        """Return the MAC."""
        return self._mac


class _Made:
    """A connection that no kernel made; a decoder, too. Over IPv6 it leaves by its own address."""

    protocol, translated_port, bytes_up, bytes_down = 6, 50000, 1, 10

    def __init__(self, start: int, family: int = 10) -> None:
        self.start = start
        self.family = family
        self.word0, self.word1, self.word2, self.word3 = 0xFD000001, 0, 0, 0x0A00000A

    def public(self) -> bytes:
        """Return its public address."""
        return source_of(self) if self.family == 10 else bytes((203, 0, 113, 2))


def bill(folder: str, steps: "list[list[Any]]") -> "list[Any]":
    """Open the sessions of a folder, do steps, close; returns the records that came of them, and the number held."""
    rows: "list[Any]" = []

    def append(begins: int, data: bytes) -> str:
        rows.append([begins // 86400] + (unpack_billing(_hex(data)) or []))
        return "kept"

    users: "dict[str, list[Any]]" = {}  # MAC -> user, since when

    def user(mac: bytes, start: int) -> bytes:
        name, since = users.get(_hex(mac), ["", 0])
        return name.encode() if since < start else b""

    purpose = billing.Billing(folder + "/billing", append, user)
    purpose.confirmed = True
    for step in steps:
        if step[0] == "connection":
            purpose.connection(_octets(step[1]), *step[2:])
        elif step[0] == "users":
            users = step[1]
        elif step[0] == "alive":
            start, last = step[2:4]
            purpose.alive(_octets(step[1]), start, last, step[-1])
        else:
            getattr(purpose, step[0])(*step[1:])
    held = len(purpose)
    purpose.close()
    return rows + [held]


def portal(steps: "list[list[Any]]") -> "list[Any]":
    """Do steps with sessions and the reader of openNDS's list."""
    known = sessions.Sessions()
    reader = opennds.OpenNds(known, "")
    answers: "list[Any]" = []
    for step in steps:
        if step[0] == "read":
            for applying in (False, True):
                if not applying or reader.text.whole():
                    reader.begin(applying=applying)
                    for at in range(0, len(step[1]), step[2]):
                        reader.text.take(step[1][at : at + step[2]].encode())
            answers.append(reader.text.whole())
        elif step[0] == "begin":
            answers.append(known.begin(_octets(step[1]), step[2], step[3]))
        elif step[0] == "flood":
            for number in range(step[1]):
                known.begin(number.to_bytes(6, "big"), "u" * 64, number)
        elif step[0] == "user":
            answers.append(known.user(_octets(step[1]), *step[2:]).decode())
        elif step[0] == "count":
            answers.append([len(known.macs()), known.given_up])
        else:
            known.tick(step[1])
    return answers


def read_portal(
    path: str,
    turns: int,
    others: "dict[str, list[Any]]" = {},  # noqa: B006 (read)
    again: int = 0,
) -> "list[Any]":
    """Read the list at a path, a turn a second; `others`: who is logged in besides, and when the portal said so.

    `again`: the turn at which the same list comes once more.

    Returns MAC and user of each session, failures, the slowest turn in ns.
    """
    known = sessions.Sessions()
    reader = opennds.OpenNds(known, path)
    time, slowest = DeviceTime(), 0
    for turn in range(turns):
        for mac, (name, told) in others.items():
            if told == turn:
                known.begin(_octets(mac), name, turn)
        begun = time.monotonic()
        if again and turn == again:
            reader._seen = None
        reader.tick(turn * 1000000000)
        known.tick(turn)
        slowest = max(slowest, time.monotonic() - begun)
    reader.close()
    told = [[_hex(mac), known.user(mac).decode()] for mac in known.macs()]
    return [told, reader.failures, slowest]


def kernel_table(devices: "list[str]", steps: "list[list[Any]]") -> "list[int]":
    """Do steps with the real table of this network namespace; returns the errno of each, 0 where it was done."""
    descriptor = sockets.netlink(sockets.NETLINK_NETFILTER, 0, 65536)
    table, answers = Table(descriptor, devices), []
    for name, *rest in steps:
        words = [
            _octets(word) if isinstance(word, str) else tuple(word) if isinstance(word, list) else word for word in rest
        ]
        try:
            getattr(table, name)(*words)
            answers.append(0)
        except Refused as refusal:
            answers.append(refusal.number)
    sockets.close(descriptor)
    return answers


def judge(text: str, agents: str) -> "list[Any]":
    """Read a request and verify its signatures; returns ["ok", names, scope] or [reason, text]."""
    try:
        request = requests.Request(text)
        names = requests.verify(request, requests.agents_in(agents), Sodium().signatures.valid)
    except requests.Refused as refusal:
        return [refusal.reason, refusal.args[0]]
    scope = request.scope
    told = [request.start, request.end, request.expires, scope.port, scope.protocol]
    return ["ok", names, told + [_hex(value) for value in (request.number, scope.public, scope.user, scope.mac)]]


def desk_run(
    folder: str,
    text: str,
    now: int,
    latest: int,
    trusted: bool,
    grounds: "dict[str, list[tuple[int, str]] | None]",
    segments: "list[str]",
    permit: bool,
) -> "list[Any]":
    """Run a request at the executor of the gateway `abcdefgh23456777` whose flash is `folder`.

    Returns what it says, or reason and text.
    """
    places = dict.fromkeys(grounds, folder + "/handovers")
    runner = executor.RequestExecutor(
        folder + "/etc/agents", folder + "/requests", places, "abcdefgh23456777", grounds, Sodium().signatures.valid
    )
    try:
        request = runner.check(text, now, latest, trusted=trusted)
        signer = Signer(folder + "/device.key", Sodium())
        runner.begin(
            request,
            segments,
            {"gateway": "abcdefgh23456777", "made": now, "second_nat": False, "unbroken": now},
            now,
            signer,
        )
        handover, parts = runner.busy, 1
        assert handover is not None
        begun = runner.open(now)
        while not runner.work(now, lambda: permit):
            parts += 1
        answer = {"export": handover.path, "segments": handover.segments, "octets": handover.octets, "parts": parts}
        answer["begun"], answer["open"] = begun, runner.open(now)
        answer["key"] = "".join(["%02x" % octet for octet in signer.public])
        signer.close()
        return ["ok", answer]
    except requests.Refused as refusal:
        return [refusal.reason, refusal.args[0]]
    except OSError as failure:
        return ["errno", failure.errno]


def enrol(path: str, line: str) -> bool:
    """Enrol an agent; False where the line isn't accepted."""
    try:
        executor.enrol(path, line)
    except ValueError:
        return False
    return True


CALLS = (
    pack_attribution, unpack_attribution, pack_billing, unpack_billing, blocks_open, blocks_do, blocks_heard,
    own_addresses, logged_in, bill, vouched, believed, portal, read_portal, kernel_table, judge, desk_run, enrol,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

if __name__ == "__main__":
    serve(CALLS)
