# SPDX-License-Identifier: Apache-2.0
"""The tape: what happens to a gateway, in time order, as bytes that both interpreters read.

The world (CPython) writes it, the stage (either interpreter) plays it to the real recorder. An entry is an operation u8, a
payload length u16, the wall time u64 in ns since the epoch, all little-endian, then the payload. The monotonic clock goes
with the wall clock until a CLOCK entry sets the two apart.
"""

import struct

HEADER = "<BHQ"
HEADER_SIZE = 11

CLOCK = 1  # payload: monotonic time in ns, u64; no timer runs: this is a step
DATAGRAM = 2  # payload: a ctnetlink datagram
NEIGHBOUR = 3  # payload: an rtnetlink datagram
CONFIRM = 4  # the time service confirms the clock
REPORT = 5  # the stage runs the timers due, then prints one line of JSON
STOP = 6  # the recorder is closed as on SIGTERM; the last report follows


def entry(operation: int, wall: int, payload: bytes = b"") -> bytes:
    """Return one entry of a tape; `wall` in ns since the epoch."""
    return struct.pack(HEADER, operation, len(payload), wall) + payload
