# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench store`: octets a connection, and CPU seconds, of each way to keep the same connections.

Everything counts: framing, tags, headers, keys, indexes of file systems not. No row keeps a destination, so that fields are equal. Times
are kept to 100 ms by oubli's security, to a second by oubli's attribution, to a millisecond by nfdump, and as the kernel gives
them (ns) by the others. `entropy` is no store: the sum of each field's plug-in entropy, fields taken as independent, times to 100 ms.
"""

import csv
import lzma
import math
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
from nacl.public import PrivateKey
from pyarrow import parquet
from rich import box
from rich.table import Table

from agent import law
from agent.runtime.sodium import Sodium
from agent.summary.services import service_of
from agent.vault import attribution, keys, ring
from agent.vault.custodian import Custodian
from tools.bench import exporter
from tools.bench.population import SECOND, Row, cafe, thousand

PUBLIC = bytes((203, 0, 113, 1))
BOOT = "a1" * 16
COMMON = "start, duration, protocol, MAC, private address, port, translated port, volumes"
_COLUMNS = (
    "protocol",
    "address",
    "mac",
    "source_port",
    "translated_port",
    "packets_up",
    "packets_down",
    "bytes_up",
    "bytes_down",
    "start",
    "end",
)
_INSERT = "INSERT INTO connections VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class _Holder:
    def __init__(self, key: int, mac: bytes) -> None:
        self.key, self._mac = key, mac

    def mac(self) -> bytes:
        return self._mac

    def octet(self, number: int) -> int:
        return self._mac[number]


def _connection(row: Row) -> Any:  # noqa: ANN401 (what a decoder hands on)
    words = [int.from_bytes(row.address.rjust(16, b"\0")[at : at + 4], "big") for at in range(0, 16, 4)]
    if len(row.address) == 4:
        words[2] = 0
    names = {f"word{number}": word for number, word in enumerate(words)}
    fields = {name: getattr(row, name) for name in _COLUMNS if name not in ("address", "mac", "end")}
    return SimpleNamespace(
        family=2 if len(row.address) == 4 else 10, stop=row.end, destination_port=row.destination_port, **names, **fields
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != "chunks")


def _unexpected(cause: str, records: int) -> None:
    raise RuntimeError(f"{records} lost: {cause}")


def security(rows: Sequence[Row], folder: Path) -> tuple[int, float]:
    """Keep the rows in the ring; a year's lifetime, so that nothing expires while they are measured, in windows of an hour."""
    made = [(_connection(row), row) for row in rows]
    holders = {pair: _Holder(number + 1, pair[1]) for number, pair in enumerate(sorted({(row.address, row.mac) for row in rows}))}
    (folder / "vault").mkdir()
    sodium = Sodium()
    slots = keys.KeyRing(str(folder / "keys"), 200, BOOT, sodium)
    store = ring.Ring(str(folder / "vault"), slots, sodium, law.number("security"), 90 * law.DAY, 1 << 30, BOOT, _unexpected)
    before = time.process_time()
    ticked = 0
    for connection, row in made:
        if row.heard - ticked >= SECOND:
            ticked = row.heard
            store.tick(ticked, ticked, trusted=True)
            store.now(ticked, ticked)
        if store.append(connection, holders[row.address, row.mac], row.end) != "kept":
            raise RuntimeError("a record isn't kept")
    store.close()
    seconds = time.process_time() - before
    used = sum(1 for _ in slots.used())
    slots.close()
    (folder / "keys").unlink()
    return _size(folder / "vault") + used * keys.SLOT, seconds


class _Key:
    def __init__(self) -> None:
        self.public = bytes(PrivateKey.generate().public_key)

    def find(self, purpose: str, day: int, lifetime: int) -> tuple[bytes, int]:  # noqa: ARG002 (a bundle's)
        return self.public, day + lifetime // law.DAY

    def days_left(self, purpose: str, day: int, lifetime: int) -> int:  # noqa: ARG002 (a bundle's)
        return 35

    def refresh(self) -> None:
        pass


def attributed(rows: Sequence[Row], folder: Path) -> tuple[int, float]:
    """Keep them as connections of `attribution`, synced each quarter of an hour."""
    sodium = Sodium()
    slots = keys.KeyRing(str(folder / "keys"), 8, BOOT, sodium)
    store = Custodian(
        "attribution", str(folder / "sealed"), str(folder / "pages"), slots, sodium, _Key(), 365 * law.DAY, 1 << 30, 900, BOOT,
        lambda: 0, lambda: 0, _unexpected,
    )  # fmt: skip
    before = time.process_time()
    ticked = 0
    for row in rows:
        if row.heard - ticked >= SECOND:
            ticked = row.heard
            store.tick(ticked, ticked, trusted=True)
        start, end = row.start // SECOND, -(-row.end // SECOND)
        record = attribution.Record(
            row.protocol,
            PUBLIC if len(row.address) == 4 else row.address,
            row.translated_port,
            row.translated_port,
            row.address,
            row.mac,
            start,
            end,
        )
        if store.append(start, attribution.pack(record)) != "kept":
            raise RuntimeError("a record isn't kept")
    store.close()
    seconds = time.process_time() - before
    slots.close()
    return _size(folder / "sealed"), seconds


def _table(rows: Sequence[Row]) -> dict[str, list[Any]]:
    return {name: [getattr(row, name) for row in rows] for name in _COLUMNS}


def sqlite(rows: Sequence[Row], folder: Path) -> tuple[int, float]:
    """One table without an index, vacuumed."""
    before = time.process_time()
    with sqlite3.connect(folder / "db") as db:
        db.execute(f"CREATE TABLE connections ({', '.join(_COLUMNS)})")
        db.executemany(_INSERT, [[getattr(row, name) for name in _COLUMNS] for row in rows])
    db.execute("VACUUM")
    db.close()
    return _size(folder), time.process_time() - before


def parquet_zstd(rows: Sequence[Row], folder: Path) -> tuple[int, float]:
    """One row group a file, dictionaries where pyarrow finds them."""
    before = time.process_time()
    types = {"protocol": pa.uint8(), "source_port": pa.uint16(), "translated_port": pa.uint16()}
    columns = {name: pa.array(values, type=types.get(name)) for name, values in _table(rows).items()}
    parquet.write_table(pa.table(columns), folder / "parquet", compression="zstd", compression_level=9)
    return _size(folder), time.process_time() - before


def xz(rows: Sequence[Row], folder: Path) -> tuple[int, float]:
    """CSV through xz -9."""
    before = time.process_time()
    with lzma.open(folder / "csv.xz", "wt", preset=9) as file:
        writer = csv.writer(file)
        for row in rows:
            writer.writerow([value.hex() if isinstance(value, bytes) else value for value in (getattr(row, name) for name in _COLUMNS)])
    return _size(folder), time.process_time() - before


def entropy(rows: Sequence[Row]) -> float:
    """Return octets a connection: each field's plug-in entropy; the terminal, and volumes less headers beside packets."""
    ends = sorted(row.end // (SECOND // 10) for row in rows)
    columns: list[list[Any]] = [
        [(row.address, row.mac) for row in rows],
        [(row.protocol, service_of(row.protocol, row.destination_port)) for row in rows],
        [row.source_port for row in rows],
        [row.translated_port != row.source_port for row in rows],
        [(row.end - row.start) // (SECOND // 10) for row in rows],
        [(row.packets_up, row.packets_down) for row in rows],
        [row.bytes_up for row in rows],
        [row.bytes_down for row in rows],
        [after - before for before, after in pairwise(ends)],
    ]
    bits = 0.0
    for column in columns:
        counts = Counter(column)
        bits -= sum(count / len(column) * math.log2(count / len(column)) for count in counts.values())
    return bits / 8


STORES: tuple[tuple[str, Callable[[Sequence[Row], Path], tuple[int, float]], str], ...] = (
    ("oubli security", security, f"{COMMON}, service class; times to 100 ms"),
    ("oubli attribution", attributed, "protocol, public address and port, private address, MAC, start, end; times to 1 s"),
    ("sqlite", sqlite, f"{COMMON}; times to 1 ns"),
    ("parquet zstd", parquet_zstd, f"{COMMON}; times to 1 ns"),
    ("xz of csv", xz, f"{COMMON}; times to 1 ns"),
)


def measure(tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure every store on both populations; RuntimeError where one lost something."""
    tell("a café's day")
    day = cafe()
    result: list[dict[str, Any]] = []
    for population, rows in (("a café's day", day), ("one segment", thousand(day))):

        def note(
            name: str, octets: float, seconds: float | None, fields: str, population: str = population, count: int = len(rows)
        ) -> None:
            cpu = None if seconds is None else round(seconds * 100_000 / count, 2)
            each = round(octets / count, 2)
            row = {"name": name, "population": population, "connections": count, "bytes_per_connection": each, "cpu_s_per_100k": cpu}
            result.append({**row, "fields": fields})

        for name, keep, fields in STORES:
            tell(f"{name}, {population}")
            with tempfile.TemporaryDirectory(prefix="oubli-bench-") as folder:
                octets, seconds = keep(rows, Path(folder))
            note(name, octets, seconds, fields)
        if shutil.which("nfcapd"):
            tell(f"nfdump, {population}")
            with tempfile.TemporaryDirectory(prefix="oubli-bench-") as folder:
                file = exporter.nfcapd(rows, Path(folder))
                for kind in ("lz4", "zstd"):
                    octets, seconds = exporter.compressed(file, kind)
                    note(f"nfdump {kind}", octets, seconds, f"{COMMON}; times to 1 ms")
        note("entropy", entropy(rows) * len(rows), None, "an estimate: fields as if independent; times to 100 ms")
    return {"rows": result}


def table(result: dict[str, Any]) -> Table:
    """Return the result for a person."""
    shown = Table(box=box.SIMPLE_HEAD, title="Octets a connection, all included; CPU seconds for 100,000", title_justify="left")
    for heading in ("", "connections", "octets", "CPU s", "fields"):
        shown.add_column(heading, justify="left" if heading in ("", "fields") else "right")
    former = ""
    for row in result["rows"]:
        if row["population"] != former and former:
            shown.add_section()
        former = row["population"]
        cpu = "" if row["cpu_s_per_100k"] is None else f"{row['cpu_s_per_100k']:.2f}"
        shown.add_row(row["name"], f"{row['connections']:,}", f"{row['bytes_per_connection']:.1f}", cpu, row["fields"])
    return shown
