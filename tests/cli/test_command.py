# SPDX-License-Identifier: Apache-2.0
"""agent/cli/command: the command line made of two tables, and the tables of `oubli` itself."""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import re
import signal
import subprocess
import termios
import time
from typing import TYPE_CHECKING

import pytest

from agent.cli.table import OPTIONS, TABLE, VERBS
from agent.purposes.requests import requests
from host_sim.driver import interpreters as host

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.interpreters import Interpreter

FAULT = """
import sys; from agent import __main__ as program
from agent.cli import table

class Line:
    def run(self):
        return {}["02:00:00:00:00:01"]

table.TABLE.parse = lambda words: Line()
sys.exit(program.main(["status"]))
"""

ASK = """
import json, sys
from agent.cli.command import Option, Table, UsageError, Verb

def two(value):
    if value != "2":
        raise ValueError("2")

OPTIONS = {
    "--config": Option("FILE", "c"), "--root": Option("DIR", "r"), "--json": Option("", "j"),
    "--mac": Option("MAC", "m"), "--end": Option("2", "e", two), "--all": Option("", "a"), "--text": Option("T", "t"),
}
VERBS = (
    Verb("plain", "x.plain", "p", ("--json",)),
    Verb("some", "x.some", "s", one_of=("--all", "--mac")),
    Verb("run", "x.run", "r", word="FILE"),
    Verb("pick", "x.pick", "k", ("--text",), word="COLOUR", choices=("red", "blue")),
    Verb("consent grant", "x.grant", "g", ("--text",), needs=("--mac", "--end")),
    Verb("consent list", "x.list", "l", ("--json",)),
)
table = Table(VERBS, OPTIONS, "the end")
for words in json.loads(sys.stdin.readline()):
    try:
        line = table.parse(words)
        print(json.dumps([line.verb.name, line.word, sorted(line.options.items())]))
    except UsageError as failure:
        print(json.dumps(str(failure)))
print(table.help("consent"))
"""
UNDERSTOOD: dict[str, list] = {
    "plain": ["plain", "", []],
    "--json plain --root /": ["plain", "", [["--json", ""], ["--root", "/"]]],
    "some --mac plain": ["some", "", [["--mac", "plain"]]],
    "run plain": ["run", "plain", []],
    "pick --text x red": ["pick", "red", [["--text", "x"]]],
    "consent grant --end 2 --mac x": ["consent grant", "", [["--end", "2"], ["--mac", "x"]]],
    "consent --json list": ["consent list", "", [["--json", ""]]],
}
ALL = "VERB, --all, --config FILE, --end 2, --json, --mac MAC, --root DIR, --text T, --help"
NAMES = "consent grant, consent list, pick, plain, run, some"
WRONG = {
    "": "a verb is missing; accepted: " + NAMES,
    "--json": "a verb is missing; accepted: " + NAMES,
    "plan": "plan: unknown verb; accepted: " + NAMES,
    "consent": "consent: a second word is missing; accepted: consent grant, consent list",
    "consent give": "consent give: unknown verb; accepted: consent grant, consent list",
    "plain grant": "grant: not understood; accepted: plain, --config FILE, --root DIR, --help",
    "plain --jsn": "--jsn: not understood; accepted: " + ALL,
    "plain --root": "--root: a value is missing; accepted: --root DIR",
    "plain --json --json": "--json: given twice; accepted: once",
    "plain --text x": "--text: not for plain; accepted: pick --text T, consent grant --text T",
    "plain --root /no/such": "--root /no/such: no such folder; accepted: an existing folder",
    "some": "some: exactly one of these is needed; accepted: some --all, some --mac MAC",
    "some --all --mac x": "some: exactly one of these is needed; accepted: some --all, some --mac MAC",
    "run": "run: FILE is missing; accepted: run FILE",
    "run a b": "b: not understood; accepted: run FILE, --config FILE, --root DIR, --help",
    "pick": "pick: COLOUR is missing; accepted: red, blue",
    "pick green": "green: not understood; accepted: red, blue",
    "consent grant --mac x": "consent grant: --end is missing; accepted: consent grant --mac MAC --end 2 [--text T]",
    "consent grant --mac x --end 3": "--end: not understood; accepted: 2",
}
HELP = """usage: oubli VERB [--config FILE] [--root DIR] [--json] ...

  consent grant --mac MAC --end 2 [--text T]
                            g
  consent list              l

  --config FILE             c
  --end 2                   e
  --json                    j
  --mac MAC                 m
  --root DIR                r
  --text T                  t
  --help, --version

the end
"""


def test_a_line_is_what_the_tables_say_and_nothing_else(any_interpreter: Interpreter) -> None:
    """Verbs of one and of two words, options before and behind; a mistake is one line that says what is accepted."""
    lines = [words.split() for words in (*UNDERSTOOD, *WRONG)]
    out = any_interpreter.run("-c", ASK, input=json.dumps(lines) + "\n").stdout.decode()
    told = [json.loads(line) for line in out.splitlines()[: len(lines)]]
    assert told == [*UNDERSTOOD.values(), *WRONG.values()]
    assert out.endswith(HELP)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_of_oubli_has_a_room_that_runs_it_and_a_line_of_help(verb) -> None:
    module, name = verb.run.rsplit(".", 1)
    assert getattr(importlib.import_module(f"agent.{module}"), name).__doc__
    assert verb.text in TABLE.help()
    for option in (*verb.options, *verb.needs, *verb.one_of):
        assert OPTIONS[option].text in TABLE.help(verb.name.split()[0])


