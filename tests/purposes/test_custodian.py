# SPDX-License-Identifier: Apache-2.0
"""What custodian custody writes to flash this device can't read, and it goes on time.

EXP-1, EXP-3, EXP-4, EXP-6, L34-VI-2.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest
from nacl import _sodium, bindings
from nacl.public import PrivateKey

from agent.purposes import duties, notice
from tests.support.interpreters import PROJECT
from tests.support.keyholder import LIFETIME, TODAY, Custodian
from tools.custodian import segments
from tools.custodian.segments import EPOCH

if TYPE_CHECKING:
    from pathlib import Path

SECOND, DAY = 10**9, 86400
NOON = TODAY * DAY + 43200
SYNC = 900
BUDGET = 1 << 20
BOOT, LATER_BOOT = "a1" * 16, "b2" * 16


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
        return self.ask("append", [[int(self.now if begins is None else begins), record.hex()] for record in records])[
            "results"
        ]

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


STAGE = "tests.support.custodian_stage"


@pytest.fixture
def ask(any_interpreter, remotes):
    return remotes(any_interpreter.name, STAGE)


@pytest.fixture
def custodian():
    return Custodian()


@pytest.fixture
def store(ask, tmp_path, custodian):
    """Give a store with keys for today and the days before and after."""
    (tmp_path / "custodian.pub").write_text(custodian.anchor)
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


def test_what_flash_refuses_is_sealed_later_and_the_notice_excepts_that(store):
    """L34-VI-4: "but for a fault, at the latest 15 minutes after": in memory in clear until then."""
    (store.root / "flash").mkdir()
    (blocked := store.root / "flash/attribution").write_text("no folder")
    store.open()
    assert store.append(*RECORDS[:3]) == ["kept"] * 3
    said = store.tick(4 * SYNC)["status"]
    assert (said["records"], said["bytes"], said["trouble"] != "") == (3, 0, True)
    blocked.unlink()
    assert store.tick(60)["status"]["bytes"] > 0
    assert store.ask("seal")
    assert store.read() == RECORDS[:3]
    assert ["sauf panne" in notice.TEXTS["fr"]["soon"], "but for a fault" in notice.TEXTS["en"]["soon"]] == [True, True]
    store.ask("close")


def test_what_speaks_of_a_time_stands_beside_what_is_there_of_it_and_begins_no_day(store):
    """L34-II-4: of a purpose that is off; with what still waits, in its day or the one before, once flash can tell."""
    (store.root / "flash").mkdir()
    (blocked := store.root / "flash/attribution").write_text("no folder")
    store.open()
    assert store.ask("amend", store.now, "aa") == "lost"
    blocked.unlink()
    store.tick(60)
    assert store.ask("amend", store.now, "aa") == "due on arrival"
    assert store.append(b"x") == ["kept"]
    begins = [store.now - DAY, store.now, store.now + DAY, store.now + 2 * DAY]
    assert [store.ask("amend", one, f"{place:02x}") for place, one in enumerate(begins)] == [
        "due on arrival", "kept", "kept", "due on arrival",
    ]  # fmt: skip
    assert store.ask("seal")
    assert {name[:10] for name in store.files()} == {"2026-11-23"}
    assert store.read() == [b"x", b"\1", b"\2"]
    store.ask("close")


def test_a_lifetime_that_was_shortened_holds_for_what_there_is(store):
    """L34-VI-4: notice and page tell the one that is configured; a longer one keeps nothing for longer."""
    store.open()
    store.append(*RECORDS[:3])
    store.ask("close")
    (name,) = store.files()
    for boot, days, there in ((BOOT, LIFETIME, True), (BOOT, 7, True), (LATER_BOOT, 7, True), (BOOT, 400, True)):
        store.open(boot, lifetime=days * DAY)
        store.ask("close")
        assert (name in store.files()) == there
    store.open(LATER_BOOT, lifetime=7 * DAY)
    assert store.tick(7 * DAY - 43200 - 1)["gone"] == 0
    assert store.tick(1)["gone"] == 1
    assert store.files() == {}
    store.ask("close")


def states(root: Path) -> list[bytes]:
    """Return what lies where the key ring has streams' states."""
    ring = (root / "run/keys").read_bytes()
    return [ring[at + bank : at + bank + 52] for at in range(64, len(ring), 192) for bank in (72, 136)]


def opens(state: bytes, data: bytes) -> int:
    """Return how many of a segment's chunks open with a state of its stream."""
    count, at = 0, segments.HEADER
    while (size := segments.sealed_size(data, at)) is not None:
        stream = bindings.crypto_secretstream_xchacha20poly1305_state()
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(stream, bytes(24), bytes(32))
        _sodium.ffi.buffer(stream.statebuf)[:] = state
        with contextlib.suppress(RuntimeError):
            bindings.crypto_secretstream_xchacha20poly1305_pull(
                stream, data[at + segments.FRAME : at + segments.FRAME + size], data[: segments.HEADER]
            )
            count += 1
        at += segments.FRAME + size
    return count


def test_the_device_cannot_read_back_what_it_wrote(store):
    """L34-VI-2: once it is written, neither a record nor anything that opens its chunk is on the device."""
    secret = bytes(range(100, 150))
    # One expression
    everything = lambda: b"".join(path.read_bytes() for path in store.root.rglob("*") if path.is_file())  # noqa: E731
    store.open()
    for _ in range(3):
        store.append(secret)
        assert secret in everything()  # it waits in memory
        former = states(store.root)
        store.tick(SYNC)
        assert secret not in everything()
        (data,) = store.files().values()
        assert (store.root / "run/keys").read_bytes()[64 + 32 : 64 + 64] == bytes(32)
        assert [opens(state, data) for state in states(store.root)] == [0] * 16
    assert max(opens(state, data) for state in former) == 1  # the state of before would have: the check finds it
    store.ask("close")
    assert set(states(store.root)) == {bytes(52)}
    assert store.read() == [secret] * 3


def test_a_restart_of_the_process_goes_on(store, remotes):
    """EXP-6: killed with records waiting, the next process of this boot has them, in the same segment."""
    store.open()
    store.append(*RECORDS[:30])
    store.tick(SYNC)
    store.append(*RECORDS[30:60])
    store.ask.process.kill()
    store.ask.close()
    store.ask = remotes(store.ask.name, STAGE)
    assert store.open() == {"torn": [], "lost": [], "refused": []}
    assert store.tick()["status"]["records"] == 60
    store.append(*RECORDS[60:])
    store.ask("close")
    assert list(store.files()) == ["2026-11-23-0001"]
    assert store.read() == RECORDS


def test_a_cut_of_power_loses_what_was_not_synced_and_nothing_else(store, remotes):
    """EXP-6: another boot finds no state; the segment ends as torn, readable to its last whole chunk."""
    store.open()
    store.append(*RECORDS[:30])
    store.tick(SYNC)
    store.append(*RECORDS[30:60])
    store.ask.process.kill()
    store.ask.close()
    store.ask = remotes(store.ask.name, STAGE)
    assert store.open(LATER_BOOT)["torn"] == ["2026-11-23-0001"]
    store.append(*RECORDS[60:])
    store.ask("close")
    assert [segments.read(data).torn for data in store.files().values()] == [True, False]
    assert store.read() == RECORDS[:30] + RECORDS[60:]


def test_it_goes_on_its_day_and_not_before(store):
    """EXP-1, EXP-4: at 00:00 of its day plus the lifetime by the trusted wall clock; early by at most a day."""
    store.open()
    store.append(b"of yesterday", begins=store.now - DAY)
    store.append(b"of today")
    assert store.append(b"too old", begins=store.now - (LIFETIME + 1) * DAY) == ["due on arrival"]
    store.tick(SYNC)
    assert len(store.files()) == 2
    store.tick((TODAY - 1 + LIFETIME) * DAY - 1 - store.now)
    assert len(store.files()) == 2
    assert store.tick(1)["gone"] == 1
    assert list(store.files()) == ["2026-11-23-0001"]
    assert not store.tick(DAY - 1)["gone"]
    assert store.tick(1)["gone"] == 1
    assert store.files() == {}
    assert store.tick()["status"] | {"syncs_a_day": 0} == {
        "segments": 0, "records": 0, "bytes": 0, "budget": BUDGET, "oldest_seconds": 0, "window_seconds": DAY,
        "lifetime_seconds": LIFETIME * DAY, "syncs_a_day": 0, "key_days": 0, "trouble": "",
    }  # fmt: skip
    store.ask("close")


