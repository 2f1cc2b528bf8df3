# SPDX-License-Identifier: Apache-2.0
"""Who asks the recorder on the stage by its control socket: the portal, a guest who looks, root."""

import json
import os

from agent.control import calls, server
from agent.runtime import memory, process, sockets
from agent.runtime.libc import LIBC

_LOOKS = 60  # s that a look may take
_BUFFER = 32768  # octets of an answer that are read at once


class Callers:
    """Asks a recorder whose files lie below `root`; `refused` are calls that were, and why, since last taken."""

    def __init__(self, root: str) -> None:
        self._path = root + "/var/run/oubli/look"
        self._refused: "list[list[str]]" = []

    def refused(self) -> "list[list[str]]":
        """Return what was refused since the last time."""
        refused, self._refused = self._refused, []
        return refused

    def portal(self, recorder: "Any", line: bytes) -> None:
        """The portal, on the gateway itself, says something; what is refused is kept."""
        self._keep(line, calls.answer(recorder, line, (calls.PORTAL, calls.ANYONE)))

    def look(self, recorder: "Any", line: bytes) -> None:
        """A guest looks at what is held on the own terminal."""
        self._ask(recorder, line, (calls.PORTAL, calls.ANYONE))

    def order(self, recorder: "Any", line: bytes) -> None:
        """Root asks for something; what is refused is kept."""
        self._keep(line, self._ask(recorder, line, (calls.ROOT,)))

    def _keep(self, line: bytes, answer: "Any") -> None:
        if isinstance(answer, dict) and "error" in answer:
            self._refused.append([json.loads(line)["call"], answer["error"]])

    def _ask(self, recorder: "Any", line: bytes, roles: "tuple[str, ...]") -> "dict[str, Any] | None":
        """Ask the recorder.

        What it answers by reading is told by a child process, as the daemon's would be, and wiped.
        """
        answer = calls.answer(recorder, line, roles)
        if isinstance(answer, dict):
            return answer  # of a look: the recorder doesn't know who has the address
        listener = sockets.unix_server(self._path)
        reader = sockets.unix_client(self._path)
        writer = sockets.accept(listener)
        child = process.fork(_LOOKS)
        if not child:
            server.tell(writer, answer, [])
        sockets.close(writer)
        poll, part = sockets.Poll(), memory.scratch(_BUFFER)
        poll.add(reader)
        while poll.wait(_LOOKS * 1000) and LIBC.function("recv")(reader, part.address, part.size, 0) > 0:
            part.wipe()
        part.close()
        while not process.ended(child):
            poll.wait(1)
        for descriptor in (reader, listener):
            sockets.close(descriptor)
        os.remove(self._path)
        return None


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
