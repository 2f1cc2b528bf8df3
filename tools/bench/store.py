# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench store`: octets a connection, and CPU seconds, of each way to keep the same connections.

Everything counts: framing, tags, headers, keys, indexes of file systems not. No row but ulogd's keeps a destination, so
that fields are equal. Times are kept to 100 ms by oubli's security, to a second by its attribution, to a millisecond by
nfdump. The others keep them as the kernel gives them (ns). nfdump's CPU is that of writing its file again, without
receiving. `port blocks` is what attribution keeps by default: a row when a terminal's block or IPv6 address begins to
be used, and one when that is over.

`entropy` is no store: tools.bench.entropy, over the day. Rows are held against
the one that takes fields as independent.
"""

import csv
import lzma
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pyarrow as pa
from nacl.public import PrivateKey
from pyarrow import parquet

from agent import law
from agent.purposes.attribution import record as attribution
from agent.purposes.custodian.custodian import Custodian
from agent.runtime.sodium import Sodium
from agent.vault import keys, ring
from host_sim.report import plots
from tools.bench import entropy, exporter, logged, machine, needs
from tools.bench.population import SECOND, Population, Row, cafe, thousand
from tools.bench.rounds import Tell, interleaved, spread
from tools.bench.sheets import Chart, Sheet

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
        family=2 if len(row.address) == 4 else 10,
        stop=row.end,
        destination_port=row.destination_port,
        **names,
        **fields,
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != "chunks")


def _unexpected(cause: str, records: int) -> None:
    raise RuntimeError(f"{records} lost: {cause}")


def security(population: Population, folder: Path) -> tuple[int, float]:
    """Keep the rows in the ring, in windows of an hour; a year's lifetime, so that nothing expires meanwhile."""
    rows = population.rows
    made = [(_connection(row), row) for row in rows]
    holders = {
        pair: _Holder(number + 1, pair[1])
        for number, pair in enumerate(sorted({(row.address, row.mac) for row in rows}))
    }
    (folder / "vault").mkdir()
    sodium = Sodium()
    slots = keys.KeyRing(str(folder / "keys"), 200, BOOT, sodium)
    store = ring.Ring(
        str(folder / "vault"), slots, sodium, law.number("security"), 90 * law.DAY, 1 << 30, BOOT, _unexpected
    )
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


def attributed(population: Population, folder: Path) -> tuple[int, float]:
    """Keep them as connections of `attribution`, synced each quarter of an hour."""
    records = []
    for row in population.rows:
        public = PUBLIC if len(row.address) == 4 else row.address
        ports = row.translated_port, row.translated_port
        start, end = row.start // SECOND, -(-row.end // SECOND)
        records.append((row.heard, attribution.Record(row.protocol, public, *ports, row.address, row.mac, start, end)))
    return _custodian(records, folder)


def blocks(population: Population, folder: Path) -> tuple[int, float]:
    """Keep them as holdings of `attribution`: of a block of ports, or of an IPv6 address."""
    held: dict[tuple[bytes, bytes], list[Row]] = defaultdict(list)
    for row in population.rows:
        held[row.address, row.mac].append(row)
    records = []
    for number, ((address, mac), mine) in enumerate(held.items()):
        first = 16384 + number % 384 * 128
        start, end = min(row.start for row in mine) // SECOND, -(-max(row.end for row in mine) // SECOND)
        public, ports = (PUBLIC, (first, first + 127)) if len(address) == 4 else (address, (0, 65535))
        records.append((start * SECOND, attribution.Record(None, public, *ports, address, mac, start, None)))
        records.append(
            (max(row.heard for row in mine), attribution.Record(None, public, *ports, address, mac, start, end))
        )
    return _custodian(sorted(records, key=lambda one: one[0]), folder)


