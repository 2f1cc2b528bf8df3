# SPDX-License-Identifier: Apache-2.0
"""An order to preserve (in force: III bis) (L34-III-4).

What is held already and matches is sealed again, until the order ends.

It happens at the custodian's: the gateway collects nothing more and keeps nothing longer for it, the original expires
as ever. The copy is sealed to a key for orders that end on that day, which the custodian's store destroys then. A file,
in octets:

    8       "OUBLIFRZ"
    4, ...  length of what follows, JSON of what it is
    ...     a sealed box of the records, each behind one octet that says how long it is
    64      the custodian's Ed25519 signature of all before

Whoever knows the order's public key can seal something to it; so nothing is read whose signature isn't this store's.
"""

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from nacl.bindings import crypto_sign_BYTES
from nacl.exceptions import BadSignatureError, CryptoError
from nacl.public import PublicKey, SealedBox

from agent import law
from agent.purposes.attribution import record
from agent.purposes.believed_time import DENIED
from agent.purposes.requests import requests
from agent.purposes.requests.requests import Request
from tools.commands import bounded
from tools.custodian import matching, segments
from tools.custodian.answers import Answer
from tools.custodian.handovers import HandoverError
from tools.custodian.own_keys import write_new
from tools.custodian.staged import Staged
from tools.custodian.store import Store

MAGIC = b"OUBLIFRZ"
LIMIT = 1 << 30  # octets
# Seconds after which nothing denies a record's time any more: a denial's own reach, and a day for the hour that the
# gateway's floor is late by
SETTLED = DENIED + matching.DAY
EPOCH = date(1970, 1, 1)


def end_of(request: Request) -> date:
    """Return the day on which an order ends, and its key with it."""
    return EPOCH + timedelta(days=request.keep_until)


def key_for(store: Store, request: Request) -> PublicKey:
    """Return the store's key for orders that end when this one does; `destroy-due` destroys it on that day."""
    last = end_of(request)
    if not store.today < last <= store.today + timedelta(days=law.purpose("freeze").ceiling // law.DAY):
        raise HandoverError(
            "expired", f"request.keep_until: {last}; accepted: a day from tomorrow to 365 days from now"
        )
    return PublicKey(store.order(last))


def freeze(made: Answer, octets: list[list[bytes]], store: Store, staged: Staged) -> int:
    """Seal the matching records again beside their place; returns how many. Only records that are held are taken.

    A holding without a recorded end is kept with the last moment at which it is certain: its segment, which tells,
    isn't kept. What was written under a clock that nobody had confirmed is kept as it is: it names nobody later either.
    """
    request = made.handover.request
    kept = matching.billed(request, octets) if request.store == "billing" else _attributed(made, octets)
    told = made.manifest | {"keep_until": str(end_of(request)), "records": len(kept)}
    head = json.dumps(told).encode()
    body = b"".join(bytes([len(one)]) + one for one in kept)
    staged.clear()
    data = MAGIC + len(head).to_bytes(4, "big") + head + SealedBox(key_for(store, request)).encrypt(body)
    write_new(staged.beside, data + store.signing.sign(data).signature, 0o600)
    return len(kept)


def _attributed(made: Answer, octets: list[list[bytes]]) -> list[bytes]:
    request, said = made.handover.request, made.handover.statement
    parts = [[record.unpack(one) for one in part] for part in octets]
    kept = []
    for one in matching.attributed(request, parts, said["made"], said["unbroken"], {note.day for note in made.notes}):
        if one.record.confirmed and one.until >= request.start:
            one.record.end = one.until
            kept.append(record.pack(one.record))
        elif not one.record.confirmed:
            kept.append(record.pack(one.record))
    return kept


def kept(store: Store, path: Path, request: Request) -> list[tuple[bytes, bool]]:
    """Return a frozen file's records for a later request to its gateway and store, whatever its scope.

    And of each whether it was old enough for its time not to be denied any more.
    """
    told, records = read(path, store)
    kind = requests.KINDS.get(str(told.get("purpose")))
    if told.get("gateway") != request.gateway or kind is None or kind[0] != request.store:
        raise HandoverError(
            "another gateway", f"{path}: of another gateway or store; accepted: {request.store} of {request.gateway}"
        )
    over = int(datetime.fromisoformat(told["handed_over"]).timestamp()) - SETTLED
    return [(one, kind[0] == "billing" or (record.unpack(one).end or 0) <= over) for one in records]


def read(path: Path, store: Store) -> tuple[dict[str, Any], list[bytes]]:
    """Return what a frozen file is, and its records; HandoverError: not this store's, or its key is destroyed."""
    try:
        data = bounded(path, LIMIT)
        size = int.from_bytes(data[8:12], "big")
        if data[:8] != MAGIC:
            raise ValueError
        store.signing.verify_key.verify(data[:-crypto_sign_BYTES], data[-crypto_sign_BYTES:])
        told = json.loads(data[12 : 12 + size])
        until = date.fromisoformat(told["keep_until"])
    except BadSignatureError:
        raise HandoverError(
            "unsigned", f"{path}: not signed by this custodian, or changed since; accepted: the file as it was written"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise HandoverError(
            "malformed", f"{path}: not a frozen file; accepted: what oubli-custodian freeze wrote"
        ) from None
    private = store.key("freeze", until, until)
    if private is None:
        raise HandoverError(
            "expired", f"{path}: the order ended on {until} and its key is destroyed; accepted: nothing opens it"
        )
    try:
        return told, list(segments.split(SealedBox(private).decrypt(data[12 + size : -crypto_sign_BYTES])))
    except CryptoError:
        raise HandoverError(
            "malformed", f"{path}: this order's key doesn't open it; accepted: the file as it was written"
        ) from None
