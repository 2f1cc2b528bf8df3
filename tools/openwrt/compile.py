# SPDX-License-Identifier: Apache-2.0
"""Programs from their sources, by programs.toml: what is unpacked, patched, cut, how it is built.

Each source is copied and built in place, because several write into their own folder or look for scripts there. What
`make install` would install lies in `stage`; a step that is done leaves a mark, so that a kept folder isn't built
twice.
"""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.openwrt.debian import Debian
from tools.openwrt.sources import BuildError

TABLE = Path(__file__).with_name("programs.toml")


def programs() -> list[dict[str, Any]]:
    """Return the table's rows, in the order in which they are built."""
    rows: list[dict[str, Any]] = tomllib.loads(TABLE.read_text())["program"]
    return rows


class Compiler:
    """Builds the programs below `work`: sources in src, one folder each in build, everything installed in stage."""

    def __init__(self, work: Path, debian: Callable[[], Debian], say: Callable[[str], None]) -> None:
        self.sources, self.stage, self._build, self._logs = (work / name for name in ("src", "stage", "build", "log"))
        self._debian, self._say = debian, say
        for folder in (self.stage / "usr/include", self.stage / "usr/lib", self._build, self._logs):
            folder.mkdir(parents=True, exist_ok=True)
        compiler = f"-L{self.stage}/usr/lib -Wl,-rpath-link,{self.stage}/usr/lib"
        self._environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if name not in {"CFLAGS", "LDFLAGS", "CPPFLAGS", "MAKEFLAGS"}
            },
            "STAGE": str(self.stage),
            "SOURCES": str(self.sources),
            "HERE": str(TABLE.parent),
            "JOBS": str(os.cpu_count() or 1),
            "FLAGS": f"-O2 -g0 -D_GNU_SOURCE -w -fcommon -I{self.stage}/usr/include",
            "LINK": compiler,
            "PKG_CONFIG_PATH": f"{self.stage}/usr/lib/pkgconfig",
        }

    def all(self) -> None:
        """Build every program that isn't built yet."""
        for row in programs():
            done = self._build / f"{row['name']}.done"
            if not done.exists():
                self._say(row["name"])
                self._one(row)
                done.touch()

    def _one(self, row: dict[str, Any]) -> None:
        place = self._build / row["name"]
        if place.exists():
            shutil.rmtree(place)
        origin, _, name = row.get("source", row["name"]).rpartition(":")
        if origin == "debian":
            self._debian().source(name, place)
        else:
            shutil.copytree(self.sources / name, place, symlinks=True)
        self._patch(row, place)
        for path in place.rglob("CMakeLists.txt"):  # warnings of a newer compiler are no reason to stop
            path.write_text(re.sub(r"-Werror\b(=[a-z-]*)?", "", path.read_text()))
        steps = row.get("steps") or self._cmake(row)
        script = "\n".join(["set -euo pipefail", *(step["run"] if isinstance(step, dict) else step for step in steps)])
        log = self._logs / f"{row['name']}.log"
        with log.open("wb") as output:
            words, quiet = ["bash", "-c", script], subprocess.DEVNULL
            done = subprocess.run(
                words, cwd=place, env=self._environment, stdin=quiet, stdout=output, stderr=output, check=False
            )
        if done.returncode != 0:
            raise BuildError(
                f"{row['name']}: wasn't built; the end of its log:\n{log.read_text(errors='replace')[-3000:]}"
            )
        shutil.rmtree(place)

    def _patch(self, row: dict[str, Any], place: Path) -> None:
        """Apply OpenWrt's patches, all but those that the table leaves out with a reason."""
        patches = sorted((self.sources / "openwrt" / row["patches"]).glob("*.patch")) if "patches" in row else []
        unknown = set(row.get("left_out", {})) - {path.name for path in patches}
        if unknown:
            raise BuildError(f"programs.toml: {row['name']}: left_out: {', '.join(sorted(unknown))}: no such patch")
        for path in (path for path in patches if path.name not in row.get("left_out", {})):
            done = subprocess.run(
                ["patch", "-p1", "-N", "-s", "-i", path], cwd=place, capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise BuildError(f"{row['name']}: {path.name} doesn't apply: {done.stdout.strip()[-300:]}")

    def _cmake(self, row: dict[str, Any]) -> list[str]:
        flags = f'-DCMAKE_C_FLAGS="$FLAGS {row.get("flags", "")}"'
        link = " ".join(f'-DCMAKE_{kind}_LINKER_FLAGS="$LINK"' for kind in ("EXE", "SHARED", "MODULE"))
        options = " ".join(f'"{option}"' for option in row.get("options", []))
        configure = (
            "cmake . -DCMAKE_POLICY_VERSION_MINIMUM=3.5 -DCMAKE_BUILD_TYPE=None -DCMAKE_SKIP_RPATH=ON"
            ' -DCMAKE_INSTALL_PREFIX=/usr -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_PREFIX_PATH="$STAGE/usr"'
            f' -DCMAKE_INCLUDE_PATH="$STAGE/usr/include" -DCMAKE_LIBRARY_PATH="$STAGE/usr/lib" {flags} {link} {options}'
        )
        return [configure, 'make -j"$JOBS"', 'make install DESTDIR="$STAGE"']
