# SPDX-License-Identifier: Apache-2.0
"""Where a signed request is run on the gateway: checked, logged, answered with sealed segments that the gateway can't read (L34-II-4).

Who may sign stands in a file that only root can write. What is handed over is one tar file: the request itself, what the gateway says
about it (`gateway.json`: second NAT, what isn't written yet), and the custodian's segments of the days that the window touches and
the day before (a connection stands under the day it began). A number runs once, over restarts and boots; it is remembered
until the request itself has expired.
"""

import os
import struct

from agent import canonical
from agent.control import requests
from agent.control.archive import Archive
from agent.control.requests import Refused
from agent.runtime import files

AGENTS = 8192  # octets of the keys file
REMEMBERED = 256  # requests that haven't expired
EXPORTS = 8  # tar files that are kept; the oldest gives way
_RAN = ">16sI"
_ROW = 20
_DAY = 86400


def agents_at(path: str) -> "dict[bytes, str]":
    """Return the enrolled agents (public key -> name); Refused where the file isn't one that only root can write."""
    try:
        for place in (path, path.rsplit("/", 1)[0]):
            status = os.stat(place)
            if status[4] != 0 or status[0] & 0o022:
                raise Refused(
                    "keys file", "the agents' keys file isn't root's alone (L34-II-4); accepted: owner root, mode 0644, its folder 0755"
                )
        return requests.agents_in(files.read_bounded(path, AGENTS).decode())
    except (OSError, ValueError):
        raise Refused("unknown agent", "no agent is enrolled (L34-II-4); accepted: oubli request enrol KEY, twice, for two agents")


def enrol(path: str, line: str) -> "dict[bytes, str]":
    """Add the agent of a public key file's line, `KEY NAME`; returns all. ValueError says what is accepted; only root may write."""
    new = requests.agents_in(line)
    text = files.read_bounded(path, AGENTS).decode() if files.exists(path) else ""
    known = requests.agents_in(text)
    for key in new:
        if key in known or new[key] in known.values():
            raise ValueError
        text += _hex(key) + " " + new[key] + "\n"
    files.make_folder(path.rsplit("/", 1)[0], 0o755)
    files.write_atomic(path, text.encode(), 0o644)
    return new


def _hex(data: bytes) -> str:
    return "".join(["%02x" % octet for octet in data])


class Desk:
    """The desk of one gateway.

    agents     path of the keys file; `folder` on flash is where exports and the list of what ran lie
    gateway    gateway.id; `grounds`: purpose -> the ground its store is kept for, None where the request's own table decides
    signed     signed(signature, data, key) -> bool
    """

    def __init__(
        self,
        agents: str,
        folder: str,
        gateway: str,
        grounds: "dict[str, str | None]",
        signed: "Callable[[bytes, bytes, bytes], bool]",
    ) -> None:
        self._agents = agents
        self._folder = folder
        self._gateway = gateway
        self._grounds = grounds
        self._signed = signed

    def check(self, text: str, now: int, *, trusted: bool) -> "requests.Request":
        """Return the request that may be run at `now` (s since the epoch); Refused with the reason otherwise."""
        request = requests.Request(text)
        if request.gateway != self._gateway:
            raise Refused("another gateway", "request.gateway: it is for another gateway (L34-II-4); accepted: " + self._gateway)
        if request.store not in self._grounds:
            on = ", ".join(sorted(self._grounds)) or "no store is kept"
            raise Refused("not available", "request.purpose: that store isn't kept here (L34-II-4); accepted: " + on)
        ground = self._grounds[request.store]
        if ground is not None and request.purpose == request.store and request.ground != ground:
            raise Refused("ground", "request.ground: the store is kept for another one (L34-III-1); accepted: " + ground)
        requests.verify(request, agents_at(self._agents), self._signed)
        if not trusted:
            raise Refused(
                "clock", "the time isn't confirmed: whether the request has expired can't be told (EXP-5); accepted: a trusted clock"
            )
        if now >= request.expires:
            raise Refused("expired", "request.expires: it has expired (L34-II-4); accepted: before " + request.fields["expires"])
        if request.number in [number for number, _ in self._ran()]:
            raise Refused("already run", "request.number: it was run before (L34-II-4); accepted: a new request")
        return request

    def export(self, request: "requests.Request", segments: "Sequence[str]", statement: "dict[str, Any]", now: int) -> "dict[str, Any]":
        """Hand over: write the tar file and remember the number; OSError where flash refuses, and nothing is left then."""
        ran = [row for row in self._ran() if row[1] > now]
        if len(ran) >= REMEMBERED:
            raise Refused("too many", "too many requests that haven't expired were run; accepted: " + str(REMEMBERED))
        files.make_folder(self._folder, 0o700)
        path = self._folder + "/" + _hex(request.number) + ".tar"
        archive = Archive(path, now)
        try:
            archive.add("request.toml", request.text.encode())
            archive.add("gateway.json", (canonical.dumps(statement) + "\n").encode())
            for segment in segments:
                archive.copy(request.store + "/" + segment.rsplit("/", 1)[1], segment)
            ran.append((request.number, request.expires))
            files.write_atomic(self._folder + "/ran", b"".join([struct.pack(_RAN, *row) for row in ran]))
            archive.close()
        except OSError:
            archive.give_up()
            raise
        kept = ["ran"] + [_hex(number) + ".tar" for number, _ in ran[-EXPORTS:]]
        for name in list(files.names(self._folder)):
            if name not in kept:  # also of a request that has expired since, or what a loss of power left half written
                files.remove(self._folder + "/" + name)
        return {"export": path, "segments": len(segments), "octets": archive.octets}

    def _ran(self) -> "list[tuple[bytes, int]]":
        """Return number and end of the requests that ran; where the list can't be read, none may run."""
        path = self._folder + "/ran"
        if not files.exists(path):
            return []
        data = files.read_bounded(path, (REMEMBERED + 1) * _ROW)
        return [struct.unpack_from(_RAN, data, at) for at in range(0, len(data) - _ROW + 1, _ROW)]


def days(request: "requests.Request") -> "tuple[int, int]":
    """Return the first and the last day whose segments are handed over: one before the window's, for a connection may last."""
    return request.start // _DAY - 1, request.end // _DAY


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence
