# SPDX-License-Identifier: Apache-2.0
"""The pinned sources: one line of sources.txt each, from an archive at hand or cloned at that very commit.

Archives (NAME.tar.xz, the sum in the list) are looked for in $OUBLI_OPENWRT, then in
../shared/openwrt/sources beside the project.
"""

import hashlib
import os
import subprocess
import tarfile
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parent.parent.parent
LIST = Path(__file__).with_name("sources.txt")


class BuildError(Exception):
    """The system can't be built; its text is the one line to show."""


class Source(NamedTuple):
    """One source tree: its name, its repository on GitHub, the commit, and the SHA-256 of its archive."""

    name: str
    repository: str
    commit: str
    sha256: str


def read(path: Path = LIST) -> dict[str, Source]:
    """Return every source by its name."""
    lines = path.read_text().splitlines()[1:]
    return {source.name: source for source in (Source(*line.split()) for line in lines)}


def folders() -> list[Path]:
    """Return the folders in which archives are looked for, the first first."""
    named = os.environ.get("OUBLI_OPENWRT")
    return [*([Path(named)] if named else []), PROJECT.parent / "shared/openwrt/sources"]


def unpack(source: Source, into: Path) -> None:
    """Lay a source's tree into the folder `into`/NAME; BuildError where it can't be had or isn't what the list says."""
    for folder in folders():
        archive = folder / f"{source.name}.tar.xz"
        if archive.is_file():
            found = hashlib.sha256(archive.read_bytes()).hexdigest()
            if found != source.sha256:
                raise BuildError(f"{archive}: its SHA-256 is {found}; accepted: {source.sha256}")
            with tarfile.open(archive) as tar:
                tar.extractall(into, filter="tar")
            return
    _clone(source, into / source.name)


def _clone(source: Source, place: Path) -> None:
    """Fetch one commit and nothing else; git checks that what came has the hash that was asked for."""
    place.mkdir(parents=True)
    upstream = f"https://github.com/{source.repository}.git"
    for step in ("init --quiet", f"fetch --quiet --depth=1 {upstream} {source.commit}", "checkout --quiet FETCH_HEAD"):
        done = subprocess.run(["git", *step.split()], cwd=place, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sought, said = ", ".join(map(str, folders())), done.stderr.strip()[-200:]
            raise BuildError(f"{source.name}: no {source.name}.tar.xz in {sought}, and no clone of {upstream}: {said}")
