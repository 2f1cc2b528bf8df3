# SPDX-License-Identifier: Apache-2.0
"""The custodian's register of requests and invoices: what the operator shows the CNIL (L34-II-4).

It names no terminal and no address.

One for each key store, in its folder. One JSON object a line, appended whole or not at all, and synced:

    day, number, kind (answer, freeze, invoice), purpose, ground
    who asks: kind and basis, name and reference
    gateway, result, how many records
    the SHA-256 of the line before

The store's log has each entry's SHA-256 before it is written and after. So a register that was cut, made anew or added
to shows, and so does a log that lines were taken out of. Where both were cut alike, an answer that somebody has shows
it: its manifest names its entry, and `verify` takes manifests. A number is answered once, and again as the same octets
only; a refusal is entered and may be followed by an answer. The entry comes before the answer
(tools/custodian/staged.py). So a last line that a loss of power cut off belongs to no answer, and is cut away.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rich.table import Table

from tools import clock, disk
from tools.commands import bounded
from tools.custodian.handovers import HandoverError
from tools.custodian.store import Store

COLUMNS = (
    "day",
    "kind",
    "purpose",
    "ground",
    "authority_kind",
    "basis",
    "authority",
    "reference",
    "gateway",
    "result",
    "records",
    "number",
)

NAME = "register"  # in a key store's folder
REFUSED = "refused"
LIMIT = 1 << 26  # octets
_BEGIN = '{"day": "'  # of an entry


class Entered(Protocol):
    """What is entered: a request, or an invoice. `fields` has its number, purpose, ground, who asks, and on what."""

    @property
    def fields(self) -> dict[str, str]:
        """What was asked, by name."""

    @property
    def gateway(self) -> str:
        """The one gateway it is of."""


def _lines(path: Path) -> list[str]:
    """Return the lines without one that was cut off; HandoverError where the file can't be read."""
    try:
        whole, _, rest = bounded(path, LIMIT).decode().rpartition("\n")
    except FileNotFoundError:
        return []
    except OSError as failure:
        raise HandoverError("register", f"{path}: can't be read ({failure.strerror}); accepted: a register") from None
    except UnicodeDecodeError as failure:
        raise HandoverError("register", f"{path}: byte {failure.start}: not UTF-8; accepted: a register") from None
    return [*whole.splitlines(), *([] if _cut(rest) else [rest])]


