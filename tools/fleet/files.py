# SPDX-License-Identifier: Apache-2.0
"""What goes out of the store and into it as files: figures with bands (CSV, Parquet), messages from a file.

An exported row has what a message has, so that `import` makes the message again and takes it through the same checks as
the broker's. A file that is to be imported is anybody's: nothing in it makes us take more memory than a bound.
"""

import contextlib
import csv
import io
import json
import os
import resource
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from agent.outbox import topics
from agent.summary.metrics import METRICS, half_width
from tools import clock
from tools.fleet import figures, sheet, views
from tools.fleet.delivery import GATEWAYS, Arrival
from tools.fleet.estimate import Estimate
from tools.fleet.intake import Intake
from tools.fleet.models import CELLS, VALUES, Gateway, Message
from tools.fleet.reading import LARGEST, METRIC

_BATCH = 500
# Octets of address space that a Parquet file may take when it is read: 168 kB of one can unpack to gigabytes
_MEMORY = 512 << 20
_LINE, _LINES = 4096, 64  # characters of a line of CSV, and lines of a row: a venue's name may have several
Columns = tuple[tuple[str, Any], ...]
COLUMNS: Columns = (
    ("gateway", pa.string()),
    ("name", pa.string()),
    ("group", pa.string()),
    ("metric", pa.string()),
    ("day", pa.string()),
    ("slot", pa.int16()),
    ("start", pa.int64()),
    ("end", pa.int64()),
    ("cell", pa.string()),
    ("value", pa.int32()),
    ("half_width", pa.int32()),
    ("b_numerator", pa.int32()),
    ("b_denominator", pa.int32()),
    ("received", pa.int64()),
    ("late", pa.bool_()),
)
HEAD = tuple(name for name, _ in COLUMNS)
COMBINED: Columns = (
    *((name, pa.string()) for name in ("gateway", "name", "group", "day", "metric")),
    ("slot", pa.int16()),
    ("cell", pa.string()),
    ("value", pa.float64()),
    ("half_width", pa.float64()),
)


class FileError(Exception):
    """A file that can't be used; `args[0]` is the one line to show."""


def rows(first: int, last: int) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each cell of each message of these agent-days, in a fixed order."""
    days = Message.objects.filter(day__range=(first, last)).order_by("day").values_list("day", flat=True).distinct()
    for day in days.iterator():
        messages = (
            Message.objects.filter(day=day).select_related("gateway").order_by("gateway__ident", "metric", "slot")
        )
        for one in messages.iterator(_BATCH):
            metric = METRICS[one.metric]
            b = (one.b_over, one.b_under)
            date = figures.as_date(one.day).strftime("%Y-%m-%d")
            for cell, value in zip(metric.cells, VALUES, strict=False):
                yield (
                    one.gateway.ident, one.gateway.name, one.gateway.group, metric.name, date, one.slot,
                    one.start, one.end, cell, getattr(one, value), half_width(b), *b, one.received, one.late,
                )  # fmt: skip


def combined_rows(first: int, last: int) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each cell of each gateway's day, and one for its total; unbiased, in a fixed order."""
    for gateway in Gateway.objects.order_by("ident").iterator(_BATCH):
        for day, told in views.told(gateway, first, last).items():
            yield from _figures(gateway, day, views.total(told), views.cells(told, "combined"))


def smoothed_rows(first: int, last: int) -> Iterator[tuple[Any, ...]]:
    """Yield the same of what `weeks` estimates; what has too few days isn't there."""
    from tools.fleet import weeks

    for gateway in Gateway.objects.order_by("ident").iterator(_BATCH):
        for day, one in weeks.each(gateway, first, last):
            yield from _figures(gateway, day, one.total(day), one.cells(day))


def _figures(gateway: Gateway, day: int, total: Estimate | None, told: views.Cells) -> Iterator[tuple[Any, ...]]:
    place = (gateway.ident, gateway.name, gateway.group, figures.as_date(day).strftime("%Y-%m-%d"))
    if total is not None:
        yield *place, "terminals", 0, "", total.value, total.half_width
    for metric, cells in told.items():
        names = METRICS[METRIC[metric]].cells
        for one in cells:
            slot, cell = divmod(one.number, len(names))
            yield *place, metric, slot, names[cell], one.estimate.value, one.estimate.half_width


def first_day(asked: int) -> int:
    """Return the oldest agent-day that there is from the one that is asked for; that one where there is none."""
    oldest = Message.objects.filter(day__gte=asked).order_by("day").values_list("day", flat=True).first()
    return asked if oldest is None else int(oldest)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give the name of a file beside `path` that takes its place when it is finished; nothing half-written stays."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_csv(target: TextIO, found: Iterable[Sequence[Any]], columns: Columns = COLUMNS) -> int:
    """Write rows as CSV; return how many."""
    writer = csv.writer(target)
    writer.writerow([name for name, _ in columns])
    count = 0
    for row in found:
        writer.writerow([sheet.safe(value) for value in row])
        count += 1
    return count


