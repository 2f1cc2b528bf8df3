# SPDX-License-Identifier: Apache-2.0
"""This process: no core dump, no tracing by its own user, signals as readable descriptors."""

import struct
import sys

from agent.runtime.libc import LIBC

SIGINT, SIGPIPE, SIGTERM = 2, 13, 15
_RLIMIT_CORE = 4
_PR_SET_DUMPABLE = 4


def harden() -> None:
    """Switch core dumps off, before anything personal is read (EXP-2)."""
    LIBC.call("setrlimit", _RLIMIT_CORE, struct.pack("QQ", 0, 0))  # rlim_t: at most 64 bits twice; zeros in any width
    LIBC.call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)
    LIBC.function("umask")(0o077)


def stop_descriptor() -> int:
    """Return a descriptor that becomes readable on SIGTERM or SIGINT, which then end nothing by themselves.

    SIGPIPE is held back too: a peer that went away is an error of `send`, not the end of the agent. A callback would run
    inside the signal handler; a signalfd is read in the poll loop.
    """
    mask = bytearray(128)
    LIBC.call("sigemptyset", mask)
    LIBC.call("sigaddset", mask, SIGINT)
    LIBC.call("sigaddset", mask, SIGTERM)
    descriptor = LIBC.call("signalfd", -1, mask, LIBC["O_NONBLOCK"] | LIBC["O_CLOEXEC"])
    LIBC.call("sigaddset", mask, SIGPIPE)
    LIBC.call("sigprocmask", LIBC["SIG_BLOCK"], mask, None)
    return descriptor


def log(text: str) -> None:
    """Write one line to standard error, which procd hands to the system log."""
    sys.stderr.write(text + "\n")
