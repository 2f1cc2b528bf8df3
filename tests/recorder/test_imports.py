# SPDX-License-Identifier: Apache-2.0
"""The recorder's imports fit the stack that MicroPython has on MIPS (40,000 octets).

Imports within imports take it up.
"""

from __future__ import annotations

import itertools
import subprocess
from typing import TYPE_CHECKING

from host_sim.driver.interpreters import environment
from tests.support.interpreters import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.interpreters import Interpreter

DEEPER = 3  # modules above the daemon's, as the command has, and the simulator's stages


def test_recorder_is_imported_from_three_modules_deeper_on_mips(mips: Interpreter, tmp_path: Path) -> None:
    names = [f"m{depth}" for depth in range(DEEPER)] + ["agent.recorder.loop"]
    for name, below in itertools.pairwise(names):
        (tmp_path / f"{name}.py").write_text(f"import {below}\n")
    paths = {"MICROPYPATH": f"{tmp_path}:{PROJECT}:.frozen"}
    words = list(map(str, mips.command("-c", "import m0; print('imported')")))
    done = subprocess.run(
        words, cwd=PROJECT, env=environment() | paths, capture_output=True, text=True, check=False, timeout=240
    )
    assert (done.stdout, done.returncode) == ("imported\n", 0), done.stderr
