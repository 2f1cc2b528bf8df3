# SPDX-License-Identifier: Apache-2.0
"""What a connection costs as something grows, on this interpreter: processor time in ns, as a JSON line.

`scale_stage.py connections RECORDING COUNT FOLDER`: a whole recorder, COUNT connections, 20,000 a minute: ns a
connection, what each minute brings included.
`scale_stage.py segments COUNT FOLDER`: a ring of COUNT segments: ns to append to it, to begin and
close one more, and to forget the oldest.
Runs on MicroPython too.
"""

import json
import struct
import sys

from agent import law
from agent.capture.connections import Decoder
from agent.runtime import files
from agent.runtime.libc import native
from agent.runtime.sodium import Sodium
from agent.vault import keys, ring
from tools.bench import way_stage

_PROCESSOR = 2  # CLOCK_PROCESS_CPUTIME_ID
_SECOND = 1000000000
_HOUR = 3600
MINUTE = 20000  # connections
TRIES = 50  # segments that are forgotten and begun one after the other
RECORDS = 200  # appended at once
_BUDGET = b"config purpose 'security'\n\toption budget '67108864'\n"  # octets: a million connections
_MAC = b"\x02\0\0\0\0\x01"


def connections(path: str, count: int, folder: str) -> "dict[str, float]":
    """Play so many connections.

    As time goes by they end later, as real ones do: what came late would go another way.
    """
    recorder, time, inbox, frames = way_stage.prepared(path, folder, _BUDGET)
    ended = [bytearray(data) for data in frames]
    play, stamps, left, passed, taken = way_stage.player(recorder, inbox, ended), _stamps(ended), MINUTE, 0, 0
    play()  # teaches the decoder its layouts
    began = native.clock(_PROCESSOR)
    for _ in range(count // len(ended)):
        play()
        left -= len(ended)
        if left <= 0:
            left = MINUTE
            passed += 60
            time.move(60)
            recorder.tick()
            taken += native.clock(_PROCESSOR) - began
            for data, at, value in stamps:
                struct.pack_into(">Q", data, at, value + passed * _SECOND)
            began = native.clock(_PROCESSOR)
    taken += native.clock(_PROCESSOR) - began
    return {"each": taken / count, "asked": count + len(ended), "kept": recorder.counters.values["kept"]}


def _stamps(ended: "list[bytearray]") -> "list[tuple[bytearray, int, int]]":
    """Return where the messages have their times: message, place, ns."""
    found: "list[tuple[bytearray, int, int]]" = []
    decoder = Decoder()
    times: "list[int]" = []

    def note(connection: "Connection") -> None:
        times[:] = [connection.start, connection.stop]

    for data in ended:
        decoder.feed(data, len(data), note)
        found += [(data, bytes(data).find(struct.pack(">Q", value)), value) for value in times]
    return found


class _Holder:
    """A terminal of which a packer asks."""

    key = 1

    def mac(self) -> bytes:
        """Return its MAC."""
        return _MAC

    def octet(self, number: int) -> int:
        """Return an octet of it."""
        return _MAC[number]


def _first(path: str) -> "Connection":
    found: "list[Connection]" = []
    decoder = Decoder()
    for data in way_stage.frames(path):
        decoder.feed(bytearray(data), len(data), found.append)
    return found[0]


def segments(path: str, count: int, folder: str) -> "dict[str, float]":
    """Fill a ring, a segment an hour, then append, begin and forget at its end."""
    files.make_folder(folder, 0o700)
    files.make_folder(folder + "/vault", 0o700)
    sodium, lost = Sodium(), []
    slots = keys.KeyRing(folder + "/keys", count + 8, way_stage.Time.boot, sodium)
    store = ring.Ring(
        folder + "/vault", slots, sodium, law.number("security"), count * _HOUR, 1 << 30, way_stage.Time.boot,
        lambda cause, _: lost.append(cause),
    )  # fmt: skip
    connection, holder = _first(path), _Holder()
    start = way_stage.START // _HOUR * _HOUR + _HOUR  # after the connection began

    def append(now: int) -> None:
        store.now(now, now)
        store.append(connection, holder, now)

    for hour in range(count):
        append((start + hour * _HOUR) * _SECOND)
        store.stepped()
    begun = forgot = gone = 0
    for hour in range(count, count + TRIES):
        now = (start + hour * _HOUR) * _SECOND
        before = native.clock(_PROCESSOR)
        gone += store.tick(now, now, trusted=True)
        between = native.clock(_PROCESSOR)
        append(now)
        store.stepped()
        forgot += between - before
        begun += native.clock(_PROCESSOR) - between
    append(now)
    before = native.clock(_PROCESSOR)
    for _ in range(RECORDS):
        store.append(connection, holder, now)
    appended = native.clock(_PROCESSOR) - before
    return {
        "begin": begun / TRIES,
        "append": appended / RECORDS,
        "forget": forgot / TRIES,
        "asked": TRIES,
        "forgotten": gone,
        "lost": len(lost),
    }


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.capture.connections import Connection

if __name__ == "__main__":
    _words = {"connections": connections, "segments": segments}
    print(json.dumps(_words[sys.argv[1]](sys.argv[2], int(sys.argv[3]), sys.argv[4])))
