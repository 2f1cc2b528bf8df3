# SPDX-License-Identifier: Apache-2.0
"""Stores for the fleet's tests: SQLite in memory's file system, and a real PostgreSQL."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.db import connection, connections
from django.utils import translation

from tests.conftest import TMPFS
from tools.fleet import site
from tools.fleet.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

site.configure("sqlite:///:memory:")
_NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def language() -> None:
    """Begin with no page's language: that of the last request stays the thread's."""
    translation.deactivate()


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a password's hash cost nothing in this process; a server beside it, as in tests/attacks, has the real one."""
    monkeypatch.setattr(Argon2PasswordHasher, "memory_cost", 64)
    monkeypatch.setattr(Argon2PasswordHasher, "time_cost", 1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Give a running PostgreSQL."""
    with (
        tempfile.TemporaryDirectory(dir=TMPFS if os.access(TMPFS, os.W_OK) else None) as folder,
        Postgres(Path(folder)) as cluster,
    ):
        yield cluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what needs PostgreSQL on one worker: it starts once."""
    for item in items:
        if "postgres" in getattr(item, "fixturenames", ()) or "[postgresql" in item.name:
            item.add_marker(pytest.mark.xdist_group("postgres"))


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an empty SQLite store to copy."""
    path = tmp_path_factory.mktemp("store") / "empty.sqlite"
    site.configure(f"sqlite:///{path}")
    site.open_store()
    connections.close_all()
    return path


@pytest.fixture(scope="session")
def database(postgres: Postgres) -> str:
    """Give the URL of a database on PostgreSQL with its tables."""
    url = postgres.create("fleet")
    site.configure(url)
    site.open_store()
    return url


def emptied(url: str) -> None:
    """Take the rows out of a database on PostgreSQL."""
    site.configure(url)
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE "
            + ", ".join(f'"{name}"' for name in connection.introspection.table_names() if name != "django_migrations")
        )
    site.open_store()


@pytest.fixture
def sqlite(empty: Path, memory: Path) -> Iterator[str]:
    """Give an empty store on SQLite and return its URL; the modules of tools.fleet then work on it."""
    path = memory / f"store{next(_NUMBERS)}.sqlite"
    shutil.copy(empty, path)
    site.configure(f"sqlite:///{path}")
    site.open_store()
    yield f"sqlite:///{path}"
    connections.close_all()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("pg_ctlcluster"))])
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give an empty store on each database."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite")
        return
    url = request.getfixturevalue("database")
    emptied(url)
    yield url
    connections.close_all()
