# SPDX-License-Identifier: Apache-2.0
"""The recorder's end of ubus: a unix socket that is open only while somebody is to be looked for (L34-V-1).

What arrives lies in one piece of mapped memory, is handed on message by message and overwritten. A peer that goes away,
or speaks another language, is tried again later; nobody waits for it.
"""

import errno
import struct

from agent.purposes.location import ubus
from agent.runtime import memory, sockets

RETRY = 5000000000  # ns
BACKLOG = 65536  # octets that may wait to be sent


class Bus:
    """Connects `stations` with the socket at `path` inside somebody else's poll loop, while `wanted()` says so."""

    def __init__(self, path: str, poll: sockets.Poll, stations: "Stations", wanted: "Callable[[], bool]") -> None:
        self._path = path
        self._poll = poll
        self._stations = stations
        self._wanted = wanted
        self._descriptor = -1
        self._buffer: "memory.Region | None" = None
        self._fill = self._skip = self._retry = 0
        self._outbox = b""

    @property
    def connected(self) -> bool:
        """Return True if the bus is there."""
        return self._descriptor >= 0

    def tick(self, monotonic: int, now: int) -> None:
        """Connect or part; look for radios. `monotonic` in ns, `now` the present second."""
        if not self._wanted():
            self._part(now)
        elif self._descriptor < 0 and monotonic >= self._retry:
            self._retry = monotonic + RETRY
            try:
                self._descriptor = sockets.unix_client(self._path)
            except OSError:
                return
            self._buffer = memory.scratch(ubus.LARGEST)
            self._poll.add(self._descriptor)
        if self._descriptor >= 0:
            self._stations.tick(monotonic)
            self._try(now, self._flush)

    def ready(self, descriptor: int, now: int) -> bool:
        """Read where this descriptor is ours."""
        if descriptor != self._descriptor or descriptor < 0:
            return False
        self._try(now, lambda: self._read(now))
        return True

    def _try(self, now: int, what: "Callable[[], None]") -> None:
        try:
            what()
        except OSError:
            self._part(now)

    def _read(self, now: int) -> None:
        region = self._buffer
        if region is None:
            return
        size = sockets.receive(self._descriptor, memoryview(region.view)[self._fill :])
        if size == -errno.EAGAIN:
            return
        if size <= 0:
            raise OSError(-size or errno.ECONNRESET, "")
        self._fill += size
        at = min(self._skip, self._fill)
        self._skip -= at
        while self._fill - at >= ubus.HEADER:
            (whole,) = struct.unpack_from(">I", region.view, at + 8)
            whole = (whole & 0xFFFFFF) + 8
            if region.view[at] or whole < ubus.HEADER:
                raise OSError(errno.EINVAL, "")
            if whole > ubus.LARGEST:
                self._stations.malformed += 1
                self._skip = whole - (self._fill - at)
                at = self._fill
            elif self._fill - at < whole:
                break
            else:
                self._stations.feed(memoryview(region.view)[at : at + whole], whole, now)
                at += whole
        left = self._fill - at
        if at:
            memory.move(region.address, region.address + at, left)
            region.wipe_part(left, self._fill - left)
            self._fill = left
        self._flush()

    def _flush(self) -> None:
        for message in self._stations.out:
            self._outbox += message
        self._stations.out.clear()
        if len(self._outbox) > BACKLOG:
            raise OSError(errno.ENOBUFS, "")
        while self._outbox:
            sent = sockets.send_some(self._descriptor, self._outbox)
            if not sent:
                return  # `tick` goes on with it
            self._outbox = self._outbox[sent:]

    def _part(self, now: int) -> None:
        """Close the connection and forget what it said; stays end here, for nobody tells of their end any more."""
        if self._descriptor < 0:
            return
        self._poll.remove(self._descriptor)
        sockets.close(self._descriptor)
        if self._buffer is not None:
            self._buffer.wipe_part(0, self._fill)
            self._buffer.close()
        self._descriptor, self._buffer = -1, None
        self._fill = self._skip = 0
        self._outbox = b""
        self._stations.stays.finish_all(now)
        self._stations.lost()

    def close(self, now: int) -> None:
        """Part for good."""
        self._part(now)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.purposes.location.stations import Stations
