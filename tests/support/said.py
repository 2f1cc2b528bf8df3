# SPDX-License-Identifier: Apache-2.0
"""What the agent says in LuCI in texts of its own, read off its source, with %s for what is filled in.

Doctor's findings, the refusal of a configuration or of a look-up.
"""

from __future__ import annotations

import ast
import itertools
import re

from agent.purposes.duties import _WHY, MUST
from tests.support.interpreters import PROJECT
from tests.support.sources import tree_of

PLACE = "%s"
# What is called with a text -> which of its arguments are one.
CALLED = {
    "Finding": (1,),
    "fail": (1, 2),
    "append": (0,),
    "ValueError": (0, 1),
    "Refused": (-1,),
    "BundleError": (0,),
    "UsageError": (0,),
}
# File -> the functions that speak there, () for all.
SOURCES: dict[str, tuple[str, ...]] = {
    "doctor/*.py": (),
    "purposes/checks.py": (),
    "purposes/custodian/bundle.py": ("anchor", "read", "rows"),
    "purposes/requests/executor.py": ("agents_at",),
    "config/*.py": (),
    "purposes/lookup*.py": (),
    "purposes/requests/requests.py": ("second_of",),
    "control/calls.py": ("text", "number", "terminal", "address", "named"),
    "cli/command.py": ("_check", "run"),
}
RETURNED = {"law.py": ("refuse_lifetime", "other_wording"), "purposes/custodian/budget.py": ("refused",)}
REQUIREMENT = re.compile(r" \((?:L34|ANON|EXP)-[^()]*\)$")


class Function:
    """One function's texts; a name in it stands for whatever is assigned to it there."""

    def __init__(self, node: ast.AST, returned: dict[str, set[str]]) -> None:
        self._returned = returned
        self._held: dict[str, list[ast.expr]] = {}
        for one in ast.walk(node):
            if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name):
                self._held.setdefault(one.targets[0].id, []).append(one.value)

    def texts(self, node: ast.expr) -> set[str]:
        """Return what an expression can be."""
        match node:
            case ast.Constant(value=str(text)):
                return {text}
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return {a + b for a, b in itertools.product(self.texts(left), self.texts(right))}
            case ast.FormattedValue(value=one):
                return self.texts(one)
            case ast.JoinedStr(values=parts):
                return {"".join(one) for one in itertools.product(*map(self.texts, parts))}
            case ast.IfExp(body=one, orelse=other):
                return self.texts(one) | self.texts(other)
            case ast.Tuple(elts=[_, *parts]):  # an option, what is wrong with it, what is accepted
                return self.all(parts)
            case ast.Subscript(value=ast.Name(id=name)) if isinstance(self._held.get(name, [None])[0], ast.Dict):
                return self.all([text for one in self._held[name] for text in getattr(one, "values", [])])
            case ast.Name(id=name) if name in self._held:
                return self.all(self._held[name])
            case ast.Call(func=ast.Attribute(attr=name)) if name in self._returned:
                return self._returned[name]
        return {PLACE}

    def all(self, nodes: list[ast.expr]) -> set[str]:
        """Return what any of these can be."""
        return set().union(*map(self.texts, nodes))

    def called(self, node: ast.AST) -> set[str]:
        """Return what is handed to a call of `CALLED`, or stands as `what` in an answer."""
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in CALLED:
                return self.all([node.args[place] for place in CALLED[name] if place < len(node.args)])
            case ast.Dict():
                keys = zip(node.keys, node.values, strict=True)
                return self.all([text for key, text in keys if isinstance(key, ast.Constant) and key.value == "what"])
        return set()


def spoken(file: str, names: tuple[str, ...]) -> list[ast.FunctionDef]:
    """Return the functions of these names in a file of the agent, all of them for no name."""
    paths = sorted((PROJECT / "agent").glob(file))
    nodes = [node for path in paths for node in ast.walk(tree_of(path))]
    found = [node for node in nodes if isinstance(node, ast.FunctionDef) and (not names or node.name in names)]
    assert found, file
    return found


def duties() -> dict[str, str]:
    """Return each duty that doctor can find served by nobody, or not wholly, and each why: English -> French."""
    names = ("erase", "procedures", "identity", "account", "source", "freeze")
    heads = [
        (f"{english} ({source})", f"{french} ({source})") for name, french, english, source in MUST if name in names
    ]
    found = {REQUIREMENT.sub("", english): REQUIREMENT.sub("", french) for english, french in heads}
    for why in ("undeclared", "off", "account", "former", "early", "second-nat"):
        found[_WHY[why][1]] = _WHY[why][0]
    found[_WHY["short"][1] + PLACE] = _WHY["short"][0] + PLACE
    found[_WHY["away"][1].format(PLACE)] = _WHY["away"][0].format(PLACE)
    for why in ("undeclared", "off"):
        sealed = [_WHY["sealed"][at].format(PLACE) + _WHY["custodian"][at] for at in range(2)]
        french, english = (_WHY["else"][at] + _WHY[why][at] for at in range(2))
        found[f"{sealed[1]}; {english}"] = f"{sealed[0]} ; {french}"
    return found


def texts() -> set[str]:
    """Return them, what is wrong and what is accepted apart, without requirement and of what it is said."""
    returned: dict[str, set[str]] = {}
    for file, names in RETURNED.items():
        for node in spoken(file, names):
            back = [one.value for one in ast.walk(node) if isinstance(one, ast.Return)]
            returned[node.name] = Function(node, {}).all([one for one in back if one and ast.unparse(one) != "None"])
    found = returned["refused"] | set(duties())
    for file, names in SOURCES.items():
        for node in spoken(file, names):
            function = Function(node, returned)
            found = found.union(*map(function.called, ast.walk(node)))
    halves = {REQUIREMENT.sub("", half).removeprefix("%s: ") for text in found for half in text.split("; accepted: ")}
    return {half for half in halves if re.search("[a-z]{2}", half.replace(PLACE, ""))}