def _custodian(records: Sequence[tuple[int, attribution.Record]], folder: Path) -> tuple[int, float]:
    """Append records, each when it is heard of (ns since the epoch), to a custodian's store."""
    sodium = Sodium()
    slots = keys.KeyRing(str(folder / "keys"), 8, BOOT, sodium)
    store = Custodian(
        "attribution", str(folder / "sealed"), str(folder / "pages"), slots, sodium,
        _Key(), 365 * law.DAY, 1 << 30, 900, BOOT, lambda: 0, lambda: 0, _unexpected,
    )  # fmt: skip
    before = time.process_time()
    ticked, boot = 0, records[0][0] - SECOND
    for heard, record in records:
        if heard - ticked >= SECOND:
            ticked = heard
            store.tick(ticked, ticked - boot, trusted=True)
        if store.append(record.start, attribution.pack(record)) != "kept":
            raise RuntimeError("a record isn't kept")
    store.close()
    seconds = time.process_time() - before
    slots.close()
    return _size(folder / "sealed"), seconds


def _table(rows: Sequence[Row]) -> dict[str, list[Any]]:
    return {name: [getattr(row, name) for row in rows] for name in _COLUMNS}


def sqlite(population: Population, folder: Path) -> tuple[int, float]:
    """One table without an index, vacuumed."""
    before = time.process_time()
    with sqlite3.connect(folder / "db") as db:
        db.execute(f"CREATE TABLE connections ({', '.join(_COLUMNS)})")
        db.executemany(_INSERT, [[getattr(row, name) for name in _COLUMNS] for row in population.rows])
    db.execute("VACUUM")
    db.close()
    return _size(folder), time.process_time() - before


def parquet_zstd(population: Population, folder: Path) -> tuple[int, float]:
    """One row group a file, dictionaries where pyarrow finds them."""
    before = time.process_time()
    types = {"protocol": pa.uint8(), "source_port": pa.uint16(), "translated_port": pa.uint16()}
    columns = {name: pa.array(values, type=types.get(name)) for name, values in _table(population.rows).items()}
    parquet.write_table(pa.table(columns), folder / "parquet", compression="zstd", compression_level=9)
    return _size(folder), time.process_time() - before


def xz(population: Population, folder: Path) -> tuple[int, float]:
    """CSV through xz -9."""
    before = time.process_time()
    with lzma.open(folder / "csv.xz", "wt", preset=9) as file:
        writer = csv.writer(file)
        for row in population.rows:
            writer.writerow(
                [
                    value.hex() if isinstance(value, bytes) else value
                    for value in (getattr(row, name) for name in _COLUMNS)
                ]
            )
    return _size(folder), time.process_time() - before


class Store(NamedTuple):
    """One way to keep connections. `keep` returns octets and CPU seconds; `needs` are commands."""

    name: str
    keep: Callable[[Population, Path], tuple[int, float]]
    fields: str
    needs: tuple[str, ...] = ()
    root: bool = False


def _nfdump(kind: str) -> Store:
    def keep(population: Population, folder: Path) -> tuple[int, float]:
        return exporter.compressed(population.once("nfcapd", exporter.nfcapd), kind, folder)

    return Store(f"nfdump {kind}", keep, f"{COMMON}; times to 1 ms", ("nfcapd", "nfdump"))


STORES = (
    Store("oubli security", security, f"{COMMON}, service class; times to 100 ms"),
    Store(
        "oubli attribution",
        attributed,
        "protocol, public address and port, private address, MAC, start, end; times to 1 s",
    ),
    Store("oubli port blocks", blocks, "block of ports or IPv6 address, private address, MAC, start, end of the lease"),
    _nfdump("lz4"),
    _nfdump("zstd"),
    Store(
        "ulogd2 text",
        logged.text,
        "both tuples with destinations, time of the event; no MAC; volumes are 0",
        logged.NEEDS,
        root=True,
    ),
    Store("SQLite", sqlite, f"{COMMON}; times to 1 ns"),
    Store("Parquet zstd", parquet_zstd, f"{COMMON}; times to 1 ns"),
    Store("xz of CSV", xz, f"{COMMON}; times to 1 ns"),
)


