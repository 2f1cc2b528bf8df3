# SPDX-License-Identifier: Apache-2.0
"""A machine that never saw the project: all that tests, simulator and tools start stands in tools/setup's tables.

What is started is found in the syntax trees: of Python by `ast`, of shell scripts by shfmt.
"""

from __future__ import annotations

import ast
import functools
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.openwrt import malta
from tests.repository.test_repository import is_shell, project_files
from tests.support.interpreters import FOREIGN, PROJECT
from tests.support.sources import IN_ONE_PROCESS, tree_of
from tools import tables

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = IN_ONE_PROCESS

STARTERS = {"run", "Popen"}  # of subprocess, given a list of words
# Given the words, of which the first or second is the command
TAKERS = {"which", "inside", "host", "host_command", "run_command", "_said"}
# Commands of Debian packages that every machine has ("Essential: yes", and git, which the project came with).
BASE = {
    "apt-cache", "apt-get", "awk", "bash", "cat", "chgrp", "chmod", "chown", "cmp", "cp", "cut",
    "date", "dd", "diff", "dirname", "dpkg", "dpkg-query", "echo", "env", "false", "find", "flock",
    "git", "grep", "gzip", "head", "id", "install", "ln", "ls", "mkdir", "mkfifo", "mktemp", "mv", "nice",
    "nproc", "printf", "prlimit", "readlink", "rm", "rmdir", "sed", "seq", "sh", "sha256sum", "sleep",
    "sort", "stat", "sync", "tail", "tar", "timeout", "touch", "tr", "true", "uname", "wc", "xargs",
}  # fmt: skip
# No commands that the tests start: needs that tests/conftest.py looks into itself, and what
# tests/support/programs.py tries where it is.
CONDITIONS = {"root", "cpython", "debian", "binfmt_misc", "rmem_max"}
OPENWRT = {"apk", "ubusd", "ubus", "jshn", "rpcd", "ujail", "opkg-cl", "openssl"}
OURS = {"oubli", "watch", "who"}  # the gateway's command; words of ours that are other commands' names too
COMMAND = re.compile(r"[a-z][a-z0-9_.+-]*")


def first_word(node: ast.AST) -> str:
    """Return the command that an expression names, a string or the words of a list; nothing where it is no constant."""
    match node:
        case ast.Constant(value=str(text)):
            return text.rpartition("/")[2] if text.startswith("/usr/") else text
        case (
            ast.List(elts=[first, *_]) | ast.Tuple(elts=[first, *_]) | ast.BinOp(left=first) | ast.Starred(value=first)
        ):
            return first_word(first)
    return ""


def is_command_line(node: ast.AST) -> bool:
    """Tell a list that is the words of a command: it has an option among them."""
    if not isinstance(node, ast.List | ast.Tuple):
        return False
    parts = [part.values[0] if isinstance(part, ast.JoinedStr) and part.values else part for part in node.elts[1:]]
    return any(isinstance(part, ast.Constant) and re.match("--?[a-zA-Z]", str(part.value)) for part in parts)


def called(node: ast.Call) -> tuple[str, str]:
    """Return the last two words of what is called: `subprocess`, `run`."""
    match node.func:
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return owner, name
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return "", name
    return "", ""


def started(tree: ast.Module) -> Iterator[str]:
    """Yield each command that a Python file starts, and the commands in the scripts that it gives to a shell."""
    for node in ast.walk(tree):
        words: list[ast.AST] = []
        if isinstance(node, ast.Call):
            owner, name = called(node)
            if name in TAKERS:
                words = [*[arg for arg in node.args[: 2 if name == "inside" else 1] if first_word(arg)][:1]]
            elif owner == "subprocess" and name in STARTERS:
                words = [arg for arg in node.args[:1] if not isinstance(arg, ast.Constant)]
        elif is_command_line(node) and shutil.which(first_word(node)):
            words = [node]  # perhaps no command: but this machine has one of that name
        yield from (word for word in map(first_word, words) if COMMAND.fullmatch(word))
        if isinstance(node, ast.List | ast.Tuple) and first_word(node) in {"sh", "bash"}:
            for option, script in itertools.pairwise(node.elts):
                if isinstance(option, ast.Constant) and option.value == "-c" and isinstance(script, ast.Constant):
                    yield from commands_of(str(script.value))


