# SPDX-License-Identifier: Apache-2.0
"""Rooms that are always read together become one file, with short names: less to keep, less heap, less to do at the start.

A .mpy repeats every name that its room uses, and most names are for readers of the source. So, at build time only:

1. Rooms of one group become one file. Their module-level names become the file's, each unlike all others of the agent; what one room
   takes from another is the file's own name then, and only what another file has is imported, when it was before.
2. Names that nobody outside the agent knows become short: module-level names by where they are defined; attributes, methods and
   parameters by how they are spelt, the same everywhere. A spelling stays that the interpreter's types and modules have (`OUTSIDE`), that
   the agent has as a text too (fields of the configuration, of messages and calls), that is a keyword of a call which takes any or isn't
   the agent's, and the name of an exception, which a fault of the program is told by.
3. Numbers and short texts that have a name stand where they are used. What nothing on a device reaches, since only tests or the simulator
   use it, stays out: functions, classes, methods, constants.

What can't be woven so is refused with its place. The sources stay as they are, and the same sources give the same files.
"""

import ast
import keyword
import string
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tools.package.rooms import Bound, Item, Meaning, Module, Room, Rooms, WeaveError, is_guard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What MicroPython's modules and types have, of what the agent defines too; a test asks the interpreter for more.
OUTSIDE = {
    "_serve", "add", "append", "buffer", "clear", "copy", "decrypt", "dump", "encrypt", "event", "find", "flush", "get", "help", "idle",
    "index", "load", "mount", "name", "pack", "poll", "pop", "random", "release", "remove", "seed", "step", "stream", "unpack", "update",
    "value", "verify_mode", "wait",
}  # fmt: skip
MAIN = "agent.__main__"
TABLE = "agent.table"  # where verbs' functions are named by a text
_INTERNED = 10  # a text of so many octets is a name to mpy-cross
_SMALL, _SHORT = 1 << 30, 1 << 13  # a number below takes no object; at most two octets
_FIRST = 127  # names whose number takes one octet
_LETTERS = string.ascii_letters + "_"


@dataclass
class _Needs:
    """What a piece of code uses: items, those it takes from another file when it runs `lazily`, spellings of attributes."""

    used: "Counter[Item]" = field(default_factory=Counter)
    lazily: "Counter[Item]" = field(default_factory=Counter)
    spelt: "set[str]" = field(default_factory=set)


@dataclass
class _Statement:
    """A module-level statement: what it defines, whether it `acts`, what it needs, a class's methods each by itself; `made` is it anew."""

    room: Room
    source: ast.stmt
    defines: "set[str]"
    acts: bool
    made: ast.stmt
    needs: "defaultdict[str, _Needs]" = field(default_factory=lambda: defaultdict(_Needs))
    in_class: "set[Item]" = field(default_factory=set)


@dataclass
class _Names:
    """What is called how: items, spellings; items that are constants; methods that nobody calls."""

    items: "dict[Item, str]" = field(default_factory=dict)
    spellings: "dict[str, str]" = field(default_factory=dict)
    constants: "dict[Item, ast.Constant]" = field(default_factory=dict)
    idle: "set[str]" = field(default_factory=set)

    def of(self, item: Item) -> str:
        """Return what an item is called."""
        return self.items.get(item, item.name or item.room)

    def spelling(self, name: str) -> str:
        """Return how an attribute or a parameter is spelt."""
        return self.spellings.get(name, name)


class _Scope:
    def __init__(self, names: "dict[str, Meaning]", *, of_class: bool = False) -> None:
        self.names = names
        self.of_class = of_class


