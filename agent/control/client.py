# SPDX-License-Identifier: Apache-2.0
"""Asks the recorder one thing over its control socket."""

import errno
import time

from agent.base import canonical
from agent.control.calls import VERSION
from agent.runtime import sockets

LIMIT = 65536
PATIENCE = 10000  # milliseconds
_TRIES = 40  # to be let in where others queue, 50 ms apart
_PAUSE = 0.05


def _connect(path: str) -> int:
    """Return a descriptor connected to the socket; others who queue there are waited for a while."""
    for _ in range(_TRIES):
        try:
            return sockets.unix_client(path)
        except OSError as failure:
            if failure.errno != errno.EAGAIN:
                raise
        time.sleep(_PAUSE)
    return sockets.unix_client(path)


def ask(path: str, call: str, patience: int = 0, **fields: "object") -> "dict[str, Any]":
    """Return the answer to one call; OSError where nobody answers in time, ValueError where it isn't an answer.

    `patience` in ms.
    """
    lines = ask_for(path, call, patience, **fields)
    try:
        return next(lines)  # there is one; nobody waits for the end of the stream, which another process may hold open
    finally:
        lines.close()


def ask_for(path: str, call: str, patience: int = 0, **fields: "object") -> "Generator[dict[str, Any]]":
    """Yield the lines of the answer to one call, one at least; errors as above. Take all of them."""
    descriptor = _connect(path)
    try:
        fields["v"], fields["call"] = VERSION, call
        sockets.send_some(descriptor, (canonical.dumps(fields) + "\n").encode())
        poll = sockets.Poll()
        poll.add(descriptor)
        data, told = b"", 0
        while True:
            line, found, rest = data.partition(b"\n")
            if found:
                yield _answer(line)
                data, told = rest, told + 1
                continue
            part = b""
            if len(data) < LIMIT:
                if not poll.wait(patience or PATIENCE):
                    raise OSError(errno.ETIMEDOUT, "")
                part = sockets.read_some(descriptor, 4096) or b""
            if not part:
                break
            data += part
        if data or not told:  # cut off: a lenient parser would close the braces by itself
            raise ValueError
    finally:
        sockets.close(descriptor)


def _answer(line: bytes) -> "dict[str, Any]":
    answer: "dict[str, Any]" = canonical.loads(line)
    if not isinstance(answer, dict) or answer.pop("v", None) != VERSION:
        raise ValueError
    return answer


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Generator
