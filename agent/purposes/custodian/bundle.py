# SPDX-License-Identifier: Apache-2.0
"""The custodian's public keys on the gateway: signed bundles, a key a day and purpose, with destroy dates (EXP-3).

A bundle is text, one row a line, signed as a whole by the custodian (Ed25519), never by the venue:

    oubli-bundle 1
    made 2026-11-25
    attribution 2026-11-25 PUBLIC-KEY 2027-11-25
    ...
    signature SIGNATURE

PUBLIC-KEY (X25519, 32 octets) and SIGNATURE (64 octets, of everything before its line) are lower-case hexadecimal. A
row: purpose, the UTC day whose records it is for, key, destroy date (00:00 UTC). No row lies more than 35 days after
`made`, and none is destroyed later than its day plus the configured lifetime: that bounds what a wrong clock can cause.
Two bundles may overlap; the newer one counts. Former ones stay until their last key is destroyed, because a device that
doesn't know the time takes the floor's day.

The trust anchor is `/etc/oubli/custodian.pub`: the custodian's public signing key as 64 hexadecimal
digits, in a file that root alone can write.
"""

import binascii
import os

from agent import law
from agent.base.dates import date, day_of
from agent.runtime import files
from agent.runtime import sodium as crypto
from agent.runtime.libc import reason

AHEAD = 35  # days
LIMIT = 65536  # octets of a bundle
_FIRST = b"oubli-bundle 1\nmade "
_SIGNATURE = b"\nsignature "
_ENDS = 2 * crypto.SIGNATURE + 1  # hexadecimal digits and a line's end
_DAY = 86400
_REMEMBERED = 16


class BundleError(Exception):
    """A bundle or a trust anchor that can't be used; its text says why, and what is accepted."""