DAEMON = """
import sys
from agent import __main__ as program
for words in (["recorder", "--root", "."], ["recorder", "--root", ".", "--json"]):
    print(program.main(words), "agent.cli.table" in sys.modules)
"""


def test_a_daemon_starts_without_the_tables_of_what_people_ask_for(any_interpreter: Interpreter) -> None:
    """They would stand in its heap as long as it lives; a mistake is told from them, as for any verb."""
    done = any_interpreter.run("-c", DAEMON, check=False)
    assert done.stdout == b"2 False\n2 True\n"
    assert [line.split(b":")[1] for line in done.stderr.splitlines()] == [b" ./etc/config/oubli", b" --json"]


def test_a_fault_of_the_program_says_where_and_nothing_of_what(any_interpreter: Interpreter) -> None:
    """L34-VI-3: a KeyError's text is the key, and that may be a terminal's address; it goes to the system log."""
    done = any_interpreter.run("-c", FAULT, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert re.fullmatch(rb"oubli: a fault of the program, KeyError at <[a-z]+>:7\n", done.stderr)


@pytest.mark.parametrize("buffered", [False, True])
@pytest.mark.parametrize("words", [("--help",), ("explain", "arrivals", "--config")])
def test_what_cant_be_written_is_told_in_one_line_and_a_reader_that_has_enough_is_no_fault(
    interpreter: Interpreter, words: tuple[str, ...], buffered: bool, tmp_path: Path
) -> None:
    """A full disk: exit 1 and one line; a reader that is gone (`oubli status | head`): nothing.

    Whenever the interpreter writes.
    """
    config = tmp_path / "oubli"
    config.write_text("config gateway 'gateway'\n\toption id 'abcdefgh23456777'\n")
    command = interpreter.command("-m", "agent", *words, *([config] if len(words) > 1 else []))
    environment = host.environment() | {"PYTHONUNBUFFERED": "" if buffered else "1"}
    read, write = os.pipe()
    os.close(read)
    for full, status, said in (
        (os.open("/dev/full", os.O_WRONLY), 1, b"oubli: can't go on (no space left on device)\n"),
        (write, 0, b""),
    ):
        done = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=interpreter.root,
            env=environment,
            timeout=240,
            check=False,
        )
        os.close(full)
        assert (done.returncode, done.stderr) == (status, said)


def test_a_day_that_no_calendar_has_is_refused(interpreter: Interpreter) -> None:
    """Exit 2, one line."""
    for day in ("2026-13-45", "2026-02-29", "2026-1-01", "yesterday"):
        done = interpreter.run("-m", "agent", "summary", "--day", day, check=False)
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr == b"oubli: --day: not understood; accepted: a date such as 2026-11-25\n"


def test_what_is_interrupted_says_no_more_than_that(interpreter: Interpreter, tmp_path: Path) -> None:
    """SIGINT while a verb waits for what is typed: one line, or the signal's own end."""
    # Who starts the tests in the background may have SIGINT ignored.
    command = [
        "env",
        "--default-signal=INT",
        *interpreter.command("-m", "agent", "consent", "suspend", "--terminal", "-", "--root", tmp_path),
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=interpreter.root, env=host.environment()
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b"0")
        process.stdin.flush()
        deadline, waits = time.monotonic() + 90, bytearray(4)
        while fcntl.ioctl(process.stdin, termios.FIONREAD, waits) or any(waits):  # it reads, and the line has no end
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=240)
    assert (process.returncode, *told) in ((130, b"", b"oubli: interrupted\n"), (-signal.SIGINT, b"", b""))


@pytest.mark.needs("root")
@pytest.mark.parametrize("text", ["", "\n"])
def test_a_key_file_without_a_key_enrols_nobody(interpreter: Interpreter, text: str, tmp_path: Path) -> None:
    """An empty file is no key; before, it was thanked for."""
    (tmp_path / "x.pub").write_text(text)
    done = interpreter.run("-m", "agent", "request", "enrol", tmp_path / "x.pub", "--root", tmp_path, check=False)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert b": not a key to enrol; accepted: " in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["x.pub"]


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (None, "can't be read (no such file or directory)"),
        ("/", "can't be read (is a directory)"),
        ("a" * 10_000, "can't be read (file too large)"),
        ("\x1b\n", "not plain text in UTF-8"),
    ],
)
def test_a_request_that_cannot_be_read_is_told_in_words(
    interpreter: Interpreter, content: str | None, wrong: str, tmp_path: Path
) -> None:
    """Exit 2, one line; a number says nothing to the operator of a gateway."""
    file = tmp_path / "r.toml"
    if content == "/":
        file.mkdir()
    elif content is not None:
        file.write_text(content)
    done = interpreter.run("-m", "agent", "request", "run", file, check=False)
    accepted = f"a request that two agents signed, at most {requests.LIMIT} octets"
    assert (done.returncode, done.stdout, done.stderr.decode()) == (
        2,
        b"",
        f"oubli: {file}: {wrong}; accepted: {accepted}\n",
    )