def commands_of(script: str) -> set[str]:
    """Return the commands that a shell script starts: neither builtins nor its own functions."""
    tree = json.loads(
        subprocess.run(["shfmt", "--to-json"], input=script, capture_output=True, text=True, check=True).stdout
    )
    found, own = set(), set()

    def visit(node: object) -> None:
        if isinstance(node, dict):
            if node.get("Type") == "CallExpr" and node.get("Args"):
                parts = node["Args"][0]["Parts"]
                if len(parts) == 1 and parts[0]["Type"] == "Lit":
                    found.add(parts[0]["Value"])
            if node.get("Type") == "FuncDecl":
                own.add(node["Name"]["Value"])
            for part in node.values():
                visit(part)
        elif isinstance(node, list):
            for part in node:
                visit(part)

    visit(tree)
    builtins = set(
        subprocess.run(["bash", "-c", "compgen -b"], capture_output=True, text=True, check=True).stdout.split()
    )
    return {word for word in found - own - builtins if COMMAND.fullmatch(word)}


@functools.cache
def python_files() -> dict[str, ast.Module]:
    """Return the syntax tree of each file of the tests, the simulator and the tools."""
    files = [path for folder in ("tests", "host_sim", "tools") for path in sorted((PROJECT / folder).rglob("*.py"))]
    return {str(path.relative_to(PROJECT)): tree_of(path) for path in files}


def needed(tree: ast.Module) -> Iterator[str]:
    """Yield the names of each `needs` mark, those of a list that a name of the file stands for included."""
    lists = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(target := node.targets[0], ast.Name)
        and isinstance(node.value, ast.Tuple)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node)[1] == "needs":
            for argument in node.args:
                inner = argument.value if isinstance(argument, ast.Starred) else argument
                inner = lists.get(inner.id, inner) if isinstance(inner, ast.Name) else inner
                yield from (str(part.value) for part in ast.walk(inner) if isinstance(part, ast.Constant))


def offered() -> set[str]:
    """Return every command that a package of the table brings."""
    return set().union(*(row.commands for row in tables.packages()))


@pytest.mark.long
@pytest.mark.needs("shfmt")
def test_whatever_is_started_stands_in_the_table_of_packages():
    known = offered() | BASE | OPENWRT | OURS
    for name, tree in python_files().items():
        assert set(started(tree)) - known == set(), f"{name}: a row of tools/packages.txt is missing"
    scripts = [path.read_text() for path in project_files() if path.parent == PROJECT / "tools" and is_shell(path)]
    # One tree: they share functions
    assert commands_of("\n".join(scripts)) - known == set(), "a row of tools/packages.txt is missing"


@pytest.mark.long
def test_whatever_a_test_needs_stands_in_the_tables():
    known = BASE | {
        command for row in tables.packages() if "bench" not in row.who or "test" in row.who for command in row.commands
    }
    for name, tree in python_files().items():
        assert set(needed(tree)) - known - CONDITIONS - tables.parts().keys() == set(), name
    assert set(FOREIGN) <= tables.parts().keys()


