# SPDX-License-Identifier: Apache-2.0
"""Where a signed request is run on the gateway: checked, logged, answered (L34-II-4).

The answer is sealed segments that the gateway can't read.

Who may sign stands in a file that only root can write. What is handed over is one tar file: the request itself, what
the gateway says about it, sealed segments, and the gateway's signature of it all. `gateway.json` tells of a second NAT
and of what isn't written yet. The segments are the custodian's, of the days that the window touches, of the day before
and of the day after. A connection stands under the day it began; the marks of the day after tell whether the recorder
ran on. A number runs once, over restarts and boots; it is remembered until the request itself has expired, and so long
its handover stays.
"""

import os
import struct
from binascii import hexlify

from agent.control import calls
from agent.purposes.device_key import Signer
from agent.purposes.requests import requests
from agent.purposes.requests.handover import Handover
from agent.purposes.requests.requests import Refused
from agent.runtime import files
from agent.runtime.libc import reason
from agent.vault.stores import UNKNOWN

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
                    "keys file",
                    "the agents' keys file isn't root's alone (L34-II-4); accepted: owner root, mode 0644, "
                    "its folder 0755",
                )
        return requests.agents_in(files.read_bounded(path, AGENTS).decode())
    except (OSError, ValueError):
        raise Refused(
            "unknown agent", "no agent is enrolled (L34-II-4); accepted: oubli request enrol KEY, twice, for two agents"
        )


def enrol(path: str, line: str) -> "dict[bytes, str]":
    """Add the agent of a public key file's line, `KEY NAME`; returns all.

    ValueError says what is accepted; only root may write.
    """
    new = requests.agents_in(line)
    text = files.read_bounded(path, AGENTS).decode() if files.exists(path) else ""
    known = requests.agents_in(text)
    for key in new:
        if key in known or new[key] in known.values():
            raise ValueError
        text += hexlify(key).decode() + " " + new[key] + "\n"
    files.make_folder(path.rsplit("/", 1)[0], 0o755)
    files.write_atomic(path, text.encode(), 0o644)
    return new


