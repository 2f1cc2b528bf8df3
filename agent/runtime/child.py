# SPDX-License-Identifier: Apache-2.0
"""A program that is asked one thing: bounded in time and in output, read without waiting, always reaped.

posix_spawn through libc, so that both interpreters start it alike and nothing of the parent's memory is copied. It gets a pipe as
its standard output and /dev/null beside, and nothing else: every descriptor of the agent is close-on-exec, and what it complains of
may be about a terminal. Source: POSIX.1-2024, posix_spawn.
"""

import struct

from agent.runtime import memory, sockets
from agent.runtime.libc import LIBC, address_of

_KILL = 9
_NO_HANG = 1
_ACTIONS = 256  # octets: more than any libc's posix_spawn_file_actions_t
_PARTS = 16  # of output in one turn
_inbox = memory.scratch(4096)  # outside the heap: a small one has no run of that size left after a while


def _pointer(address: int) -> bytes:
    return struct.pack("P", address)


class Child:
    """One run of `words`, the first of which is the program's path; `take(octets)` is handed its output in parts of at most 4,096.

    `well` says, once it is over, whether it ended by itself, with 0, within `limit` octets and before `deadline` (monotonic ns).
    """

    def __init__(self, words: "tuple[str, ...]", take: "Callable[[bytes], None]", limit: int, deadline: int) -> None:
        """Start it; a program that can't be started has ended at once."""
        self.well = False
        self._take = take
        self._left = limit
        self._deadline = deadline
        self._pid = 0
        ends = bytearray(8)
        LIBC.call("pipe2", ends, LIBC["O_CLOEXEC"])
        self._pipe, theirs = struct.unpack("ii", ends)
        self._poll = sockets.Poll()
        self._poll.add(self._pipe)
        actions = bytearray(_ACTIONS)
        texts = [bytearray(word.encode() + b"\0") for word in words]
        arguments = bytearray(b"".join([_pointer(address_of(text)) for text in texts]) + _pointer(0))
        environment = bytearray(b"PATH=/usr/sbin:/usr/bin:/sbin:/bin\0")
        settings = bytearray(_pointer(address_of(environment)) + _pointer(0))
        number, nothing = bytearray(4), b"/dev/null\0"
        LIBC.function("posix_spawn_file_actions_init")(actions)
        LIBC.function("posix_spawn_file_actions_addopen")(actions, 0, nothing, 2, 0)
        LIBC.function("posix_spawn_file_actions_addopen")(actions, 2, nothing, 2, 0)
        LIBC.function("posix_spawn_file_actions_adddup2")(actions, theirs, 1)
        failed = LIBC.function("posix_spawn")(number, texts[0], actions, None, arguments, settings)
        LIBC.function("posix_spawn_file_actions_destroy")(actions)
        LIBC.call("close", theirs)
        if not failed:
            (self._pid,) = struct.unpack("i", number)

    def tick(self, now: int) -> bool:
        """Hand on what has come; True once it is over. `now` is monotonic ns."""
        for _ in range(_PARTS):
            if not self._pid or (now >= self._deadline and not self._poll.wait(0)):
                break
            if not self._poll.wait(0):
                return False
            size = LIBC.function("read")(self._pipe, _inbox.address, _inbox.size)
            if size <= 0:
                if size == 0 and not self._reap() and now < self._deadline:
                    return False
                break
            self._left -= size
            if self._left < 0:
                break
            self._take(bytes(_inbox.view[:size]))
        else:
            return False
        self.kill()
        return True

    def _reap(self) -> bool:
        """Say whether it has ended."""
        status = bytearray(4)
        if LIBC.function("waitpid")(self._pid, status, _NO_HANG) != self._pid:
            return False
        self._pid = 0
        self.well = bytes(status) == bytes(4)
        return True

    def kill(self) -> None:
        """End it where it runs, and let go of it."""
        if self._pid:
            LIBC.function("kill")(self._pid, _KILL)
            LIBC.function("waitpid")(self._pid, bytearray(4), 0)
            self._pid = 0
        if self._pipe >= 0:
            LIBC.call("close", self._pipe)
            self._pipe = -1
        _inbox.wipe()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable
