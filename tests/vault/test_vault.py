# SPDX-License-Identifier: Apache-2.0
"""The buffer forgets on time, loses nothing in silence, and can't be read without keys (EXP-1, EXP-2, EXP-4, EXP-6)."""

import calendar
import io
import json
import os
import random
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import law
from agent.base.dates import date, day_of
from agent.capture import connections, neighbours
from agent.capture.timeouts import Timeouts
from agent.runtime import deflate, memory
from agent.runtime import sodium as crypto
from agent.summary.services import service_of
from agent.vault import keys, open_segment, reading, segment
from agent.vault.keys import SLOT
from agent.vault.record import COLUMNS, LARGEST, Packer, Record
from agent.vault.windows import GRACE, LATE, SEGMENT_LIMIT, lasting, slots_for, window_of
from host_sim.venue import scenario, tape
from host_sim.venue.world import World
from tests.support import remote
from tests.support.interpreters import PROJECT, Interpreter, Remote
from tools.bench import instructions, way_stage

SECOND, UNIT = 10**9, 10**8
VECTORS = PROJECT / "tests/vectors/vault"
BOOT, LATER_BOOT = "a1" * 16, "b2" * 16
NOW = 1795003200  # a full hour
SINCE = 10**6  # seconds since boot at NOW
DAY, BUDGET = 86400, 4 << 20
PIECE = 25  # records of one call
MAC, ADDRESS = "0200c0ffee01", "c0a80117"
KEY_OFFSETS = {"key": (32, 32), "state 0": (72, 52), "state 1": (136, 52)}


def row(end: float = NOW - 60, *, port: int = 40000, mac: str = MAC, address: str = ADDRESS, size: int = 1500) -> list:
    """Return a connection as tests.support.remote takes it; `end` in seconds."""
    return [6, address, port, port + 1, 1, 10, 12, size, 20 * size, mac, int((end - 2.5) * SECOND), int(end * SECOND)]


def plain(connection: list) -> str:
    """Return what must be read back of a connection: times in units of 100 ms."""
    return text([*connection[:10], connection[10] // UNIT, connection[11] // UNIT])


def text(fields: list) -> str:
    """Return fields as tests.support.remote writes a record."""
    return " ".join(map(str, fields))


class Vault:
    """A ring of `security` in another interpreter; `at` seconds after NOW on both clocks."""

    def __init__(self, ask, root: Path, *, lifetime: int = DAY, budget: int = BUDGET, boot: str = BOOT) -> None:
        self.ask = ask
        self.root = root
        self.opened = ask("vault_open", str(root), lifetime, budget, boot)
        self.folder = root / "var/run/oubli/vault/security"

    def append(self, *rows: list, at: float = 0) -> dict:
        results, lost = [], []
        for place in range(0, len(rows), PIECE):
            answer = self.ask(
                "vault_append", rows[place : place + PIECE], int((NOW + at) * SECOND), int((SINCE + at) * SECOND)
            )
            results += answer["results"]
            lost += answer["lost"]
        return {"results": results, "lost": lost}

    def keep(self, *rows: list, at: float = 0) -> None:
        assert self.append(*rows, at=at) == {"results": ["kept"] * len(rows), "lost": []}

    def tick(self, at: float, *, trusted: bool = True, wall: float | None = None) -> dict:
        """Run the timer; `wall`: what the wall clock shows instead, in seconds."""
        shown = NOW + at if wall is None else wall
        return self.ask("vault_tick", int(shown * SECOND), int((SINCE + at) * SECOND), trusted)

    def read(self, at: float = 0, *, nanoseconds: int = 0) -> list:
        rows, refused = self.read_or_refuse(
            int((NOW + at) * SECOND) + nanoseconds, int((SINCE + at) * SECOND) + nanoseconds
        )
        assert not refused
        return rows

    def read_or_refuse(self, wall: int, monotonic: int) -> tuple[list[str], bool]:
        """Read page by page; returns what was read and whether a segment was refused."""
        rows: list[str] = []
        more = True
        while more:
            answer = self.ask("read", str(self.root), wall, monotonic, len(rows))
            rows += answer["rows"]
            more = answer["more"]
        return rows, answer["refused"]

    def close(self) -> None:
        self.ask("vault_close")

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.folder.iterdir()) if path.name != "chunks"}

    def everything(self) -> bytes:
        return b"".join(
            path.read_bytes() for path in sorted((self.root / "var/run/oubli").rglob("*")) if path.is_file()
        )


def chunks_of(data: bytes) -> list[bytes]:
    return list(segment.chunks(io.BytesIO(data[segment.HEADER :]), len(data) - segment.HEADER))


def ring_slots(root: Path) -> list[bytes]:
    data = (root / "var/run/oubli/keys").read_bytes()
    return [data[at : at + SLOT] for at in range(64, len(data), SLOT)]


def used_slots(root: Path) -> list[bytes]:
    return [slot for slot in ring_slots(root) if slot[0]]


@pytest.fixture
def ask(interpreter, remotes):
    """Give the calls of an interpreter."""
    return remotes(interpreter.name)


# Records

PORT, WIDE = st.integers(0, 65535), st.integers(0, 2**64 - 1)
MADE = st.tuples(
    st.one_of(st.sampled_from([6, 17, 1, 58, 47, 50, 2]), st.integers(0, 255)),
    st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)),
    PORT,
    PORT,
    st.integers(0, 10),
    WIDE,
    WIDE,
    WIDE,
    WIDE,
    st.sampled_from([b"\0" * 6, b"\2\0\0\0\0\1", b"\xff" * 6]),
    st.integers(0, 2**36),
    st.integers(0, 2**36),
)


def as_row(made: tuple) -> list:
    start, duration = made[10], made[11]
    return [made[0], made[1].hex(), *made[2:9], made[9].hex(), start, start + duration]


def chunk_of(packed: list[str]) -> str:
    """Return the chunk of so many records, as octets in hex: their number, their columns, their rests."""
    octets = [bytes.fromhex(one) for one in packed]
    columns = b"".join(bytes(one[column] for one in octets) for column in range(COLUMNS))
    return (len(octets).to_bytes(2, "big") + columns + b"".join(one[COLUMNS:] for one in octets)).hex()


@pytest.mark.needs("micropython")
@settings(max_examples=60)
@given(
    window=st.integers(0, 2**32 - 1), made=st.lists(MADE, max_size=6), order=st.permutations(["cpython", "micropython"])
)
def test_records_come_back_as_they_were_across_interpreters(remotes, window, made, order):
    """Lossless on every field of L34-II's row; what one packs the other unpacks, octet for octet alike."""
    rows = [as_row(one) for one in made]
    packed = remotes(order[0])("pack", window, rows)
    assert packed == remotes(order[1])("pack", window, rows)
    assert all(len(one) // 2 <= COLUMNS + LARGEST for one in packed)
    assert remotes(order[1])("unpack", window, [chunk_of(packed)]) == list(map(text, rows))


@pytest.mark.needs("mips")
def test_records_pass_between_byte_orders(remotes):
    """What a big-endian router writes, a host reads, and the reverse."""
    chance = random.Random(5)
    rows = [
        [
            *[
                chance.choice([6, 17, 47]),
                chance.randbytes(chance.choice([4, 16])).hex(),
                chance.randrange(65536),
                chance.randrange(65536),
            ],
            *[
                chance.randrange(11),
                *[chance.getrandbits(chance.choice([7, 31, 32, 64])) for _ in range(4)],
                MAC,
                10**10,
                10**10 + number,
            ],
        ]
        for number in range(60)
    ]
    packed = remotes("mips")("pack", NOW, rows)
    assert packed == remotes("cpython")("pack", NOW, rows)
    chunks = [chunk_of(packed[:20]), chunk_of(packed[20:])]
    assert remotes("mips")("unpack", NOW, chunks) == remotes("cpython")("unpack", NOW, chunks) == list(map(text, rows))


def test_records_have_the_octets_of_the_format(any_interpreter, remotes):
    """tests/vectors/vault: what another language's decoder must open, and what later versions must go on opening."""
    for vector in json.loads((VECTORS / "records-1.json").read_text()):
        ask = remotes(any_interpreter.name)
        assert ask("pack", vector["window"], vector["rows"]) == vector["packed"]
        assert ask("unpack", vector["window"], [vector["chunk"]]) == [text(one) for one in vector["rows"]]
        assert chunk_of(vector["packed"]) == vector["chunk"]


@pytest.fixture
def packing(any_interpreter):
    """Give the stage of chunks on each interpreter."""
    stage = Remote(any_interpreter, "tests.support.packing_stage")
    yield stage
    stage.close()


def test_a_chunk_is_deflated_where_there_is_libz_and_stored_where_there_is_none(packing):
    """Any inflater reads both (zlib here); each reads what it wrote, and the kept octets of both kinds.

    Nothing else is taken.
    """
    chance = random.Random(3)
    columns = [bytes(chance.choices(range(first, first + 20), k=300)) for first in (0, 60, 120, 180)]
    chunks = [
        [b""],
        [b"x"],
        [bytes(4092)],
        [b"", b""],
        [b"xy", b"", b"z"],
        [chance.randbytes(2000)] * 2,
        [*columns, chance.randbytes(900)],
    ]
    kept = json.loads((VECTORS / "chunk-1.json").read_text())
    there = packing("there")
    assert there or packing.name == "mips"
    for parts in chunks:
        chunk = b"".join(parts)
        packed = bytes.fromhex(packing("deflated", chunk.hex(), [len(part) for part in parts]))
        assert zlib.decompress(packed, -12) == chunk
        assert len(packed) <= len(chunk) + 5
        assert packing("inflated", packed.hex()) == chunk.hex()
    assert not there or len(packed) < 0.8 * len(chunk)  # one code for all of them: 0.96
    assert packing("inflated", kept["stored"]) == kept["plain"]
    assert packing("inflated", kept["deflated"]) == (kept["plain"] if there else "refused")
    cut = zlib.compressobj(6, zlib.DEFLATED, -12)
    large = cut.compress(bytes(5000)) + cut.flush()
    for broken in (
        large,
        b"",
        b"\1",
        bytes.fromhex(kept["stored"])[:-1],
        bytes.fromhex(kept["deflated"])[:-9],
        chance.randbytes(50),
    ):
        assert packing("inflated", broken.hex()) == "refused"


def test_libz_works_in_memory_that_is_overwritten(monkeypatch):
    """EXP-2: nothing of what it has seen stays in its window, its tables or anywhere else.

    What is wiped held it before.
    """
    seen: list[bytes] = []
    wipe = memory.Region.wipe_part

    def watched(region: memory.Region, at: int, size: int) -> None:
        assert not any(bytes(region.view)[at + size :])
        seen.append(bytes(region.view))
        wipe(region, at, size)

    monkeypatch.setattr(memory.Region, "wipe_part", watched)
    made, scratch, secret = deflate.Deflate(), memory.scratch(16384), b"a phone's own address"
    ways = made.way("deflate"), made.way("inflate")
    begun = [bytes(way.region.view) for way in ways if way is not None]
    assert len(begun) == len(ways)
    for number in range(1, 4):
        scratch.view[: len(secret)] = secret
        size = made.pack(scratch.address + 8192, (scratch.address, len(secret)))
        assert secret in seen[-1]
        made.unpack(scratch.address + 12288, 4096, scratch.address + 8192, size)
        with pytest.raises(crypto.SealError):  # before its end, libz keeps what it has made so far
            made.unpack(scratch.address + 12288, 4096, scratch.address + 8192, size - 4)
        assert secret[:8] in seen[-1]
        assert len(seen) == 3 * number
        assert [bytes(way.region.view) for way in ways if way is not None] == begun
    scratch.close()


def test_largest_record_fits_the_room_that_is_kept_for_it():
    """A new IPv6 terminal, another protocol, every number at its longest."""
    view = remote.page() + bytes(LARGEST)
    packer = Packer(0, remote.places(), view)
    packets, volume = 2**64 - 1, 20 * (2**64 - 1) - 1 & 2**64 - 1  # one octet less than the headers have
    one = [255, "20" * 16, 1, 2, 0, packets, packets, volume, volume, MAC]
    assert LARGEST - 4 <= len(remote.packed(packer, view, [*one, 0, 2**64], 1)) // 2 - COLUMNS <= LARGEST


def test_made_up_terminals_cannot_fill_the_memory(ask):
    """The dictionary has 256 places, whoever comes; every record still comes back."""
    rows = [
        [17, f"0a{number:06x}", 1, 1, 0, 1, 1, 1, 1, MAC, 10 * NOW, 10 * NOW + number]
        for number in (*range(300), *range(300), 3, 3)
    ]
    packed, read = remote.pack(NOW, rows), ask("unpack", NOW, [])
    for place in range(0, len(packed), PIECE):
        read += ask("unpack", None, [chunk_of(packed[place : place + PIECE])])
    assert read == list(map(text, rows))


def test_a_record_has_no_place_for_a_destination():
    """L34-VI-1: the fields are those of the law's table, and there it is missing."""
    assert set(Record.__slots__) == set(law.SECURITY_FIELDS)
    assert not [name for name in Record.__slots__ if "destination" in name]


COUNT = 1000


@pytest.fixture(scope="module")
def hours() -> dict[int, list]:
    """Give a simulated café's first connections as the recorder hears of them, by hour, until one holds COUNT."""
    decoder, timeouts = connections.Decoder(), Timeouts(scenario.load("cafe-day").network.timeouts.get)
    macs: dict[bytes, bytes] = {}

    class Macs(neighbours.Listener):
        def neighbour(self, index: int, address: bytes, mac: bytes, *, quiet: bool = False) -> None:  # noqa: ARG002 (the listener's signature)
            macs[address] = mac

    neighbour = neighbours.Neighbours(Macs())
    found: dict[int, list] = {}

    def take(c: "connections.Connection") -> None:
        end = timeouts.end(c)
        counts = [c.packets_up, c.packets_down, c.bytes_up, c.bytes_down]
        source = connections.source_of(c)
        service = service_of(c.protocol, c.destination_port)
        one = [
            c.protocol,
            source.hex(),
            c.source_port,
            c.translated_port,
            service,
            *counts,
            macs[source].hex(),
            c.start,
            end,
        ]
        found.setdefault(end // SECOND // 3600, []).append(one)

    for step in World(scenario.load("cafe-day"), 1).steps():
        if step.operation == tape.NEIGHBOUR:
            neighbour.feed(step.payload, len(step.payload))
        elif step.operation == tape.DATAGRAM:
            decoder.feed(step.payload, len(step.payload), take)
            if max(map(len, found.values())) == COUNT:
                break
    return found


def test_a_record_takes_at_most_sixteen_octets_at_a_thousand_connections_a_segment(hours, tmp_path, remotes):
    """The file's octets, header and seals included, over the first records of a simulated café's hour."""
    hour, rows = next((hour, rows) for hour, rows in hours.items() if len(rows) == COUNT)
    vault = Vault(remotes("cpython"), tmp_path)
    at = (hour + 1) * 3600 + 100 - NOW
    vault.keep(*rows, at=at)
    vault.close()
    (data,) = vault.files().values()
    assert len(data) / COUNT <= 16
    assert vault.read(at) == [plain(one) for one in rows]


# Windows, rotation


@pytest.mark.parametrize(("lifetime", "width"), [(600, 60), (DAY - 1, 60), (DAY, 3600), (90 * DAY, 3600)])
def test_windows_are_a_minute_below_a_day_and_an_hour_above(lifetime, width):
    """EXP-1; so are the 240 s that a segment stays open after its window, and the three hours of a late one."""
    assert window_of(lifetime) == width
    assert (GRACE, LATE) == (240, 3 * 3600)


@pytest.mark.parametrize("lifetime", [3600, DAY])
def test_a_record_goes_to_the_window_of_its_end(lifetime, ask, tmp_path):
    """EXP-1: by end, not by arrival; each window its own segment and its own key."""
    width = window_of(lifetime)
    vault = Vault(ask, tmp_path, lifetime=lifetime)
    ends = [NOW + 0.1, NOW + width - 0.1, NOW + width, NOW + 3 * width - 1]
    for end in ends:
        vault.keep(row(end), at=end - NOW)
    windows = [struct.unpack_from("<I", slot, 12)[0] for slot in used_slots(tmp_path)]
    assert windows == [NOW, NOW + width, NOW + 2 * width]
    assert len({slot[32:64] for slot in used_slots(tmp_path)}) == 3
    assert [struct.unpack_from(">II", data, 24) for data in vault.files().values()] == [
        (window, lifetime) for window in windows
    ]
    vault.close()


@pytest.mark.parametrize("lifetime", [3600, DAY])
def test_segments_close_240_seconds_after_their_window_and_late_ones_three_hours_after_it(lifetime, ask, tmp_path):
    """EXP-1: on time, late (one second segment a window), later still (one of its own)."""
    width = window_of(lifetime)
    vault = Vault(ask, tmp_path, lifetime=DAY if lifetime == DAY else 4 * 3600)
    closes, over = width + GRACE, width + LATE
    vault.keep(row(NOW + 1), at=2)
    vault.tick(closes - 1)
    assert [slot[0] for slot in used_slots(tmp_path)] == [1]
    vault.keep(row(NOW + 2), at=closes - 1)
    vault.tick(closes)
    assert [slot[0] for slot in used_slots(tmp_path)] == [2]
    vault.keep(row(NOW + 3), row(NOW + 4), at=closes)
    assert [(slot[0], slot[2]) for slot in used_slots(tmp_path)] == [(2, 0), (1, 1)]
    vault.tick(over - 1)
    vault.keep(row(NOW + 5), at=over - 1)
    vault.tick(over)
    vault.keep(row(NOW + 6), row(NOW + 7), at=over)
    assert [(slot[0], slot[2]) for slot in used_slots(tmp_path)] == [(2, 0), (2, 1), (2, 2), (2, 2)]
    assert vault.read(over) == [plain(row(NOW + second)) for second in range(1, 8)]
    vault.close()


@pytest.mark.long
def test_a_segment_that_is_full_closes_and_the_next_takes_over(ask, tmp_path):
    """By size: SEGMENT_LIMIT and the chunk that passes it; nothing is lost on the way, pages are sealed at 4 KiB."""
    vault = Vault(ask, tmp_path)
    chance = random.Random(9)
    rows = [row(port=chance.randrange(65000), size=chance.getrandbits(40)) for _ in range(6000)]
    for place in range(0, len(rows), 150):
        vault.keep(*rows[place : place + 150])
    *full, _ = vault.files().values()
    assert full
    for data in full:
        assert SEGMENT_LIMIT <= len(data) <= SEGMENT_LIMIT + 2 * (segment.PAGE + 32)
        assert max(map(len, chunks_of(data))) <= segment.PAGE + 17
    vault.close()
    assert sum(1 for _ in reading.read(str(tmp_path), "security", NOW * SECOND, SINCE * SECOND)) == len(rows)


# Expiry


@pytest.mark.parametrize("lifetime", [600, DAY, 90 * DAY])
def test_record_is_unreadable_at_its_deadline(lifetime, remotes, tmp_path):
    """EXP-1: a segment is due at its window's start + lifetime, to the nanosecond.

    Reading refuses before any timer ran.
    """
    vault = Vault(remotes("cpython"), tmp_path, lifetime=lifetime)
    width = window_of(lifetime)
    vault.keep(row(NOW + 1), row(NOW + width - 1), at=width)
    assert len(vault.read(lifetime, nanoseconds=-1)) == 2
    assert vault.read(lifetime) == []
    vault.close()


@pytest.mark.parametrize("first", ["2027-01-29", "2028-01-29", "2026-11-28"])
def test_nothing_is_kept_for_longer_than_three_months_of_the_calendar(first):
    """R10-14 IV, in force: 90 days are a day more for what ends from 31 January to 28 February, by Paris's days too."""
    for day in range(day_of(first), day_of(first) + 35):
        year, month, number = map(int, date(day).split("-"))
        month, year = (month + 2) % 12 + 1, year + (month > 9)
        last = next(one for one in range(number, 0, -1) if calendar.monthrange(year, month)[1] >= one)
        kept = lasting(day * DAY + 23 * 3600, 90 * DAY)
        assert day * DAY + kept <= day_of(f"{year:04}-{month:02}-{last:02}") * DAY
        assert 90 * DAY - kept in (0, DAY)
        assert lasting(day * DAY, 89 * DAY) == 89 * DAY
    assert lasting(day_of("2027-01-30") * DAY + 23 * 3600, 90 * DAY) == 89 * DAY  # in Paris it is the 31st
    assert lasting(day_of("2026-11-28") * DAY, 90 * DAY) == 90 * DAY
    shorter = [
        date(day)
        for day in range(day_of("2027-01-01"), day_of("2029-01-01"))
        if lasting(day * DAY, 90 * DAY) != 90 * DAY
    ]
    assert (shorter[0], shorter[-1], len(shorter)) == ("2027-01-30", "2027-02-28", 30)
    told = " ".join((PROJECT / "LIMITS.md").read_text().split())
    assert "90 days at most, and 89 of what ends from 30 January to 28 February, but in a leap year" in told


def test_a_segment_of_february_goes_with_its_three_months(ask, tmp_path):
    """EXP-1, R10-14 IV: by the wall clock, by the time since boot, and on arrival."""
    began = day_of("2027-02-01") * DAY - NOW
    vault = Vault(ask, tmp_path, lifetime=90 * DAY)
    vault.keep(row(NOW + began + 1), at=began + 2)
    assert len(vault.read(began + 89 * DAY, nanoseconds=-1)) == 1
    assert vault.read(began + 89 * DAY) == []
    assert vault.tick(began + 89 * DAY)["gone"] == 1
    over = began + 89 * DAY
    late = ask("vault_append", [row(NOW + began + 1)], (NOW + over) * SECOND, (SINCE + over) * SECOND)
    assert late["results"] == ["due on arrival"]
    vault.close()


def test_reading_refuses_by_either_clock(ask, tmp_path):
    """EXP-4: the trusted wall clock past the deadline, or the age since boot."""
    vault = Vault(ask, tmp_path, lifetime=3600)
    vault.keep(row(NOW + 1), at=60)
    for wall, since, count in ((0, 0, 1), (3600, 0, 0), (0, 3600, 0), (3599, 3599, 1)):
        rows, _ = vault.read_or_refuse((NOW + wall) * SECOND, (SINCE + since) * SECOND)
        assert len(rows) == count, (wall, since)
    vault.close()


@pytest.mark.parametrize("lifetime", [600, DAY])
def test_the_trusted_wall_clock_alone_expires_at_its_nanosecond(lifetime, ask, tmp_path):
    """EXP-4: any of its conditions is enough; the age since boot has hours to go."""
    vault = Vault(ask, tmp_path, lifetime=lifetime)
    vault.keep(row(NOW + 1), at=2)
    deadline = (NOW + lifetime) * SECOND
    assert len(vault.read_or_refuse(deadline - 1, SINCE * SECOND)[0]) == 1
    assert vault.read_or_refuse(deadline, SINCE * SECOND)[0] == []
    assert ask("vault_tick", deadline - 1, (SINCE + 3) * SECOND, True)["gone"] == 0
    assert ask("vault_tick", deadline, (SINCE + 3) * SECOND, False)["gone"] == 0
    assert ask("vault_tick", deadline, (SINCE + 3) * SECOND, True)["gone"] == 1
    vault.close()


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("lifetime", [600, DAY])
def test_expiry_destroys_the_key_at_the_deadline(lifetime, trusted, ask, tmp_path):
    """EXP-1, EXP-4: not a second late.

    With the time not trusted, by the clock since boot, whatever the wall clock shows.
    """
    vault = Vault(ask, tmp_path, lifetime=lifetime)
    vault.keep(row(NOW + 1), at=2)
    wall = None if trusted else 12345.0
    assert vault.tick(lifetime - 1e-6, trusted=trusted, wall=wall)["gone"] == 0
    assert used_slots(tmp_path)
    answer = vault.tick(lifetime, trusted=trusted, wall=wall)
    assert (answer["gone"], answer["late"], answer["lost"]) == (1, False, [])
    assert not used_slots(tmp_path)
    assert not vault.files()
    vault.close()


def test_a_step_of_the_wall_clock_never_makes_a_record_live_longer(ask, tmp_path):
    """EXP-4, EXP-5: ten years back after the record came, or before its message was read: age since boot decides."""
    years = 3650 * DAY
    vault = Vault(ask, tmp_path, lifetime=3600)
    vault.keep(row(NOW + 1), at=2)
    kept = ask("vault_append", [row(NOW + 2)], (NOW - years) * SECOND, (SINCE + 3) * SECOND)
    assert kept["results"] == ["kept"]
    assert vault.tick(3599, wall=NOW - years)["gone"] == 0
    assert any((vault.folder / "chunks").read_bytes())
    assert vault.tick(3600 + 4, wall=NOW - years)["gone"] == 1
    assert not used_slots(tmp_path)
    assert not any((vault.folder / "chunks").read_bytes())
    vault.close()


def test_a_record_from_before_a_step_back_expires_a_lifetime_after_it_came(ask, tmp_path):
    """A segment that begins with an end in the clock's future is due a lifetime after its record came at the latest."""
    vault = Vault(ask, tmp_path, lifetime=3600)
    vault.keep(row(NOW + 50 * DAY), at=10)
    assert vault.tick(3609)["gone"] == 0
    assert vault.tick(3610)["gone"] == 1
    vault.close()


def test_expiry_zeroes_key_states_and_page_then_file_then_name(ask, tmp_path):
    """What was key, stream state, sealed or plain octet is zero, also through a handle opened before (EXP-2)."""
    vault = Vault(ask, tmp_path)
    chance = random.Random(2)
    vault.keep(
        *[row(NOW + second, port=chance.randrange(65536), size=chance.getrandbits(40)) for second in range(600)], at=700
    )
    (name,) = vault.files()
    secrets = [slot[at : at + size] for slot in used_slots(tmp_path) for at, size in KEY_OFFSETS.values()]
    assert all(map(any, secrets))
    assert any((vault.folder / "chunks").read_bytes())
    with (vault.folder / name).open("rb") as handle:
        sealed = handle.read()
        assert len(sealed) > segment.PAGE
        vault.tick(DAY)
        handle.seek(0)
        left = handle.read()
        assert len(left) >= len(sealed)
        assert not any(left)
    assert not (vault.folder / name).exists()
    left = vault.everything()
    assert not [secret for secret in secrets if secret in left]
    assert not any((vault.folder / "chunks").read_bytes())
    assert not any(b"".join(ring_slots(tmp_path)))
    vault.close()


def test_a_record_already_due_is_not_written(ask, tmp_path):
    """EXP-1: a named exclusion; the last second before is kept."""
    vault = Vault(ask, tmp_path, lifetime=3600)
    answer = vault.append(row(NOW - 3600 + 1), row(NOW - 3540), row(NOW - 3539), at=0)
    assert answer == {"results": ["due on arrival", "kept", "kept"], "lost": []}
    vault.close()


# Losses


@pytest.mark.long
def test_a_full_ring_displaces_the_oldest_and_counts_every_record(ask, tmp_path):
    """EXP-4: by budget; kept = readable + counted lost, at each moment."""
    vault = Vault(ask, tmp_path, budget=262144)
    chance = random.Random(4)
    kept = lost = 0
    for hour in range(8):
        for _ in range(20):
            rows = [
                row(NOW + hour * 3600 + 60, port=chance.randrange(65000), size=chance.getrandbits(40))
                for _ in range(100)
            ]
            answer = vault.append(*rows, at=hour * 3600 + 61)
            assert answer["results"] == ["kept"] * 100
            assert {cause for cause, _ in answer["lost"]} <= {"ring full"}
            kept += 100
            lost += sum(count for _, count in answer["lost"])
        vault.tick(hour * 3600 + 61)
        assert sum(len(data) for data in vault.files().values()) <= 262144
        status = vault.tick(hour * 3600 + 62)["status"]
        assert status["records"] == kept - lost
        assert status["bytes"] == sum(len(data) for data in vault.files().values())
    assert lost > 0
    oldest = min(struct.unpack_from("<I", slot, 12)[0] for slot in used_slots(tmp_path))
    assert oldest > NOW
    vault.close()


def test_all_slots_taken_displaces_too(ask, tmp_path):
    """Very late records take a segment each: when the key ring is full the oldest goes, counted."""
    vault = Vault(ask, tmp_path, lifetime=4 * 3600, budget=65536)
    count = slots_for(4 * 3600, 65536)
    answer = [
        vault.append(*[row(NOW - LATE - 60 + number % 50) for number in range(50)]) for _ in range(count // 50 + 1)
    ]
    lost = sum(records for one in answer for _, records in one["lost"])
    assert {result for one in answer for result in one["results"]} == {"kept"}
    assert lost == 50 * len(answer) - len(used_slots(tmp_path))
    assert lost > 0
    vault.close()


@pytest.mark.needs("root", "unshare")
@pytest.mark.parametrize("begins", [False, True], ids=["no segment begins", "no second page"])
def test_a_full_file_system_loses_counted_records_and_the_store_goes_on(begins, interpreter, tmp_path):
    """A real tmpfs of 200 KiB that somebody else fills: each lost record is counted, no page or slot is lost with it.

    It is mounted in a namespace of the interpreter's own, so that it goes with the process, whatever happens.
    """
    (tmp_path / "var").mkdir()
    script = 'mount -t tmpfs -o size=200k tmpfs "$0" && exec "$@"'
    ask = Remote(
        Interpreter(
            interpreter.name, ("unshare", "--mount", "sh", "-c", script, str(tmp_path / "var"), *interpreter.words)
        )
    )
    try:
        vault = Vault(ask, tmp_path)
        inside = Path(f"/proc/{ask.process.pid}/root{tmp_path}/var")
        vault.folder = inside / "run/oubli/vault/security"
        vault.keep(*[row(port=port) for port in range(100)])
        with pytest.raises(OSError, match="space"):
            (inside / "ballast").write_bytes(bytes(1 << 20))
        free = segment.PAGE if begins else 0
        os.truncate(inside / "ballast", (inside / "ballast").stat().st_size - free)
        kept, lost, refused, chance = 100, 0, 0, random.Random(4)
        for hour in range(12):
            at = hour * 3600 + 61
            rows = [row(NOW + at - 1, port=chance.randrange(65536), size=chance.getrandbits(41)) for _ in range(400)]
            answer = vault.append(*rows, at=at)
            told = vault.tick(at)
            kept += answer["results"].count("kept")
            refused += answer["results"].count("lost")
            lost += sum(count for _, count in answer["lost"] + told["lost"])
            assert told["status"]["records"] == kept + refused - lost
            assert set(answer["results"]) <= {"kept", "lost"}
        assert (lost > refused > 0) if begins else (lost == refused == 4800), (lost, refused)
        (inside / "ballast").unlink()
        at = 20 * 3600 + 61
        rows = [row(NOW + at - 1, port=port) for port in range(100)]
        vault.keep(*rows, at=at)
        vault.tick(at)
        assert vault.read(at)[-100:] == [plain(one) for one in rows]
        vault.close()
        assert bytes.fromhex(MAC) not in (vault.folder / "chunks").read_bytes()
        assert bytes.fromhex(MAC) not in b"".join(vault.files().values())
    finally:
        ask.close()


# Restarts


@pytest.mark.needs("micropython", "mips")
@pytest.mark.parametrize("second", ["cpython", "micropython", "mips"])
@pytest.mark.parametrize("first", ["cpython", "micropython", "mips"])
def test_a_restart_of_the_process_keeps_the_buffer_whatever_interpreter_comes_next(first, second, remotes, tmp_path):
    """EXP-2: keys and files have one byte order; what one wrote, all read."""
    rows = [row(port=port) for port in range(300)]
    vault = Vault(remotes(first), tmp_path)
    vault.keep(*rows)
    vault.close()
    vault = Vault(remotes(second), tmp_path)
    assert vault.opened == {"torn": 0, "lost": []}
    assert vault.read() == [plain(one) for one in rows]
    more = [row(port=port) for port in range(300, 400)]
    vault.keep(*more)
    assert vault.read() == [plain(one) for one in rows + more]
    vault.close()


def test_another_boots_ring_is_erased_and_its_files_too(ask, tmp_path):
    """EXP-2: what tmpfs would have forgotten is not read: the keys are overwritten before the new ring is made."""
    vault = Vault(ask, tmp_path)
    vault.keep(*[row(port=port) for port in range(900)][:150])
    (key,) = [slot[32:64] for slot in used_slots(tmp_path)]
    with (tmp_path / "var/run/oubli/keys").open("rb") as handle:
        vault.close()
        vault = Vault(ask, tmp_path, boot=LATER_BOOT)
        assert not any(handle.read()[64:])
    assert vault.opened == {"torn": 0, "lost": []}
    assert key not in vault.everything()
    assert vault.files() == {}
    assert vault.read() == []
    vault.close()


@pytest.mark.parametrize("lifetime", [2 * DAY, 7200])
def test_another_lifetime_keeps_what_is_kept_and_no_longer_than_the_shorter_one(ask, tmp_path, lifetime):
    """The configuration was changed: keys stay where they are.

    A longer lifetime isn't given to what had a shorter one (EXP-1).
    """
    rows = [row(port=port) for port in range(120)]
    vault = Vault(ask, tmp_path)
    vault.keep(*rows)
    vault.close()
    size = (tmp_path / "var/run/oubli/keys").stat().st_size
    vault = Vault(ask, tmp_path, lifetime=lifetime)
    assert vault.opened == {"torn": 0, "lost": []}
    assert (tmp_path / "var/run/oubli/keys").stat().st_size >= size
    assert vault.read() == [plain(one) for one in rows]
    vault.keep(*rows[:20])
    assert len(vault.read()) == 140
    vault.close()
    vault = Vault(ask, tmp_path)  # and back again
    assert (vault.opened, len(vault.read())) == ({"torn": 0, "lost": []}, 140)
    vault.tick(min(lifetime, DAY))
    assert vault.read() == []
    assert vault.files() == {}
    vault.close()


def test_files_without_a_key_are_removed_and_keys_without_a_file_are_counted(ask, tmp_path):
    vault = Vault(ask, tmp_path)
    vault.keep(*[row(port=port) for port in range(10)])
    vault.keep(*[row(NOW + 3600, port=port) for port in range(7)], at=3700)
    vault.close()
    (vault.folder / "0000abcd").write_bytes(b"stray")
    (vault.folder / "00000001").unlink()
    vault = Vault(ask, tmp_path)
    assert vault.opened["lost"] == [["store", 7]]
    assert list(vault.files()) == ["00000000"]
    assert len(vault.read(3700)) == 10
    vault.close()


# Killed in the middle


def wide(port: int, end: float) -> list:
    """Return a connection whose record is large: a new IPv6 terminal, long numbers."""
    return [6, f"{port:032x}", port, port + 1, 1, *[2**62] * 4, MAC, int((end - 9) * SECOND), int(end * SECOND)]


MANY = [wide(port, NOW + 1) for port in range(70)]  # more than a page holds


def story() -> list[list]:
    """Return calls that pass every state of a segment: opened, a chunk sealed, closed by time, late, expired."""
    times = [[(NOW + at) * SECOND, (SINCE + at) * SECOND] for at in (2, 700, 700, 3600)]
    late = [row(NOW + 3), row(NOW + 699)]
    return [
        ["vault_append", MANY, *times[0]],
        ["vault_tick", *times[1], True],
        ["vault_append", late, *times[2]],
        ["vault_tick", *times[3], True],
    ]


@pytest.mark.needs("micropython")
@pytest.mark.parametrize(
    ("packing", "first", "step", "least"), [(False, 1, 2, 90), (False, 2, 2, 90), (True, 20, 29, 200)]
)
@pytest.mark.long
def test_a_kill_at_any_instant_loses_at_most_the_record_being_packed(
    packing, first, step, least, remotes, micropython, tmp_path
):
    """EXP-6: SIGKILL before or after each step.

    The next process reads all that was kept, closes it as torn, forgets it on time.
    """
    instant = first
    while die_and_recover(instant, packing, remotes, micropython, tmp_path / str(instant)):
        instant += step
    assert instant > least


def die_and_recover(instant: int, packing: bool, remotes, micropython, root: Path) -> bool:
    """Kill a vault at an instant and look at what its successor makes of it; False where it lived."""
    calls = [["vault_open", str(root), 3600, BUDGET, BOOT], ["die", instant, packing], *story()]
    root.mkdir()
    done = micropython.run("-m", "tests.support.remote", input="\n".join(map(json.dumps, calls)) + "\n", check=False)
    if done.returncode == 0:
        return False
    assert done.returncode == -9
    told = len(done.stdout.decode().splitlines()) - 2  # calls of the story that were answered
    counted = sum(struct.unpack_from("<I", slot, 16)[0] for slot in used_slots(root))
    vault = Vault(remotes("cpython"), root, lifetime=3600)
    read = vault.read((2, 700, 700, 3599)[told])
    many, late = [plain(one) for one in MANY], [plain(row(NOW + 3)), plain(row(NOW + 699))]
    if told == 0:
        assert read == many[: len(read)]
        assert counted <= len(read) <= counted + 1
    elif told < 3:
        assert [one for one in read if one not in late] == many
    else:
        assert late[1] in read
    assert vault.opened["lost"] == []
    assert not any((vault.folder / "chunks").read_bytes())
    assert len(vault.files()) == len(used_slots(root))
    vault.tick(4400)
    assert not used_slots(root)
    assert not vault.files()
    vault.close()
    return True


def test_a_torn_segment_is_closed_with_a_final_seal(remotes, micropython, tmp_path):
    """EXP-6: state torn in the ring, counted, readable to its last record, and nobody can append to it."""
    rows = [row(port=port) for port in range(100)]
    calls = [["vault_open", str(tmp_path), DAY, BUDGET, BOOT], ["vault_append", rows, NOW * SECOND, SINCE * SECOND]]
    calls += [["die", 1], ["vault_append", rows[:1], NOW * SECOND, SINCE * SECOND]]
    done = micropython.run("-m", "tests.support.remote", input="\n".join(map(json.dumps, calls)) + "\n", check=False)
    assert done.returncode == -9
    assert bytes.fromhex(MAC + ADDRESS) in (tmp_path / "var/run/oubli/vault/security/chunks").read_bytes()
    vault = Vault(remotes("micropython"), tmp_path)
    assert vault.opened == {"torn": 1, "lost": []}
    assert [slot[0] for slot in used_slots(tmp_path)] == [3]
    assert vault.read() == [plain(one) for one in rows]
    assert bytes.fromhex(MAC) not in vault.everything()
    sizes = sum(
        path.stat().st_size for path in (tmp_path / "var/run/oubli/vault/security").iterdir() if path.name != "chunks"
    )
    # Its last chunk counts once
    assert vault.ask("vault_tick", NOW * SECOND, SINCE * SECOND, True)["status"]["bytes"] == sizes
    vault.keep(row(port=7))
    assert len(vault.files()) == 2
    vault.close()


# Erased: one terminal

OTHER, SIX = "026677889900", "20010db8" + "00" * 11 + "07"


def mixed(count: int, end: float) -> list[list]:
    """Return connections of two terminals, one of them under an IPv6 address too, and of one that isn't known."""
    rows = [row(end + number / 100, port=number, mac=(MAC, OTHER, "00" * 6)[number % 3]) for number in range(count)]
    for number, one in enumerate(rows):
        one[0], one[4] = ((6, 1), (17, 2), (47, 5), (6, 0))[number % 4]  # protocol and service class
        if number % 5 == 0:
            one[1] = SIX
    return rows


def of(rows: list[list], *, erased: str = "") -> list[str]:
    return sorted(plain(one) for one in rows if one[9] != erased)


def test_a_terminals_records_are_erased_and_nobody_elses(ask, tmp_path):
    """L34-VI-5: of open, closed and torn segments; each other record is read as before and goes when it would have.

    Old keys are gone.
    """
    early, now, late = mixed(200, NOW - 3000), mixed(300, NOW - 60), mixed(40, NOW - 60)
    vault = Vault(ask, tmp_path)
    vault.keep(*early, at=0)
    vault.tick(700)
    vault.keep(*now, at=700)
    vault.close()
    vault = Vault(ask, tmp_path)
    vault.keep(*late, at=701)
    rows = early + now + late
    assert sorted(vault.read(701)) == of(rows)
    former = {slot[32:64] for slot in used_slots(tmp_path)}
    deadlines = sorted(struct.unpack_from("<IIIq", slot, 12)[::2] for slot in used_slots(tmp_path))
    erased = vault.ask("vault_without", MAC)
    assert erased["lost"] == []
    assert sum(erased["gone"]) == sum(one[9] == MAC for one in rows)
    assert sorted(vault.read(701)) == of(rows, erased=MAC)
    assert not former & {slot[32:64] for slot in used_slots(tmp_path)}
    assert not any(key in vault.everything() for key in former)
    assert sorted(struct.unpack_from("<IIIq", slot, 12)[::2] for slot in used_slots(tmp_path)) == deadlines
    assert vault.tick(701)["status"]["bytes"] == sum(map(len, vault.files().values()))
    vault.keep(row(port=7), at=702)  # what begins later is kept as before
    assert len(vault.read(702)) == len(of(rows, erased=MAC)) + 1
    assert sum(vault.ask("vault_without", "02" * 6)["gone"]) == 0
    vault.close()
    vault = Vault(ask, tmp_path)
    assert vault.opened["lost"] == []
    vault.tick(DAY + 4000)
    assert not used_slots(tmp_path)
    assert not vault.files()
    vault.close()


def test_a_segment_with_nothing_else_goes_whole_and_a_damaged_one_too(remotes, tmp_path):
    """L34-VI-5: what can't be read may have the terminal's records.

    It is destroyed, and what else it held is counted as lost.
    """
    vault = Vault(remotes("cpython"), tmp_path)
    vault.keep(*[row(port=port) for port in range(10)])
    vault.keep(*[row(NOW - 3700, port=port, mac=OTHER) for port in range(7)])
    vault.tick(700)
    path = vault.folder / "00000001"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert vault.ask("vault_without", MAC) == {"gone": [10, 0], "lost": [["store", 0], ["store", 7]]}
    assert not used_slots(tmp_path)
    assert vault.files() == {}
    vault.close()


@pytest.mark.needs("micropython")
@pytest.mark.long
def test_a_kill_while_a_terminal_is_erased_loses_and_doubles_nobody_elses_record(remotes, micropython, tmp_path):
    """L34-VI-5, EXP-6: SIGKILL before or after each step.

    What the next process reads is whole, and the next erasure ends it. Nor does who looks at
    any such moment read anything twice.
    """
    rows = mixed(100, NOW - 60) + [wide(port, NOW - 4000) for port in range(60)] + mixed(30, NOW - 4000)
    instant, stages = 1, set()
    while True:
        root = tmp_path / str(instant)
        root.mkdir()
        calls = [["vault_open", str(root), DAY, BUDGET, BOOT], ["vault_append", rows, NOW * SECOND, SINCE * SECOND]]
        calls += [
            ["vault_tick", (NOW + 700) * SECOND, (SINCE + 700) * SECOND, True],
            ["die", instant, False],
            ["vault_without", OTHER],
        ]
        done = micropython.run(
            "-m", "tests.support.remote", input="\n".join(map(json.dumps, calls)) + "\n", check=False
        )
        if done.returncode == 0:
            break
        looked = [remote._plain(one) for one in reading.read(str(root), "security", None, (SINCE + 700) * SECOND)]
        assert sorted(one for one in looked if OTHER not in one) == of(rows, erased=OTHER), instant
        vault = Vault(remotes("cpython"), root)
        assert vault.opened["lost"] == []
        read = vault.read(700)
        assert sorted(one for one in read if OTHER not in one) == of(rows, erased=OTHER), instant
        stages.add(sum(OTHER in one for one in read))
        assert len(vault.files()) == len(used_slots(root))
        assert vault.ask("vault_without", OTHER)["lost"] == []
        assert sorted(vault.read(700)) == of(rows, erased=OTHER)
        vault.close()
        instant += 3
    assert instant > 30
    assert len(stages) == 3  # nothing gone yet, one segment's, all


# Secrets


def test_no_plaintext_is_left_after_sealing(ask, tmp_path):
    """EXP-2: an open page holds it (its key lies on the same tmpfs), a sealed one nowhere.

    Of a closed segment only the key is left.
    """
    vault = Vault(ask, tmp_path)
    rows = [row(NOW + 1, port=port, address=f"c0a801{port % 256:02x}") for port in range(200)]
    vault.keep(*rows, at=2)
    vault.tick(3600 + GRACE)
    left = vault.everything()
    assert vault.read(3600 + GRACE) == [plain(one) for one in rows]
    (slot,) = used_slots(tmp_path)
    assert [name for name, (at, size) in KEY_OFFSETS.items() if any(slot[at : at + size])] == ["key"]
    for secret in (bytes.fromhex(MAC), bytes.fromhex("c0a80117"), MAC.encode(), b"192.168.1."):
        assert secret not in left
    vault.close()


def test_names_tell_a_number_and_modes_are_private(ask, tmp_path):
    """Nobody but the recorder reads keys, pages or segments; a name follows from nothing that a terminal did."""
    vault = Vault(ask, tmp_path)
    vault.keep(row(), row(NOW - 3700))
    assert list(vault.files()) == ["00000000", "00000001"]
    for path in (*vault.folder.iterdir(), tmp_path / "var/run/oubli/keys"):
        assert path.stat().st_mode & 0o777 == 0o600, path.name
    assert vault.folder.stat().st_mode & 0o777 == 0o700
    vault.close()


def tampered(vault: Vault, name: str, how: str) -> None:
    """Change a segment's file, its length kept where `how` isn't about length."""
    path = vault.folder / name
    data = bytearray(path.read_bytes())
    chunks = chunks_of(bytes(data))
    match how:
        case "header flipped":
            data[6] ^= 1  # custody, which no reader looks at
        case "lifetime lengthened":
            data[28] ^= 0xFF
        case "stream header flipped":
            data[60] ^= 1
        case "chunk flipped":
            data[segment.HEADER + 2 + 1000] ^= 1
        case "last octet flipped":
            data[-1] ^= 1
        case "cut by one":
            del data[-1]
        case "last chunk cut off":
            del data[-len(chunks[-1]) - 2 :]
        case "cut to the header":
            del data[segment.HEADER :]
        case "emptied":
            data.clear()
        case "chunks swapped":
            parts = [len(chunk).to_bytes(2, "big") + chunk for chunk in (chunks[1], chunks[0], *chunks[2:])]
            data[segment.HEADER :] = b"".join(parts)
        case "chunk left out":
            data[segment.HEADER :] = b"".join(len(chunk).to_bytes(2, "big") + chunk for chunk in chunks[1:])
        case "chunk of another segment":
            other = (vault.folder / "00000001").read_bytes()
            (foreign,) = chunks_of(other)[:1]
            data[segment.HEADER :] = b"".join(len(chunk).to_bytes(2, "big") + chunk for chunk in (foreign, *chunks[1:]))
        case "another segment":
            data[:] = (vault.folder / "00000001").read_bytes()
    path.write_bytes(data)


TAMPERINGS = [
    "header flipped", "lifetime lengthened", "stream header flipped", "chunk flipped",
    "last octet flipped", "cut by one", "last chunk cut off", "cut to the header", "emptied",
    "chunks swapped", "chunk left out", "chunk of another segment", "another segment",
]  # fmt: skip


@pytest.mark.parametrize("how", TAMPERINGS)
@pytest.mark.parametrize("closed", [True, False], ids=["closed", "open"])
def test_a_changed_segment_is_refused(how, closed, ask, tmp_path):
    """secretstream: no record of a changed chunk or of one out of its place is read.

    A cut is noticed in an open segment too.
    """
    vault = Vault(ask, tmp_path)
    rows = [row(NOW + 1, port=port, size=1 << 41) for port in range(500)]
    for place in range(0, 500, 125):
        vault.keep(*rows[place : place + 125], at=2)
    vault.keep(*[row(NOW + 3601, port=port, size=1 << 41) for port in range(250)], at=3602)
    if closed:
        vault.tick(3600 + GRACE)
    tampered(vault, "00000000", how)
    read, refused = vault.read_or_refuse((NOW + 3700) * SECOND, (SINCE + 3700) * SECOND)
    assert refused
    assert read == [plain(one) for one in rows[: len(read)]]
    assert len(read) < 500
    vault.close()


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "open"])
def test_an_unchanged_segment_of_that_kind_is_read(closed, ask, tmp_path):
    """So the test above can't pass because nothing is ever read."""
    vault = Vault(ask, tmp_path)
    rows = [row(NOW + 1, port=port, size=1 << 41) for port in range(500)]
    vault.keep(*rows, at=2)
    if closed:
        vault.tick(3600 + GRACE)
    tampered(vault, "00000000", "nothing")
    assert vault.read(3700) == [plain(one) for one in rows]
    vault.close()


def test_a_closed_segment_without_its_final_seal_is_refused(ask, tmp_path):
    """EXP-6: a missing final tag is an end that nobody wrote, even where the ring's own length agrees with it."""
    vault = Vault(ask, tmp_path)
    vault.keep(*[row(NOW + 1, port=port, size=1 << 41) for port in range(500)], at=2)
    vault.tick(3600 + GRACE)
    (slot,) = used_slots(tmp_path)
    (data,) = vault.files().values()
    length = len(data) - 2 - len(chunks_of(data)[-1])
    with (tmp_path / "var/run/oubli/keys").open("r+b") as ring_file:
        ring_file.seek(64 + 64 + 64 * (slot[3] & 1))
        ring_file.write(struct.pack("<I", length))
    rows, refused = vault.read_or_refuse((NOW + 4000) * SECOND, (SINCE + 4000) * SECOND)
    assert refused
    assert 0 < len(rows) < 500
    vault.close()


def memory_holds(process: int, secrets: list[bytes]) -> list[str]:
    """Return where a process holds one of these secrets outside a mapped file of the vault.

    Regions of /proc/PID/maps.
    """
    found = []
    with Path(f"/proc/{process}/maps").open() as maps, Path(f"/proc/{process}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            words = line.split()
            if "w" not in words[1] or line.rstrip().endswith(("/keys", "/terminals", "[vvar]", "[vsyscall]")):
                continue
            start, end = (int(part, 16) for part in words[0].split("-"))
            memory.seek(start)
            data = memory.read(end - start)
            found += [words[-1] for secret in secrets if secret in data]
    return found


@pytest.mark.needs("root")
def test_a_key_is_nowhere_in_the_process_but_in_the_mapped_ring(interpreter, tmp_path):
    """Heap, stack and scratch are searched: segment open, closed, read, expired (EXP-2)."""
    ask = Remote(interpreter)
    try:
        vault = Vault(ask, tmp_path)
        vault.keep(*[row(NOW + 1, port=port, size=1 << 41) for port in range(150)], at=2)
        vault.keep(*[row(NOW + 1, port=port, size=1 << 41) for port in range(150)], at=2)
        slots = used_slots(tmp_path)
        secrets = [slot[32:64] for slot in slots] + [
            slot[at : at + 32] for slot in slots for at, _ in KEY_OFFSETS.values()
        ]
        secrets = [secret for secret in secrets if any(secret)]
        assert len(secrets) >= 3
        assert memory_holds(ask.process.pid, secrets) == []
        vault.tick(3600 + GRACE)
        vault.read(3600 + GRACE)
        assert memory_holds(ask.process.pid, secrets) == []
        vault.tick(DAY)
        assert not [secret for secret in secrets if secret in vault.everything()]
        assert memory_holds(ask.process.pid, secrets) == []
        vault.close()
    finally:
        ask.close()


def test_keys_are_random(ask, tmp_path):
    """No two segments, of one process or of two, share a key or a stream header."""
    keys, headers = set(), set()
    for number in range(2):
        vault = Vault(ask, tmp_path / str(number))
        vault.keep(*[row(NOW - 3600 * hour) for hour in range(1, 3)])
        keys |= {slot[32:64] for slot in used_slots(tmp_path / str(number))}
        headers |= {data[52:76] for data in vault.files().values()}
        vault.close()
    assert len(keys) == len(headers) == 4


def test_what_is_due_goes_at_a_start_before_anything_else(ask, tmp_path):
    """EXP-1, EXP-4: by time since boot, the page of an open segment too; what isn't due stays and can be read."""
    vault = Vault(ask, tmp_path)
    vault.keep(row(NOW - 7200, mac="0200c0ffee02"), row(NOW + 1), at=2)

    def destroy(at, boot=BOOT):
        return ask("vault_destroy_due", str(tmp_path), boot, int((SINCE + at) * SECOND))

    due = DAY - 7200
    assert (destroy(due - 1), len(vault.read(due - 1))) == (0, 2)
    assert (destroy(due), len(used_slots(tmp_path)), len(vault.files())) == (1, 1, 1)
    kept = vault.everything()
    assert (bytes.fromhex("0200c0ffee02") in kept, bytes.fromhex(MAC) in kept) == (False, True)
    assert destroy(DAY) == 1
    assert (used_slots(tmp_path), vault.files(), any((vault.folder / "chunks").read_bytes())) == ([], {}, False)


@pytest.mark.long
def test_a_segment_of_another_version_is_refused_and_goes_in_time(ask, tmp_path):
    """EXP-1, EXP-4: after a step back.

    A closed one is left until it is due; an open one is lost, for its page is in another form.
    """
    vault = Vault(ask, tmp_path)
    vault.keep(row(NOW - 7200), row(NOW + 1), at=2)
    late = 3600 + GRACE  # the one on time closes
    vault.tick(late)
    opened, closed = sorted(vault.folder.glob("0*"))
    for path in (opened, closed):
        data = bytearray(path.read_bytes())
        assert bytes(data[:5]) == b"OUBV\1"
        data[4] = 2
        path.write_bytes(data)
    assert ask("read", str(tmp_path), (NOW + late) * SECOND, (SINCE + late) * SECOND, 0) == {
        "rows": [],
        "refused": True,
        "more": False,
    }
    again = Vault(ask, tmp_path)
    assert again.opened == {"torn": 0, "lost": [["store", 1]]}
    assert (len(used_slots(tmp_path)), list(again.folder.glob("0*"))) == (1, [closed])
    assert (again.tick(DAY - 1)["gone"], again.tick(DAY)["gone"]) == (0, 1)
    assert (used_slots(tmp_path), again.files()) == ([], {})
    again.close()


def test_a_key_ring_of_another_version_is_refused_in_a_line_and_all_it_opens_goes(ask, tmp_path, any_interpreter):
    """When its keys are due this version can't tell, so it is now, also where the configuration is refused (EXP-1)."""
    vault = Vault(ask, tmp_path)
    vault.keep(row(NOW - 7200), row(NOW + 1), at=2)
    path = tmp_path / "var/run/oubli/keys"
    data = bytearray(path.read_bytes())
    assert data[:8] == b"OUBLIKY1"
    data[7] = ord("2")
    path.write_bytes(data)
    done = any_interpreter.run("-m", "agent", "recorder", "--root", tmp_path, check=False)
    told = done.stderr.decode().splitlines()
    assert (done.returncode, len(told)) == (2, 2)
    assert "the key ring is of a version that this one doesn't know" in told[0]
    assert not path.exists()
    assert list(vault.folder.iterdir()) == []


@pytest.mark.long
def test_a_refused_configuration_does_not_stop_forgetting(any_interpreter: Interpreter, tmp_path):
    """The recorder says what is wrong and ends.

    Another boot's keys are destroyed, an empty or absent ring disturbs nobody.
    """
    base = tmp_path / "var/run/oubli"

    def refused() -> bool:
        done = any_interpreter.run("-m", "agent", "recorder", "--root", tmp_path, check=False)
        return (done.returncode, done.stderr.count(b"\n")) == (2, 1)

    assert refused()
    assert not base.exists()
    remote.vault_open(str(tmp_path), DAY, BUDGET, BOOT)
    remote.vault_append([row()], NOW * SECOND, SINCE * SECOND)
    assert used_slots(tmp_path)
    assert refused()
    assert used_slots(tmp_path) == []
    assert [path.name for path in (base / "vault/security").iterdir()] == ["chunks"]
    assert not any((base / "vault/security/chunks").read_bytes())
    remote._held.pop("vault")
    (base / "keys").write_bytes(b"")
    assert refused()


def test_what_was_deflated_is_overwritten_once_it_is_sealed(tmp_path, monkeypatch):
    """EXP-2: whoever inflates it has what was plain."""
    recording = instructions.record(tmp_path, 50)
    recorder, _, inbox, ended = way_stage.prepared(str(recording), str(tmp_path / "device"))
    vault, pack, packed = recorder.kept.ring, deflate.DEFLATE.pack, []

    def noting(out, *parts):
        made = pack(out, *parts)
        packed.append(bytes(memory.buffer_at(out, made)))
        return made

    monkeypatch.setattr(deflate.DEFLATE, "pack", noting)
    way_stage.player(recorder, inbox, ended)()
    vault.stepped()
    assert packed
    assert any(packed[0])
    assert not any(memory.buffer_at(vault._files._chunks._deflated, 2 * segment.PAGE))
    recorder.close()


class Watched(bytearray):
    """Memory that notes what it holds after each write: what a process that is killed then leaves behind."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.seen: list[bytes] = []

    def __setitem__(self, at, octets):
        super().__setitem__(at, octets)
        self.seen.append(bytes(self))


@pytest.mark.long
def test_a_process_that_is_killed_leaves_no_zeros_where_it_overwrote_numbers(tmp_path):
    """struct.pack_into clears first what it writes to: a slot of the key ring would be free for that moment (EXP-6)."""
    watched = Watched(16)
    memory.store("<II", watched, 4, 7, 2**31)
    memory.store("<II", watched, 4, 8, 2**31)
    assert [struct.unpack_from("<II", octets, 4) for octets in watched.seen] == [(7, 2**31), (8, 2**31)]
    slots = keys.KeyRing(str(tmp_path / "keys"), 2, BOOT, crypto.Sodium())
    slot = slots.take()
    assert slot is not None
    slot.state = keys.OPEN
    slot._view = watched = Watched(len(slot._view))
    slot.save()
    slots.close()
    assert {octets[slot._at] for octets in watched.seen} == {keys.OPEN}


@pytest.mark.long
def test_a_page_never_says_fewer_records_than_it_holds():
    """EXP-6: the number of records says how long the columns are.

    The rest of more than these would be read with others' columns.
    """
    page = Watched(segment.PAGE)
    slot: Any = SimpleNamespace(window=0, generation=0, records=0, counter=lambda: [0])
    entry = open_segment.OpenSegment(slot, page, 0, b"", remote.places())
    held = 0
    for records in (1, 1, 253, 1, 1, 62):
        entry.resume(held * 7, 0, records)
        assert page.seen
        said = [int.from_bytes(octets[4:6], "big") for octets in page.seen]
        assert min(said) >= held
        held += records
        assert said[-1] == held
        page.seen.clear()