def test_without_the_time_it_goes_by_the_time_since_boot(store):
    """EXP-3, EXP-4: with the clock untrusted the floor's day is taken, and the lifetime runs since boot."""
    store.trusted = False
    store.open()
    store.append(b"now", begins=store.now)
    store.append(b"a day ago", begins=store.now - DAY)
    store.tick(SYNC)
    assert list(store.files()) == ["2026-11-19-0001", "2026-11-20-0001"]
    assert {segments.read(data).clock for data in store.files().values()} == {"floor"}
    store.tick((LIFETIME - 2) * DAY + 43200 - SYNC - 60)  # the floor's day was half over
    assert len(store.files()) == 2
    assert store.tick(60)["gone"] == 1
    store.tick(DAY - 60)
    assert len(store.files()) == 1
    assert store.tick(60)["gone"] == 1
    store.ask("close")


@pytest.mark.parametrize("written", [False, True])
def test_a_record_joins_no_page_whose_day_is_said_to_have_begun_later(written, store):
    """A page begun at the floor's midnight is half a day older when the time is confirmed (EXP-1).

    It was kept open while flash refused.
    """
    store.trusted = False
    store.open(floor=TODAY * DAY)
    day = store.since + 600 * written - 43200  # when it truly began, by the time since boot
    store.append(b"of the floor's midnight")
    if written:
        store.tick(SYNC)
        store.append(b"a quarter of an hour later")
        day = store.since - (store.now - TODAY * DAY)
    flash = store.root / "flash"
    flash.rename(store.root / "away")
    flash.write_bytes(b"")
    store.tick(SYNC)
    store.trusted = True
    store.tick(60)
    assert store.append(b"of noon") == ["kept"]
    flash.unlink()
    (store.root / "away").rename(flash)
    store.tick(61)
    store.tick(SYNC)
    store.trusted = False  # nothing goes by the wall clock any more
    assert sum(segment.endswith(("-0001", "-0002")) for segment in store.files()) == 1 + written
    store.tick(LIFETIME * DAY - (store.since - day) - 60)
    assert len(store.files()) == 1 + written
    assert store.tick(60)["gone"] == 1
    store.tick(43200)  # what was sealed before anybody knew has its own deadline: a lifetime after it came
    assert store.files() == {}
    store.ask("close")


def test_after_a_boot_without_the_time_it_goes_by_powered_on_hours(store):
    """EXP-4: as many hours as the lifetime has, each boot one more, counted from the day's begin; never late."""
    store.open(hours=100)
    store.append(b"now")  # 12 hours of the day are over
    store.tick(SYNC)
    store.ask("close")
    store.trusted, store.since = False, 60
    store.open(LATER_BOOT, hours=101)
    store.tick(1, hours=100 - 1 - 13 + LIFETIME * 24 - 1)
    assert len(store.files()) == 1
    assert store.tick(1, hours=100 - 1 - 13 + LIFETIME * 24)["gone"] == 1
    store.ask("close")


@pytest.mark.parametrize("odd", [0.25, 30, 59.5])
def test_a_boot_at_any_second_makes_nothing_go_before_its_day_is_over(store, odd):
    """EXP-1: a year in one boot is nothing special: its segments go at 00:00, and nothing looks like a loss."""
    store.now, store.since = store.now + odd, store.since + odd / 2
    store.open()
    store.append(b"now")
    store.tick(SYNC)
    assert store.tick((TODAY + LIFETIME) * DAY - store.now - 1)["gone"] == 0
    said = store.tick(1)
    assert (said["gone"], said["lost"]) == (1, [])
    store.ask("close")


