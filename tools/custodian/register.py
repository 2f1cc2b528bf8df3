# SPDX-License-Identifier: Apache-2.0
"""The custodian's register of requests: what the operator shows the CNIL (L34-II-4). It names no terminal and no address.

One JSON object a line, appended whole or not at all, and synced: day, number, kind (answer, freeze), purpose, ground, authority,
reference, gateway, result, how many records. A number stands in it once: a handover that comes a second time is refused. The entry comes
before the answer (tools/custodian/staged.py), so a last line that a loss of power cut off belongs to no answer, and is cut away.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.table import Table

from agent.control.requests import Request
from host_sim import clock
from host_sim.commands import bounded
from tools.custodian import disk
from tools.custodian.handovers import HandoverError

COLUMNS = ("day", "kind", "purpose", "ground", "authority", "reference", "gateway", "result", "records", "number")

LIMIT = 1 << 26  # octets
_BEGIN = '{"day": "'  # of an entry


def entries(path: Path) -> list[dict[str, Any]]:
    """Return the entries, oldest first; HandoverError where the file isn't a register."""
    try:
        whole, _, rest = bounded(path, LIMIT).decode().rpartition("\n")
    except FileNotFoundError:
        return []
    except OSError as failure:
        raise HandoverError("register", f"{path}: can't be read ({failure.strerror}); accepted: a register") from None
    except UnicodeDecodeError as failure:
        raise HandoverError("register", f"{path}: byte {failure.start}: not UTF-8; accepted: a register") from None
    lines = [*whole.splitlines(), *([] if _cut(rest) else [rest])]
    try:
        found = [{name: entry[name] for name in COLUMNS} for entry in map(json.loads, lines)]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise HandoverError("register", f"{path}: line {len(lines)} or before isn't an entry; accepted: a register") from None
    return found


def _cut(rest: str) -> bool:
    """Say whether what is behind the last end of a line is nothing, or the beginning of an entry."""
    try:
        json.loads(rest)
    except (ValueError, RecursionError):
        return _BEGIN.startswith(rest[: len(_BEGIN)])
    return False


@contextmanager
def once(path: Path, request: Request, waiting: Path | None = None) -> Iterator[bool]:
    """Demand that a request isn't in the register yet, and that it can be entered; nobody else enters one meanwhile.

    Gives True where it is entered, and its answer still waits for its name.
    """
    entries(path)
    try:
        file = path.open("a")
    except OSError as failure:
        raise HandoverError("register", f"{path}: can't be written ({failure.strerror}); accepted: a register") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HandoverError("register", f"{path}: another command answers a request now; accepted: one after the other") from None
        entered = request.fields["number"] in [entry["number"] for entry in entries(path) if entry["result"] != "refused"]
        if entered and not (waiting and waiting.exists()):
            raise HandoverError("already run", "request.number: it was answered before (L34-II-4); accepted: a new request")
        yield entered


def enter(path: Path, kind: str, request: Request, result: str, records: int) -> None:
    """Append an entry."""
    fields = request.fields
    told = {"day": f"{clock.now():%Y-%m-%d}", "kind": kind, "gateway": request.gateway, "result": result, "records": records}
    row = told | {name: fields[name] for name in ("number", "purpose", "ground", "authority", "reference")}
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        _mend(path, descriptor)
        disk.append(descriptor, f"{json.dumps({name: row[name] for name in COLUMNS})}\n".encode())
    except OSError as failure:
        raise HandoverError(
            "register", f"{path}: can't be written ({failure.strerror}): nothing is answered; accepted: a register"
        ) from None
    finally:
        os.close(descriptor)


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
    made = Table(title="Requests of authorities", title_justify="left")
    for name in COLUMNS:
        made.add_column(name)
    for row in rows:
        made.add_row(*(str(row[name]) for name in COLUMNS))
    return made
