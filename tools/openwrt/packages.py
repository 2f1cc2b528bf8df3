# SPDX-License-Identifier: Apache-2.0
"""OpenWrt's packages from what was built, each a real .apk by apk itself; packages.toml says what is where.

The image is what apk lays out of those that are `image = true`; the others wait in the feed. Libraries that several
need, Debian's and the C library among them, are one package of the image; a package of the feed brings those that the
image doesn't have.
"""

import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from tools.openwrt.kernel import Kernel
from tools.openwrt.sources import BuildError

TABLE = Path(__file__).with_name("packages.toml")
SCRIPT = """#!/bin/sh
[ -s "${{IPKG_INSTROOT}}/lib/functions.sh" ] || exit 0
. "${{IPKG_INSTROOT}}/lib/functions.sh"
export root="${{IPKG_INSTROOT}}"
export pkgname="{name}"
add_group_and_user
default_postinst
{after}
"""
VERSION = "1-r1"
LIBRARIES = "libraries"


@dataclass(frozen=True)
class Row:
    """One row of packages.toml."""

    name: str
    image: bool = False
    files: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    depends: str = ""
    users: str = ""
    modules: list[str] = field(default_factory=list)
    load: str = ""
    after: str = ""


def rows() -> list[Row]:
    """Return the table's rows."""
    return [Row(**row) for row in tomllib.loads(TABLE.read_text())["package"]]


def spread(text: str) -> list[str]:
    """Return a word's alternatives: a{b,c}d is abd and acd."""
    found = re.search(r"\{([^{}]*)\}", text)
    if found is None:
        return [text]
    return [
        whole for part in found[1].split(",") for whole in spread(text[: found.start()] + part + text[found.end() :])
    ]


