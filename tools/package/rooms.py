# SPDX-License-Identifier: Apache-2.0
"""A room of the agent as the package's weaver reads it: its syntax tree without what only readers need, and what its names stand for.

Nothing but the standard library: an OpenWrt tree has no more (boards/openwrt/Makefile).
"""

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


class WeaveError(Exception):
    """What can't be woven; its text says where and why."""


@dataclass(frozen=True)
class Item:
    """A module-level name: `room` is the agent's or an outside module; no `name` is the module itself."""

    room: str
    name: str = ""


@dataclass(frozen=True)
class Module:
    """A room as a whole, under the name that a function or a room imported it as; `local` is "" where its file is at hand anyway."""

    room: str
    local: str = ""


# What a name stands for: its new name (of a parameter, a local variable), an item, a room, or nothing of the agent's (a builtin).
Meaning = str | Item | Module | None


class _Bare(ast.NodeTransformer):
    """Takes away annotations, docstrings and assertions: mpy-cross -O3 would, but until then they look like texts and names."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        return None if node.value is None else ast.copy_location(ast.Assign([node.target], node.value), node)

    def visit_Assert(self, _node: ast.Assert) -> Any:
        return None

    def visit_Expr(self, node: ast.Expr) -> Any:
        return None if isinstance(node.value, ast.Constant) else node

    def visit_arg(self, node: ast.arg) -> Any:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.returns = None
        return self.visit_ClassDef(node)

    def visit_ClassDef(self, node: "ast.ClassDef | ast.FunctionDef") -> Any:
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node


class Bound(ast.NodeVisitor):
    """The `names` that statements bind in their scope, not in the scopes within it: `functions` and `imports` among them."""

    def __init__(self, statements: "Iterable[ast.stmt]") -> None:
        self.names: set[str] = set()
        self.functions: set[str] = set()
        self.imports: list[ast.Import | ast.ImportFrom] = []
        free: set[str] = set()
        self._free = free
        for statement in statements:
            self.visit(statement)
        self.names -= free

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.names.add(node.id)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.names.add(node.name)
        self.functions.add(node.name)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.names.add(node.name)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        pass

    def _comprehension(self, node: ast.expr) -> None:
        """Of what a comprehension binds only `:=` is the scope's around it."""
        self.names |= {inner.target.id for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr)}

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.names |= {node.name} if node.name else set()
        self.generic_visit(node)

    def _import(self, node: "ast.Import | ast.ImportFrom") -> None:
        self.imports.append(node)
        self.names |= {alias.asname or alias.name.split(".")[0] for alias in node.names}

    visit_Import = visit_ImportFrom = _import

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self._free |= set(node.names)


@dataclass
class Room:
    """A module of the agent; `own` are the module-level names that it defines, `taken` those that it imports, `file` where it goes."""

    name: str
    body: list[ast.stmt]
    own: set[str] = field(default_factory=set)
    taken: dict[str, "Item | Module"] = field(default_factory=dict)
    file: str = ""


def is_guard(statement: ast.stmt) -> bool:
    """Say whether a statement is `if __name__ == "__main__"`."""
    return isinstance(statement, ast.If) and ast.unparse(statement.test) == "__name__ == '__main__'"


class Rooms:
    """All rooms by name; `names` resolve to what they stand for, whichever room they are taken through."""

    def __init__(self, sources: "dict[str, str]", groups: "dict[str, tuple[str, ...]]") -> None:
        self.all = {name: Room(name, _Bare().visit(ast.parse(text)).body) for name, text in sources.items()}
        files = {room: file for file, rooms in groups.items() for room in rooms}
        for room in self.all.values():
            room.file = files.get(room.name, room.name)
            self._decide(room)
        for room in self.all.values():
            found = Bound(room.body)
            for statement in found.imports:
                for alias in statement.names:
                    room.taken[alias.asname or alias.name] = self.imported(statement, alias)
            room.own = found.names - set(room.taken)
        self.eager = self._eager()

    def _decide(self, room: Room) -> None:
        """Settle a `try` that looks which of two rooms is there: what a package has is known when it is built."""
        body: list[ast.stmt] = []
        for statement in room.body:
            first = statement.body[0] if isinstance(statement, ast.Try) else None
            if isinstance(statement, ast.Try) and isinstance(first, ast.ImportFrom) and len(statement.body) == 1:
                module, name = first.module or "", first.names[0].name
                there = f"{module}.{name}" in self.all or (module in self.all and name in Bound(self.all[module].body).names)
                body += statement.body if there else statement.handlers[0].body
            else:
                body.append(statement)
        room.body = body

    def imported(self, statement: "ast.Import | ast.ImportFrom", alias: ast.alias) -> "Item | Module":
        """Return what an import brings."""
        if isinstance(statement, ast.Import):
            return Module(alias.name) if alias.name in self.all else Item(alias.name)
        module = statement.module or ""
        if f"{module}.{alias.name}" in self.all:
            return Module(f"{module}.{alias.name}")
        return Item(module, alias.name)

    def resolve(self, found: "Item | Module") -> "Item | Module | None":
        """Return the item where it is defined, or the room; None for a name that its room doesn't have."""
        if isinstance(found, Module) or found.room not in self.all:
            return found
        room = self.all[found.room]
        if found.name in room.own:
            return found
        return self.resolve(room.taken[found.name]) if found.name in room.taken else None

    def file_of(self, found: "Item | Module") -> str:
        """Return the file that an item or a room of the agent goes to."""
        return self.all[found.room].file

    def _eager(self) -> "dict[str, set[str]]":
        """Return which other files each file imports when it is imported itself, at first or second hand."""
        direct: dict[str, set[str]] = {room.file: set() for room in self.all.values()}
        for room in self.all.values():
            for taken in room.taken.values():
                found = self.resolve(taken)
                if found is not None and found.room in self.all:
                    direct[room.file].add(self.file_of(found))
        closed = {}
        for start, first in direct.items():
            seen: set[str] = set()
            left = sorted(first - {start})
            while left:
                file = left.pop()
                if file not in seen:
                    seen.add(file)
                    left += sorted(direct[file] - {file})
            if start in seen:
                raise WeaveError(f"{start}: a room of this file imports one of {', '.join(sorted(seen - {start}))}, which imports it again")
            closed[start] = seen
        return closed

    def ordered(self, file: str) -> "list[Room]":
        """Return a file's rooms, each behind those that it imports."""
        order: list[Room] = []
        for name in sorted(room.name for room in self.all.values() if room.file == file):
            self._behind(name, file, order, [])
        return order

    def _behind(self, name: str, file: str, order: "list[Room]", waiting: "list[str]") -> None:
        room = self.all[name]
        if room in order or name in waiting:
            return
        for taken in sorted({found.room for found in map(self.resolve, room.taken.values()) if found is not None} & set(self.all)):
            if self.all[taken].file == file:
                self._behind(taken, file, order, [*waiting, name])
        order.append(room)