def test_no_row_is_for_nothing():
    """Each command of the tables is named where something is started; each part is needed by a test."""
    files = python_files()
    texts = {
        node.value
        for tree in files.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    words = {word for text in texts for word in re.findall(r"[\w.+-]+", text)}
    parts = tables.parts().keys()
    # A recipe's own are its build's
    named = set().union(*(row.commands for row in tables.packages() if not row.who <= parts))
    assert named - words == set()
    assert parts <= set().union(*map(set, map(needed, files.values()))) | set(FOREIGN) | set(malta.PARTS)
    assert set().union(*(row.who for row in tables.packages())) <= {"demo", "quick", "test", "bench"} | parts


@pytest.mark.parametrize(
    "line",
    [
        "import subprocess\nsubprocess.run(['no-such', 'x'])",
        "subprocess.Popen(['no-such', *words])",
        "shutil.which('no-such')",
        "network.inside(place, 'no-such', 'x')",
        "command = ['sh', '-c', 'if no-such --help; then :; fi']",
        "subprocess.run(['sh', '-c', 'x=$(no-such)'])",
    ],
)
@pytest.mark.needs("shfmt")
def test_a_command_that_is_started_is_found(line):
    assert "no-such" in set(started(ast.parse(line)))


def test_a_command_line_that_is_kept_in_a_name_is_found_where_the_machine_has_that_command():
    assert set(started(ast.parse("words = ['git', '--version']\nothers = ['answer', '--store']"))) == {"git"}


def test_what_a_mark_needs_is_found():
    text = (
        "NEEDS = ('a', 'b')\n@pytest.mark.needs('c', *NEEDS)\ndef test(): pass\n"
        "x = pytest.param(1, marks=pytest.mark.needs('d'))"
    )
    assert set(needed(ast.parse(text))) == {"a", "b", "c", "d"}


def set_up(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell that sets up, with this run's Python."""
    python = Path(sys.base_prefix) / "bin"
    alive = os.environ | {"PATH": f"{python}:{os.environ['PATH']}"} | environment
    return subprocess.run(["bash", "-c", script], cwd=PROJECT, env=alive, capture_output=True, text=True, check=False)


def test_second_set_up_makes_nothing_anew():
    """The environment of this run was made by the same script. Whatever it makes, it says."""
    done = set_up(". tools/setup test && readlink .venv")
    told = [line for line in done.stderr.splitlines() if ": left out: " not in line]
    assert (done.returncode, told, done.stdout.strip()) == (0, [], f".cache/{Path(sys.prefix).resolve().name}")


def test_a_part_that_is_there_is_not_made_again_and_an_unknown_one_is_refused():
    made = [name for name in tables.parts() if (PROJECT / ".cache" / name).exists()]
    done = set_up(f"tools/setup-part {' '.join(made)}")
    assert (done.returncode, done.stderr) == (0, "")
    done = set_up("tools/setup-part no-such")
    assert (done.returncode, done.stderr) == (
        1,
        f"tools/setup-part: no-such: not a part; accepted: {' '.join(tables.parts())} \n",
    )


RECIPE = """#!/bin/sh
[ "$1" = --key ] && echo key && exit
echo "$1" >>tried
exit 1
"""


def test_what_one_worker_can_not_make_the_others_do_not_try(tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("setup-part", "setup-packages"):
        shutil.copy(PROJECT / "tools" / name, tools)
    (tools / "parts.txt").write_text("one | tools/recipe | a part\nother | tools/recipe | another part\n")
    (tools / "packages.txt").write_text("")
    (tools / "recipe").write_text(RECIPE)
    (tools / "recipe").chmod(0o755)
    for run, parts in (("A", "one"), ("A", "one"), ("B", "one"), ("B", "one other"), ("", "one"), ("", "one")):
        done = set_up(f"{tools}/setup-part {parts}", PYTEST_XDIST_TESTRUNUID=run)
        assert done.returncode == 1
    assert (tmp_path / "tried").read_text().split() == ["one", "one", "one", "other", "one", "one"]


@pytest.mark.long
def test_a_run_that_passes_leaves_no_file_behind(tmp_path):
    """Not below /tmp either, where pytest by itself keeps all files of three runs."""
    test = f"tests/repository/test_setup.py::{test_what_one_worker_can_not_make_the_others_do_not_try.__name__}"
    done = set_up(f".venv/bin/python -m pytest -n 1 {test}", PYTEST_DEBUG_TEMPROOT=str(tmp_path))
    assert "1 passed" in done.stdout, done
    assert [path.name for path in tmp_path.rglob("*") if not path.name.startswith("pytest-of-")] == []
