# SPDX-License-Identifier: Apache-2.0
"""What lies on the operator's disk, and what is handed to `oubli-fleet import`.

Read by another user, or made to fill the memory.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.db import connections

from tests.fleet import says
from tests.fleet.test_commands import fleet
from tests.support.interpreters import PROJECT
from tools.fleet import files, site
from tools.fleet.intake import Intake
from tools.fleet.models import Message

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "a long enough one\n"
MEASURED = (  # a verb that says, when it ends, the most memory that it ever held, KiB
    "import atexit, re; atexit.register(lambda: print(re.search(r'VmHWM:\\s+(\\d+)', "
    "open('/proc/self/status').read())[1]));from tools.fleet.__main__ import app; app()"
)


def run(store: str, *words: str | Path) -> tuple[int, str, int]:
    """Run a verb in a process of its own; return its status, its standard error and its peak, MiB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, words)],
        cwd=PROJECT, env=os.environ | {"OUBLI_FLEET_DB": store}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr, int(done.stdout.split()[-1]) >> 10


def modes(folder: Path) -> dict[str, int]:
    """Return each file's mode."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.is_file()}


@pytest.mark.long
def test_nobody_else_reads_the_store(tmp_path):
    """Gain: a session or a password's hash, so the operator's place.

    The store, what SQLite keeps beside it, and each export.
    """
    store = f"sqlite:///{tmp_path}/store.sqlite"
    fleet(store, "password", input=PASSWORD)
    Intake().take([says.summary(says.name(1), day=int(time.time()) // 86_400 - 2)], int(time.time()))
    fleet(store, "export", tmp_path / "figures.csv")
    fleet(store, "export", tmp_path / "figures.parquet", "--format", "parquet")
    fleet(store, "watch", "--json", tmp_path / "watch.json")
    found = modes(tmp_path)
    assert set(found) >= {
        "store.sqlite",
        "store.sqlite-wal",
        "store.sqlite-shm",
        "figures.csv",
        "figures.parquet",
        "watch.json",
    }
    assert set(found.values()) == {0o600}
    connections.close_all()


@pytest.mark.needs("root")
def test_a_store_that_was_open_is_closed(tmp_path):
    """One of an earlier version: another user reads it before, not after."""
    store = f"sqlite:///{tmp_path}/store.sqlite"
    fleet(store, "password", input=PASSWORD)
    connections.close_all()
    for path in (tmp_path, *tmp_path.parents[: len(tmp_path.parts) - 3]):
        path.chmod(0o755)
    (tmp_path / "store.sqlite").chmod(0o644)

    def read() -> bool:
        words = ["grep", "-q", "argon2", tmp_path / "store.sqlite"]
        return subprocess.run(words, user="nobody", capture_output=True, check=False).returncode == 0

    assert read()
    fleet(store, "watch")
    connections.close_all()
    assert not read()


def parquet(path: Path, gateway: str, count: int) -> Path:
    """Write a Parquet file with an export's columns, so many rows with the same text, which stands in it once."""
    row = dict.fromkeys(files.HEAD, 1) | {
        "gateway": "",
        "name": "",
        "group": "",
        "metric": "arrivals",
        "day": "2026-11-23",
        "cell": "x",
    }
    table = pa.Table.from_pylist([row | {"late": False}] * count, schema=pa.schema(files.COLUMNS))
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([gateway]))
    pq.write_table(
        table.set_column(0, "gateway", texts),
        path,
        compression="zstd",
        store_schema=False,
        dictionary_pagesize_limit=1 << 30,
    )
    return path


BOMBS = {
    "a long text two thousand times": lambda path: parquet(path, "a" * (4 << 20), 2000),
    "a line without end": lambda path: csv(path, b"x" * (1 << 26)),
    "a row without end": lambda path: csv(path, b'"\n",' * (1 << 22)),
    "a message of a million cells": lambda path: csv(
        path, b"a,,,arrivals,2026-11-23,0,1,2,x,1,1,1,1,1,False\n" * (1 << 16)
    ),
}


def csv(path: Path, octets: bytes) -> Path:
    """Write a file that begins as an export does."""
    path.write_bytes(",".join(files.HEAD).encode() + b"\n" + octets)
    return path


@pytest.mark.long
@pytest.mark.parametrize("what", BOMBS)
def test_a_small_file_takes_no_gigabytes_and_leaves_nothing(memory, what):
    """Gain: 168 kB of Parquet took 2.4 GiB, and the collector's machine with it.

    One line says why it is refused; no store is made.
    """
    source = BOMBS[what](memory / "bomb")
    status, said, peak = run(f"sqlite:///{memory}/new.sqlite", "import", source)
    assert (status, said.count("\n")) == (2, 1), said
    assert "not what `export` writes" in said
    assert peak < 900
    assert not (memory / "new.sqlite").exists()
    source.unlink()


def test_a_file_that_is_malformed_further_on_leaves_no_half(sqlite, tmp_path):
    """Neither an empty store where there was none, nor its good part in a store that is there."""
    today = int(time.time()) // 86_400 - 2
    good = says.summary(says.name(1), day=today)
    path = tmp_path / "lines"
    path.write_bytes(b"".join(b"%s %s\n" % (good.topic.encode(), good.payload) for _ in range(700)) + b"no message\n")
    assert "line 701: no message" in fleet(sqlite, "import", path, status=2).stderr
    assert not Message.objects.exists()
    fleet(f"sqlite:///{tmp_path}/new.sqlite", "import", path, status=2)
    assert [one.name for one in tmp_path.iterdir()] == ["lines"]
    site.configure(sqlite)