def write_parquet(path: Path | BinaryIO, found: Iterable[Sequence[Any]], columns: Columns = COLUMNS) -> int:
    """Write rows as Parquet (zstd); return how many."""
    schema = pa.schema(columns)
    head = [name for name, _ in columns]
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in _batches(found, 50_000):
            writer.write_table(
                pa.Table.from_pylist([dict(zip(head, row, strict=True)) for row in batch], schema=schema)
            )
            count += len(batch)
    return count


def _batches(found: Iterable[Any], size: int) -> Iterator[list[Any]]:
    batch = []
    for one in found:
        batch.append(one)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def arrivals(path: Path) -> Iterator[tuple[Arrival, int]]:
    """Yield a file's messages and when each came (0: now): an export, or lines of `TOPIC PAYLOAD`."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start == b"PAR1":
            with _bounded():
                yield from _exported(_parquet(path))
        elif start == HEAD[0].encode()[:4]:
            with path.open(newline="") as text:
                yield from _exported(_csv(text))
        else:
            with path.open("rb") as file:
                yield from _lines(file, path)
    except OSError as failure:
        raise FileError(f"{path}: {failure.strerror or 'not readable'}; accepted: a file") from None
    except (ValueError, KeyError, TypeError, csv.Error, pa.ArrowException, MemoryError) as failure:
        raise FileError(
            f"{path}: not what `export` writes ({type(failure).__name__}); accepted: its CSV or Parquet, "
            "or lines of TOPIC PAYLOAD"
        ) from None


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Let this process take `_MEMORY` more, and no more; what asks for more is refused it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    wanted = taken + _MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (wanted if soft == resource.RLIM_INFINITY else min(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of what `write_parquet` wrote; ValueError where the columns are others."""
    with pq.ParquetFile(path, pre_buffer=False) as file:
        if not file.schema_arrow.equals(pa.schema(COLUMNS)):
            raise ValueError
        for batch in file.iter_batches(_BATCH, use_threads=False):
            yield from batch.to_pylist()


def _csv(text: TextIO) -> Iterator[dict[str, Any]]:
    """Yield the rows of what `write_csv` wrote; ValueError where a row is longer than one of ours can be."""
    since = 0

    def lines() -> Iterator[str]:
        nonlocal since
        while line := text.readline(_LINE):
            since += 1
            if since > _LINES or (len(line) == _LINE and not line.endswith("\n")):
                raise ValueError
            yield line

    for row in csv.DictReader(lines()):
        since = 0
        yield row


def _lines(file: io.BufferedReader, path: Path) -> Iterator[tuple[Arrival, int]]:
    number = 0
    while line := file.readline(2 * LARGEST):
        number += 1
        topic, blank, payload = line.rstrip(b"\r\n").partition(b" ")
        if not blank or not topic.startswith(b"oubli/"):
            raise FileError(
                f"{path}: line {number}: no message; accepted: TOPIC PAYLOAD, as mosquitto_sub -v prints them"
            )
        yield Arrival(topic.decode(errors="replace"), payload, retained=True), 0


def _exported(found: Iterable[dict[str, Any]]) -> Iterator[tuple[Arrival, int]]:
    key: tuple[Any, ...] = ()
    cells: list[dict[str, Any]] = []
    for row in found:
        new = tuple(row[name] for name in ("gateway", "metric", "day", "slot"))
        if new != key and cells:
            yield _message(cells)
            cells = []
        key = new
        cells.append(row)
        if len(cells) > CELLS:
            raise ValueError
    if cells:
        yield _message(cells)


def _message(cells: list[dict[str, Any]]) -> tuple[Arrival, int]:
    first = cells[0]
    name = str(first["metric"])
    content = {
        "schema": f"oubli/{name}/1",
        "gateway": first["gateway"],
        "day": first["day"],
        "slot": int(first["slot"]),
        "start": int(first["start"]),
        "end": int(first["end"]),
        "unit": METRICS[METRIC[name]].unit,
        "values": [int(row["value"]) for row in cells],
        "b": [int(first["b_numerator"]), int(first["b_denominator"])],
        "half_width": int(first["half_width"]),
    }
    return Arrival(topics.summary(str(first["gateway"]), name), json.dumps(content).encode(), retained=True), int(
        first["received"]
    )


def check(path: Path) -> None:
    """Read a file to its end and take nothing; FileError as `take`: what is malformed leaves nothing behind."""
    for _ in arrivals(path):
        pass


def take(path: Path, gateways: int = GATEWAYS) -> Counter[str]:
    """Take a file's messages into the store of at most so many gateways, else FullError; return what became of them.

    What was exported keeps the second in which it came.
    """
    intake, fates = Intake(gateways), Counter[str]()
    batch: list[Arrival] = []
    came = 0
    for arrival, at in arrivals(path):
        if batch and (at != came or len(batch) == _BATCH):
            fates += intake.take(batch, came or int(clock.seconds()))
            batch = []
        came = at
        batch.append(arrival)
    if batch:
        fates += intake.take(batch, came or int(clock.seconds()))
    return fates
