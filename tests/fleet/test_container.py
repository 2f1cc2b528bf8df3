# SPDX-License-Identifier: Apache-2.0
"""What the container installs: a wheel of nothing but what its file copies, which is whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.interpreters import PROJECT

ASKED = """
from tools.fleet.site import configure
configure("sqlite:///:memory:")
from tools.fleet import remedies
from tools.fleet.judgement import Finding
print(remedies.__file__, *remedies.of_doctor(Finding("doctor", 0, {"names": "flash"}), "fr"))
"""


@pytest.mark.long
def test_what_is_copied_makes_a_wheel_that_speaks_french(tmp_path):
    """Built without the tree; run without it, too."""
    source, installed = tmp_path / "src", tmp_path / "installed"
    lines = (PROJECT / "tools/fleet/container/Containerfile").read_text().splitlines()
    copied = [line.split()[1:] for line in lines if line.startswith("COPY ") and " /src" in line]
    for *names, target in copied:
        for name in names:
            place = tmp_path / target.removeprefix("/")
            if (PROJECT / name).is_dir():
                shutil.copytree(PROJECT / name, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                place.mkdir(exist_ok=True)
                shutil.copy(PROJECT / name, place)
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(installed)
    variables = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", ASKED], cwd=tmp_path, env=variables, check=True, capture_output=True, text=True
    )
    file, _, said = done.stdout.partition(" ")
    assert Path(file).is_relative_to(installed)
    assert "ou baisser mqtt.spool_bytes" in said
