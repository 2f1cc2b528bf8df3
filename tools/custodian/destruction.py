# SPDX-License-Identifier: Apache-2.0
"""Destroys the private keys whose date has come, without the passphrase, so that it can run unattended (EXP-3).

A key's file is overwritten where it lies and only then unlinked, with an entry of the log before and after.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from agent import law
from tools import disk
from tools.custodian import keyfiles
from tools.custodian.keyfiles import KeyFile
from tools.custodian.log import Log
from tools.custodian.store import ACCEPTED, Store, StoreError


@dataclass
class Destroyed:
    """What a run destroyed, and a line for each thing that was in its way."""

    keys: list[tuple[str, date]]
    wrong: list[str]


def destroy_due(store: Store) -> Destroyed:
    """Destroy every private key whose date has come, oldest date first.

    A destruction that was cut off is finished. What can't be read, written, or isn't a key keeps no other key from
    being destroyed: `wrong` tells of it. Neither does a log that can't be written, for the seven days in which its
    newest entry vouches for the date. A copy under another name goes on its date, too.
    """
    with store.alone(unwritable=True):
        done = Destroyed([], [])
        files, done.wrong = keyfiles.listed(store.folder / "keys")
        begun = _begun(store.log, done.wrong)
        due = []
        for one in files:
            try:
                date_ = _due(one, begun, store.today)
            except (OSError, StoreError) as failure:
                done.wrong.append(keyfiles.line(one.path, failure))
            else:
                if date_ is not None:
                    due.append((date_, one))
        for date_, one in sorted(due):
            _destroy(store, one, date_, done)
        _enter(store, done, "destroy-due", destroyed=len(done.keys))
    return done


def _begun(log: Log, wrong: list[str]) -> set[tuple[str, str]]:
    """Return the keys whose destruction the log has begun and not ended."""
    begun: set[tuple[str, str]] = set()
    try:
        entries = log.entries()
    except OSError as failure:
        wrong.append(keyfiles.line(log.path, failure))
        return set()
    for said in entries:
        if said["act"] in ("destroy", "destroyed"):
            key = (str(said.get("purpose")), str(said.get("day")))
            (begun.add if said["act"] == "destroy" else begun.discard)(key)
    return begun


def _due(one: KeyFile, begun: set[tuple[str, str]], today: date) -> date | None:
    """Return since when a file is due, None where it isn't; StoreError where it isn't a key and nobody can tell."""
    if one.unfinished:
        return today
    data = one.octets()
    said = None if data is None else keyfiles.parse(data)
    if one.day is None:
        if said is None:
            raise StoreError("not of a key store, may be a copy of a key; accepted: PURPOSE/DAY.json")
        if said.destroy > today:
            raise StoreError(
                f"a copy of a key under another name, is destroyed on {said.destroy}; accepted: PURPOSE/DAY.json"
            )
        return said.destroy
    if data is None:
        raise StoreError(f"not a file; {ACCEPTED}")
    ceiling = timedelta(days=0 if one.purpose == "freeze" else law.purpose(one.purpose).ceiling // law.DAY)
    latest = min(one.day, date.max - ceiling) + ceiling
    if said is not None:
        return said.destroy if said.destroy <= today else None
    if (one.purpose, str(one.day)) in begun or not data.strip(b"\0\xff") or latest <= today:
        return min(latest, today)
    raise StoreError(f"damaged, when it is due isn't known, {latest} at the latest; {ACCEPTED}")


def _destroy(store: Store, one: KeyFile, due: date, done: Destroyed) -> None:
    facts = (
        {"purpose": one.purpose, "day": str(one.day)} if one.day else {"purpose": one.purpose, "copy": one.path.name}
    )
    _enter(store, done, "destroy", **facts, due=str(due))
    try:
        disk.overwrite(one.path)
    except OSError as failure:
        done.wrong.append(keyfiles.line(one.path, failure))
        if not one.path.exists() or one.path.stat().st_size:
            return
    if not _enter(store, done, "destroyed", **facts):
        if one.day:
            done.keys.append((one.purpose, one.day))
        return  # what was overwritten stays as the mark
    try:
        one.path.unlink()
        disk.sync_folder(one.path.parent)
    except OSError as failure:  # the key is gone all the same: nothing but zeros has its name
        done.wrong.append(keyfiles.line(one.path, failure))
    if one.day:
        done.keys.append((one.purpose, one.day))


def _enter(store: Store, done: Destroyed, act: str, **facts: Any) -> bool:  # noqa: ANN401 (what JSON holds)
    """Append an act, or say that the log couldn't be written: destroying goes on."""
    try:
        store.note(act, **facts)
    except OSError as failure:
        line = keyfiles.line(store.log.path, failure)
        if line not in done.wrong:
            done.wrong.append(line)
        return False
    return True
