# SPDX-License-Identifier: Apache-2.0
"""The key store's log: one JSON line an act, with the SHA-256 of the line before, appended under a lock.

Its newest time bounds the clock by which keys are destroyed (EXP-3). So `destroy-due` writes a line each time, also
when nothing is due. A line that a loss of power cut off stays as it is: the next entry ends it, follows it and is
called `mended`.
"""

import errno
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools import disk

LONGEST = 30.0  # seconds that one waits for another command


class BusyError(Exception):
    """Another command has the store, for longer than LONGEST."""


class Log:
    """The log of a key store. OSError where it can't be read or written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: int | None = None
        self._refused: OSError | None = None  # why nothing can be appended

    @contextmanager
    def alone(self, *, unwritable: bool = False) -> Iterator[int]:
        """Have the store to oneself meanwhile (the lock is on the log); gives the log's descriptor.

        BusyError where another keeps it. OSError where the log can't be opened; an `unwritable` one may be read only,
        and then each entry fails.
        """
        if self._held is not None:
            yield self._held
            return
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW)
        except OSError as failure:
            if not unwritable or failure.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            self._refused = failure
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            self._wait(descriptor)
            self._held = descriptor
            yield descriptor
        finally:
            self._held = self._refused = None
            os.close(descriptor)

    def _wait(self, descriptor: int) -> None:
        end = time.monotonic() + LONGEST
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise BusyError from None
                time.sleep(0.05)
            else:
                return

    def append(self, now: datetime, act: str, **facts: Any) -> None:  # noqa: ANN401 (what JSON holds)
        """Append an entry, synced."""
        try:
            with self.alone() as descriptor:
                if self._refused:
                    raise self._refused
                data = self.path.read_bytes()
                if data and not data.endswith(b"\n"):
                    disk.append(descriptor, b"\n")
                lines = data.splitlines()
                if lines and _entry(lines[-1]) is None:
                    lines.append(self._put(descriptor, now, lines[-1], "mended"))
                self._put(descriptor, now, lines[-1] if lines else None, act, **facts)
        except OSError as failure:
            failure.filename = str(self.path)  # a write's own failure names no file
            raise

    def _put(self, file: int, now: datetime, before: bytes | None, act: str, **facts: Any) -> bytes:  # noqa: ANN401
        previous = "" if before is None else hashlib.sha256(before).hexdigest()
        line = json.dumps(
            {"time": now.isoformat(timespec="seconds"), "act": act, **facts, "previous": previous}
        ).encode()
        disk.append(file, line + b"\n")
        return line

    def entries(self) -> list[dict[str, Any]]:
        """Return every entry that can be read, oldest first."""
        return [entry for line in self.path.read_bytes().splitlines() if (entry := _entry(line)) is not None]

    def newest(self) -> datetime | None:
        """Return the newest entry's time, None where no entry says one."""
        for entry in reversed(self.entries()):
            try:
                return datetime.fromisoformat(entry["time"]).astimezone(UTC)
            except (KeyError, TypeError, ValueError, OverflowError):
                continue
        return None

    def broken(self) -> list[str]:
        """Return a line on each entry that doesn't follow the one before: lines were changed or left out."""
        wrong, former = [], ""
        for number, line in enumerate(self.path.read_bytes().splitlines(), 1):
            said = _entry(line)
            if said is not None and said["previous"] != former:
                wrong.append(f"log line {number}: doesn't follow the line before")
            former = hashlib.sha256(line).hexdigest()
        return wrong

    def wrong(self) -> list[str]:
        """Return what is wrong with it: lines that were changed or left out, or aren't whole."""
        wrong, broken = self.broken(), 0
        for number, line in enumerate(self.path.read_bytes().splitlines(), 1):
            said = _entry(line)
            if broken and not (said and said["act"] == "mended"):
                wrong.append(f"log line {broken}: isn't whole: power was lost while it was written, or it was damaged")
            broken = number if said is None else 0
        if broken:
            wrong.append(f"log line {broken}: isn't whole: power was lost while it was written, or it was damaged")
        return wrong


def _entry(line: bytes) -> dict[str, Any] | None:
    """Return a line's entry, None where it isn't one."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) and {"act", "previous"} <= said.keys() else None
