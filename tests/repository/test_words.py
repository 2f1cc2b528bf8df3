# SPDX-License-Identifier: Apache-2.0
"""What a newcomer reads: the glossary is short, each word of it is used, and no docstring has a long sentence."""

from __future__ import annotations

import ast
import itertools
import re
from typing import TYPE_CHECKING

import pytest

from tests.repository.test_repository import project_files
from tests.support.interpreters import PROJECT
from tests.support.sources import IN_ONE_PROCESS, tree_of

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = IN_ONE_PROCESS

MOST = 25  # words of a sentence
_FOLDERS = ("agent", "host_sim", "tools", "tests")
# In the built OpenWrt's cache key: a word changed there has every clone build it anew
_BUT = ("tools/openwrt/",)
_SOURCE = r"\((?:see )?(?:L34|ANON|EXP|RFC|GDPR|law|art\.|CPCE|agent\.|host_sim\.|tools\.|tests\.|`)[^()]*\)"
_LISTED = re.compile(r"\s|[-*>|] |\d+\. |.*\S {2,}\S", re.DOTALL)  # indented, a list's item, columns


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a docstring: without lists, tables, what is indented, and sources in parentheses.

    A semicolon doesn't end one.
    """
    for paragraph in re.split(r"\n\s*\n", text):
        plain = itertools.takewhile(lambda line: not _LISTED.match(line), paragraph.split("\n"))
        yield from re.split(r"(?<=[.!?:])[\"”»)]*\s+", re.sub(_SOURCE, "", " ".join(plain)))


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each docstring."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text:
                yield node.body[0].lineno, text


def long_sentences(tree: ast.Module) -> list[tuple[int, int, str]]:
    """Return docstrings' sentences of more than MOST words: the docstring's line, how many words, the sentence."""
    found = ((line, len(one.split()), one) for line, text in docstrings(tree) for one in sentences(text))
    return [one for one in found if one[1] > MOST]


@pytest.mark.long
def test_no_sentence_of_a_docstring_is_long() -> None:
    files = [path for path in project_files() if path.suffix == ".py"]
    named = {str(path.relative_to(PROJECT)): path for path in files}
    looked = {name: path for name, path in named.items() if name.startswith(_FOLDERS) and not name.startswith(_BUT)}
    assert len(looked) > 500
    found = {name: long_sentences(tree_of(path)) for name, path in looked.items()}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. " + "word " * 25, 0),
        ("One. " + "word " * 26, 1),
        ("word " * 13 + "; " + "word " * 13, 1),
        ("word " * 13 + ": " + "word " * 13, 0),
        ("word " * 13 + "\n\n" + "word " * 13, 0),
        ("word " * 13 + "\n- " + "word " * 26, 0),
        ("word " * 13 + "\n    " + "word " * 26 + "\nEnd.", 0),
        ("word " * 25 + "(EXP-1, L34-II-4)", 0),
        ("word " * 25 + "(and one more)", 1),
    ],
    ids=("25", "26", "semicolon", "colon", "paragraph", "list", "indented", "source", "parenthesis"),
)
def test_a_long_sentence_is_found(text: str, count: int) -> None:
    assert len(long_sentences(ast.parse(f"def one():\n    {text!r}\n"))) == count


def rows(text: str) -> list[tuple[str, str]]:
    """Return words and meaning of each row of a table of the glossary."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n") if line[:2] == "| "]
    return [(words, meaning) for words, meaning in cells[1:]]


def words_of(cell: str) -> list[str]:
    """Return the words that a row of the glossary explains."""
    return re.sub(r" \(`[^`]*`\)", "", cell).split(", ")


def said(word: str, project: str) -> bool:
    """Return True if a text has a word: "device key" as DeviceKey or device_key, too."""
    return bool(re.search(rf"(?i)(?<![a-z]){re.escape(word)}".replace(r"\ ", "[ _]?"), project))


def faults(glossary: str, project: str) -> list[str]:
    """Return what is wrong with a glossary, one text a fault; `project` is all that may use its words."""
    every = [(word, meaning) for cell, meaning in rows(glossary) for word in words_of(cell)]
    names = [word for word, _ in every]
    return [
        *([f"{len(rows(glossary))} words"] if not 40 <= len(rows(glossary)) <= 60 else []),
        *(f"{word} stands there twice" for word in sorted(set(names)) if names.count(word) > 1),
        *(f"{word}: nobody says it" for word in names if not said(word, project)),
        *(f"{word} has no meaning" for word, meaning in every if not meaning),
        *([] if rows(glossary) == sorted(rows(glossary), key=lambda row: row[0].lower()) else ["not in order"]),
    ]


def test_the_glossary_is_short_and_each_word_is_used() -> None:
    """40 to 60 words, each once."""
    files = [path for path in project_files() if path.suffix in {".py", ".md"} and path.name != "GLOSSARY.md"]
    text = "\n".join(path.read_text() for path in files if path.name != "test_words.py")
    glossary = (PROJECT / "agent" / "GLOSSARY.md").read_text()
    assert faults(glossary, text) == []
    more = "".join(f"| zz{number} | x |\n" for number in range(10, 20))
    assert faults(glossary + more, text) == [
        f"{len(rows(glossary)) + 10} words",
        *(f"zz{number}: nobody says it" for number in range(10, 20)),
    ]
    assert faults(glossary + "| window | x |\n| Who | |\n", text)[:2] == [
        "window stands there twice",
        "Who has no meaning",
    ]
