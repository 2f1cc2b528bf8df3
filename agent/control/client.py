# SPDX-License-Identifier: Apache-2.0
"""Asks the recorder one thing over its control socket."""

import errno
import json

from agent import canonical
from agent.runtime import sockets

LIMIT = 65536
PATIENCE = 10000  # milliseconds


def ask(path: str, request: "dict[str, Any]") -> "dict[str, Any]":
    """Return the answer to one request; OSError where nobody answers in time, ValueError where it isn't an answer."""
    descriptor = sockets.unix_client(path)
    try:
        sockets.send_some(descriptor, (canonical.dumps(request) + "\n").encode())
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
        if not isinstance(answer, dict):
            raise ValueError
        return answer
    finally:
        sockets.close(descriptor)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