class _Writer(ast.NodeTransformer):
    """Writes one module-level statement anew."""

    def __init__(self, rooms: Rooms, names: _Names, statement: _Statement) -> None:
        self._rooms = rooms
        self._names = names
        self._room = statement.room
        self._told = statement
        self._part = ""
        self._scopes: list[_Scope] = []

    @property
    def _needs(self) -> _Needs:
        return self._told.needs[self._part]

    def _refuse(self, node: ast.AST, why: str) -> WeaveError:
        return WeaveError(f"{self._room.name}:{getattr(node, 'lineno', 0)}: {why}")

    def _meaning(self, name: str) -> Meaning:
        for depth, scope in enumerate(reversed(self._scopes)):
            if name in scope.names and not (scope.of_class and depth):
                return scope.names[name]
        return self._rooms.resolve(Item(self._room.name, name))

    def _item(self, item: Item) -> ast.expr:
        constant = self._names.constants.get(item)
        if constant is not None:
            return ast.Constant(constant.value)
        self._needs.used[item] += 1
        if self._scopes and self._scopes[-1].of_class:
            self._told.in_class.add(item)
        return ast.Name(self._names.of(item), ast.Load())

    # Names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        found = self._meaning(node.id)
        if isinstance(found, Module):
            raise self._refuse(node, f"{node.id} is a room; accepted: what it has, as {node.id}.name")
        if isinstance(found, Item) and isinstance(node.ctx, ast.Load):
            return self._item(found)
        if isinstance(found, str):
            if self._scopes[-1].of_class:
                self._needs.spelt.add(node.id)
            return ast.Name(found, node.ctx)
        return ast.Name(self._names.of(found), node.ctx) if isinstance(found, Item) else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        found = self._meaning(node.value.id) if isinstance(node.value, ast.Name) else None
        if isinstance(found, Module):
            return self._of_room(node, found)
        self._needs.spelt.add(node.attr)
        node.value = self.visit(node.value)
        node.attr = self._names.spelling(node.attr)
        return node

    def _of_room(self, node: ast.Attribute, module: Module) -> ast.expr:
        if node.attr == "__file__":
            return ast.Name("__file__", ast.Load())  # of this file: all are as old
        found = self._rooms.resolve(Item(module.room, node.attr))
        if not isinstance(found, Item) or not isinstance(node.ctx, ast.Load):
            raise self._refuse(node, f"{module.room}.{node.attr}; accepted: to read what a room defines")
        if not module.local or found in self._names.constants:
            return self._item(found)
        if self._rooms.file_of(found) != self._rooms.file_of(module):
            raise self._refuse(node, f"{module.room}.{node.attr} is another file's; accepted: {found.room}.{found.name}")
        self._needs.lazily[found] += 1
        return ast.Attribute(ast.Name(module.local, ast.Load()), self._names.of(found), ast.Load())

    # Scopes

    def _block(self, body: "list[ast.stmt]") -> "list[ast.stmt]":
        made: list[ast.stmt] = []
        for statement in body:
            out = self.visit(statement)
            made += out if isinstance(out, list) else [out]
        return made

    def _arguments(self, arguments: ast.arguments) -> "dict[str, Meaning]":
        """Write defaults, in the scope around, and give parameters their names."""
        arguments.defaults = [self.visit(one) for one in arguments.defaults]
        arguments.kw_defaults = [one and self.visit(one) for one in arguments.kw_defaults]
        names: dict[str, Meaning] = {}
        for one in [inner for inner in ast.walk(arguments) if isinstance(inner, ast.arg)]:
            names[one.arg] = one.arg = self._names.spelling(one.arg)
        return names

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        node.decorator_list = [self.visit(one) for one in node.decorator_list]
        parameters = self._arguments(node.args)
        node.name = self._defined(node.name)
        found = Bound(node.body)
        names: dict[str, Meaning] = {name: self._names.spelling(name) if name in found.functions else name for name in found.names}
        for statement in found.imports:
            names |= self._imported(statement)
        self._scopes.append(_Scope(names | parameters))
        node.body = self._block(node.body)
        self._scopes.pop()
        return node

    def _defined(self, name: str) -> str:
        meaning = self._meaning(name)
        return self._names.of(meaning) if isinstance(meaning, Item) else str(meaning)

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        self._scopes.append(_Scope(self._arguments(node.args)))
        node.body = self.visit(node.body)
        self._scopes.pop()
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.stmt:
        node.bases = [self.visit(one) for one in node.bases]
        node.name = self._defined(node.name)
        self._scopes.append(_Scope({name: self._names.spelling(name) for name in Bound(node.body).names}, of_class=True))
        body = []
        for one in node.body:
            method = one.name if isinstance(one, ast.FunctionDef) else ""
            if not method or method not in self._names.idle:
                self._part = method if len(self._scopes) == 1 else self._part
                body += self._block([one])
        node.body = body or [ast.Pass()]
        self._scopes.pop()
        return node

    def _comprehension(self, node: Any) -> ast.expr:
        node.generators[0].iter = self.visit(node.generators[0].iter)
        targets = [inner for one in node.generators for inner in ast.walk(one.target) if isinstance(inner, ast.Name)]
        self._scopes.append(_Scope({name.id: name.id for name in targets}))
        for index, generator in enumerate(node.generators):
            generator.iter = self.visit(generator.iter) if index else generator.iter
            generator.ifs = [self.visit(one) for one in generator.ifs]
        for name in ("elt", "key", "value"):
            if hasattr(node, name):
                setattr(node, name, self.visit(getattr(node, name)))
        self._scopes.pop()
        return node

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.stmt:
        node.names = [str(self._meaning(name)) for name in node.names]
        return node

    def visit_Global(self, node: ast.Global) -> ast.stmt:
        raise self._refuse(node, "global; accepted: what a room's name means is settled when it is read")

    # Expressions

    def visit_keyword(self, node: ast.keyword) -> ast.keyword:
        node.arg = node.arg and self._names.spelling(node.arg)
        node.value = self.visit(node.value)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """A verb's function is named by a text, "room.function" below the agent: it becomes "file.function"."""
        if self._room.name == TABLE and isinstance(node.value, str):
            room, _, name = node.value.rpartition(".")
            item = Item("agent." + room, name)
            if item.room in self._rooms.all and self._rooms.resolve(item) == item:
                self._needs.lazily[item] += 1
                return ast.Constant(self._rooms.file_of(item).removeprefix("agent.") + "." + self._names.of(item))
        return node

    # Imports

    def _imported(self, statement: "ast.Import | ast.ImportFrom") -> "dict[str, Meaning]":
        """Return what the names of an import within a function mean: of a file that is at hand anyway, the thing itself."""
        names: dict[str, Meaning] = {}
        for alias in statement.names:
            local = alias.asname or alias.name
            found = self._rooms.resolve(self._rooms.imported(statement, alias))
            if found is None:
                raise self._refuse(statement, f"{local} isn't there")
            if found.room in self._rooms.all:
                file = self._rooms.file_of(found)
                at_hand = file == self._room.file or file in self._rooms.eager[self._room.file]
                if isinstance(found, Module):
                    names[local] = Module(found.room, "" if at_hand else local)
                elif at_hand or found in self._names.constants:
                    names[local] = found
        return names

    def _import(self, node: "ast.Import | ast.ImportFrom") -> "list[ast.stmt]":
        """Write an import within a function; those of a room stand at the file's head."""
        made: list[ast.stmt] = []
        for alias in node.names:
            local = alias.asname or alias.name
            meaning = self._scopes[-1].names[local]
            if isinstance(meaning, Module) and meaning.local:
                package, _, file = self._rooms.file_of(meaning).rpartition(".")
                made.append(ast.ImportFrom(package, [ast.alias(file, local if local != file else None)], 0))
            elif isinstance(meaning, str):
                found = self._rooms.resolve(self._rooms.imported(node, alias))
                if isinstance(found, Item) and found.room in self._rooms.all:
                    self._needs.lazily[found] += 1
                    made.append(ast.ImportFrom(self._rooms.file_of(found), [ast.alias(self._names.of(found), local)], 0))
                else:
                    made.append(ast.Import([alias]) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, [alias], 0))
        return made or [ast.Pass()]

    visit_Import = visit_ImportFrom = _import


