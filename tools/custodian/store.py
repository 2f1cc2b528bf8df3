# SPDX-License-Identifier: Apache-2.0
"""The custodian's key store: a folder with a signing key, one file a day and purpose, and an append-only log (EXP-3).

    settings.json            version, Argon2id's salt and costs
    signing.json, signing.pub
    keys/PURPOSE/DAY.json    public key, destroy date, private key
    log                      one JSON line an act, each with the SHA-256 of the line before

Private keys lie in libsodium secret boxes under a key that Argon2id makes of the passphrase. One file a key, so that destroying a key
destroys a file and not a row of one: it is overwritten, synced, unlinked, and the log says so before and after. What a disk keeps of an
overwritten file is beyond a program: it is useless without the passphrase, and the README says which media forget.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from nacl import pwhash
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey
from nacl.secret import SecretBox
from nacl.signing import SigningKey, VerifyKey
from nacl.utils import random

from agent import law
from tools.custodian import bundles

PURPOSES = tuple(name for name in law.CONFIGURABLE if law.purpose(name).custody == law.CUSTODIAN)
AHEAD = 35  # days that a bundle reaches


class StoreError(Exception):
    """A key store that can't be used; the text is the one line to show."""


def _write(path: Path, data: bytes) -> None:
    """Write a new file, synced, with its name."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Store:
    """A key store; StoreError where it isn't one, or the passphrase is wrong. `today` is a UTC date.

    Without a passphrase no key can be made or used, but destroyed: that must run unattended.
    """

    def __init__(self, folder: Path, passphrase: bytes | None, today: date | None = None) -> None:
        self.folder = folder
        self.today = today or datetime.now(UTC).date()
        try:
            settings = json.loads((folder / "settings.json").read_text())
            salt, ops, mem = bytes.fromhex(settings["salt"]), int(settings["operations"]), int(settings["octets"])
            sealed = bytes.fromhex(json.loads((folder / "signing.json").read_text())["sealed"])
        except (OSError, ValueError, KeyError, TypeError):
            raise StoreError(f"{folder}: not a key store; accepted: what oubli-custodian new made") from None
        if passphrase is None:
            return
        self._box = SecretBox(pwhash.argon2id.kdf(SecretBox.KEY_SIZE, passphrase, salt, ops, mem))
        try:
            self.signing = SigningKey(self._box.decrypt(sealed))
        except CryptoError:
            raise StoreError(f"{folder}: the passphrase doesn't open it; accepted: the one it was made with") from None

    @staticmethod
    def make(
        folder: Path,
        passphrase: bytes,
        *,
        operations: int = pwhash.argon2id.OPSLIMIT_MODERATE,
        octets: int = pwhash.argon2id.MEMLIMIT_MODERATE,
    ) -> VerifyKey:
        """Make a new store with a new signing key; returns its public half."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise StoreError(f"{folder}: isn't empty; accepted: a new folder")
        salt, signing = random(pwhash.argon2id.SALTBYTES), SigningKey.generate()
        box = SecretBox(pwhash.argon2id.kdf(SecretBox.KEY_SIZE, passphrase, salt, operations, octets))
        settings = {"version": 1, "salt": salt.hex(), "operations": operations, "octets": octets}
        _write(folder / "settings.json", json.dumps(settings).encode())
        _write(folder / "signing.json", json.dumps({"sealed": bytes(box.encrypt(bytes(signing))).hex()}).encode())
        _write(folder / "signing.pub", f"{bytes(signing.verify_key).hex()}\n".encode())
        _append(folder / "log", "new", key=bytes(signing.verify_key).hex())
        return signing.verify_key

    def note(self, act: str, **facts: Any) -> None:  # noqa: ANN401 (what JSON holds)
        """Append an act to the log."""
        _append(self.folder / "log", act, **facts)

    def _path(self, purpose: str, day: date) -> Path:
        return self.folder / "keys" / purpose / f"{day}.json"

    def bundle(self, first: date, days: int, lifetimes: dict[str, int]) -> bytes:
        """Return a signed bundle of `days` days from `first`; keys that aren't there yet are made. Lifetimes in days."""
        if not 0 < days <= AHEAD + 1 or not self.today <= first or first + timedelta(days=days - 1) > self.today + timedelta(days=AHEAD):
            raise StoreError(f"{first} and {days} days: not within {AHEAD} days from {self.today} (EXP-3); accepted: fewer, or earlier")
        rows = []
        for purpose, lifetime in sorted(lifetimes.items()):
            ceiling = law.purpose(purpose).ceiling // law.DAY
            if not 0 < lifetime <= ceiling:
                raise StoreError(f"{purpose}: {lifetime} days; accepted: 1 to {ceiling} ({law.purpose(purpose).paragraph})")
            reached = [first + timedelta(days=number) for number in range(days)]
            rows += [self._row(purpose, day, day + timedelta(days=lifetime)) for day in reached]
        data = bundles.write(self.today, rows, self.signing)
        self.note("bundle", first=str(first), days=days, purposes=sorted(lifetimes), sha256=hashlib.sha256(data).hexdigest())
        return data

    def _row(self, purpose: str, day: date, destroy: date) -> bundles.Row:
        """Return a day's row; a key that exists goes on its own date, never later than asked."""
        path = self._path(purpose, day)
        if path.exists():
            said = json.loads(path.read_text())
            if date.fromisoformat(said["destroy"]) > destroy:
                raise StoreError(
                    f"{path}: this key is destroyed on {said['destroy']}, later than {destroy}; accepted: the lifetime it was made for"
                )
            return bundles.Row(purpose, day, bytes.fromhex(said["public"]), date.fromisoformat(said["destroy"]))
        key = PrivateKey.generate()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        said = {"public": bytes(key.public_key).hex(), "destroy": str(destroy), "sealed": bytes(self._box.encrypt(bytes(key))).hex()}
        _write(path, json.dumps(said).encode())
        return bundles.Row(purpose, day, bytes(key.public_key), destroy)

    def order(self, last: date) -> bytes:
        """Return the public key for orders to preserve that end on a day; its private half is destroyed on that day (L34-III-4)."""
        return self._row("freeze", last, last).public

    def key(self, purpose: str, day: date) -> PrivateKey | None:
        """Return a day's private key, None where there is none (any more)."""
        try:
            return PrivateKey(self._box.decrypt(bytes.fromhex(json.loads(self._path(purpose, day).read_text())["sealed"])))
        except FileNotFoundError:
            return None
        except (CryptoError, ValueError, KeyError):
            raise StoreError(f"{self._path(purpose, day)}: damaged; accepted: what oubli-custodian bundle wrote") from None

    def keys(self) -> Iterator[tuple[str, date, date]]:
        """Yield purpose, day and destroy date of each key that exists, in order of day; StoreError at a file that isn't a key."""
        for path in sorted((self.folder / "keys").glob("*/*.json")):
            destroy = _destroy_date(path)
            if destroy is None:
                raise StoreError(f"{path}: damaged; accepted: what oubli-custodian bundle wrote, or destroy-due where it was overwritten")
            yield path.parent.name, date.fromisoformat(path.stem), destroy

    def destroy_due(self) -> list[tuple[str, date]]:
        """Destroy every private key whose date has come; returns which those were.

        A destruction that a loss of power cut off is finished. A file that is damaged in another way keeps no other key from being
        destroyed: StoreError names it once all the others are.
        """
        gone, damaged = [], []
        for path in sorted((self.folder / "keys").glob("*/*.json")):
            purpose, day, destroy = path.parent.name, date.fromisoformat(path.stem), _destroy_date(path)
            if destroy is None and path.read_bytes().strip(b"\0\xff"):
                damaged.append(path)
            elif destroy is None or destroy <= self.today:
                self.note("destroy", purpose=purpose, day=str(day), due=str(destroy))
                _overwrite(path)
                self.note("destroyed", purpose=purpose, day=str(day))
                gone.append((purpose, day))
        if damaged:
            names = ", ".join(str(path) for path in damaged)
            raise StoreError(f"{names}: damaged, when it is due isn't known; accepted: what oubli-custodian bundle wrote")
        return gone

    def verify(self) -> list[str]:
        """Return what is wrong with the store: keys that don't fit or are overdue, a log that was cut or changed."""
        wrong = []
        for purpose, day, destroy in self.keys():
            key = self.key(purpose, day)
            if key is None or bytes(key.public_key).hex() != json.loads(self._path(purpose, day).read_text())["public"]:
                wrong.append(f"{purpose} {day}: the public key isn't the private one's")
            if destroy <= self.today:
                wrong.append(f"{purpose} {day}: is due since {destroy}: run destroy-due")
        former, destroyed = "", set()
        for number, line in enumerate((self.folder / "log").read_text().splitlines(), 1):
            try:
                said = json.loads(line)
            except ValueError:
                wrong.append(f"log line {number}: isn't whole: power was lost while it was written, or it was damaged")
                continue
            if said["previous"] != former:
                wrong.append(f"log line {number}: doesn't follow the line before")
            former = hashlib.sha256(line.encode()).hexdigest()
            if said["act"] == "destroyed":
                destroyed.add((said["purpose"], said["day"]))
        wrong += [
            f"{purpose} {day}: is called destroyed and is there" for purpose, day, _ in self.keys() if (purpose, str(day)) in destroyed
        ]
        return wrong


def _destroy_date(path: Path) -> date | None:
    """Return when a key is destroyed, None where the file doesn't say so: it is damaged, or overwritten already."""
    try:
        return date.fromisoformat(json.loads(path.read_bytes())["destroy"])
    except (ValueError, KeyError, TypeError):
        return None


def _append(log: Path, act: str, **facts: Any) -> None:  # noqa: ANN401 (what JSON holds)
    """Append one line, synced."""
    lines = log.read_bytes().splitlines() if log.exists() else []
    previous = hashlib.sha256(lines[-1]).hexdigest() if lines else ""
    line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), "act": act, **facts, "previous": previous})
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, f"{line}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _overwrite(path: Path) -> None:
    """Overwrite a file where it lies, then unlink it."""
    size = path.stat().st_size
    descriptor = os.open(path, os.O_WRONLY)
    try:
        for filling in (b"\xff", b"\0"):
            os.pwrite(descriptor, filling * size, 0)
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    path.unlink()
    _sync_folder(path.parent)
