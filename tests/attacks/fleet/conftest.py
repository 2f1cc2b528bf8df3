# SPDX-License-Identifier: Apache-2.0
"""The stores of the fleet's tests: SQLite, and a real PostgreSQL."""

from tests.fleet.conftest import database, empty, postgres, sqlite, store

__all__ = ["database", "empty", "postgres", "sqlite", "store"]
