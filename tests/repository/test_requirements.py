# SPDX-License-Identifier: Apache-2.0
"""Every requirement is in code that carries it and in a test that proves it, and none is quoted that doesn't exist."""

from __future__ import annotations

import ast
import functools
import os
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from agent.cli.table import VERBS
from host_sim.__main__ import app as simulator
from tests.repository.test_repository import project_files
from tests.support.interpreters import PROJECT
from tests.support.sources import IN_ONE_PROCESS, tree_of
from tools.bench.__main__ import app as bench
from tools.custodian.__main__ import app as custodian
from tools.fleet.__main__ import app as fleet
from tools.package.__main__ import app as package

pytestmark = IN_ONE_PROCESS

ID = re.compile(r"\b(?:L34-[IV]+|ANON|EXP)-\d+\b")
_TEXT = (PROJECT / "agent" / "REQUIREMENTS.md").read_text()
_RULES = [rule.partition("** ")[::2] for rule in re.split(r"(?m)^- \*\*|^## ", _TEXT) if ID.match(rule)]
IDS = [name for name, _ in _RULES]
PENDING = {name for name, text in _RULES if "*Not built: " in text}  # wholly or in part
CODE = ("agent", "boards", "tools", "host_sim")
DOCUMENTS = sorted(path for path in project_files() if path.suffix == ".md")


def _commands(app: typer.Typer) -> set[str]:
    return set(getattr(typer.main.get_command(app), "commands", {}))


COMMANDS = {
    "oubli": {verb.name.split()[0] for verb in VERBS},
    "oubli-sim": _commands(simulator),
    "oubli-custodian": _commands(custodian),
    "oubli-fleet": _commands(fleet),
    "oubli-package": _commands(package),
    "oubli-bench": _commands(bench),
}


@functools.cache
def quoted_in_code() -> dict[str, set[str]]:
    """Return the ids that each file of the product quotes, by its path."""
    files = [
        path
        for path in project_files()
        if path.relative_to(PROJECT).parts[0] in CODE and path.suffix not in {".bin", ".png", ".md"}
    ]
    return {str(path.relative_to(PROJECT)): set(ID.findall(path.read_text())) for path in files}


@functools.cache
def quoted_by_tests() -> dict[str, set[str]]:
    """Return the ids in the docstring of each test, by file and name.

    Those of a file's own docstring go with the file.
    """
    found: dict[str, set[str]] = {}
    for path in sorted((PROJECT / "tests").rglob("test_*.py")):
        if path == Path(__file__):
            continue
        found[str(path.relative_to(PROJECT))] = set(ID.findall(ast.get_docstring(tree_of(path)) or ""))
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found[f"{path.relative_to(PROJECT)}::{node.name}"] = set(ID.findall(ast.get_docstring(node) or ""))
    return found


def lacking(ids: list[str], code: dict[str, set[str]], tests: dict[str, set[str]]) -> set[str]:
    """Return the ids that no code carries, or no test proves."""
    carried, proven = set().union(*code.values()), set().union(*tests.values())
    return {name for name in ids if name not in carried or name not in proven}


def test_every_requirement_is_in_code_and_in_a_test():
    """What isn't built is said so in the rule."""
    assert len(IDS) == len(set(IDS)) >= 39
    assert lacking(IDS, quoted_in_code(), quoted_by_tests()) <= PENDING


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in IDS if name not in PENDING])
def test_a_requirement_that_is_removed_is_missed(name):
    """From code, from tests, from either alone."""
    code, tests = quoted_in_code(), quoted_by_tests()
    without = [{path: found - {name} for path, found in place.items()} for place in (code, tests)]
    assert name in lacking(IDS, without[0], tests)
    assert name in lacking(IDS, code, without[1])


