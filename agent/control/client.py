# SPDX-License-Identifier: Apache-2.0
"""Asks the recorder one thing over its control socket."""

import errno
import json
import time

from agent import canonical
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


def ask(path: str, call: str, **fields: "object") -> "dict[str, Any]":
    """Return the answer to one call; OSError where nobody answers in time, ValueError where it isn't an answer."""
    descriptor = _connect(path)
    try:
        fields["v"], fields["call"] = VERSION, call
        sockets.send_some(descriptor, (canonical.dumps(fields) + "\n").encode())
        poll = sockets.Poll()
        poll.add(descriptor)
        data = b""
        while b"\n" not in data and len(data) < LIMIT:
            if not poll.wait(PATIENCE):
                raise OSError(errno.ETIMEDOUT, "")
            part = sockets.read_some(descriptor, 4096)
            if not part:
                break
            data += part
        if not data.endswith(b"\n"):  # cut off: a lenient parser would close the braces by itself
            raise ValueError
        try:
            answer = json.loads(data)
        except RuntimeError:  # nested deeper than the parser goes
            raise ValueError
        if not isinstance(answer, dict) or answer.pop("v", None) != VERSION:
            raise ValueError
        return answer
    finally:
        sockets.close(descriptor)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