class Packages:
    """Lays out every package below `work`/pkg and makes the .apk files in `work`/apk."""

    def __init__(self, work: Path, kernel: Kernel) -> None:
        self._origins = {
            "openwrt": work / "src/openwrt/package",
            "target": work / "src/openwrt/target/linux/x86",
            "stage": work / "stage/usr",
            "busybox": work / "stage/busybox",
            "src": work / "src",
            "here": TABLE.parent,
        }
        self._kernel, self._stage = kernel, work / "stage"
        self.folder, self.made = work / "pkg", work / "apk"
        for place in (self.folder, self.made):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
        self.rows = rows()

    def lay_out(self) -> None:
        """Put every package's files in its folder."""
        # A kernel module is in the first package that wants it
        for row in sorted(self.rows, key=lambda row: not row.image):
            place = self.folder / row.name
            place.mkdir()
            for line in row.files:
                self._lay(line, place)
            for link, target in row.links.items():
                (place / link).parent.mkdir(parents=True, exist_ok=True)
                (place / link).unlink(missing_ok=True)
                (place / link).symlink_to(target)
            self._kernel.modules(row.modules, place, row.load)
        self._give_way()

    def _give_way(self) -> None:
        """Take out of busybox's package the links whose program another package has (OpenWrt's "alternatives")."""
        programs = {
            path.name
            for row in self.rows
            if row.image and row.name != "busybox"
            for path in (self.folder / row.name).rglob("*")
            if path.parent.name in {"bin", "sbin"}
        }
        for link in (self.folder / "busybox").rglob("*"):
            if link.is_symlink() and link.parent.name in {"bin", "sbin"} and link.name in programs:
                link.unlink()

    def _lay(self, line: str, place: Path) -> None:
        """Copy what one line of `files` says."""
        origin, where, mode = [*line.split(), ""][:3]
        target = place / where.lstrip("/")
        for name in spread(origin):
            source = self._found(name)
            if name.endswith("/."):
                if source.is_dir():  # a module of LuCI's needn't have each of them
                    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
                continue
            file = target / source.name if where.endswith("/") else target
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, file, follow_symlinks=name.startswith("debian/"))
            if mode:
                file.chmod(int(mode, 8))

    def _found(self, name: str) -> Path:
        origin, _, rest = name.partition("/")
        if origin == "debian":
            program = shutil.which(rest, path="/usr/sbin:/usr/bin:/sbin:/bin")
            path = Path(program) if program else next(Path("/usr/lib").glob(f"*/{rest}"), None)
        else:
            path = self._origins[origin] / rest.removesuffix("/.")
        if path is None or not (path.exists() or name.endswith("/.")):
            raise BuildError(f"packages.toml: {name}: isn't there")
        return path

    def share_libraries(self) -> None:
        """Lay the image programs' libraries into a package of their own, others' beside the program that needs them."""
        shared = self.folder / LIBRARIES / "lib"
        shared.mkdir(parents=True)
        (shared.parent / "etc").mkdir()
        (shared.parent / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
        for row in sorted(self.rows, key=lambda row: not row.image):
            place = self.folder / row.name
            for library in self._loaded(place):
                if not (shared / library.name).exists() and not (place / "usr/lib" / library.name).exists():
                    target = shared if row.image else place / "usr/lib"
                    target.mkdir(parents=True, exist_ok=True)
                    shutil.copy(library, target / library.name)
        self.rows.append(Row(LIBRARIES, image=True))

    def _loaded(self, place: Path) -> list[Path]:
        """Return the libraries that the programs and libraries of a folder load."""
        programs = [
            path
            for path in place.rglob("*")
            if path.is_file() and not path.is_symlink() and path.read_bytes()[:4] == b"\x7fELF"
        ]
        programs = [path for path in programs if path.suffix != ".ko"]
        if not programs:
            return []
        return loaded(programs, self._stage / "usr/lib")

    def strip(self) -> None:
        """Take the debugger's part out of every program."""
        for path in self.folder.rglob("*"):
            if (
                path.is_file()
                and not path.is_symlink()
                and path.suffix != ".ko"
                and path.read_bytes()[:4] == b"\x7fELF"
            ):
                subprocess.run(["strip", "--strip-unneeded", path], check=False, capture_output=True)

    def apk(self, *words: str | Path) -> None:
        """Run the apk that was built."""
        apk(self._stage / "usr/bin/apk", *words, libraries=self._stage / "usr/lib")

    def make(self) -> None:
        """Make the .apk of every package."""
        for row in self.rows:
            place, script = self.folder / row.name, self.folder / f"{row.name}.post-install"
            files = sorted(path for path in place.rglob("*") if not path.is_dir() or path.is_symlink())
            lists = place / "lib/apk/packages"
            lists.mkdir(parents=True, exist_ok=True)
            (lists / f"{row.name}.list").write_text("".join(f"/{path.relative_to(place)}\n" for path in files))
            if row.users:
                (lists / f"{row.name}.rusers").write_text(row.users + "\n")
            script.write_text(SCRIPT.format(name=row.name, after=row.after))
            about = {
                "name": row.name,
                "version": VERSION,
                "arch": "x86_64",
                "depends": row.depends,
                "description": row.name,
            }
            words = [word for key, value in about.items() for word in ("--info", f"{key}:{value}")]
            self.apk(
                "mkpkg",
                *words,
                "--files",
                place,
                "--script",
                f"post-install:{script}",
                "--output",
                self.made / f"{row.name}.apk",
            )


def apk(program: Path, *words: str | Path, libraries: Path) -> None:
    """Run apk with the libraries that it was built with; BuildError with what it complained of."""
    done = subprocess.run(
        [program, *words], env={"LD_LIBRARY_PATH": str(libraries)}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BuildError(f"apk {words[0]}: {(done.stdout + done.stderr).strip()[-500:]}")


def loaded(programs: list[Path], libraries: Path) -> list[Path]:
    """Return the libraries that programs load, those of the folder `libraries` before this machine's."""
    done = subprocess.run(
        ["ldd", *programs], env={"LD_LIBRARY_PATH": str(libraries)}, capture_output=True, text=True, check=False
    )
    return sorted({Path(path) for path in re.findall(r"(?:=> |^\t)(/\S+)", done.stdout, re.MULTILINE)})
