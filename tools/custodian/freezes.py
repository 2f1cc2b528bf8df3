# SPDX-License-Identifier: Apache-2.0
"""An order to preserve (in force: III bis): what is held already and matches is sealed again, until the order ends (L34-III-4).

It happens at the custodian's: the gateway collects nothing more and keeps nothing longer for it, the original expires as ever. The copy is
sealed to a key made for this order alone, whose destroy date is the order's end. File: "OUBLIFRZ", u32 length and JSON of what it is,
then a sealed box of the records, each behind one octet that says how long it is.
"""

import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from agent.control.requests import Request
from agent.vault import attribution
from tools.custodian import matching, segments
from tools.custodian.agents import AgentError, write_new
from tools.custodian.answers import Answer
from tools.custodian.handovers import HandoverError

MAGIC = b"OUBLIFRZ"
EPOCH = date(1970, 1, 1)


def end_of(request: Request) -> date:
    """Return the day on which an order ends, and its key with it."""
    return EPOCH + timedelta(days=request.keep_until)


def key_for(folder: Path, request: Request) -> PublicKey:
    """Make an order's own key in the custodian's folder: `freeze/DAY-NUMBER.key`, where DAY is when it is destroyed."""
    last = end_of(request)
    if not datetime.now(UTC).date() < last <= datetime.now(UTC).date() + timedelta(days=365):
        raise HandoverError("expired", f"request.keep_until: {last}; accepted: a day from tomorrow to 365 days from now")
    key = PrivateKey.generate()
    orders = folder / "freeze"
    try:
        orders.mkdir(mode=0o700, exist_ok=True)
    except OSError as failure:
        raise AgentError(f"{orders}: can't be made ({failure.strerror}); accepted: a folder that can be written") from None
    write_new(orders / f"{last}-{request.fields['number']}.key", bytes(key), 0o600)
    return key.public_key


def destroy_due(folder: Path, today: date) -> list[str]:
    """Overwrite and remove the keys of orders that have ended; returns their numbers."""
    gone = []
    for path in sorted((folder / "freeze").glob("????-??-??-*.key")):
        if date.fromisoformat(path.name[:10]) <= today:
            with path.open("r+b") as file:
                file.write(bytes(32))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
            gone.append(path.name[11:].removesuffix(".key"))
    return gone


def key_of(folder: Path, told: dict[str, Any]) -> PrivateKey | None:
    """Return the key of a frozen file, None where it is destroyed."""
    path = folder / "freeze" / f"{told['keep_until']}-{told['number']}.key"
    return PrivateKey(path.read_bytes()) if path.exists() else None


def freeze(made: Answer, octets: list[bytes], public: PublicKey, target: Path) -> int:
    """Seal the matching records again at `target`; returns how many. Only records that are held are taken, as they are."""
    request = made.handover.request
    kept = [attribution.pack(one) for one in matching.of_port(request, octets)]
    told = made.manifest | {"keep_until": str(end_of(request)), "records": len(kept)}
    head = json.dumps(told).encode()
    body = b"".join(bytes([len(one)]) + one for one in kept)
    write_new(target, MAGIC + len(head).to_bytes(4, "big") + head + SealedBox(public).encrypt(body), 0o600)
    return len(kept)


def read(path: Path, private: PrivateKey | None) -> tuple[dict[str, Any], list[bytes]]:
    """Return what a frozen file says it is, and its records; HandoverError where it isn't one, or its key is destroyed."""
    try:
        data = path.read_bytes()
        size = int.from_bytes(data[8:12], "big")
        told = json.loads(data[12 : 12 + size])
    except (OSError, ValueError):
        data, size, told = b"", 0, {}
    if data[:8] != MAGIC or not told:
        raise HandoverError("malformed", f"{path}: not a frozen file; accepted: what oubli-custodian freeze wrote")
    if private is None:
        raise HandoverError(
            "expired", f"{path}: the order ended on {told['keep_until']} and its key is destroyed; accepted: nothing opens it"
        )
    try:
        return told, list(segments.split(SealedBox(private).decrypt(data[12 + size :])))
    except CryptoError:
        raise HandoverError("malformed", f"{path}: this order's key doesn't open it; accepted: the file as it was written") from None
