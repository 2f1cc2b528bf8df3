# SPDX-License-Identifier: Apache-2.0
"""Custodian custody on a flash that loses power, fills up, breaks, and forgets nothing (EXP-3, EXP-6)."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest

from agent.purposes.custodian.bundle import Bundle
from agent.purposes.custodian.custodian import Custodian
from agent.purposes.custodian.segment_writer import SegmentWriter
from agent.runtime import files, memory
from agent.runtime.sodium import Sodium, Stream
from agent.vault.keys import KeyRing
from host_sim.faults import flash, sealed_cuts
from host_sim.faults.flash import PREFIX, Dice, Flash
from tests.support.interpreters import INTERPRETERS
from tests.support.keyholder import LIFETIME, TODAY
from tests.support.keyholder import Custodian as Keyholder
from tools.custodian import segments
from tools.custodian.segments import EPOCH

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY, SECOND = 86400, 10**9
NOON = TODAY * DAY + 43200
ROUNDS, PARTS = 8, 3  # 1,104 cuts a part


def run(interpreter: str, folder: Path, *words: object) -> dict[str, int]:
    """Run the story in a process of its own, because the model takes the place of the C library."""
    done = INTERPRETERS[interpreter].run("-m", "host_sim.faults.sealed_cuts", folder, *map(str, words), timeout=240)
    return dict(json.loads(done.stdout))


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
def test_no_cut_of_power_loses_what_was_synced_or_brings_back_what_expired(part, memory):
    """Before every operation and inside every sync, twice in a row each time, with other remains in each round."""
    done = run("cpython", memory, 200 + part, ROUNDS)
    assert set(done) == {"cuts", "operations", "programmed", "syncs"}, done
    assert done["cuts"] > 1.5 * ROUNDS * done["operations"]
    assert done["operations"] > 60


@pytest.mark.long
@pytest.mark.needs("micropython")
def test_micropython_is_cut_alike(memory):
    assert run("micropython", memory, 1, 1) == run("cpython", memory, 1, 1)


FOUND = {
    "no-folder-sync": "what was expired came back",
    "no-file-sync": "a record is lost",
    "key-a-day-longer": "an expired record is there",
    "torn-is-removed": "a record is lost",
    "frames-unchecked": "a segment doesn't open",
    "unlink-unsynced": "what was expired came back",
}


@pytest.mark.parametrize("variant", sorted(sealed_cuts.VARIANTS))
@pytest.mark.long
def test_a_careless_store_is_caught(variant, memory):
    assert run("cpython", memory, 1, 1, variant)[FOUND[variant]] > 0


class Gateway:
    """A store of `attribution` on the model, in this process, with real keys. Powered on a day before NOON."""

    def __init__(self, folder: Path, made: Flash) -> None:
        self.folder, self.flash = folder, made
        self.holder = Keyholder()
        (folder / "bundles").mkdir(parents=True)
        (folder / "custodian.pub").write_text(self.holder.anchor)
        (folder / "bundles/one").write_bytes(self.holder.bundle(TODAY - 1, 30))
        self.now, self.boot = NOON, 0
        self.lost: list[tuple[str, int]] = []
        self.start()

    def start(self, mount: str = "") -> None:
        self.boot += 1
        for name in ("keys", "pages/chunks"):
            (self.folder / name).unlink(missing_ok=True)
        sodium = Sodium()
        self.ring = KeyRing(str(self.folder / "keys"), 4, f"{self.boot:032x}", sodium)
        bundle = Bundle(str(self.folder / "bundles"), str(self.folder / "custodian.pub"), sodium)
        self.store = Custodian(
            "attribution", f"{PREFIX}/attribution", str(self.folder / "pages"), self.ring,
            sodium, bundle, LIFETIME * DAY, 1 << 20, 900, f"{self.boot:032x}", lambda: 0,
            lambda: NOON, lambda cause, count: self.lost.append((cause, count)), mount,
        )  # fmt: skip
        self.tick(0)

    def tick(self, seconds: int) -> None:
        self.now += seconds
        self.store.tick(self.now * SECOND, (self.now - NOON + DAY) * SECOND, trusted=True)

    def append(self, *records: bytes) -> list[str]:
        return [self.store.append(self.now, record) for record in records]

    def read(self) -> list[bytes]:
        """Return what the custodian opens of the files."""
        found = []
        for name, node in sorted(self.flash.names.items()):
            if name.startswith(f"{PREFIX}/attribution/"):
                segment = segments.read(node.seen)
                found += list(segment.records(self.holder.keys[(segment.day - EPOCH).days]))
        return found

    def close(self) -> None:
        self.store.release()
        self.ring.close()


@pytest.fixture
def gateway(monkeypatch, tmp_path):
    for name in ("LIBC", "os", "names", "read_at"):
        monkeypatch.setattr(files, name, getattr(files, name))
    made = Flash(Dice(7))
    flash.mount(made)
    one = Gateway(tmp_path / "gw", made)
    yield one
    one.close()


def full(made: Flash) -> None:
    made.capacity = 0


def read_only(made: Flash) -> None:
    made.read_only = True


def broken(made: Flash) -> None:
    made.fail_at = made.operations + 1


def right(made: Flash) -> None:
    made.capacity, made.read_only, made.fail_at = 1 << 20, False, 0


WAYS = {"no room": full, "read-only": read_only, "store": broken}
RECORDS = [f"record {number:4}".encode() * 10 for number in range(120)]


@pytest.mark.parametrize("cause", sorted(WAYS))
@pytest.mark.parametrize("begun", [False, True])
def test_flash_that_refuses_is_said_counted_and_survived(cause, begun, gateway):
    """What waits in memory waits on; what has no room there is lost by cause; it goes on by itself within a minute."""
    if begun:
        gateway.append(*RECORDS[:10])
        gateway.tick(900)
    WAYS[cause](gateway.flash)
    results = gateway.append(*RECORDS[10:100])
    gateway.tick(900)
    assert gateway.store.status(0)["trouble"] == cause
    assert results.count("lost") == sum(count for _, count in gateway.lost) > 0
    assert {said for said, _ in gateway.lost} == {cause}
    right(gateway.flash)
    gateway.tick(60)
    gateway.tick(900)
    assert gateway.store.status(0)["trouble"] == ""
    assert gateway.append(*RECORDS[100:]) == ["kept"] * 20
    gateway.tick(900)
    kept = [record for record, result in zip(RECORDS[10:100], results, strict=True) if result == "kept"]
    assert gateway.read() == RECORDS[: 10 * begun] + kept + RECORDS[100:]
    gateway.store.seal()
    assert gateway.store.status(0)["records"] == len(gateway.read())


PROGRAM = 0.8  # ms that a page of 512 octets takes to be programmed: SPI NOR's 0.4 ms for 256, as data sheets have it


@pytest.mark.long
@pytest.mark.parametrize("way", ["right", *sorted(WAYS)])
def test_nothing_holds_capture_up_for_more_than_50_ms(way, gateway):
    """A call programs what it must and asks flash that has refused once a minute.

    Four days whose pages fill, wait, close and expire.
    """
    made, worst = gateway.flash, {"ms": 0.0, "operations": 0}
    asked = [0]

    def held(call: Callable[[], object]) -> None:
        operations, programmed = made.operations, made.cells.programmed
        call()
        worst["ms"] = max(worst["ms"], (made.cells.programmed - programmed) / flash.PAGE * PROGRAM)
        worst["operations"] = max(worst["operations"], made.operations - operations)
        asked[0] += made.operations > operations

    for quarter in range(4 * 96):
        if quarter == 96 and way != "right":
            WAYS[way](made)
            asked[0] = 0
        days = [gateway.now - back * DAY for back in range(4)]  # each with a page of its own
        for begins in days * (20 if quarter % 8 == 0 else 1):
            held(partial(gateway.store.append, begins, RECORDS[0]))
        for _ in range(15):
            held(lambda: gateway.tick(60))
    assert 0 < worst["ms"] < 50, worst
    assert worst["operations"] < 40, worst
    if way == "right":
        assert gateway.store.status(0)["trouble"] == ""
    else:
        assert asked[0] <= 3 * 96 * 15 + 1  # at most once a minute


@pytest.mark.parametrize("when", ["before the start", "while records wait", "with a segment open", "at a write"])
def test_a_medium_that_is_not_mounted_is_said_never_written_below_and_seen_when_it_comes(when, gateway, monkeypatch):
    """A mount point's empty folder is the router's own flash: nothing goes there.

    What is on the medium counts again once it is back.
    """
    there = [when != "before the start"]
    monkeypatch.setattr(files, "is_mount", lambda path: path != PREFIX or there[0])
    gateway.close()
    gateway.start(PREFIX)
    expected: list[bytes] = []
    if when != "before the start":
        assert gateway.store.status(0)["trouble"] == ""
        gateway.append(*RECORDS[:5])
        gateway.tick(60 if when == "while records wait" else 900)
        expected = RECORDS[:5]
        if when == "at a write":
            gateway.append(RECORDS[100])
            expected = [*RECORDS[:5], RECORDS[100]]
        there[0] = False
    medium = {name: node for name, node in gateway.flash.names.items() if name.startswith(f"{PREFIX}/attribution")}
    for name in medium:
        del gateway.flash.names[name]  # the folder below is empty
    if when == "at a write":
        assert not gateway.store.seal()
    else:
        gateway.tick(60)
    assert gateway.store.status(0)["trouble"] == "not mounted"
    results = gateway.append(*RECORDS[5:100])
    gateway.tick(900)
    assert results.count("lost") == sum(count for _, count in gateway.lost) > 0
    assert {said for said, _ in gateway.lost} == {"not mounted"}
    assert not [name for name in gateway.flash.names if name.startswith(f"{PREFIX}/attribution")]
    gateway.flash.names.update(medium)
    there[0] = True
    gateway.tick(60)
    assert gateway.store.status(0)["trouble"] == ""
    gateway.tick(900)
    gateway.store.seal()
    assert gateway.read() == expected + [
        record for record, result in zip(RECORDS[5:100], results, strict=True) if result == "kept"
    ]
    sizes = [len(node.seen) for name, node in gateway.flash.names.items() if name.startswith(f"{PREFIX}/attribution/")]
    status = gateway.store.status(0)
    assert (status["records"], status["bytes"]) == (len(gateway.read()), sum(sizes))


@pytest.mark.parametrize("later", range(14))
def test_an_error_at_any_operation_loses_nothing_that_waits_and_uses_no_state_twice(later, gateway, monkeypatch):
    """EIO from the n-th operation on, then all is well: each record is there.

    No state of a stream seals two different messages.
    """
    fail_once(later, gateway, monkeypatch)
    assert set(gateway.read()) == set(RECORDS[:30])


def fail_once(later: int, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep records while flash breaks at an operation and comes back, and watch what is sealed."""
    pushed: dict[bytes, bytes] = {}
    push = Stream.push

    def watched(self, state, out, message, size, data, tag):
        before, plain = (bytes(memory.buffer_at(address, count)) for address, count in ((state, 52), (message, size)))
        assert pushed.setdefault(before, plain) == plain, "a nonce for two messages"
        return push(self, state, out, message, size, data, tag)

    monkeypatch.setattr(Stream, "push", watched)
    gateway.append(*RECORDS[:10])
    gateway.flash.fail_at = gateway.flash.operations + 1 + later
    gateway.tick(900)
    gateway.append(*RECORDS[10:20])
    gateway.tick(900)
    right(gateway.flash)
    gateway.append(*RECORDS[20:25])
    gateway.tick(960)
    gateway.append(*RECORDS[25:30])
    gateway.tick(900)
    gateway.store.seal()
    assert len(pushed) >= 3


