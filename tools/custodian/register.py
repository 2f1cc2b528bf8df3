# SPDX-License-Identifier: Apache-2.0
"""The custodian's register of requests: what the operator shows the CNIL (L34-II-4). It names no terminal and no address.

One JSON object a line, appended and synced: day, number, kind (answer, freeze), purpose, ground, authority, reference, gateway, result,
how many records. A number stands in it once: a handover that comes a second time is refused.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from agent.control.requests import Request
from host_sim.commands import bounded
from tools.custodian.handovers import HandoverError

COLUMNS = ("day", "kind", "purpose", "ground", "authority", "reference", "gateway", "result", "records", "number")

LIMIT = 1 << 26  # octets


def entries(path: Path) -> list[dict[str, Any]]:
    """Return the entries, oldest first; HandoverError where the file isn't a register."""
    try:
        lines = bounded(path, LIMIT).decode().splitlines()
    except FileNotFoundError:
        return []
    except OSError as failure:
        raise HandoverError("register", f"{path}: can't be read ({failure.strerror}); accepted: a register") from None
    except UnicodeDecodeError as failure:
        raise HandoverError("register", f"{path}: byte {failure.start}: not UTF-8; accepted: a register") from None
    try:
        found = [{name: entry[name] for name in COLUMNS} for entry in map(json.loads, lines)]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise HandoverError("register", f"{path}: line {len(lines)} or before isn't an entry; accepted: a register") from None
    return found


@contextmanager
def once(path: Path, request: Request) -> Iterator[None]:
    """Demand that a request isn't in the register yet, and that it can be entered; nobody else enters one meanwhile."""
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
        if request.fields["number"] in [entry["number"] for entry in entries(path) if entry["result"] != "refused"]:
            raise HandoverError("already run", "request.number: it was answered before (L34-II-4); accepted: a new request")
        yield


def enter(path: Path, kind: str, request: Request, result: str, records: int) -> None:
    """Append an entry."""
    fields = request.fields
    told = {"day": f"{datetime.now(UTC):%Y-%m-%d}", "kind": kind, "gateway": request.gateway, "result": result, "records": records}
    row = told | {name: fields[name] for name in ("number", "purpose", "ground", "authority", "reference")}
    with path.open("a") as file:
        path.chmod(0o600)
        file.write(json.dumps({name: row[name] for name in COLUMNS}) + "\n")
        file.flush()
        os.fsync(file.fileno())


def table(rows: list[dict[str, Any]]) -> Table:
    """Return the register as it is printed."""
    made = Table(title="Requests of authorities", title_justify="left")
    for name in COLUMNS:
        made.add_column(name)
    for row in rows:
        made.add_row(*(str(row[name]) for name in COLUMNS))
    return made