def _digest(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()


def entries(store: Store) -> list[dict[str, Any]]:
    """Return the entries, oldest first; HandoverError where the file isn't this store's whole register."""
    return _checked(store)[0]


def has(store: Store, head: str) -> bool:
    """Return True if the register has the entry that an answer names; HandoverError where the register isn't whole."""
    return head in _checked(store)[1]


def _checked(store: Store) -> tuple[list[dict[str, Any]], set[str]]:
    """Return the entries and their SHA-256; the log names each, the last at least as about to be written."""
    path = store.folder / NAME
    if wrong := store.changed():
        raise HandoverError("register", f"{wrong[0]}; accepted: the log as it was written")
    found, before, digests = [], "", []
    for number, line in enumerate(_lines(path), 1):
        try:
            entry = json.loads(line)
            found.append({name: entry[name] for name in COLUMNS})
            previous = entry["previous"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise HandoverError("register", f"{path}: line {number} isn't an entry; accepted: a register") from None
        if previous != before:
            raise HandoverError(
                "register",
                f"{path}: line {number} doesn't follow the line before; accepted: the register as it was written",
            )
        before = _digest(line)
        digests.append(before)
    entered, about = _logged(store)
    missing = entered.difference(digests)
    if missing:
        raise HandoverError(
            "register",
            f"{path}: {len(missing)} entries that the store's log has are missing; accepted: "
            "the register as it was written",
        )
    for number, digest in enumerate(digests, 1):
        if digest not in entered and not (number == len(digests) and digest in about):
            raise HandoverError(
                "register", f"{path}: line {number} isn't in the store's log; accepted: the register as it was written"
            )
    return found, set(digests)


def _logged(store: Store) -> tuple[set[str], set[str]]:
    """Return the SHA-256 of the store's logged entries, and of those announced as about to be written."""
    log = store.log.entries()
    return {str(one.get("entry")) for one in log if one["act"] == "entered"}, {
        str(one["register"]) for one in log if "register" in one
    }


def _cut(rest: str) -> bool:
    """Return True if what is behind the last end of a line is nothing, or the beginning of an entry."""
    try:
        json.loads(rest)
    except (ValueError, RecursionError):
        return _BEGIN.startswith(rest[: len(_BEGIN)])
    return False


def wrong(store: Store) -> list[str]:
    """Return what is wrong with a store's register."""
    try:
        entries(store)
    except HandoverError as failure:
        return [str(failure)]
    return []


@contextmanager
def once(store: Store, request: Entered, waiting: Path | None = None, *, again: bool = False) -> Iterator[bool]:
    """Demand that a request isn't answered yet, and that it can be entered; nobody else enters one meanwhile.

    Gives True where it is entered, and its answer still waits for its name; `again`: also
    where its answer is asked for once more.
    """
    path = store.folder / NAME
    entries(store)
    try:
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a")
    except OSError as failure:
        raise HandoverError(
            "register", f"{path}: can't be written ({failure.strerror}); accepted: a register"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HandoverError(
                "register", f"{path}: another command answers a request now; accepted: one after the other"
            ) from None
        last = {head(line) for line in _lines(path)[-1:]}
        done, about = _logged(store)
        for digest in last & about - done:
            store.note("entered", entry=digest)  # power was lost between the two
        there = request.fields["number"] in [entry["number"] for entry in entries(store) if entry["result"] != REFUSED]
        if there and not again and not (waiting and waiting.exists()):
            raise HandoverError(
                "already run", "request.number: it was answered before (L34-II-4); accepted: a new request"
            )
        yield there


def said(store: Store, number: str) -> dict[str, Any]:
    """Return what the log says of what a request by its number got: `register`, `made` (Staged.digest), more."""
    return next((one for one in reversed(store.log.entries()) if one.get("number") == number and "made" in one), {})


def entry(store: Store, kind: str, request: Entered, result: str, records: int) -> str:
    """Return the line that would come next."""
    fields = request.fields
    told = {
        "day": f"{clock.now():%Y-%m-%d}",
        "kind": kind,
        "gateway": request.gateway,
        "result": result,
        "records": records,
    }
    row = told | {
        name: fields[name]
        for name in ("number", "purpose", "ground", "authority_kind", "basis", "authority", "reference")
    }
    lines = _lines(store.folder / NAME)
    return json.dumps({name: row[name] for name in COLUMNS} | {"previous": _digest(lines[-1]) if lines else ""})


def head(line: str) -> str:
    """Return the SHA-256 by which an answer names its entry, and the entry after it this one."""
    return _digest(line)


def enter(store: Store, line: str, **facts: str) -> None:
    """Append an entry, and note in the store's log that it is there. `facts` are the log's."""
    append(store, line, **facts)
    entered(store, line)


def append(store: Store, line: str, **facts: str) -> None:
    """Append an entry, which the store's log names before, and next by `entered`."""
    path = store.folder / NAME
    told = json.loads(line)
    store.note(told["kind"], number=told["number"], result=told["result"], register=head(line), **facts)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        _mend(path, descriptor)
        disk.append(descriptor, f"{line}\n".encode())
    except OSError as failure:
        raise HandoverError(
            "register", f"{path}: can't be written ({failure.strerror}): nothing is answered; accepted: a register"
        ) from None
    finally:
        os.close(descriptor)


def entered(store: Store, line: str) -> None:
    """Note in the store's log that an entry is there; where that fails, the next command does it (`once`)."""
    store.note("entered", entry=head(line))


@contextmanager
def refusals(store: Store, kind: str, request: Entered) -> Iterator[None]:
    """Enter what is refused meanwhile, if its signatures fitted, and no fault of the register or of a key."""
    try:
        yield
    except HandoverError as failure:
        if failure.reason not in ("register", "already run", "key"):
            enter(store, entry(store, kind, request, REFUSED, 0), reason=failure.reason)
        raise


def _mend(path: Path, descriptor: int) -> None:
    """End a last line that was cut off behind its last octet, cut away one that was before."""
    data = bounded(path, LIMIT)
    rest = data.rpartition(b"\n")[2]
    if _cut(rest.decode(errors="replace")):
        os.ftruncate(descriptor, len(data) - len(rest))
    else:
        disk.append(descriptor, b"\n")


def table(rows: list[dict[str, Any]]) -> Table:
    """Return the register as it is printed."""
    made = Table(title="Requests, and invoices", title_justify="left")
    for name in COLUMNS:
        made.add_column(name)
    for row in rows:
        made.add_row(*(str(row[name]) for name in COLUMNS))
    return made
