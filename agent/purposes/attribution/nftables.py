# SPDX-License-Identifier: Apache-2.0
"""Port blocks in the kernel: our own table gives each terminal a range of public source ports (RFC 7422, L34-II-4).

The chain `post` stands before fw4's own translation. It looks a terminal's address up in the map `blocks` and jumps to
the chain of its block. That masquerades into the block's range whatever has a port or an identifier. What no element
names goes to `rest`, a range of its own, so that it never lands in somebody's block. Written over nf_tables netlink by
the recorder itself, in transactions that hold as a whole or not at all: no program is started, and the answer is there
when `sendto` returns.

Source: linux/netfilter/nf_tables.h (message and attribute numbers), linux/netfilter/nfnetlink.h (batches). Headers of
attributes are in the host's byte order, values in network order.
"""

import errno
import struct

from agent.capture.netlink import HEADER
from agent.runtime import sockets

TABLE = b"oubli"
_PRIORITY = 99  # NF_IP_PRI_NAT_SRC - 1
_POSTROUTING = 4
_INET = 2
_BEGIN, _END = 0x10, 0x11
_SUBSYSTEM = 10
_NEW_TABLE, _GET_TABLE, _DELETE_TABLE, _NEW_CHAIN, _DELETE_CHAIN, _NEW_RULE, _DELETE_RULE = 0, 1, 2, 3, 5, 6, 8
_NEW_SET, _NEW_ELEMENT, _DELETE_ELEMENT = 9, 12, 14
_REQUEST, _ACKNOWLEDGE, _CREATE, _APPEND = 1, 4, 0x400, 0x800
_NESTED = 0x8000
_VERDICT, _REGISTER = 0, 1  # NFT_REG_VERDICT and the first of 16 octets
_JUMP = -3 & 0xFFFFFFFF
_MAP = 8  # NFT_SET_MAP
_TYPE_VERDICT = 0xFFFFFF00  # NFT_DATA_VERDICT
_IPV4_TYPE = 7  # what nft(8) calls ipv4_addr
_ERROR = 2
_META_OIFNAME = 7
_PROTO_SPECIFIED = 2  # NF_NAT_RANGE_PROTO_SPECIFIED
_NAME_OCTETS = 16


def _attribute(kind: int, value: bytes) -> bytes:
    size = 4 + len(value)
    return struct.pack("HH", size, kind) + value + bytes(-size & 3)


def _nested(kind: int, *parts: bytes) -> bytes:
    return _attribute(kind | _NESTED, b"".join(parts))


def _word(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack(">I", value))


def _text(kind: int, value: bytes) -> bytes:
    return _attribute(kind, value + b"\0")


def _expression(name: bytes, *parts: bytes) -> bytes:
    return _nested(1, _text(1, name), _nested(2, *parts))


def _immediate(register: int, value: bytes) -> bytes:
    return _expression(b"immediate", _word(1, register), _nested(2, _attribute(1, value)))


def _masquerade(first: int, last: int) -> bytes:
    """Return the expressions that translate into a range of ports, or of identifiers."""
    # Registers of 16 octets: 1 and 2. NFTA_MASQ_FLAGS 1 (without it the range counts
    # for nothing), _REG_PROTO_MIN 2, _MAX 3.
    ports = _immediate(1, struct.pack(">H", first)) + _immediate(2, struct.pack(">H", last))
    return ports + _expression(b"masq", _word(1, _PROTO_SPECIFIED), _word(2, 1), _word(3, 2))


def _jump(chain: bytes) -> bytes:
    # The data of an immediate and of an element have the same number.
    return _nested(2, _nested(2, _word(1, _JUMP), _text(2, chain)))


def _leaves_by(device: str) -> bytes:
    """Return the expressions that go on only for packets that leave by an interface."""
    name = device.encode()
    wanted = name + bytes(_NAME_OCTETS - len(name))
    load = _expression(b"meta", _word(2, _META_OIFNAME), _word(1, _REGISTER))
    return load + _expression(b"cmp", _word(1, _REGISTER), _word(2, 0), _nested(3, _attribute(1, wanted)))


def _body(*attributes: bytes) -> bytes:
    """Return what follows a message's header: the family, the table's name, the attributes."""
    return struct.pack(">BBH", _INET, 0, 0) + _text(1, TABLE) + b"".join(attributes)


