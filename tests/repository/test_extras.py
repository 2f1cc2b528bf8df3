# SPDX-License-Identifier: Apache-2.0
"""A wheel's commands have what they import: the project's dependencies, and the extra of the command's name."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import re
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.support.interpreters import PROJECT
from tests.support.sources import IN_ONE_PROCESS, tree_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = IN_ONE_PROCESS

METADATA = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
SCRIPTS = {name: target.partition(":")[0] for name, target in METADATA["scripts"].items()}
OWN = {"agent", "host_sim", "tools"}
MICROPYTHON = {"ffi", "uctypes", "tls"}  # its own modules, which agent/ asks for behind agent/runtime
# What Django loads by a name in its settings, or finds itself: the library, and the word in
# the command's source that asks for it.
BY_NAME = {
    "argon2-cffi": "Argon2PasswordHasher",
    "django-htmx": "django_htmx",
    "psycopg": "postgresql",
    "whitenoise": "whitenoise",
}
NOT_SHIPPED = {"screenshots.py"}  # makes the pictures of a document


def file_of(module: str) -> Path | None:
    """Return the file of a module of ours; None where the dotted name is no module."""
    path = PROJECT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)


def imported(file: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports at any place, those of `from a import b` as `a` and `a.b`."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reached(module: str) -> tuple[set[Path], set[str]]:
    """Return the files of ours that a command can import, and the foreign top-level modules that these import."""
    files: set[Path] = set()
    foreign: set[str] = set()
    waiting = [module]
    if module.startswith("tools.fleet"):  # Django finds pages, tags and migrations by names in its settings
        folder = PROJECT / "tools/fleet"
        waiting += [
            ".".join(path.relative_to(PROJECT).with_suffix("").parts)
            for path in folder.rglob("*.py")
            if path.name not in NOT_SHIPPED
        ]
    while waiting:
        name = waiting.pop()
        top = name.partition(".")[0]
        if top not in OWN:
            foreign |= {top} - sys.stdlib_module_names - MICROPYTHON
        elif (file := file_of(name)) and file not in files:
            files.add(file)
            waiting += [name.rpartition(".")[0] or name, *imported(file)]
    return files, foreign


@functools.cache
def owners() -> dict[str, list[str]]:
    """Return which distributions have each top-level module that is installed."""
    return dict(importlib.metadata.packages_distributions())


def distribution(requirement: str) -> str:
    """Return the bare name of a requirement: `psycopg` of `psycopg[binary]>=3`."""
    return re.split(r"[\[<>=~! ]", requirement, maxsplit=1)[0]


def extra(name: str) -> set[str]:
    """Return the bare names of what an extra brings, extras of ours that it names taken in."""
    brought = set()
    for requirement in METADATA["optional-dependencies"].get(name, []):
        if distribution(requirement) == "oubli":
            for inner in requirement.partition("[")[2].rstrip("]").split(","):
                brought |= extra(inner)
        else:
            brought.add(distribution(requirement))
    return brought


@pytest.mark.parametrize("command", SCRIPTS)
def test_what_a_command_imports_is_a_dependency_or_in_its_extra(command):
    files, foreign = reached(SCRIPTS[command])
    needed = {owners()[module][0].lower().replace("_", "-") for module in foreign}
    base = {distribution(requirement) for requirement in METADATA["dependencies"]}
    brought = extra(command.removeprefix("oubli-"))
    assert needed <= base | brought
    source = "".join(file.read_text() for file in files)
    unused = {name for name in brought - needed if BY_NAME.get(name, "\0") not in source}
    assert not unused or "oubli[" in str(METADATA["optional-dependencies"][command.removeprefix("oubli-")]), unused


def test_every_extra_is_of_a_command_and_pinned():
    pinned = {
        line.partition("==")[0] for line in (PROJECT / "requirements.lock").read_text().splitlines() if "==" in line
    }
    for name in METADATA["optional-dependencies"]:
        assert f"oubli-{name}" in SCRIPTS
        assert extra(name) <= {re.split(r"\[", one)[0] for one in pinned}
