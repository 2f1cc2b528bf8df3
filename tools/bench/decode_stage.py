# SPDX-License-Identifier: Apache-2.0
"""Plays a recording to the agent's own decoder again and again and does nothing with what comes out: decoding alone.

`decode_stage.py RECORDING TIMES decode|walk`; prints how many connections were read. `walk` is what decoding is
compared with: every attribute of each message, one after the other, its value made a number. Each message is put into
one buffer outside the heap first, as the daemon receives it. Runs on MicroPython too.
"""

import sys

from agent.capture.connections import Decoder
from agent.capture.netlink import HEADER, attributes
from agent.runtime import memory

_NESTED = {1: 2, 2: 2, 4: 2, 9: 1, 10: 1, 20: 1}  # how deep attributes stand in an attribute


def main(path: str, times: int, way: str) -> int:
    """Read the recording `times` times; returns how many connections came out."""
    datagrams = []
    with open(path, "rb") as file:
        while head := file.read(4):
            datagrams.append(file.read(int.from_bytes(head, "little")))
    decoder, walked = Decoder(), 0
    buffer = memory.scratch(4096).view
    for _ in range(times):
        for datagram in datagrams:
            length = len(datagram)
            buffer[:length] = datagram
            if way == "decode":
                decoder.feed(buffer, length, _sink)
            else:
                _walk(buffer, HEADER + 4, length, -1)
                walked += 1
    return decoder.connections + walked


def _sink(_connection: "Connection") -> None:
    """Take a connection and let it go."""


def _walk(buffer: "bytearray", at: int, end: int, depth: int) -> None:
    for kind, value, stop in attributes(buffer, at, end):
        deeper = _NESTED.get(kind, 0) if depth < 0 else depth - 1
        if deeper > 0:
            _walk(buffer, value, stop, deeper)
        else:
            int.from_bytes(buffer[value:stop], "big")


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.capture.connections import Connection

if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