def _message(number: int, kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack("IHHII", HEADER + len(body), kind, flags, number, 0) + body


class Refused(Exception):
    """The kernel refused a transaction; `number` is its errno."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Batch:
    """One transaction, about the table."""

    def __init__(self) -> None:
        self._messages: "list[tuple[int, int, bytes]]" = []

    def add(self, kind: int, flags: int, *attributes: bytes) -> None:
        """Add one message."""
        body = _body(*attributes)
        self._messages.append((_SUBSYSTEM << 8 | kind, flags | _REQUEST | _ACKNOWLEDGE, body))

    def data(self) -> bytes:
        """Return the whole as it is sent."""
        mark = struct.pack(">BBH", 0, 0, _SUBSYSTEM)
        rows = [(_BEGIN, _REQUEST, mark)] + self._messages + [(_END, _REQUEST, mark)]
        return b"".join(_message(number, *row) for number, row in enumerate(rows))

    def answers(self) -> int:
        """Return how many answers a transaction that holds has."""
        return len(self._messages)


class Table:
    """The table in the kernel, for the interfaces that lead out. `descriptor` is a netlink socket of its own."""

    def __init__(self, descriptor: int, devices: "Sequence[str]") -> None:
        self._descriptor = descriptor
        self.devices = devices
        self._buffer = bytearray(1024)
        self._inbox = sockets.Inbox(descriptor, self._buffer)

    def load(self, rest: "tuple[int, int]") -> None:
        """Make the table anew, without any block; `rest` are the first and last port of who has none.

        Raises Refused.
        """
        self.remove()
        batch = Batch()
        batch.add(_NEW_TABLE, _CREATE)
        # Set 1 of this table: key ipv4_addr, data a verdict.
        what = _word(4, _IPV4_TYPE) + _word(5, 4) + _word(6, _TYPE_VERDICT) + _word(7, 0)
        batch.add(_NEW_SET, _CREATE, _text(2, b"blocks"), _word(3, _MAP), what, _word(10, 1))
        batch.add(_NEW_CHAIN, _CREATE, _text(3, b"rest"))
        batch.add(_NEW_RULE, _CREATE | _APPEND, _text(2, b"rest"), _nested(4, _masquerade(*rest)))
        hook = _nested(4, _word(1, _POSTROUTING), _word(2, _PRIORITY))
        batch.add(_NEW_CHAIN, _CREATE, _text(3, b"post"), hook, _text(7, b"nat"))
        source = _expression(b"payload", _word(1, _REGISTER), _word(2, 1), _word(3, 12), _word(4, 4))
        find = source + _expression(b"lookup", _text(1, b"blocks"), _word(2, _REGISTER), _word(3, _VERDICT))
        to_rest = _expression(b"immediate", _word(1, _VERDICT), _jump(b"rest"))
        for device in self.devices:
            for then in (find, to_rest):
                batch.add(
                    _NEW_RULE,
                    _CREATE | _APPEND,
                    _text(2, b"post"),
                    _nested(4, _leaves_by(device), then),
                )
        self._send(batch)

    def stands(self) -> bool:
        """Return True if the kernel still has the table: a flushed ruleset takes it away, and nobody is told."""
        sockets.request(self._descriptor, _message(0, _SUBSYSTEM << 8 | _GET_TABLE, _REQUEST, _body()))
        size = self._inbox.more()
        if size < HEADER + 4:
            return True
        _, kind = struct.unpack_from("IH", self._buffer, 0)
        (number,) = struct.unpack_from("i", self._buffer, HEADER)
        return kind != _ERROR or number != -errno.ENOENT

    def remove(self) -> None:
        """Take the table away where there is one."""
        batch = Batch()
        batch.add(_DELETE_TABLE, 0)
        try:
            self._send(batch)
        except Refused as refusal:
            if refusal.number != errno.ENOENT:
                raise

    def give(self, address: bytes, block: int, first: int, last: int) -> None:
        """Let an IPv4 address of 4 octets leave by the ports of a block from now on. Raises Refused."""
        chain = b"b%d" % block
        batch = Batch()
        batch.add(_NEW_CHAIN, _CREATE, _text(3, chain))
        batch.add(_NEW_RULE, _CREATE | _APPEND, _text(2, chain), _nested(4, _masquerade(first, last)))
        batch.add(_NEW_ELEMENT, _CREATE, *self._element(address, chain))
        self._send(batch)

    def take(self, address: bytes, block: int) -> None:
        """Give an address no block any more; connections that there are keep their ports. Raises Refused."""
        chain = b"b%d" % block
        batch = Batch()
        batch.add(_DELETE_ELEMENT, 0, *self._element(address, chain))
        batch.add(_DELETE_RULE, 0, _text(2, chain))
        batch.add(_DELETE_CHAIN, 0, _text(3, chain))
        self._send(batch)

    def _element(self, address: bytes, chain: bytes) -> "tuple[bytes, ...]":
        element = _nested(1, _nested(1, _attribute(1, address)), _jump(chain))
        return _text(2, b"blocks"), _nested(3, element)

    def _send(self, batch: Batch) -> None:
        data = batch.data()
        sockets.request(self._descriptor, data)
        answers, refused = 0, 0
        while answers < batch.answers():
            size = self._inbox.more()
            if size < 0:
                break
            at = 0
            while size - at >= HEADER + 4:
                length, kind = struct.unpack_from("IH", self._buffer, at)
                if kind == _ERROR:
                    answers += 1
                    (number,) = struct.unpack_from("i", self._buffer, at + HEADER)
                    refused = refused or -number
                at += (max(length, HEADER) + 3) & ~3
        if refused or not answers:
            raise Refused(refused or errno.EIO)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence
