# SPDX-License-Identifier: Apache-2.0
"""tools/commands: what the host's seven commands share, held against all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from agent import VERSION
from host_sim.__main__ import app as sim
from tests.support.interpreters import PROJECT
from tools.bench.__main__ import app as bench
from tools.custodian.__main__ import app as custodian
from tools.fleet.__main__ import app as fleet
from tools.image.__main__ import app as image
from tools.package.__main__ import app as package
from tools.soak import app as soak

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAMS = {
    "host_sim": sim,
    "tools.bench": bench,
    "tools.custodian": custodian,
    "tools.fleet": fleet,
    "tools.image": image,
}
PROGRAMS |= {"tools.package": package, "tools.soak": soak}
WRITTEN = {"--json", "--report", "--record", "--out"}


def run(folder: Path, *words: object, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, its module first."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "COLUMNS": "100"}
    command = [sys.executable, "-m", *map(str, words)]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=240, **more
    )


def commands(command: Any) -> Iterator[Any]:
    """Yield a command and all below it."""
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from commands(below)


def test_every_option_that_names_what_is_written_is_looked_at_before_anything_is_done() -> None:
    """One way for all of them: `output`."""
    found = set()
    for name, app in PROGRAMS.items():
        for command in commands(typer.main.get_command(app)):
            for option in command.params:
                if WRITTEN & set(option.opts):
                    assert option.callback is not None, (name, command.name, option.opts)
                    found.add((name, option.opts[0]))
    assert {name for name, _ in found} == {*PROGRAMS}
    assert len(found) == 12


@pytest.mark.parametrize(
    "words",
    [
        ("host_sim", "run", "night", "--record", "-"),
        ("host_sim", "people", "--report", "-"),
        ("host_sim", "lab", "--record", "-"),
        ("tools.bench", "error", "--report", "-"),
        ("tools.custodian", "bundle", "--store", "none", "--lifetime", "billing=2", "--out", "-"),
        ("tools.custodian", "request", "key", "A. Martin", "--out", "-"),
        ("tools.package", "build", "--board", "x86-64", "--format", "ipk", "--out", "-"),
        ("tools.image", "--board", "x86-64", "--out", "-"),
    ],
)
def test_only_json_is_written_to_standard_output(words: tuple[str, ...], tmp_path: Path) -> None:
    """Exit 2, one line, and nothing by the name of `-`."""
    done = run(tmp_path, *words, stdin=subprocess.DEVNULL)
    kind = "folder" if words[0] in {"tools.package", "tools.image"} else "file"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f": {words[-2]}: -: isn't standard output here; accepted: a {kind}\n")
    assert done.stderr.count("\n") == 1
    assert not [*tmp_path.iterdir()]


@pytest.mark.long
def test_a_reader_of_a_pipe_by_name_gets_the_figures(tmp_path: Path) -> None:
    """It isn't opened and closed before: who reads there would take that for the end."""
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", "pipe"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as reader:
        done = run(tmp_path, "host_sim", "people", "--json", "pipe")
        assert (done.returncode, done.stderr) == (0, "")
        assert reader.communicate(timeout=240)[0].startswith("[")


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_command_says_which_version_it_is(name: str) -> None:
    """And its help says that it does."""
    done = CliRunner().invoke(PROGRAMS[name], ["--version"])
    assert (done.exit_code, done.stdout.split()[1:]) == (0, [VERSION])
    assert "--version" in CliRunner().invoke(PROGRAMS[name], ["--help"]).stdout


@pytest.mark.parametrize("words", ["host_sim list", "tools.package boards", "tools.custodian --help"])
def test_a_standard_output_that_is_closed_is_no_fault_of_the_program(words: str, tmp_path: Path) -> None:
    """As where a daemon starts it: Python then has none."""
    done = run(tmp_path, *words.split(), preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, "")
