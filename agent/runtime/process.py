# SPDX-License-Identifier: Apache-2.0
"""This process: no core dump, no tracing by its own user, signals as readable descriptors."""

import struct
import sys

from agent.runtime import memory
from agent.runtime.libc import LIBC, native

SIGINT, SIGKILL, SIGPIPE, SIGALRM, SIGTERM = 2, 9, 13, 14, 15
_RLIMIT_CORE = 4
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_WNOHANG = 1
_YIELDING = 10  # of 19: a tenth of a processor that is busy
_BEAT = 5000000000  # ns


def harden() -> None:
    """Switch core dumps off, before anything personal is read (EXP-2)."""
    LIBC.call("setrlimit", _RLIMIT_CORE, struct.pack("QQ", 0, 0))  # rlim_t: at most 64 bits twice; zeros in any width
    LIBC.call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)
    LIBC.function("umask")(0o077)


def quiet_tls() -> None:
    """Stop Mbed TLS from writing what it does, octets included, to standard output, where it is used.

    MicroPython turns that on with each context, where the library was built with its
    debug output: to be called after making one.
    """
    try:
        native.function(native.library(None), "v", "mbedtls_debug_set_threshold", "i")(0)
    except AttributeError:
        pass


def become(user: int, group: int) -> None:
    """Give up root's rights for those of a user and a group, for good; nothing where there are none, or none asked."""
    if user and LIBC.call("geteuid") == 0:
        LIBC.call("setgroups", 0, None)
        LIBC.call("setgid", group)
        LIBC.call("setuid", user)


def swaps_to_disk() -> bool:
    """Return True if this machine swaps to anything but zram, which is memory too (EXP-2)."""
    try:
        with open("/proc/swaps") as file:
            lines = file.read().split("\n")[1:]
    except OSError:  # a kernel without swap
        return False
    return any(line and not line.startswith("/dev/zram") for line in lines)


def end_at_alarm() -> None:
    """Let SIGALRM end this process with status 14, by C's `_exit`: a loop that hangs runs nothing of ours.

    The default action wouldn't: ujail makes the daemon the first process of a namespace of its own. For that one the
    kernel drops a signal that has no handler (pid_namespaces(7)).
    """
    LIBC.call("signal", SIGALRM, LIBC.address("_exit"))


def fork(seconds: int) -> int:
    """Fork a child for what must not stay in this process's memory; returns its process id, and 0 in the child.

    The child yields to everything else, ends with this process, and after `seconds` at the latest. OSError where there
    is no room for it.
    """
    child = LIBC.call("fork")
    if not child:
        LIBC.function("prctl")(_PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
        LIBC.function("alarm")(seconds)
        LIBC.function("nice")(_YIELDING)
    return child


def ended(child: int) -> bool:
    """Return True if a child process has ended, of which nothing is left then."""
    return LIBC.function("waitpid")(child, None, _WNOHANG) != 0


def leave() -> None:
    """End this child process, and run nothing more of what its parent does."""
    LIBC.function("_exit")(0)


def hold_stop() -> None:
    """Let SIGTERM wait from now on, until `stop_descriptor` has it read: a daemon's start takes seconds on a router.

    As in `end_at_alarm`, the kernel would drop it: the daemon went on until ujail killed it, five seconds later.
    """
    mask = bytearray(128)
    LIBC.call("sigemptyset", mask)
    LIBC.call("sigaddset", mask, SIGTERM)
    LIBC.call("sigprocmask", LIBC["SIG_BLOCK"], mask, None)


def stop_descriptor() -> int:
    """Return a descriptor that becomes readable on SIGTERM or SIGINT, which then end nothing by themselves.

    SIGPIPE is held back too: a peer that went away is an error of `send`, not the end of the agent. A callback would
    run inside the signal handler; a signalfd is read in the poll loop.
    """
    mask = bytearray(128)
    LIBC.call("sigemptyset", mask)
    LIBC.call("sigaddset", mask, SIGINT)
    LIBC.call("sigaddset", mask, SIGTERM)
    descriptor = LIBC.call("signalfd", -1, mask, LIBC["O_NONBLOCK"] | LIBC["O_CLOEXEC"])
    LIBC.call("sigaddset", mask, SIGPIPE)
    LIBC.call("sigprocmask", LIBC["SIG_BLOCK"], mask, None)
    return descriptor


class Heartbeat:
    """A file on tmpfs that shows `oubli-watch` that the loop turns: process id, its start time, a count that moves.

    Mapped, so that no tmpfs that has filled up meanwhile can stop it. A count read
    while it is written is another count as well.
    """

    def __init__(self, path: str) -> None:
        self._next = self._count = 0
        who = identity().encode() + b" "
        self._at = len(who)
        self._region = memory.map_file(path, self._at + 11)
        self._region.view[: self._at] = who

    def beat(self, now: int) -> None:
        """Write a new count every few seconds; `now` is monotonic ns."""
        if now >= self._next:
            self._next = now + _BEAT
            self._count += 1
            self._region.view[self._at : self._at + 11] = b"%010d\n" % self._count


def identity() -> str:
    """Return this process's number and its start in clock ticks since boot (/proc/self/stat, fields 1 and 22)."""
    with open("/proc/self/stat") as file:
        text = file.read()
    return text.split(" ", 1)[0] + " " + text.rsplit(") ", 1)[1].split(" ")[19]


def log(text: str) -> None:
    """Write one line to standard output, which procd hands to the system log as information.

    What ends a command goes to standard error, which is an error there.
    """
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