class Weaver:
    """Weaves the agent's rooms; `sources` by name, `groups` the rooms of each file that has several."""

    def __init__(self, sources: "dict[str, str]", groups: "dict[str, tuple[str, ...]]") -> None:
        self._rooms = Rooms(sources, groups)
        self._names = _Names()
        self._stays, self._parameters, self._members, every = _spellings(self._rooms)
        self._every = self._write(_copied)
        self._reach()
        while self._simplify():
            self._reach()
        self._name(_short_names(every))
        self._every = self._write(lambda source: source)
        self._reach()

    def _write(self, of: "Callable[[ast.stmt], ast.stmt]") -> "list[_Statement]":
        """Return every statement, written with the names as they are now; it is changed where it is, or a copy of it."""
        every = []
        for room in self._rooms.all.values():
            for source in room.body:
                if not isinstance(source, ast.Import | ast.ImportFrom) and not is_guard(source):
                    statement = _Statement(room, source, Bound([source]).names, _acts(source), source)
                    statement.made = _Writer(self._rooms, self._names, statement).visit(of(source))
                    every.append(statement)
        return every

    def _needs(self, statement: _Statement) -> _Needs:
        """Return what a statement needs, without methods that nobody calls and constants that stand where they are used."""
        whole = _Needs()
        for part, needs in statement.needs.items():
            if part not in self._names.idle:
                whole.used.update({item: number for item, number in needs.used.items() if item not in self._names.constants})
                whole.lazily.update({item: number for item, number in needs.lazily.items() if item not in self._names.constants})
                whole.spelt |= needs.spelt
        return whole

    def _reach(self) -> None:
        """Find the statements that something on a device needs."""
        where = defaultdict(list)
        for statement in self._every:
            for name in statement.defines:
                where[Item(statement.room.name, name)].append(statement)
        left = [statement for statement in self._every if statement.acts] + where[Item(MAIN, "main")]
        reached: dict[int, _Needs] = {}
        while left:
            statement = left.pop()
            if id(statement) not in reached:
                reached[id(statement)] = needs = self._needs(statement)
                left += [one for item in [*needs.used, *needs.lazily] for one in where[item]]
        self._kept = [(statement, reached[id(statement)]) for statement in self._every if id(statement) in reached]

    def _simplify(self) -> bool:
        """Find constants that take less where they are used, and methods that nobody calls; says whether there were more."""
        uses: Counter[Item] = Counter()
        spelt: set[str] = set()
        for _, needs in self._kept:
            uses.update(needs.used)
            uses.update(needs.lazily)
            spelt |= needs.spelt
        before = len(self._names.constants), len(self._names.idle)
        for statement, _ in self._kept:
            source = statement.source
            if isinstance(source, ast.ClassDef):
                methods = {one.name for one in source.body if isinstance(one, ast.FunctionDef)}
                self._names.idle |= methods - spelt - self._stays
            elif isinstance(source, ast.Assign) and isinstance(source.targets[0], ast.Name):
                item = Item(statement.room.name, source.targets[0].id)
                value = self._constant(statement.room, source.value)
                once = sum(item.name in other.defines for other in self._every if other.room is statement.room) == 1
                if value is not None and once and _goes_in(value.value, uses[item]):
                    self._names.constants[item] = value
        return before != (len(self._names.constants), len(self._names.idle))

    def _constant(self, room: Room, node: ast.expr) -> "ast.Constant | None":
        """Return the value of a constant, or of whole numbers put together."""
        if isinstance(node, ast.Constant):
            return node
        if isinstance(node, ast.Name):
            item = self._rooms.resolve(Item(room.name, node.id))
            return self._names.constants.get(item) if isinstance(item, Item) else None
        parts = [node.left, node.right] if isinstance(node, ast.BinOp) else [node.operand] if isinstance(node, ast.UnaryOp) else []
        values = [self._constant(room, part) for part in parts]
        numbers = [value for value in values if value is not None and type(value.value) is int]
        if not parts or len(numbers) < len(parts):
            return None
        put = ast.BinOp(numbers[0], node.op, numbers[1]) if isinstance(node, ast.BinOp) else ast.UnaryOp(_sign(node), numbers[0])
        found = eval(compile(ast.fix_missing_locations(ast.Expression(put)), "", "eval"))  # noqa: S307 (numbers alone)
        return ast.Constant(found) if type(found) is int else None

    def _name(self, short: "Iterator[str]") -> None:
        """Give short names, the shortest to what is used most. An item and an attribute may have the same; a parameter has its own."""
        uses: Counter[Item] = Counter()
        members: dict[str, Counter[str]] = defaultdict(Counter)
        spelt: Counter[str] = Counter()
        in_class: set[Item] = set()
        files: dict[Item, set[str]] = defaultdict(set)
        for statement, needs in self._kept:
            for item in [Item(statement.room.name, name) for name in statement.defines] + [*needs.used]:
                files[item].add(statement.room.file)
            uses.update(Item(statement.room.name, name) for name in statement.defines)
            uses.update(needs.used)
            uses.update(needs.lazily)
            in_class |= statement.in_class
            spoken = [node.attr for node in ast.walk(statement.source) if isinstance(node, ast.Attribute)]
            spelt.update(spoken)
            members[statement.room.file].update(name for name in spoken if name in self._members)
        order = sorted(self._parameters, key=lambda name: (-self._parameters[name] - spelt[name], name))
        self._names.spellings = {name: next(short) for name in order}
        exceptions = self._exceptions()
        given: list[str] = []
        taken: dict[str, set[str]] = defaultdict(set)
        for item in sorted(uses, key=lambda item: (-uses[item], item.room, item.name)):
            if item in exceptions:
                self._names.items[item] = item.name
            elif item.room in self._rooms.all or item.name:
                # What another name of another file is called already, where no file would have both: each name is kept once, by all files.
                name = next((name for name in given if not any(name in taken[file] for file in files[item])), "") or next(short)
                self._names.items[item] = name
                for file in files[item]:
                    taken[file].add(name)
                if name not in given:
                    given.append(name)
        # Attributes have the names of items too, best of one that the same files know, and no other.
        kept = {self._names.of(item) for item in in_class}
        free = [name for name in given if name not in kept]
        for name in sorted(self._members, key=lambda name: (-spelt[name], name)):
            spoken_in = [file for file in members if members[file][name]]
            made = max(free, key=lambda one: _fit(one, taken, spoken_in), default="") or next(short)
            if made in free:
                free.remove(made)
            self._names.spellings[name] = made

    def _exceptions(self) -> "set[Item]":
        """Return the agent's exceptions whose name no other has."""
        found: set[Item] = set()
        classes = [(room, node) for room in self._rooms.all.values() for node in room.body if isinstance(node, ast.ClassDef) and node.bases]
        while True:
            more = set()
            for room, node in classes:
                base = ast.unparse(node.bases[0])
                what = self._rooms.resolve(Item(room.name, base))
                if what in found or (what is None and base.endswith(("Exception", "Error"))):
                    more.add(Item(room.name, node.name))
            if more == found:
                named = Counter(item.name for item in found)
                return {item for item in found if named[item.name] == 1}
            found = more

    def files(self) -> "dict[str, str]":
        """Return the source of each file, by its name as a module."""
        made = {}
        for file in sorted({statement.room.file for statement, _ in self._kept}):
            kept = [(one, needs) for room in self._rooms.ordered(file) for one, needs in self._kept if one.room is room]
            body = self._head(file, {item for _, needs in kept for item in needs.used}) + [one.made for one, _ in kept]
            made[file] = ast.unparse(ast.fix_missing_locations(ast.Module(body, []))) + "\n"
        for statement in self._rooms.all[MAIN].body:
            if is_guard(statement):
                body = [ast.Import([ast.alias("sys")])]
                body.append(ast.ImportFrom(self._rooms.all[MAIN].file, [ast.alias(self._names.of(Item(MAIN, "main")), "main")], 0))
                made[MAIN] = ast.unparse(ast.fix_missing_locations(ast.Module([*body, *statement.body], []))) + "\n"  # type: ignore[attr-defined]
        return {file: _ordered(text) + text for file, text in made.items()}

    def _head(self, file: str, used: "set[Item]") -> "list[ast.stmt]":
        """Return a file's imports: of modules, of their names, of other files' items."""
        found = sorted(used, key=lambda item: (item.room, item.name))
        plain = [ast.alias(item.room) for item in found if not item.name]
        head: list[ast.stmt] = [ast.Import(plain)] if plain else []
        theirs = defaultdict(list)
        for item in found:
            if item.room in self._rooms.all:
                theirs[self._rooms.file_of(item)].append(ast.alias(self._names.of(item)))
            elif item.name:
                head.append(ast.ImportFrom(item.room, [ast.alias(item.name, self._names.of(item))], 0))
        return head + [ast.ImportFrom(other, names, 0) for other, names in sorted(theirs.items()) if other != file]


