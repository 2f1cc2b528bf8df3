# SPDX-License-Identifier: Apache-2.0
"""Plays a recording to the agent's own decoder again and again and does nothing with what comes out: decoding alone.

`decode_stage.py RECORDING TIMES`; prints how many connections were decoded. Runs on MicroPython too.
"""

import sys

from agent.capture.connections import Decoder


def main(path: str, times: int) -> int:
    """Decode the recording `times` times; returns how many connections came out."""
    datagrams = []
    with open(path, "rb") as file:
        while head := file.read(4):
            datagrams.append(file.read(int.from_bytes(head, "little")))
    decoder = Decoder()
    for _ in range(times):
        for datagram in datagrams:
            decoder.feed(datagram, len(datagram), _sink)
    return decoder.connections


def _sink(_connection: "Connection") -> None:
    """Take a connection and let it go."""


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.capture.connections import Connection

if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2])))
