# SPDX-License-Identifier: Apache-2.0
"""Which sockets a process holds, and which it ever asked for (L34-I-2, L34-VI-2).

There are two witnesses. /proc has the descriptors now, each of which is asked for its family. strace has each socket
call over the process's life: it sees a socket that is opened and closed between two looks as well.
"""

import ctypes
import errno
import os
import re
import socket
from pathlib import Path

PIDFD_GETFD = 438  # asm-generic/unistd.h
_CALL = re.compile(r"\bsocket(?:pair)?\((\w+)")


def borrow(pid: int, descriptor: int) -> socket.socket:
    """Return a copy of another process's socket, to be closed; OSError where it is not there any more."""
    process = os.pidfd_open(pid)
    try:
        copy = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, process, descriptor, 0)
    finally:
        os.close(process)
    if copy < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return socket.socket(fileno=copy)


def held(pid: int) -> set[str]:
    """Return the families of the sockets that this process holds now."""
    families = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if not str(handle.readlink()).startswith("socket:["):
                continue
            with borrow(pid, int(handle.name)) as copy:
                families.add(socket.AddressFamily(copy.family).name)
        except OSError as failure:
            if failure.errno not in (errno.ENOENT, errno.EBADF, errno.ENOTSOCK):  # closed meanwhile
                raise
    return families


def asked_for(trace: Path, program: str) -> set[str]:
    """Return the families in a trace since `program` was executed, refused calls too; `execve` of another."""
    lines = trace.read_text().splitlines()
    executed = [number for number, line in enumerate(lines) if "execve(" in line and line.endswith("= 0")]
    begun = max(number for number in executed if program in lines[number])
    return set(_CALL.findall("\n".join(lines[begun:]))) | ({"execve"} if executed[-1] != begun else set())
