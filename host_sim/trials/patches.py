# SPDX-License-Identifier: Apache-2.0
"""A function of the agent with other code in it, found by its syntax tree: what `host_sim.trials.mutants` breaks.

`old` is one expression or statement that stands exactly once in the function, `new` what stands there instead. A name
of one capital letter stands for any expression, the same each time, and in `new` for what it stood for: neither layout
nor comments count, nor a constant or a call that the patch isn't about.
"""

import ast
import shutil
import threading
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

from host_sim.driver.interpreters import ROOT

_PARSING = threading.Lock()  # CPython 3.11 makes syntax trees in one thread at a time ("recursion depth mismatch" else)


class PatchError(Exception):
    """A patch that doesn't fit the agent any more; the text is one line."""


class Patch(NamedTuple):
    """One place of the agent and what stands there instead.

    `file` is below agent/; `function` a qualified name, a class for what stands in it, "" for the module.
    """

    file: str
    function: str
    old: str
    new: str


def _whole(text: str) -> ast.AST:
    """Return an expression, or the one statement of a text."""
    statement = ast.parse(text).body[0]
    return statement.value if isinstance(statement, ast.Expr) else statement


def _matches(pattern: object, node: object, found: dict[str, ast.expr]) -> bool:
    """Return True if a tree is what a pattern asks for; `found` has what its letters stand for."""
    if isinstance(pattern, ast.Name) and len(pattern.id) == 1 and pattern.id.isupper() and isinstance(node, ast.expr):
        return ast.dump(found.setdefault(pattern.id, node)) == ast.dump(node)
    if isinstance(pattern, list):
        return (
            isinstance(node, list)
            and len(pattern) == len(node)
            and all(map(_matches, pattern, node, [found] * len(node)))
        )
    if not isinstance(pattern, ast.AST):
        return type(pattern) is type(node) and pattern == node
    if type(pattern) is not type(node):
        return False
    fields = [name for name in pattern._fields if name not in {"ctx", "kind", "type_comment"}]
    return all(_matches(getattr(pattern, name, None), getattr(node, name, None), found) for name in fields)


class _Put(ast.NodeTransformer):
    """Puts what the letters stand for in their place."""

    def __init__(self, found: dict[str, ast.expr]) -> None:
        self._found = found

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return deepcopy(self._found.get(node.id, node))


class _Exchange(ast.NodeTransformer):
    """Exchanges each match; `count` says how many there were."""

    def __init__(self, old: str, new: str) -> None:
        self._old, self._new = _whole(old), new
        self.count = 0

    def visit(self, node: ast.AST) -> ast.AST | list[ast.stmt]:
        """Exchange a node, or look within it."""
        found: dict[str, ast.expr] = {}
        if not _matches(self._old, node, found):
            result: ast.AST = self.generic_visit(node)
            return result
        self.count += 1
        made = _Put(found).visit(ast.parse(self._new))
        return made.body if isinstance(node, ast.stmt) else made.body[0].value


def apply(patch: Patch, text: str) -> str:
    """Return a file's text with the patch in it; PatchError where it doesn't fit exactly once."""
    tree: ast.Module = ast.parse(text)
    place: ast.Module | ast.FunctionDef | ast.ClassDef = tree
    for name in filter(None, patch.function.split(".")):
        inner = [one for one in place.body if isinstance(one, ast.FunctionDef | ast.ClassDef) and one.name == name]
        if not inner:
            raise PatchError(f"agent/{patch.file}: no {patch.function}; accepted: a function or class that is there")
        place = inner[0]
    exchange = _Exchange(patch.old, patch.new)
    place.body = [one for statement in place.body for one in _listed(exchange.visit(statement))]
    if exchange.count != 1:
        where = f"agent/{patch.file}: {patch.function or 'the module'}"
        raise PatchError(f"{where}: {patch.old!r} is there {exchange.count} times; accepted: once")
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _listed(made: ast.AST | list[ast.stmt]) -> list[ast.stmt]:
    return made if isinstance(made, list) else [made]  # type: ignore[list-item]


def copied(folder: Path) -> None:
    """Make a copy of the agent and its stage below `folder`; with CPython's caches, each start is shorter."""
    for package in ("agent", "host_sim"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("*.pyc.*", "*.toml"))


def patched(patch: Patch, folder: Path) -> Path:
    """Make a copy of the agent and its stage below `folder`, with the patch in it; returns the folder."""
    copied(folder)
    path = folder / "agent" / patch.file
    with _PARSING:
        path.write_text(apply(patch, path.read_text()))
    return folder