def anchor(path: str) -> bytes:
    """Return the custodian's public signing key; BundleError: no such file, no key, or others could write it."""
    try:
        status = os.stat(path)
        data = files.read_bounded(path, 128)
    except OSError:
        raise BundleError(path + ": can't be read; accepted: the custodian's public signing key, put there by root")
    if status[4] not in (0, os_user()) or status[0] & 0o022:
        raise BundleError(path + ": others than root can write it; accepted: a file of root, mode 0644")
    try:
        key = binascii.unhexlify(data.strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise BundleError(path + ": not a key; accepted: 64 hexadecimal digits")
    return key


def os_user() -> int:
    """Return who runs this."""
    from agent.runtime.libc import LIBC

    return LIBC.call("geteuid")


class Row:
    """One line: purpose, day, public key (hexadecimal), destroy day."""

    def __init__(self, purpose: str, day: int, public: str, destroy: int) -> None:
        self.purpose = purpose
        self.day = day
        self.public = public
        self.destroy = destroy


def read(data: bytes, key: bytes, sodium: crypto.Sodium) -> int:
    """Check signature and form of a bundle; returns the day it was made. BundleError says what is wrong."""
    at = data.rfind(_SIGNATURE)
    if not data.startswith(_FIRST) or at < 0 or len(data) - at - len(_SIGNATURE) != _ENDS or data[-1:] != b"\n":
        raise BundleError("not a bundle; accepted: what oubli-custodian bundle wrote")
    try:
        signature = binascii.unhexlify(data[at + len(_SIGNATURE) : -1])
        if not sodium.signatures.valid(signature, data[: at + 1], key):
            raise BundleError(
                "the signature isn't the custodian's; accepted: a bundle signed by the holder of custodian.pub"
            )
        made = day_of(data[len(_FIRST) : len(_FIRST) + 10].decode())
    except (ValueError, UnicodeError):
        raise BundleError("not a bundle; accepted: what oubli-custodian bundle wrote")
    return made


def rows(data: bytes) -> "Iterator[Row]":
    """Yield the rows of a bundle whose signature was checked; BundleError with the line that is none."""
    at, number, end = len(_FIRST) + 11, 3, data.rfind(_SIGNATURE)
    while at < end:
        following = data.find(b"\n", at)
        try:
            purpose, day, public, destroy = data[at:following].decode().split(" ")
            if law.purpose(purpose).custody != law.CUSTODIAN or len(public) != 64:
                raise ValueError
            binascii.unhexlify(public)
            row = Row(purpose, day_of(day), public, day_of(destroy))
        except (ValueError, KeyError, UnicodeError):
            raise BundleError("line " + str(number) + " isn't a row; accepted: PURPOSE DAY KEY DESTROY-DATE")
        yield row
        at, number = following + 1, number + 1


class Bundle:
    """The bundles in `folder`, checked against the trust anchor at `path`; `refused` says what can't be used."""

    def __init__(self, folder: str, path: str, sodium: crypto.Sodium) -> None:
        self._folder = folder
        self._path = path
        self._sodium = sodium
        self.load()

    def load(self) -> None:
        """Look at what is installed now."""
        self.refused: "list[str]" = []
        self._names: "list[str]" = []
        self._found: "dict[tuple[str, int, int], tuple[bytes, int] | None]" = {}
        self._left: "dict[tuple[str, int, int], int]" = {}
        self._listed = self._listing()
        try:
            self._key = anchor(self._path)
        except BundleError as failure:
            self.refused.append(str(failure))
            return
        for name in self._listed:
            try:
                self._read(name)
                self._names.append(name)
            except (OSError, BundleError) as failure:
                why = str(failure) if isinstance(failure, BundleError) else "can't be read"
                self.refused.append(f"{self._folder}/{name}: {why}")

    def refresh(self) -> None:
        """Look for what was installed or removed since; a bundle's name is its own."""
        if self._listing() != self._listed:
            self.load()

    def _listing(self) -> "list[str]":
        try:
            return sorted([name for name in files.names(self._folder) if not name.startswith(".")], reverse=True)
        except OSError:
            return []

    def _read(self, name: str) -> bytes:
        data = files.read_bounded(self._folder + "/" + name, LIMIT)
        read(data, self._key, self._sodium)
        return data

    def _rows(self) -> "Iterator[Row]":
        """Yield the rows of all bundles, the newest first."""
        for name in self._names:
            try:
                yield from rows(self._read(name))
            except (OSError, BundleError):
                continue  # it has gone, or isn't what it was: `load` says so

    def find(self, purpose: str, day: int, lifetime: int) -> "tuple[bytes, int] | None":
        """Return (public key, destroy day) for records of a day that are kept `lifetime` seconds; None for none."""
        asked = purpose, day, lifetime
        if asked not in self._found:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[asked] = None
            for row in self._rows():
                if (
                    self._found[asked] is None
                    and row.purpose == purpose
                    and row.day == day
                    and row.destroy <= day + lifetime // _DAY
                ):
                    self._found[asked] = binascii.unhexlify(row.public), row.destroy
        return self._found[asked]

    def days_left(self, purpose: str, day: int, lifetime: int) -> int:
        """Return for how many days from a day on, without a gap, there are keys; 0 where that day has none."""
        asked = purpose, day, lifetime
        if asked not in self._left:
            self._left.clear()
            there = 0
            for row in self._rows():
                if row.purpose == purpose and 0 <= row.day - day < 64 and row.destroy <= row.day + lifetime // _DAY:
                    there |= 1 << row.day - day
            left = 0
            while there >> left & 1:
                left += 1
            self._left[asked] = left
        return self._left[asked]


def install(
    file: str,
    folder: str,
    path: str,
    lifetimes: "dict[str, int]",
    today: int,
    sodium: crypto.Sodium,
    become: "Callable[[], None]" = lambda: None,
) -> str:
    """Check a bundle and put it into `folder` by one rename; returns a line about it. BundleError says why not.

    `lifetimes`: of the purposes that are on, in seconds. `today`: a day, as far as this device knows. `become` is
    called before anything is written. Former bundles whose last key is destroyed go.
    """
    key = anchor(path)
    try:
        data = files.read_bounded(file, LIMIT)
    except OSError as failure:
        raise BundleError(
            file + ": can't be read" + reason(failure.errno) + "; accepted: a file of at most " + str(LIMIT) + " octets"
        )
    try:
        made = read(data, key, sodium)
        last, seen = _check(data, made, lifetimes)
    except BundleError as failure:
        raise BundleError(file + ": " + str(failure))
    if last < today:
        accepted = f"a bundle that reaches to {date(today)} or beyond"
        raise BundleError(f"{file}: its last day is {date(last)}; accepted: {accepted}")
    for purpose in sorted(lifetimes):
        if purpose not in seen:
            raise BundleError(
                file + ": no keys for " + purpose + "; accepted: rows for " + ", ".join(sorted(lifetimes))
            )
    become()
    files.make_folder(folder, 0o755)
    files.write_atomic(folder + "/" + date(made) + "-" + _tail(data), data, 0o644)
    for name in list(files.names(folder)):
        _retire(folder + "/" + name, today)
    return "keys for " + ", ".join(sorted(seen)) + " until " + date(last)


def _check(data: bytes, made: int, lifetimes: "dict[str, int]") -> "tuple[int, set[str]]":
    """Check every row against EXP-3; returns the last day, and which purposes there are."""
    last, seen = 0, set()
    former: "set[tuple[str, int]]" = set()
    for row in rows(data):
        which = row.purpose + " " + date(row.day)
        limit = lifetimes.get(row.purpose, law.purpose(row.purpose).ceiling) // _DAY
        if row.day > made + AHEAD:
            raise BundleError(which + ": more than 35 days ahead (EXP-3); accepted: up to " + date(made + AHEAD))
        if not row.day < row.destroy <= row.day + limit:
            accepted = date(row.day + 1) + " to " + date(row.day + limit)
            raise BundleError(which + ": destroyed on " + date(row.destroy) + " (EXP-3); accepted: " + accepted)
        if (row.purpose, row.day) in former:
            raise BundleError(which + ": twice; accepted: one key a day and purpose")
        former.add((row.purpose, row.day))
        seen.add(row.purpose)
        last = max(last, row.day)
    if not seen:
        raise BundleError("no rows; accepted: a key for each day")
    return last, seen


def _tail(data: bytes) -> str:
    return data[-9:-1].decode()


def _retire(path: str, today: int) -> None:
    """Remove a bundle whose every key is destroyed; what isn't one stays."""
    try:
        if max([row.destroy for row in rows(files.read_bounded(path, LIMIT))]) < today:
            files.remove(path)
    except (OSError, ValueError, BundleError):
        return


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator
