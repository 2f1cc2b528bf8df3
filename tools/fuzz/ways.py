# SPDX-License-Identifier: Apache-2.0
"""Two recorders side by side: one takes each datagram by the fast path, the other never (agent/recorder/fast_path.py).

They know the same LAN, are given the same datagrams, and after each must hold the same, to the octet: pages that wait
to be sealed, the day's table, what is sealed (by its size), every count. What a datagram can do to a LAN it may do
here, so they begin anew now and then.
"""

import struct

from agent.runtime import files, memory
from agent.runtime.libc import native
from tools.bench import way_stage

ANEW = 2000  # datagrams
_EVENTS = 1 << 8  # message types from here on are netfilter's
_ROOM = 32768  # octets of the buffer that a recorder reads into: what came before still stands behind a short datagram
_KEY = 16  # octets, of a day's table


class Ways:
    """`recording` is one for tools.bench.way_stage, with who is on the LAN beside it; `folder` is theirs alone."""

    def __init__(self, recording: str, folder: str) -> None:
        files.make_folder(folder, 0o700)
        self._recording, self._folder = recording, folder
        self._compare = native.function(native.library(None), "i", "memcmp", "ppz")
        self._inbox = memory.scratch(_ROOM)
        self._pair: "list[Recorder]" = []
        self._told = 0
        self.fast_path = 0  # datagrams that went the fast path

    def _begin(self) -> None:
        self.close()
        for way in ("fast", "plain"):
            folder = "%s/%s-%d" % (self._folder, way, self._told)
            self._pair.append(way_stage.prepared(self._recording, folder)[0])
        one, other = [recorder.day.terminals for recorder in self._pair]
        memory.copy(other._key, one._key, _KEY)
        for data in way_stage.frames(self._recording):  # the first connection of a terminal goes the plain way anyway
            for recorder in self._pair:
                recorder.streams.event(bytearray(data), len(data))

    def tell(self, buffer: "Any", length: int) -> str:
        """Give both the datagram at the start of a buffer; returns what they then differ in, or nothing.

        The kernel sends no empty one.
        """
        if not length:
            return ""
        if self._told % ANEW == 0:
            self._begin()
        self._told += 1
        one, other = self._pair
        view = self._inbox.view
        view[:length] = buffer[:length]
        if length >= 6 and struct.unpack_from("H", view, 4)[0] < _EVENTS:
            for recorder in self._pair:
                recorder.streams.neighbour(view, length)
        else:
            size = one.streams.fast_path.one(view, length)
            if size:
                one.streams.event(view, size)
            else:
                self.fast_path += 1
            other.streams.event(view, length)
        return " ".join(self._differences())

    def _differences(self) -> "Iterator[str]":
        one, other = self._pair
        if one.counters.values != other.counters.values:
            yield "counters"
        if _read(one) != _read(other):
            yield "what was read"
        if _open(one) != _open(other) or self._differ(one.kept.ring._pages._region, other.kept.ring._pages._region):
            yield "records"
        if self._differ(one.day.terminals._region, other.day.terminals._region):
            yield "day's table"

    def _differ(self, region: memory.Region, other: memory.Region) -> bool:
        return bool(self._compare(region.address, other.address, region.size))

    def close(self) -> None:
        """Close both; what they hold stays in the folder."""
        while self._pair:
            self._pair.pop().close()


def _read(recorder: "Recorder") -> "list[int]":
    reader = recorder.streams._decoder.reader
    return [reader.datagrams, reader.malformed, reader.overruns, reader.refused, recorder.streams._decoder.connections]


def _open(recorder: "Recorder") -> "list[list[int]]":
    ring = recorder.kept.ring
    entries = [
        [name, entry.used, entry.held, entry.slot.records, entry.packer.end] for name, entry in ring._open.items()
    ]
    return [[ring._files.octets]] + sorted(entries)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

    from agent.recorder.recorder import Recorder
