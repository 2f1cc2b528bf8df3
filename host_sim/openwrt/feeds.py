# SPDX-License-Identifier: Apache-2.0
"""The two feeds that a gateway asks, OpenWrt's and oubli's, each signed by its own key."""

from pathlib import Path

from agent import BUILT as WHEN
from host_sim.openwrt.machine import BUILT, ROOT
from tools.openwrt import packages
from tools.package import apk, feed, signing
from tools.package.board import load
from tools.package.contents import cut, files

OPENWRT = "snapshots/targets/x86/64/packages"  # as tools/openwrt/root.py has it in the image
OURS = "oubli/x86-64"
BOARD, PUBLIC = "x86-64", signing.APK_PUBLIC


def interpreter() -> Path:
    """Return the MicroPython that the gateway gets: the one that OpenWrt packages, where it is built, else Debian's."""
    theirs = ROOT / ".cache/micropython-1.28/micropython"
    return theirs if theirs.exists() else Path("/usr/bin/micropython")


def openwrt(folder: Path) -> None:
    """Lay OpenWrt's feed into a folder."""
    place = folder / OPENWRT
    place.mkdir(parents=True)
    for path in (BUILT / "feed").glob("*.apk"):
        (place / path.name).symlink_to(path.resolve())
    _micropython(folder / "micropython", place)
    feed.write(place, BUILT / "feed/keys")


def _micropython(work: Path, place: Path) -> None:
    """Make the package micropython-mbedtls: the interpreter and the libraries that the image doesn't have."""
    program, library = work / "usr/bin/micropython", work / "usr/lib"
    program.parent.mkdir(parents=True)
    library.mkdir()
    program.write_bytes(interpreter().read_bytes())
    program.chmod(0o755)
    in_image = set((BUILT / "libraries.txt").read_text().split())
    for path in packages.loaded([interpreter()], BUILT / "host/lib"):
        if path.name not in in_image:
            (library / path.name).write_bytes(path.read_bytes())
    words: list[str | Path] = [
        "mkpkg",
        "--info",
        "name:micropython-mbedtls",
        "--info",
        "version:1-r1",
        "--info",
        "arch:x86_64",
        "--files",
        work,
    ]
    packages.apk(
        BUILT / "host/apk", *words, "--output", place / "micropython-mbedtls-1-r1.apk", libraries=BUILT / "host/lib"
    )


def build() -> dict[str, bytes]:
    """Return oubli's packages for x86-64 by their files' names."""
    board = load(BOARD)
    made = cut(files(board, WHEN)).items()
    return {apk.file_name(board, package): apk.build(board, package, content, WHEN, None) for package, content in made}


def ours(folder: Path, keys: Path, built: dict[str, bytes] | None = None) -> None:
    """Lay oubli's feed into a folder, signed by a key of its own."""
    place = folder / OURS
    place.mkdir(parents=True)
    keys.mkdir()
    signing.make(keys)
    for name, data in (built or build()).items():
        (place / name).write_bytes(data)
    feed.write(place, keys)