def test_no_requirement_is_quoted_that_does_not_exist():
    """A misspelt id would prove nothing."""
    quoted = quoted_in_code() | quoted_by_tests() | {str(path): set(ID.findall(path.read_text())) for path in DOCUMENTS}
    assert {path: found - set(IDS) for path, found in quoted.items() if found - set(IDS)} == {}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_what_a_document_names_is_there(path: Path):
    """Links from its own folder, files from there or from the project's, and the first word of each command of ours."""
    text = path.read_text()
    links = re.findall(r"\]\(([^):#]+)\)", text)
    assert [name for name in links if not (path.parent / name).exists()] == []
    named = re.findall(r"`((?:agent|tests|tools|boards|host_sim)/[\w/.-]+|[\w./-]+\.(?:py|md|json|toml))", text)
    there = {file.name for file in project_files()}
    missing = [
        name
        for name in named
        if not any((place / name).exists() for place in (path.parent, PROJECT)) and name not in there
    ]
    assert [name for name in missing if "NAME" not in name] == []
    called = re.findall(r"(?:^|`)(oubli(?:-[a-z]+)?) ([a-z][a-z|-]*)", text, re.MULTILINE)
    for program, words in called:
        assert set(words.split("|")) <= COMMANDS[program], (program, words)


def test_documents_name_each_program_of_ours():
    """So that the check above has something to look at."""
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    assert all(re.search(rf"(?m)(^|`){program} [a-z]", text) for program in COMMANDS)


def law_table(head: str = "paragraph") -> dict[str, list[str]]:
    """Return the rows of one of LAW.md's tables: paragraph, then what the software does, module, test, command."""
    text = (PROJECT / "LAW.md").read_text()
    rows = text[text.index(f"| {head} |") :].split("\n\n")[0].splitlines()[2:]
    return {cells[0]: cells[1:] for cells in ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)}


def wrong_command(text: str) -> str:
    """Return what isn't understood of a command that LAW.md names, "" where all is."""
    program, *words = text.split()
    apps = {"oubli-sim": simulator, "oubli-custodian": custodian}
    if program == "oubli":
        name = next(
            (" ".join(words[:count]) for count in (2, 1) if " ".join(words[:count]) in [verb.name for verb in VERBS]),
            "",
        )
        verb = next((verb for verb in VERBS if verb.name == name), None)
        options = [word for word in words if word.startswith("--")]
        return "" if verb is not None and all(verb.takes(option) for option in options) else text
    if program not in apps:
        return "" if os.access(PROJECT / program, os.X_OK) else text
    command: Any = typer.main.get_command(apps[program])
    for word in words:
        if word.startswith("--"):
            known = {name for option in command.params for name in option.opts} | {"--help"}
            if word not in known:
                return word
        elif word not in getattr(command, "commands", {}):
            return word
        else:
            command = command.commands[word]
    return ""


def test_each_row_of_the_law_table_leads_to_a_module_a_test_and_a_command():
    """Every paragraph of the article: modules and tests that quote requirements, commands that programs understand."""
    rows = law_table()
    for paragraph in ("II", "III", "NOTA", "IV", "V", "VI"):
        assert any(re.search(rf"\b{paragraph}\b", name) for name in rows), paragraph
    carried, proven = quoted_in_code(), quoted_by_tests()
    for name, (does, module, test, command) in rows.items():
        assert does
        modules, tests = re.findall(r"`([\w/.]+)`", module), re.findall(r"`(tests/[\w/.]+)`", test)
        assert any(found for path, found in carried.items() if path.startswith(tuple(modules))), name
        for path in tests:
            assert any(found for place, found in proven.items() if place.startswith(path)), (name, path)
        commands = re.findall(r"`([^`]+)`", command)
        assert modules, name
        assert tests, name
        assert commands, name
        assert [text for text in commands if wrong_command(text)] == [], name


def test_the_law_tables_in_english_and_french_lead_to_the_same():
    """Row by row: the same modules, tests and commands, and each row has words of its own."""
    english, french = law_table(), law_table("paragraphe")
    assert [[re.findall(r"`([^`]+)`", cell) for cell in row[1:]] for row in english.values()] == [
        [re.findall(r"`([^`]+)`", cell) for cell in row[1:]] for row in french.values()
    ]
    assert not set(english) & set(french)
    assert not {row[0] for row in english.values()} & {row[0] for row in french.values()}


@pytest.mark.parametrize(
    "text",
    ["oubli laws", "oubli status --all", "oubli-custodian thaw", "oubli-sim lab --blocks", "tools/demos", "oubli"],
)
def test_a_command_that_is_not_there_is_found(text):
    """The check above would notice it."""
    assert wrong_command(text)
