# SPDX-License-Identifier: Apache-2.0
"""Plays a recording to the agent's own decoder and prints what it carried, on any interpreter and processor.

A recording is a u32 little-endian length and that many bytes, repeated. The JSON has a fixed key order and no spaces,
so that all interpreters print the same bytes. Anything wrong with the file: exit 2 and one line that names file and
byte (also what `oubli-sim replay` shows).
"""

import json
import sys
from collections import OrderedDict

from agent.capture.connections import ICMP, ICMPV6, TCP, UDP, Decoder
from agent.runtime.libc import reason

LIMIT = 65536  # octets of a datagram: netlink's own buffers are 8 to 32 KiB
_CLASSES = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMPV6: "icmp"}


class RecordingError(Exception):
    """A recording that can't be played: byte offset, what was wrong, what is accepted."""

    def __init__(self, offset: int, wrong: str, accepted: str) -> None:
        self.text = "byte " + str(offset) + ": " + wrong + "; accepted: " + accepted


class Tally:
    """Sums over the connections that ended, of both address families; up = original direction."""

    def __init__(self) -> None:
        self.by_protocol = OrderedDict((name, 0) for name in ("tcp", "udp", "icmp", "other"))
        self.bytes_up = self.bytes_down = self.packets_up = self.packets_down = 0

    def add(self, connection: "Connection") -> None:
        """Count one connection."""
        self.by_protocol[_CLASSES.get(connection.protocol, "other")] += 1
        self.bytes_up += connection.bytes_up
        self.bytes_down += connection.bytes_down
        self.packets_up += connection.packets_up
        self.packets_down += connection.packets_down

    def json(self, decoder: Decoder) -> str:
        """Return the one line of JSON."""
        keys = (
            ("datagrams", decoder.reader.datagrams),
            ("connections", decoder.connections),
            ("by_protocol", self.by_protocol),
            ("bytes_up", self.bytes_up),
            ("bytes_down", self.bytes_down),
            ("packets_up", self.packets_up),
            ("packets_down", self.packets_down),
            ("malformed", decoder.reader.malformed),
        )
        return json.dumps(OrderedDict(keys), separators=(",", ":"))


def play(file: "BinaryIO", decoder: Decoder, sink: "Callable[[Connection], None]") -> None:
    """Feed every datagram of an open recording to the decoder; RecordingError where the file is wrong."""
    offset = 0
    while True:
        head = file.read(4)
        if not head:
            return
        if len(head) < 4:
            raise RecordingError(
                offset, "the file ends within a length", "u32 little-endian length, datagram, repeated"
            )
        length = head[0] | head[1] << 8 | head[2] << 16 | head[3] << 24
        if not 0 < length <= LIMIT:
            raise RecordingError(offset, "a datagram of " + str(length) + " bytes", "1 to " + str(LIMIT))
        datagram = file.read(length)
        if len(datagram) < length:
            raise RecordingError(
                offset + 4,
                "the file ends " + str(length - len(datagram)) + " bytes before its datagram does",
                "whole datagrams",
            )
        decoder.feed(datagram, length, sink)
        offset += 4 + length


def main(path: str) -> int:
    """Play the recording at `path`; returns the exit status."""
    decoder, tally = Decoder(), Tally()
    try:
        with open(path, "rb") as file:
            play(file, decoder, tally.add)
    except RecordingError as failure:
        print("oubli-sim: " + path + ": " + failure.text, file=sys.stderr)
        return 2
    except OSError as failure:
        print(
            "oubli-sim: " + path + ": byte 0: can't be read" + reason(failure.errno) + "; accepted: a recording",
            file=sys.stderr,
        )
        return 2
    print(tally.json(decoder))
    return 0


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Callable

    from agent.capture.connections import Connection

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
