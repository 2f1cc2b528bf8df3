# SPDX-License-Identifier: Apache-2.0
"""SECURITY.md and tests/attacks say the same: what is claimed is tried, what is tried is listed."""

import ast
import re

from tests.attacks.mutants import MUTANTS
from tests.support.interpreters import PROJECT

ATTACKS = PROJECT / "tests" / "attacks"
TEXT = (PROJECT / "SECURITY.md").read_text()


def test_each_attack_is_listed_with_what_it_would_gain():
    """A row each: number, attack, gain, tests; and each test that tries one stands in a row."""
    rows = [line.split(" | ") for line in TEXT.splitlines() if re.match(r"\| [A-Z]\d+ \|", line)]
    assert all(len(row) == 4 for row in rows)
    names = set(re.findall(r"`(\w+\.py)::(\w+)`", " ".join(row[3] for row in rows)))
    tried = {
        (path.name, part.name)
        for path in ATTACKS.glob("*/test_*.py")
        for part in ast.parse(path.read_text()).body
        if isinstance(part, ast.FunctionDef) and part.name.startswith("test_")
    }
    assert names == tried
    numbers = [row[0].strip("| ") for row in rows]
    assert len(set(numbers)) == len(numbers)
    model = TEXT[: TEXT.index("## Attacks")]
    assert set(re.findall(r"\b[A-Z]\d+\b(?!-)", model)) <= set(numbers)


def test_each_that_cant_be_done_is_tried():
    """Of everybody in the threat model: each clause of what he can't names a test's file or an attack's number."""
    model = TEXT[TEXT.index("| who |") : TEXT.index("## Attacks")]
    rows = [line.strip("| ").split(" | ") for line in model.splitlines()[2:] if line.startswith("|")]
    assert len(rows) >= 12
    for row in rows:
        assert row[-1] != row[0]
        for clause in row[-1].split("; "):
            assert re.search(r"`tests/[\w./]+\.py`|\b[A-Z]\d+", clause), (row[0], clause)


def test_each_file_that_is_named_is_there():
    assert all((PROJECT / name).exists() for name in re.findall(r"`((?:tests|tools|agent|boards)/[\w./]+)`", TEXT))


def test_each_attack_has_a_defence_to_take_away():
    """`python -m tests.attacks.mutants` takes each away and sees the attack succeed.

    Here, that the table speaks of the code as it is.
    """
    for one in MUTANTS:
        assert (PROJECT / one.file).read_text().count(one.before) == 1, one
        path, _, name = one.tests.partition("::")
        assert not name or re.search(rf"(?m)^def {name}\(", (PROJECT / path).read_text()), one
    assert {one.number for one in MUTANTS} == {
        row.split()[1] for row in TEXT.splitlines() if re.match(r"\| [A-Z]\d+ \|", row)
    }