def _sign(node: ast.expr) -> ast.unaryop:
    return node.op if isinstance(node, ast.UnaryOp) else ast.UAdd()


def _fit(name: str, taken: "dict[str, set[str]]", files: "list[str]") -> "tuple[int, int]":
    """Return how many of these files know a name, and how many others don't."""
    return sum(name in taken[file] for file in files), -sum(name in names for names in taken.values())


def _copied(node: Any) -> Any:
    """Return a copy of a tree that may be changed, faster than copy.deepcopy."""
    if isinstance(node, list):
        return [_copied(one) for one in node]
    if not isinstance(node, ast.AST) or not node._fields:
        return node
    made = type(node)(**{name: _copied(getattr(node, name, None)) for name in node._fields})
    return ast.copy_location(made, node) if hasattr(node, "lineno") else made


def _acts(statement: ast.stmt) -> bool:
    """Say whether a statement does something beside naming a value."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return False
    return not isinstance(statement, ast.Assign) or any(isinstance(node, ast.Call) for node in ast.walk(statement))


def _spellings(rooms: Rooms) -> "tuple[set[str], Counter[str], set[str], set[str]]":
    """Return which spellings stay, which may change as parameters (how often each is one) and as attributes alone, and all there are."""
    parameters: Counter[str] = Counter()
    members: set[str] = set()
    every: set[str] = set()
    stay = set(OUTSIDE)
    open_ended: dict[str, bool] = {}
    calls: list[ast.Call] = []
    for node in (inner for room in rooms.all.values() for statement in room.body for inner in ast.walk(statement)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            every.add(node.name)
            any_keyword = isinstance(node, ast.FunctionDef) and node.args.kwarg is not None
            open_ended[node.name] = open_ended.get(node.name, False) or any_keyword
            within = Bound(node.body)
            members |= within.names if isinstance(node, ast.ClassDef) else set()
            parameters.update(within.functions if isinstance(node, ast.FunctionDef) else set())
        elif isinstance(node, ast.arg):
            parameters[node.arg] += 1
        elif isinstance(node, ast.Attribute):
            every.add(node.attr)
            members |= {node.attr} if isinstance(node.ctx, ast.Store) else set()
        elif isinstance(node, ast.Name):
            every.add(node.id)
        elif isinstance(node, ast.alias):
            every |= {*node.name.split("."), node.asname or ""}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            stay.add(node.value)
        elif isinstance(node, ast.Call):
            calls.append(node)
    for call in calls:
        name = call.func.id if isinstance(call.func, ast.Name) else call.func.attr if isinstance(call.func, ast.Attribute) else ""
        stay |= {one.arg for one in call.keywords if one.arg} if open_ended.get(name, True) else set()
    stay |= {name for name in members | every if name.startswith("__")}
    free = Counter({name: number for name, number in parameters.items() if name not in stay})
    return stay, free, members - stay - set(parameters), every | set(parameters) | members | stay


def changeable(rooms: Rooms) -> "set[str]":
    """Return the spellings that are others in the package."""
    _, parameters, members, _ = _spellings(rooms)
    return set(parameters) | members


def _short_names(taken: "set[str]") -> "Iterator[str]":
    """Yield names, the shortest first, none that means something already."""
    names = [""]
    while True:
        names = [name + letter for name in names for letter in (_LETTERS + string.digits if name else _LETTERS)]
        yield from (name for name in names if name not in taken and not keyword.iskeyword(name) and name not in _BUILTINS)


_BUILTINS = {"abs", "all", "any", "bin", "chr", "dir", "hex", "id", "int", "len", "map", "max", "min", "oct", "ord", "pow", "set", "str"}
_BUILTINS |= {"sum", "zip", "iter", "next", "open", "repr", "type", "dict", "list", "bool", "eval", "exec", "hash"}


def _goes_in(value: object, uses: int) -> bool:
    """Say whether a constant takes less where it is used than it takes with a name."""
    if isinstance(value, int):
        return abs(value) < (_SMALL if uses <= 2 else _SHORT)
    return uses <= 1 or (isinstance(value, str) and len(value.encode()) <= _INTERNED)


def _ordered(text: str) -> str:
    """Return a head that has mpy-cross number a file's names by how often it uses them: the first take an octet less, each time.

    Behind a `break` no bytecode is made; but the attributes there are the first names that the compiler meets.
    """
    uses: Counter[str] = Counter()
    local: list[set[str]] = [set()]

    def count(node: ast.AST) -> None:
        if isinstance(node, ast.Name):
            uses[node.id] += node.id not in local[-1]
        elif isinstance(node, ast.Attribute):
            uses[node.attr] += 1
        elif isinstance(node, ast.arg | ast.keyword):
            uses[node.arg or ""] += 1
        elif isinstance(node, ast.alias):
            uses[node.asname or node.name] += 1
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) <= _INTERNED:
            uses[node.value] += 1
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            uses[node.name] += 2
        if isinstance(node, ast.FunctionDef):
            local.append(local[-1] | Bound(node.body).names | {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)})
        for child in ast.iter_child_nodes(node):
            count(child)
        if isinstance(node, ast.FunctionDef):
            local.pop()

    count(ast.parse(text))
    if len(uses) <= _FIRST:
        return ""
    often = [name for name in uses if uses[name] > 1 and name.isidentifier() and not keyword.iskeyword(name)]
    first = sorted(often, key=lambda name: (-uses[name], name))[:_FIRST]
    return "while True:\n break\n 0 ." + ".".join(first) + "\n"
