# SPDX-License-Identifier: Apache-2.0
"""Custodian custody: what is written to flash this device can't read, and it goes on time (EXP-1, EXP-3, EXP-4, EXP-6, L34-VI-2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from tests.interpreters import INTERPRETERS, Remote
from tools.custodian import bundles, segments
from tools.custodian.segments import EPOCH

if TYPE_CHECKING:
    from pathlib import Path

SECOND, DAY = 10**9, 86400
TODAY = 20780  # days since the epoch: 2026-11-23
NOON = TODAY * DAY + 43200
LIFETIME = 30  # days
SYNC = 900
BUDGET = 1 << 20
BOOT, LATER_BOOT = "a1" * 16, "b2" * 16


@dataclass
class Custodian:
    """A key holder with a key for each day, and what he signs."""

    signing: SigningKey = field(default_factory=SigningKey.generate)
    keys: dict[int, PrivateKey] = field(default_factory=dict)

    def bundle(self, first: int, days: int, *, made: int | None = None, lifetime: int = LIFETIME, purpose: str = "attribution") -> bytes:
        rows = []
        for day in range(first, first + days):
            key = self.keys.setdefault(day, PrivateKey.generate())
            rows.append(bundles.Row(purpose, at(day), bytes(key.public_key), at(day + lifetime)))
        return bundles.write(at(first if made is None else made), rows, self.signing)


def at(day: int):
    return EPOCH + timedelta(days=day)


class Store:
    """A store of `attribution` in an interpreter, at `now` seconds since the epoch; boot was a day before NOON."""

    def __init__(self, ask, root: Path, custodian: Custodian) -> None:
        self.ask, self.root, self.custodian = ask, root, custodian
        self.now: float = NOON
        self.since: float = DAY
        self.facts = {"lifetime": LIFETIME * DAY, "budget": BUDGET, "sync": SYNC, "hours": 25, "floor": NOON - 3 * DAY}
        self.trusted = True

    def open(self, boot: str = BOOT, **facts) -> dict:
        self.facts |= facts
        said = self.ask("opened", str(self.root), boot, self.facts)
        self.tick()
        return said

    def tick(self, seconds: float = 0, **facts) -> dict:
        self.now += seconds
        self.since += seconds
        self.ask("facts", facts)
        return self.ask("tick", int(self.now * SECOND), int(self.since * SECOND), self.trusted)

    def append(self, *records: bytes, begins: float | None = None) -> list[str]:
        return self.ask("append", [[int(self.now if begins is None else begins), record.hex()] for record in records])["results"]

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted((self.root / "flash/attribution").iterdir())}

    def read(self, **accepted) -> list[bytes]:
        """Return every record that the custodian opens, and assert that nothing is damaged."""
        found = []
        for name, data in self.files().items():
            segment = segments.read(data)
            found += list(segment.records(self.custodian.keys[(segment.day - EPOCH).days]))
            assert segment.damage == accepted.get("damage", ""), name
        return found


@pytest.fixture(params=["cpython", "micropython", "mips"])
def ask(request, stages):
    return stages(request.param)


@pytest.fixture(scope="module")
def stages():
    running: dict[str, Remote] = {}

    def stage(name: str) -> Remote:
        if name in running and running[name].process.poll() is not None:
            running.pop(name).close()
        if name not in running:
            running[name] = Remote(INTERPRETERS[name], "tests.custodian_stage")
        return running[name]

    yield stage
    for one in running.values():
        one.close()


@pytest.fixture
def custodian():
    return Custodian()


@pytest.fixture
def store(ask, tmp_path, custodian):
    """Give a store with keys for today and the days before and after."""
    (tmp_path / "custodian.pub").write_text(bytes(custodian.signing.verify_key).hex() + "\n")
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "one").write_bytes(custodian.bundle(TODAY - 10, 40))
    return Store(ask, tmp_path, custodian)


RECORDS = [bytes([number]) * (number % 40 + 1) for number in range(120)]


def test_what_is_kept_only_the_custodian_reads(store):
    """Nothing is written before the interval is over; then it is sealed, and the day's key opens it."""
    store.open()
    assert store.append(*RECORDS[:60]) == ["kept"] * 60
    assert store.tick(SYNC - 1)["status"]["bytes"] == 0
    assert store.files() == {}
    assert store.tick(1)["status"]["bytes"] > 0
    assert store.append(*RECORDS[60:]) == ["kept"] * 60
    assert store.ask("seal")
    assert list(store.files()) == ["2026-11-23-0001"]
    assert store.read() == RECORDS
    assert store.tick()["status"]["records"] == 120
    store.ask("close")