def test_a_store_that_pushes_a_failed_stream_again_is_found_out(gateway, monkeypatch):
    monkeypatch.setattr(SegmentWriter, "_abandon", lambda _self, _page, _former: None)
    with pytest.raises(AssertionError, match="a nonce for two messages"):
        fail_once(4, gateway, monkeypatch)


def test_after_the_last_day_flash_with_remnants_tmpfs_and_the_custodians_keys_open_nothing(gateway):
    """EXP-3: an attacker with everything that was ever programmed.

    Before the keys were destroyed he reads every record.
    """
    for day in range(3):
        gateway.append(*[record + bytes([day]) for record in RECORDS[:20]])
        gateway.tick(900)
        gateway.tick(DAY - 900)
    gateway.store.seal()
    image = list(gateway.flash.cells.remnants)

    def thief() -> int:
        """Try every key on every segment that was ever programmed, whole or in parts."""
        found = 0
        for octets in image:
            for at in range(0, len(octets), flash.PAGE):
                if octets[at : at + 4] == b"OUBL":
                    for key in gateway.holder.keys.values():
                        try:
                            found += len(list(segments.read(octets[at:]).records(key)))
                        except segments.SegmentError:
                            continue
        return found

    assert thief() >= 60
    plain = b"".join(image) + b"".join(path.read_bytes() for path in gateway.folder.rglob("*") if path.is_file())
    assert RECORDS[3] not in plain
    gateway.tick(LIFETIME * DAY)
    assert gateway.read() == []
    for day in range(TODAY - 1, TODAY + 3):
        del gateway.holder.keys[day]  # destroy-due
    assert gateway.holder.keys
    assert thief() == 0
