# SPDX-License-Identifier: Apache-2.0
"""The custodian's key store: a folder with a signing key, one file a day and purpose, and an append-only log (EXP-3).

    settings.json            version, Argon2id's salt and costs
    signing.json, signing.pub
    keys/PURPOSE/DAY.json    public key, destroy date, private key
    log                      one JSON line an act (tools/custodian/log.py)

Private keys lie in libsodium secret boxes under a key that Argon2id makes of the passphrase. One file a key, so that
destroying a key destroys a file and not a row of one: it is overwritten where it lies, which takes no free block, and
synced. The log says so before and after. Only then is the name unlinked: where the log can't be written, the
overwritten file is the mark, and the next run enters it. What a disk keeps of an overwritten file is beyond a program:
it is useless without the passphrase, and the README says which media forget.

The date is the clock's, bounded both ways by the log's newest entry. A clock behind it never makes a key younger. A
clock more than STEP past it is believed only once the custodian has confirmed the date: it would destroy what nobody
could bring back.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from nacl import pwhash
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey
from nacl.secret import SecretBox
from nacl.signing import SigningKey, VerifyKey
from nacl.utils import random

from agent import law
from tools import clock, disk
from tools.custodian import bundles, keyfiles
from tools.custodian.keyfiles import Key, KeyFile
from tools.custodian.log import LONGEST, BusyError, Log

AHEAD = 35  # days that a bundle reaches
STEP = timedelta(days=7)  # a larger step forward of the clock is confirmed by the custodian
BEHIND = timedelta(hours=1)  # a clock that is further behind the log is wrong
ACCEPTED = "accepted: what oubli-custodian bundle wrote"


class StoreError(Exception):
    """A key store that can't be used; the text is the one line to show."""


