# SPDX-License-Identifier: Apache-2.0
"""The agent as it is flashed for MicroPython: woven (`weave`), compiled by mpy-cross, the large files deflated.

`python3 -m tools.package.flash` is for an OpenWrt tree (boards/openwrt/Makefile): nothing but the standard library is needed.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

from tools.package import weave
from tools.package.rooms import WeaveError

AGENT = Path(__file__).resolve().parent.parent.parent / "agent"
# What only CPython imports; and what is put before the first file.
LEFT_OUT = ("runtime/cpython.py", "forward/mqtt_paho.py")
STORE = "runtime/store.py"
# Small integers of 31 bits load on 32-bit and 64-bit processors alike; -O3 leaves out assertions and line numbers.
MPY_CROSS = ("-O3", "-msmall-int-bits=31")
LARGE = 13_000  # octets from which a file is deflated: a small one takes as little anywhere
_WINDOW = 12  # bits: 4 KiB of heap while a file is read, and 2 % more octets than with the largest
_MEMORY = 6  # level: blocks of 4,096 symbols, each with a code of its own; longer ones fit bytecode, names and texts less well

# Which rooms make one file, by who reads them: every process; who isn't a daemon; the recorder and doctor; the recorder and what shows
# figures; the recorder; the forwarder; doctor; the other verbs. A room that isn't here is a file by itself.
GROUPS = {
    "agent.base": (
        "agent",
        "agent.__main__",
        "agent.canonical",
        "agent.config",
        "agent.control.calls",
        "agent.daemons",
        "agent.dates",
        "agent.forward.moments",
        "agent.forward.spool",
        "agent.law",
        "agent.paths",
        "agent.runtime.clocks",
        "agent.runtime.files",
        "agent.runtime.libc",
        "agent.runtime.memory",
        "agent.runtime.micropython",
        "agent.runtime.process",
        "agent.runtime.sockets",
        "agent.runtime.sodium",
        "agent.summary.metrics",
        "agent.summary.services",
        "agent.vault.stores",
        "agent.verbs",
    ),
    "agent.ask": ("agent.command", "agent.control.client", "agent.table"),
    "agent.lan": (
        "agent.capture.connections",
        "agent.capture.lan",
        "agent.capture.neighbours",
        "agent.capture.netlink",
        "agent.doctor.verdict",
        "agent.who",
    ),
    "agent.sums": ("agent.control.chain", "agent.forward.messages", "agent.summary.published"),
    "agent.record": (
        "agent.capture.leases",
        "agent.capture.lossfree",
        "agent.capture.timeouts",
        "agent.capture.trouble",
        "agent.clock",
        "agent.control.audit",
        "agent.control.server",
        "agent.counters",
        "agent.loop",
        "agent.recorder",
        "agent.runtime.deflate",
        "agent.standing",
        "agent.straight",
        "agent.summary.day",
        "agent.summary.ledger",
        "agent.summary.noise",
        "agent.summary.terminals",
        "agent.vault.deadlines",
        "agent.vault.expiry",
        "agent.vault.keys",
        "agent.vault.record",
        "agent.vault.ring",
        "agent.vault.segment",
        "agent.vault.unpacker",
    ),
    "agent.send": ("agent.forward.errors", "agent.forward.mqtt_small", "agent.forward.topics", "agent.forwarder"),
    "agent.examine": (
        "agent.doctor.catalogue",
        "agent.doctor.certificate",
        "agent.doctor.device",
        "agent.doctor.examination",
        "agent.doctor.gateway",
        "agent.doctor.grounds",
        "agent.doctor.ruleset",
        "agent.doctor.tracking",
        "agent.doctor.uplink",
    ),
    "agent.show": (
        "agent.access_verbs",
        "agent.article",
        "agent.control.history",
        "agent.notice",
        "agent.status",
        "agent.summary.explain",
    ),
}
# What only type checkers read, at the end of a room.
TYPES = re.compile(r"(?m)^TYPE_CHECKING = False\nif TYPE_CHECKING:\n(?:(?: .*)?\n)*")


def module(name: str) -> str:
    """Return a source file's name as a module: runtime/libc.py is agent.runtime.libc."""
    return ("agent/" + name.removesuffix(".py")).removesuffix("/__init__").replace("/", ".")


def sources(built: int) -> "dict[str, str]":
    """Return the text of each room that a device has, by its module's name.

    `built`, in seconds since the epoch, is the date that a device without a clock knows to be over (EXP-5).
    """
    found = {}
    for path in sorted(AGENT.rglob("*.py")):
        name = path.relative_to(AGENT).as_posix()
        if name not in (*LEFT_OUT, STORE):
            found[module(name)] = TYPES.sub("", path.read_text(encoding="utf-8"))
    found["agent"] = re.sub(r"(?m)^BUILT = 0 .*$", f"BUILT = {built}", found["agent"])
    return found


def compiled(mpy_cross: str, name: str, text: str) -> bytes:
    """Return a file's .mpy; WeaveError with the compiler's last line."""
    with tempfile.TemporaryDirectory() as folder:
        written, out = Path(folder, "source.py"), Path(folder, "out.mpy")
        written.write_text(text, encoding="utf-8")
        words = [mpy_cross, *MPY_CROSS, "-s", name, "-o", str(out), str(written)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise WeaveError(f"{name}: mpy-cross: {done.stderr.strip().splitlines()[-1]}")
        return out.read_bytes()


def deflated(octets: bytes) -> bytes:
    """Return octets as `agent.runtime.store` inflates them."""
    press = zlib.compressobj(9, zlib.DEFLATED, _WINDOW, _MEMORY)
    return press.compress(octets) + press.flush()


def files(built: int, mpy_cross: str, others: "dict[str, str] | None" = None) -> "dict[str, bytes]":
    """Return the files below the library's folder, by their paths there; `others`: texts that stand for rooms' own."""
    found = {}
    for file, text in weave.Weaver(sources(built) | (others or {}), GROUPS).files().items():
        path = file.replace(".", "/")
        if file == weave.MAIN:
            store = TYPES.sub("", (AGENT / STORE).read_text(encoding="utf-8"))
            text = f"{store}serve(__file__)\n{text}"  # noqa: PLW2901 (the first file has the folder's reader at its head)
        octets = compiled(mpy_cross, path.removeprefix("agent/") + ".py", text)
        large = len(octets) >= LARGE
        found[path + (".mpy.z" if large else ".mpy")] = deflated(octets) if large else octets
    return found


def rooms(path: str) -> "list[Path]":
    """Return the source files that a packaged file was made of, by its path below the library's folder."""
    name = path.removesuffix(".z").removesuffix(".mpy")
    file = name.replace("/", ".")
    if file == weave.MAIN:
        return [AGENT / STORE]
    made_of = GROUPS.get(file, (file,))
    return [path for path in sorted(AGENT.rglob("*.py")) if module(path.relative_to(AGENT).as_posix()) in made_of]


def main() -> None:
    """Write the files of `files` to a folder."""
    parser = argparse.ArgumentParser(prog="tools.package.flash", description=main.__doc__)
    parser.add_argument("--mpy-cross", required=True, metavar="FILE")
    parser.add_argument("--built", type=int, default=0, metavar="SECONDS", help="since the epoch")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    given = parser.parse_args()
    try:
        made = files(given.built, given.mpy_cross)
        for name, octets in made.items():
            path = given.out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(octets)
    except (WeaveError, OSError) as failure:
        sys.exit(f"{parser.prog}: {failure}")


if __name__ == "__main__":
    main()