def test_a_quartz_that_runs_ahead_loses_nothing_and_a_clock_that_was_put_back_does(store):
    """EXP-4, EXP-5: of the same boot the time since boot counts as well; only a step is a loss with a cause."""
    for ahead, lost in ((LIFETIME * DAY * 90 // 1_000_000, []), (3600, [["clock", 1]])):
        store.open()
        store.append(b"now")
        store.tick(SYNC)
        store.since += ahead
        said = store.tick((TODAY + LIFETIME) * DAY - store.now - ahead)
        assert (said["gone"], said["lost"]) == (1, lost)
        store.ask("close")
        store.now, store.since = NOON, DAY


@pytest.mark.parametrize("sealed", [False, True], ids=["waiting", "on flash"])
def test_what_came_before_the_time_was_known_is_counted_where_it_goes_too_early(store, sealed):
    """EXP-3, EXP-5: off for longer than the lifetime; what came in the first minutes has the floor's day.

    Its key is gone: it's a loss. Who owes a year reads of it.
    """
    assert ["confirm" in text for text in duties._WHY["early"]] == [True, True]
    store.trusted = False
    store.since = 100
    store.open(floor=NOON)
    assert store.append(*[bytes([number]) for number in range(20)]) == ["kept"] * 20
    if sealed:
        store.tick(SYNC)
    store.trusted, store.now = True, NOON + (LIFETIME + 8) * DAY
    said = [store.tick(1) for _ in range(2)]
    assert sum(count for one in said for cause, count in one["lost"] if cause == "clock") == 20
    assert said[-1]["status"]["records"] == 0
    store.ask("close")


@pytest.mark.parametrize("trusted", [True, False])
def test_what_powered_on_hours_make_due_before_its_day_is_no_loss_but_counted(store, trusted):
    """EXP-4: due is what ANY clock makes due, with a trusted wall clock too: a forged one can't keep it.

    A ledger that was put back makes a day of them: all that is kept for a day goes, before the time is known.
    """
    store.open(hours=100)
    store.append(b"now")
    store.tick(SYNC)
    store.ask("close")
    store.since, store.trusted = 60, trusted
    store.open(LATER_BOOT, hours=101)
    said = store.tick(1, hours=10000)
    assert (said["gone"], said["lost"]) == (1, [["hours", 1]])
    store.ask("close")


def test_a_full_store_displaces_the_oldest_and_counts_it(store):
    store.open(budget=6000)
    for day in range(6):
        store.append(*[bytes(200)] * 8, begins=store.now)
        lost = store.tick(DAY)["lost"]
        assert lost == ([] if day < 3 else [["ring full", 8]])
    assert sum(map(len, store.files().values())) <= 6000
    store.ask("close")


def test_without_a_key_of_the_day_nothing_is_kept_and_a_bundle_brings_it_back(store):
    """EXP-3: counted by cause; a bundle that comes while the recorder runs is found."""
    store.open()
    store.tick(30 * DAY)
    assert store.append(b"x", b"y") == ["lost", "lost"]
    said = store.tick()
    assert (said["status"]["key_days"], said["lost"]) == (0, [])
    (store.root / "bundles/two").write_bytes(store.custodian.bundle(TODAY + 30, 35))
    assert store.tick(10)["status"]["key_days"] == 35
    assert store.append(b"x") == ["kept"]
    store.ask("close")


def test_erase_leaves_nothing(store):
    store.open()
    store.append(*RECORDS)
    store.tick(SYNC)
    store.append(*RECORDS)
    assert store.ask("erase") == 240
    assert store.files() == {}
    assert set(states(store.root)) == {bytes(52)}
    assert RECORDS[35] not in (store.root / "run/attribution/chunks").read_bytes()
    store.ask("close")


CHANGES = {
    "a flipped header": lambda data: bytes([*data[:20], data[20] ^ 1, *data[21:]]),
    "a flipped chunk": lambda data: bytes([*data[:200], data[200] ^ 1, *data[201:]]),
    "a flipped trailer": lambda data: bytes([*data[:-6], data[-6] ^ 1, *data[-5:]]),
    "cut by one": lambda data: data[:-1],
    "cut in the last chunk": lambda data: data[:-60],
    "a chunk twice": lambda data: data[:-20] + data[160:-20] + data[-20:],
    "nothing but a header": lambda data: data[:160],
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_damage_is_named_and_never_wrong_data(change, store):
    """What opens is what was written, in order, or nothing; and the segment says that it isn't whole."""
    store.open()
    for part in range(3):
        store.append(*RECORDS[part * 40 : part * 40 + 40])
        store.tick(SYNC)
    store.ask("close")
    (data,) = store.files().values()
    key = store.custodian.keys[TODAY]
    segment = segments.read(CHANGES[change](data))
    found = []
    with contextlib.suppress(segments.SegmentError):
        found = list(segment.records(key))
        assert segment.damage
    assert found == RECORDS[: len(found)]
    # A segment of another key, and the header of another segment.
    with pytest.raises(segments.SegmentError):
        list(segments.read(data).records(PrivateKey.generate()))


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_start_takes_a_damaged_folder_as_it_is(change, store):
    """Nothing stops the store: the whole is counted, what nobody can open goes, what isn't ours stays."""
    store.open()
    for part in range(3):
        store.append(*RECORDS[part * 40 : part * 40 + 40])
        store.tick(SYNC)
    store.ask("close")
    ((name, data),) = store.files().items()
    folder = store.root / "flash/attribution"
    (folder / name).write_bytes(CHANGES[change](data))
    (folder / "2026-11-22-0001").write_bytes(data)  # another day's name
    (folder / "2026-11-22-0002" / "in it").mkdir(parents=True)
    (folder / "README").write_text("not ours")
    torn = store.open(LATER_BOOT)["torn"]
    assert {"2026-11-22-0001", "2026-11-22-0002"} <= {*torn}
    assert not (folder / "2026-11-22-0002").exists()
    kept = [path for path in store.files() if path != "README"]
    for path in kept:
        segment = segments.read(store.files()[path])
        with contextlib.suppress(segments.SegmentError):
            found = list(segment.records(store.custodian.keys[TODAY]))
            assert found == RECORDS[: len(found)]
            assert segment.damage or len(found) == segment.said
    assert "README" in store.files()
    store.append(b"goes on")
    store.ask("close")


def test_a_segment_of_a_later_version_is_left_as_it_is_and_goes_on_time(store):
    """A step back to this version: what it can't mend it doesn't touch.

    The deadline is in the part of the header that stays.
    """
    store.open()
    store.append(*RECORDS)
    store.tick(SYNC)
    store.ask("close")
    ((name, data),) = store.files().items()
    later = data[:4] + b"\x02" + data[5:170]
    (store.root / "flash/attribution" / name).write_bytes(later)
    assert store.open(LATER_BOOT)["torn"] == []
    assert store.files() == {name: later}
    ends = (TODAY + LIFETIME) * DAY
    store.tick(ends - 1 - store.now)
    assert store.files() == {name: later}
    assert store.tick(1)["gone"] == 1
    assert store.files() == {}
    store.ask("close")


VECTORS = PROJECT / "tests/vectors/vault"
KEPT = json.loads((VECTORS / "sealed-1.json").read_text())


@pytest.mark.parametrize("name", sorted(KEPT["segments"]))
@pytest.mark.long
def test_old_vectors_keep_opening(name):
    """What a former version wrote, on both byte orders, opens whole.

    Of a torn or cut one, everything before the cut (EXP-6).
    """
    expected = KEPT["segments"][name]
    segment = segments.read((VECTORS / f"sealed-1-{name}.bin").read_bytes())
    records = list(segment.records(PrivateKey(bytes.fromhex(KEPT["custodian_private_key"]))))
    assert [record.hex() for record in records] == KEPT["records"][: expected["records"]]
    seen = {
        **vars(segment),
        "day": str(segment.day),
        "destroy": str(segment.destroy),
        "opened": segment.opened.isoformat(),
    }
    assert seen | {"records": len(records)} == seen | expected


def test_an_old_vector_that_was_cut_is_mended_as_ever(store):
    """A gateway that was updated after a cut of power finds a former version's file (EXP-6).

    Its octets are the vector's.
    """
    (store.root / "flash/attribution").mkdir(parents=True)
    (store.root / "flash/attribution/2026-11-23-0001").write_bytes((VECTORS / "sealed-1-truncated.bin").read_bytes())
    assert store.open(LATER_BOOT)["torn"] == ["2026-11-23-0001"]
    assert store.tick()["status"]["records"] == KEPT["segments"]["torn"]["records"]
    store.ask("close")
    assert store.files() == {"2026-11-23-0001": (VECTORS / "sealed-1-torn.bin").read_bytes()}