class Store:
    """A key store; StoreError where it isn't one, the passphrase or the clock is wrong. `now` is UTC.

    Without a passphrase no key can be made or used, but destroyed: that must run unattended.
    """

    def __init__(self, folder: Path, passphrase: bytes | None, now: datetime | None = None) -> None:
        self.folder = folder
        self.log = Log(folder / "log")
        try:
            settings = json.loads((folder / "settings.json").read_text())
            salt, ops, mem = bytes.fromhex(settings["salt"]), int(settings["operations"]), int(settings["octets"])
            sealed = bytes.fromhex(json.loads((folder / "signing.json").read_text())["sealed"])
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise StoreError(f"{folder}: not a key store; accepted: what oubli-custodian new made") from None
        self._clock(now or clock.now())
        if passphrase is None:
            return
        if self.behind:
            raise StoreError(self.behind)
        self._box = SecretBox(pwhash.argon2id.kdf(SecretBox.KEY_SIZE, passphrase, salt, ops, mem))
        try:
            self.signing = SigningKey(self._box.decrypt(sealed))
        except CryptoError:
            raise StoreError(f"{folder}: the passphrase doesn't open it; accepted: the one it was made with") from None

    def _clock(self, now: datetime) -> None:
        """Set `now` and `today`, and what is wrong with a clock behind; StoreError: a large step, unconfirmed."""
        newest = self.log.newest() if self.log.path.exists() else None
        confirm = f"accepted: oubli-custodian confirm-date {now.date()}, if that is today's date"
        if newest is None:
            raise StoreError(f"{self.log.path}: no time in it bounds the clock, which says {now.date()}; {confirm}")
        if now - newest > STEP:
            raise StoreError(
                f"the clock says {now.date()}, and the log's newest entry is of {newest.date()}; {confirm}"
            )
        self.now = max(now, newest)
        self.today = self.now.date()
        late = now < newest - BEHIND
        self.behind = (
            f"the clock says {now:%Y-%m-%d %H:%M}, before the log's newest entry of {newest:%Y-%m-%d %H:%M}; {confirm}"
            * late
        )

    @staticmethod
    def confirm(folder: Path, today: date, now: datetime | None = None) -> None:
        """Enter that the custodian confirms the date; from then on the clock is believed.

        StoreError where the clock says another.
        """
        now = now or clock.now()
        if today != now.date():
            raise StoreError(
                f"{today}: this machine's clock says {now.date()}; accepted: that date, or set the clock first"
            )
        log = Log(folder / "log")
        if not (folder / "settings.json").exists():
            raise StoreError(f"{folder}: not a key store; accepted: what oubli-custodian new made")
        if not log.path.exists():
            disk.write_new(log.path, b"")
        newest = log.newest()
        log.append(now, "confirm-date", date=str(today), newest=str(newest and newest.date()))

    @staticmethod
    def make(
        folder: Path,
        passphrase: bytes,
        *,
        operations: int = pwhash.argon2id.OPSLIMIT_MODERATE,
        octets: int = pwhash.argon2id.MEMLIMIT_MODERATE,
        now: datetime | None = None,
    ) -> VerifyKey:
        """Make a new store with a new signing key; returns its public half."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise StoreError(f"{folder}: isn't empty; accepted: a new folder")
        salt, signing = random(pwhash.argon2id.SALTBYTES), SigningKey.generate()
        box = SecretBox(pwhash.argon2id.kdf(SecretBox.KEY_SIZE, passphrase, salt, operations, octets))
        settings = {"version": 1, "salt": salt.hex(), "operations": operations, "octets": octets}
        disk.write_new(folder / "settings.json", json.dumps(settings).encode())
        disk.write_new(
            folder / "signing.json", json.dumps({"sealed": bytes(box.encrypt(bytes(signing))).hex()}).encode()
        )
        disk.write_new(folder / "signing.pub", f"{bytes(signing.verify_key).hex()}\n".encode())
        disk.write_new(folder / "log", b"")
        Log(folder / "log").append(now or clock.now(), "new", key=bytes(signing.verify_key).hex())
        return signing.verify_key

    def note(self, act: str, **facts: Any) -> None:  # noqa: ANN401 (what JSON holds)
        """Append an act to the log; StoreError where another command keeps it."""
        with self.alone():
            self.log.append(self.now, act, **facts)

    @contextmanager
    def alone(self, *, unwritable: bool = False) -> Iterator[None]:
        """Hold the store for one command; StoreError where another one keeps it for long.

        `unwritable`: as tools.custodian.log.Log.alone has it.
        """
        try:
            with self.log.alone(unwritable=unwritable):
                yield
        except BusyError:
            raise StoreError(
                f"{self.folder}: another command has used it for {LONGEST:.0f} s; accepted: one after the other"
            ) from None

    def _path(self, purpose: str, day: date) -> Path:
        return self.folder / "keys" / purpose / f"{day}.json"

    def bundle(self, first: date, days: int, lifetimes: dict[str, int]) -> bytes:
        """Return a signed bundle of `days` days from `first`; keys that aren't there yet are made.

        Lifetimes in days.
        """
        if (
            not 0 < days <= AHEAD + 1
            or not self.today <= first
            or first - self.today > timedelta(days=AHEAD - days + 1)
        ):
            raise StoreError(
                f"{first} and {days} days: not within {AHEAD} days from {self.today} (EXP-3); accepted: fewer, "
                "or earlier"
            )
        for purpose, lifetime in lifetimes.items():
            ceiling = law.purpose(purpose).ceiling // law.DAY
            if not 0 < lifetime <= ceiling:
                raise StoreError(
                    f"{purpose}: {lifetime} days; accepted: 1 to {ceiling} ({law.purpose(purpose).paragraph})"
                )
        reached = [first + timedelta(days=number) for number in range(days)]
        with self.alone():
            rows = [
                self._row(purpose, day, day + timedelta(days=lifetimes[purpose]))
                for purpose in sorted(lifetimes)
                for day in reached
            ]
            data = bundles.write(self.today, rows, self.signing)
            self.note(
                "bundle",
                first=str(first),
                days=days,
                purposes=sorted(lifetimes),
                sha256=hashlib.sha256(data).hexdigest(),
            )
        return data

    def _row(self, purpose: str, day: date, destroy: date) -> bundles.Row:
        """Return a day's row; a key that exists goes on its own date, never later than asked."""
        path = self._path(purpose, day)
        if path.exists():
            said = KeyFile(path, purpose, day).read()
            if said is None:
                raise StoreError(f"{path}: damaged; {ACCEPTED}")
            if said.destroy > destroy:
                raise StoreError(
                    f"{path}: this key is destroyed on {said.destroy}, later than {destroy}; accepted: "
                    "the lifetime it was made for"
                )
            return bundles.Row(purpose, day, said.public, said.destroy)
        key = PrivateKey.generate()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = {
            "public": bytes(key.public_key).hex(),
            "destroy": str(destroy),
            "sealed": bytes(self._box.encrypt(bytes(key))).hex(),
        }
        disk.write_by_rename(path, path.with_name(f".{path.name}.new"), json.dumps(facts).encode())
        return bundles.Row(purpose, day, bytes(key.public_key), destroy)

    def order(self, last: date) -> bytes:
        """Return the public key for orders that end on a day; its private half is destroyed on that day (L34-III-4)."""
        with self.alone():
            return self._row("freeze", last, last).public

    def key(self, purpose: str, day: date, destroy: date = date.min) -> PrivateKey | None:
        """Return a day's private key, None where the log has its destruction or its date has come.

        `destroy`: when what is to be opened says that its key is destroyed. StoreError where the key should be there
        and isn't: another custodian's store, a file that was lost, or a log that was changed.
        """
        path = self._path(purpose, day)
        if not path.exists():
            if wrong := self.changed():
                raise StoreError(f"{wrong[0]}; accepted: the log as it was written")
            if (purpose, str(day)) in self._destroyed():
                self._due_here(path, destroy)
                return None
            raise StoreError(
                f"{path}: there is no key of that day, and the log has no destruction of it; accepted: "
                "the store that made it"
            )
        said = KeyFile(path, purpose, day).read()
        if said is not None and said.destroy <= self.today:
            self._due_here(path, destroy)
            return None
        return self._private(path, said)

    def _due_here(self, path: Path, destroy: date) -> None:
        """Demand that the key destroyed here, or due to be, is the needed one; StoreError where that one lives."""
        if destroy > self.today:
            raise StoreError(
                f"{path}: destroyed here, but this was sealed to a key of {destroy}; accepted: the store that made it"
            )

    def _destroyed(self) -> set[tuple[Any, Any]]:
        """Return purpose and day of each key that the log calls destroyed."""
        return {(said.get("purpose"), said.get("day")) for said in self.log.entries() if said["act"] == "destroyed"}

    def _private(self, path: Path, said: Key | None) -> PrivateKey:
        if said is not None:
            try:
                return PrivateKey(self._box.decrypt(said.sealed))
            except (CryptoError, ValueError):
                pass
        raise StoreError(f"{path}: damaged; {ACCEPTED}")

    def held(self) -> list[tuple[str, date, date]]:
        """Return purpose, day and destroy date of each key that exists, by purpose and day, and nothing else."""
        found = ((one, one.read()) for one in keyfiles.listed(self.folder / "keys")[0])
        return sorted((one.purpose, one.day, said.destroy) for one, said in found if one.day and said)

    def verify(self) -> list[str]:
        """Return what is wrong: files that aren't keys, keys that don't fit or are overdue, a log cut or changed."""
        files, wrong = keyfiles.listed(self.folder / "keys")
        destroyed = self._destroyed()
        called = []
        for one in files:
            try:
                said = one.read()
                if one.day is None or said is None:
                    again = ", or destroy-due where it was overwritten" * (one.day is not None)
                    raise StoreError(f"not a key; {ACCEPTED}{again}")
                if bytes(self._private(one.path, said).public_key) != said.public:
                    wrong.append(f"{one.purpose} {one.day}: the public key isn't the private one's")
                if said.destroy <= self.today:
                    wrong.append(f"{one.purpose} {one.day}: is due since {said.destroy}: run destroy-due")
                if (one.purpose, str(one.day)) in destroyed:
                    called.append(f"{one.purpose} {one.day}: is called destroyed and is there")
            except (OSError, StoreError) as failure:
                wrong.append(keyfiles.line(one.path, failure))
        return [*wrong, *self.beginning(), *self.log.wrong(), *called]

    def changed(self) -> list[str]:
        """Return what shows that the log was cut or changed; a line that a loss of power cut off isn't that."""
        return [*self.beginning(), *(f"{self.log.path}: {line}" for line in self.log.broken())]

    def beginning(self) -> list[str]:
        """Return what is wrong with the log's first entry: emptied since the store was made, or another store's."""
        first = next(iter(self.log.entries()), {})
        try:
            key = (self.folder / "signing.pub").read_text().strip()
        except (OSError, UnicodeDecodeError):
            key = ""
        if (first.get("act"), first.get("key")) == ("new", key):
            return []
        return [f"{self.log.path}: doesn't begin with the making of this store: it was emptied, or is another's"]
