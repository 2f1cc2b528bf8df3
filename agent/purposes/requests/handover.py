# SPDX-License-Identifier: Apache-2.0
"""A handover that is being written: sealed segments for the custodian (L34-II-4).

It is written a part at a time, so that capture never waits.

It is refused before a single octet is written where it doesn't fit beside what the
stores, the spool and the log still need.
"""

import os
from binascii import hexlify

from agent.base import canonical
from agent.purposes.requests import archive
from agent.purposes.requests.requests import Refused
from agent.runtime import files

RESERVE = 1048576  # octets of flash that a handover leaves to everything else


def _free(folder: str) -> int:
    status = os.statvfs(folder)
    return status[1] * status[4]


class Handover:
    """The tar file of a `request` in `folder`.

    It has the request, the gateway's `statement`, `segments` as they are, and the gateway's signature.

    `octets` is what it takes, `archive.octets` what is written of it. Refused where it
    doesn't fit, OSError where flash refuses. `now` (s since the epoch) dates what is in it.
    """

    def __init__(
        self,
        folder: str,
        request: "Request",
        segments: "Sequence[str]",
        statement: "dict[str, Any]",
        signer: "Signer",
        now: int,
    ) -> None:
        self.request = request
        self.segments = len(segments)
        self.path = folder + "/" + hexlify(request.number).decode() + ".tar"
        text, word = request.text.encode(), (canonical.dumps(statement) + "\n").encode()
        sizes = [len(text), len(word), 64] + [files.size_of(segment) for segment in segments]
        self.octets = sum([archive.room(size) for size in sizes]) + 1024
        files.make_folder(folder, 0o700)
        free = _free(folder) - RESERVE
        if self.octets > free:
            raise Refused(
                "no room",
                "request: %d octets don't fit into %s, which has %d to spare; accepted: once former handovers (.tar) "
                "there are removed, a narrower window, or a larger medium (vault.path)"
                % (self.octets, folder, max(free, 0)),
            )
        self.archive = archive.Archive(self.path, now, signer)
        self._parts = self._write(text, word, segments)

    def _write(self, text: bytes, word: bytes, segments: "Sequence[str]") -> "Generator[None]":
        self.archive.add("request.toml", text)
        self.archive.add("gateway.json", word)
        for segment in segments:
            yield from self.archive.copy(self.request.store + "/" + segment.rsplit("/", 1)[1], segment)
        self.archive.sign()

    def step(self) -> bool:
        """Write the next part; True where that was the last one."""
        try:
            next(self._parts)
        except StopIteration:
            return True
        return False

    def give_up(self) -> None:
        """Remove what was written."""
        self._parts.close()  # MicroPython doesn't end a generator that is given up
        self.archive.give_up()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Generator, Sequence

    from agent.purposes.device_key import Signer
    from agent.purposes.requests.requests import Request