class RequestExecutor:
    """The executor of one gateway.

    agents     path of the keys file; `folder` on flash is where the list of what ran lies,
               `places` (store -> folder) where handovers go
    gateway    gateway.id; `grounds`: purpose -> what its store was kept for (agent.vault.stores.kept_for),
               None where the request's own table decides
    signed     signed(signature, data, key) -> bool
    """

    def __init__(
        self,
        agents: str,
        folder: str,
        places: "dict[str, str]",
        gateway: str,
        grounds: "dict[str, list[tuple[int, str]] | None]",
        signed: "Callable[[bytes, bytes, bytes], bool]",
    ) -> None:
        self._agents = agents
        self._folder = folder
        self._places = places
        self.busy: "Handover | None" = None
        self.tidied = False  # by this process
        self._gateway = gateway
        self._grounds = grounds
        self._signed = signed

    def check(self, text: str, now: int, latest: int, *, trusted: bool) -> "requests.Request":
        """Return the request that may be run at `now` (s since the epoch); Refused with the reason otherwise.

        `latest` is the latest time that was ever known: a clock that is set back brings no expired request back.
        """
        request = requests.Request(text)
        if request.gateway != self._gateway:
            raise Refused(
                "another gateway", "request.gateway: it is for another gateway (L34-II-4); accepted: " + self._gateway
            )
        if request.store not in self._grounds:
            on = ", ".join(sorted(self._grounds))
            raise Refused("not available", "request.purpose: that store isn't kept here (L34-II-4); accepted: " + on)
        rows = self._grounds[request.store] if request.purpose == request.store else None
        if rows:
            self._grounded(request, rows)
        requests.verify(request, agents_at(self._agents), self._signed)
        if not trusted:
            raise Refused(
                "clock",
                "the time isn't confirmed: whether the request has expired can't be told (EXP-5); accepted: "
                "a trusted clock",
            )
        if now < request.issued:
            issued = request.fields["issued"]
            text = f"request.issued: later than this gateway's time (L34-II-4); accepted: from {issued} on"
            raise Refused("clock", text)
        if max(now, latest) >= request.expires:
            raise Refused(
                "expired", "request.expires: it has expired (L34-II-4); accepted: before " + request.fields["expires"]
            )
        if request.number in [number for number, _ in self._ran()]:
            raise Refused("already run", "request.number: it was run before (L34-II-4); accepted: a new request")
        return request

    def _grounded(self, request: "requests.Request", rows: "list[tuple[int, str]]") -> None:
        """Refuse a ground other than the one on which the window was kept; a day of a change is of the later one."""
        days = [second // _DAY for second in (request.start, request.end - 1)]
        # Of those that ended on the same day the first held before it
        grounds = [min([row for row in rows if day < row[0]], key=lambda row: row[0])[1] for day in days]
        if [request.ground] * 2 != grounds:
            accepted = grounds[0] if grounds[0] == grounds[1] else ", then ".join(grounds)
            text = "request.ground: the store is kept for another one (L34-III-1); accepted: "
            raise Refused("ground", text + accepted.replace(UNKNOWN, "what root notes of it"))

    def begin(
        self,
        request: "requests.Request",
        segments: "Sequence[str]",
        statement: "dict[str, Any]",
        now: int,
        signer: Signer,
    ) -> None:
        """Begin to hand over; one at a time. Refused or OSError where that can't be: nothing is left then."""
        if self.busy is not None:
            raise Refused("busy", "another request is being run; accepted: once that one is handed over")
        if len([row for row in self._ran() if row[1] > now]) >= REMEMBERED:
            raise Refused("too many", "too many requests that haven't expired were run; accepted: " + str(REMEMBERED))
        self.tidy(now, EXPORTS - 1)
        self.busy = Handover(self._places[request.store], request, segments, statement, signer, now)

    def work(self, now: int, permit: "Callable[[], bool]") -> bool:
        """Write a part of the handover; True once it is there, and its number is used up.

        `permit()` is asked before it is made visible. Refused or OSError where it
        is given up: nothing is left of it then.
        """
        handover = self.busy
        if handover is None:
            return False
        try:
            if not handover.step():
                return False
            if not permit():
                raise Refused("audit", "the audit log can't take it; accepted: again once it can")
            request = handover.request
            self._remember([row for row in self._ran() if row[1] > now] + [(request.number, request.expires)])
            handover.archive.close()
        except (OSError, Refused):
            self.busy = None
            handover.give_up()
            raise
        self.busy = None
        return True

    def _remember(self, ran: "list[tuple[bytes, int]]") -> None:
        files.make_folder(self._folder, 0o700)
        files.write_atomic(self._folder + "/ran", b"".join([struct.pack(_RAN, *row) for row in ran]))

    def tidy(self, now: int, newest: int = EXPORTS) -> None:
        """Remove all but the newest handovers, those of expired requests, and what a loss of power left half done."""
        self.tidied = True
        kept = [hexlify(number).decode() + ".tar" for number, expires in self._ran()[-newest:] if expires > now]
        if self.busy is not None:
            kept.append("." + self.busy.path.rsplit("/", 1)[1] + ".new")
        for folder in self._places.values():
            for name in list(files.names(folder)) if files.exists(folder) else ():
                if name not in kept:
                    files.remove(folder + "/" + name)

    def open(self, now: int) -> "list[dict[str, Any]] | None":
        """Return the requests that haven't expired at `now`: number, purpose, `until`, and how far each is.

        `since` is when it was handed over; `written` of `octets` stand instead while it is being written. Nothing of
        whom it is about. None where flash refuses.
        """
        rows: "list[dict[str, Any]]" = []
        try:
            for number, expires in self._ran()[-EXPORTS:]:  # no others have a file
                for store in self._places:
                    path = self._places[store] + "/" + hexlify(number).decode() + ".tar"
                    if expires > now and files.exists(path):
                        rows.append({"purpose": store, "since": int(os.stat(path)[8]), "until": expires})
                        rows[-1]["number"] = hexlify(number).decode()
        except OSError:
            return None
        busy = self.busy
        if busy is not None:
            row = {"number": busy.request.fields["number"], "purpose": busy.request.store}
            rows.append(dict(row, until=busy.request.expires, written=busy.archive.octets, octets=busy.octets))
        return rows

    def erase(self, store: str) -> None:
        """Remove every handover of a store, one that is being written too."""
        if self.busy is not None and self.busy.request.store == store:
            self.give_up()
        folder = self._places.get(store, "")
        for name in list(files.names(folder)) if folder and files.exists(folder) else ():
            files.remove(folder + "/" + name)

    def give_up(self) -> None:
        """Let go of what is being written."""
        if self.busy is not None:
            self.busy.give_up()
            self.busy = None

    def _ran(self) -> "list[tuple[bytes, int]]":
        """Return number and end of the requests that ran; where the list can't be read, none may run."""
        path = self._folder + "/ran"
        if not files.exists(path):
            return []
        data = files.read_bounded(path, (REMEMBERED + 1) * _ROW)
        return [struct.unpack_from(_RAN, data, at) for at in range(0, len(data) - _ROW + 1, _ROW)]


class RunningRequest:
    """Runs requests to a gateway at `executor`, one at a time; `note(act, *words)` writes on the audit log."""

    def __init__(
        self, executor: RequestExecutor, gateway: str, sodium: "Sodium", device_key: str, note: "Callable[..., bool]"
    ) -> None:
        self.executor = executor
        self._gateway = gateway
        self._sodium = sodium
        self._device_key = device_key
        self._note = note
        self._running: "tuple[dict[str, Any], str, bytes, Signer] | None" = None  # what is told of it, its act, digest
        self._ran: "dict[str, Any]" = {}  # what is told of the one that ran last

    def identity(self) -> "dict[str, Any]":
        """Return the public half of the key that this gateway signs handovers with: the custodian knows it by that."""
        try:
            signer = Signer(self._device_key, self._sodium)
        except OSError as failure:
            raise calls.Refused(
                "flash refuses the device's key" + reason(failure.errno) + "; accepted: once it is writable"
            )
        signer.close()
        return {"gateway": self._gateway, "key": hexlify(signer.public).decode()}

    def begin(
        self,
        text: str,
        wall: int,
        latest: int,
        close: "Callable[[requests.Request], tuple[list[str], dict[str, Any]]]",
        *,
        trusted: bool,
    ) -> "dict[str, Any]":
        """Begin to run a request; calls.Refused where it isn't.

        `wall` and `latest`, the latest time that was ever known, in s since the epoch. `close(request)` closes its
        store, and returns the segments and the statement that are handed over.
        """
        digest = self._sodium.digest(text.encode(), 8)
        signer: "Signer | None" = None
        act = "request"
        try:
            request = self.executor.check(text, wall, latest, trusted=trusted)
            act = "freeze" if request.keep_until else act
            segments, statement = close(request)
            signer = Signer(self._device_key, self._sodium)
            self.executor.begin(request, segments, statement, wall, signer)
        except (Refused, OSError) as failure:
            raise calls.Refused(self._given_up(failure, act, digest, signer))
        handover = self.executor.busy
        assert handover is not None
        told = {
            "number": request.fields["number"],
            "export": handover.path,
            "segments": handover.segments,
            "octets": handover.octets,
        }
        self._running = told, act, digest, signer
        return dict(told)

    def work(self, wall: int) -> bool:
        """Write a part of the handover that is being made; True where there is more to do."""
        if self._running is None:
            return False
        told, act, digest, signer = self._running
        try:
            if not self.executor.work(wall, lambda: self._note(act, "run", digest)):
                return True
        except (Refused, OSError) as failure:
            self._failed(failure)
            return False
        self._ran, self._running = told, None
        signer.close()
        return False

    def _failed(self, failure: "Refused | OSError") -> None:
        assert self._running is not None
        told, act, digest, signer = self._running
        self._ran, self._running = (
            {"number": told["number"], "wrong": self._given_up(failure, act, digest, signer)},
            None,
        )

    def handover(self, number: str) -> "dict[str, Any]":
        """Return how far the handover of a request is: `written` of `octets`, or `export` once it is there.

        Refused where it isn't.
        """
        if self._running is not None and self._running[0]["number"] == number and self.executor.busy is not None:
            return {"octets": self._running[0]["octets"], "written": self.executor.busy.archive.octets}
        if self._ran.get("number") != number:
            raise calls.Refused("no such request is being run; accepted: request run")
        if "wrong" in self._ran:
            raise calls.Refused(self._ran["wrong"])
        return dict(self._ran)

    def erase(self, name: str) -> None:
        """Forget the handovers of a store, and what is being made of one. OSError where flash refuses."""
        if self.executor.busy is not None and self.executor.busy.request.store == name:
            self._failed(Refused("erased", "request: the store was erased meanwhile; accepted: a new request"))
        self.executor.erase(name)

    def _given_up(self, failure: "Refused | OSError", act: str, digest: bytes, signer: "Signer | None") -> str:
        """Take note that a request isn't run; returns why."""
        if signer is not None:
            signer.close()
        self._note(act, "refused", digest)
        if isinstance(failure, OSError):
            return "request: flash refuses" + reason(failure.errno) + "; accepted: once more when it is writable"
        text: str = failure.args[0]
        return text

    def close(self) -> None:
        """Give up what is being made."""
        self.executor.give_up()
        if self._running is not None:
            self._running[3].close()


def days(request: "requests.Request") -> "tuple[int, int]":
    """Return the first and last day that are handed over: one before the window, and one after, for its marks."""
    return request.start // _DAY - 1, request.end // _DAY + 1


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence

    from agent.runtime.sodium import Sodium