def rounds(*, quick: bool) -> int:
    """Return how often everything is measured where nothing else is asked for."""
    return 1 if quick else 3


def measure(rounds: int, tell: Tell) -> dict[str, Any]:
    """Measure every store on both populations; RuntimeError where one lost something."""
    tell("a café's day")
    day = cafe()
    limit = entropy.independent(day)
    lacking = {one.name: lacks for one in STORES if (lacks := needs.lacks(one.needs, root=one.root))}
    here = [one for one in STORES if one.name not in lacking]
    with Population("a café's day", day) as whole, Population("one segment", thousand(day)) as segment:
        samples: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
        for population, store in interleaved(rounds, (whole, segment), here, tell):
            with machine.memory_folder() as folder:
                samples[population.name, store.name].append(store.keep(population, Path(folder)))
        rows = []
        for population in (whole, segment):
            count = len(population.rows)
            for store in here:
                taken = samples[population.name, store.name]
                octets = taken[-1][0] / count
                cpu = spread("cpu_s_per_100k", [seconds * 100_000 / count for _, seconds in taken], 2)
                row = {
                    "name": store.name,
                    "population": population.name,
                    "connections": count,
                    "bytes_per_connection": round(octets, 2),
                }
                rows.append({**row, **cpu, "of_entropy": round(octets / limit, 2), "fields": store.fields})
        leases = len({(row.address, row.mac) for row in day})
    return {
        "rows": rows,
        "entropy": round(limit, 2),
        "joint": round(entropy.joint(day), 2),
        "apart": round(entropy.apart(day), 2),
        "leases": leases,
        "rounds": rounds,
        "missing": lacking,
    }


def octets(result: dict[str, Any], population: str = "a café's day") -> dict[str, float]:
    """Return the octets a connection of each store."""
    return {row["name"]: row["bytes_per_connection"] for row in result["rows"] if row["population"] == population}


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the result for a person."""
    day = octets(result)
    each = day["oubli port blocks"] / day["oubli attribution"]
    note = (
        f"entropy of the day's fields: {result['entropy']:.1f} octets as independent, {result['joint']:.1f} where one "
        f"tells of another; our records with a code for each field: {result['apart']:.1f} octets; port blocks: "
        f"{result['leases']} leases, {each:.1%} of attribution's"
    )
    lacking = "".join(
        f"; not measured: {name}, for want of {', '.join(lacks)}" for name, lacks in result["missing"].items()
    )
    made = []
    for population in dict.fromkeys(row["population"] for row in result["rows"]):
        mine = [row for row in result["rows"] if row["population"] == population]
        rows = [
            (
                row["name"],
                f"{row['bytes_per_connection']:.1f}",
                f"{row['of_entropy']:.2f}",
                f"{row['cpu_s_per_100k']:.2f}",
                row["fields"],
            )
            for row in mine
        ]
        title = f"Octets a connection, all included: {population}, {mine[0]['connections']:,} connections"
        made.append(
            Sheet(title, ("", "octets", "x entropy", "CPU s for 100,000", "fields"), rows, (0, 4), note + lacking)
        )
    return made


def charts(result: dict[str, Any]) -> list[Chart]:
    """Draw the octets of each store on the day, beside the entropy."""
    day = octets(result)
    figure, axes = plots.canvas(size=(9.0, 3.0))
    axes.barh(
        list(day),
        list(day.values()),
        color=[plots.BLUE if name.startswith("oubli") else plots.GREY for name in day],
        alpha=0.6,
    )
    axes.axvline(result["entropy"], color=plots.ORANGE, linestyle="--")
    axes.set_xscale("log")
    axes.invert_yaxis()
    title = "octets a connection of a café's day"
    return [
        Chart(
            plots.svg(figure, title),
            f"{title.capitalize()}, logarithmic; the dashed line is the entropy of the same fields.",
        )
    ]
