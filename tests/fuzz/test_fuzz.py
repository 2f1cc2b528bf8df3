# SPDX-License-Identifier: Apache-2.0
"""tools/fuzz and tools/soak: a bounded run finds nothing, and what is broken on purpose is found.

And what fuzzing alone may not reach: layouts that were learned before, in whatever order and however many, never change
what a message says. Nothing is read behind a message. Both hold on any interpreter.
"""

from __future__ import annotations

import json
import random
import re
import signal
import struct
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from agent.capture import connections, neighbours, netlink
from agent.recorder import fast_path
from agent.summary import terminals
from agent.vault import record
from host_sim.venue import kernel
from tests.support.interpreters import PROJECT, Interpreter
from tools.fuzz import capture
from tools.fuzz.mutations import mutated
from tools.fuzz.stage import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STEPS = 3000


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[capture.Peer]:
    """Give MicroPython, which must end in order."""
    made = capture.Peer("micropython", folder(tmp_path, "peer"))
    yield made
    assert made.close() == 0


def folder(path: Path, name: str) -> Path:
    made = path / name
    made.mkdir()
    return made


@pytest.mark.needs("micropython")
@pytest.mark.long
def test_a_bounded_run_finds_nothing_and_both_interpreters_agree(peer: capture.Peer, tmp_path: Path) -> None:
    """Repeatable from its seed; guided: what it keeps runs through more than the recorded datagrams do."""
    fuzzer = capture.Fuzzer(1, folder(tmp_path, "one"), peer)
    begun = fuzzer.report()
    for _ in range(STEPS):
        fuzzer.step()
    report = fuzzer.report()
    assert report["findings"] == []
    assert report["executions"] == begun["executions"] + STEPS
    for figure in ("corpus", "edges", "features"):
        assert report[figure] > 1.1 * begun[figure]
    assert report["fast"] > STEPS // 20
    again = capture.Fuzzer(1, folder(tmp_path, "again"))
    for _ in range(STEPS // 10):
        again.step()
    assert again.corpus == fuzzer.corpus[: len(again.corpus)]
    for one in (fuzzer, again):
        one.close()


def found(path: Path, peer: capture.Peer | None = None, seed: int = 1) -> str:
    """Return the first thing that a run of at most STEPS finds."""
    fuzzer = capture.Fuzzer(seed, folder(path, "found"), peer)
    for _ in range(STEPS):
        if fuzzer.findings:
            break
        fuzzer.step()
    fuzzer.close()
    return fuzzer.findings[0]["what"] if fuzzer.findings else "nothing"


def test_a_layout_that_leaves_a_header_unchecked_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One header in eight isn't compared."""
    head = connections._head
    monkeypatch.setattr(connections, "_head", lambda *where: head(*where) if where[3] & 28 else None)
    assert found(tmp_path).startswith("a learned layout misreads")


class Forgetful(fast_path.FastPath):
    """One that counts each connection as kept once more."""

    def run(self, inbox: fast_path.Inbox, limit: int) -> int:
        size = super().run(inbox, limit)
        self._values["kept"] += not size
        return size


@pytest.mark.parametrize(
    ("name", "wrong", "differ"),
    [
        ("fast_path.FEW", record.FEW - 1, "records"),
        ("prepared.CLASSES_AT", terminals.CLASSES_AT + 1, "day's table"),
        ("streams.FastPath", Forgetful, "counters"),
    ],
)
def test_a_fast_path_that_leaves_something_else_behind_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, wrong: object, differ: str
) -> None:
    """It alone takes something for another: packets of 14, the place of a class; or counts wrongly."""
    monkeypatch.setattr(f"agent.recorder.{name}", wrong)
    assert re.match(f"the fast path leaves something else behind: .*{differ}", found(tmp_path))


@pytest.mark.long
def test_an_exception_that_leaves_the_room_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A header is read where fewer than four octets are left."""

    def attributes(buffer: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
        while at < end:
            size, kind = struct.unpack_from("HH", buffer, at)
            if size < 4 or size > end - at:
                raise netlink.Malformed
            yield kind & 0x3FFF, at + 4, at + size
            at += (size + 3) & ~3

    monkeypatch.setattr(neighbours, "attributes", attributes)
    # Rare: four octets have to be cut off at the right place, and chance that is guided elsewhere may not come by.
    assert any("struct.error" in found(folder(tmp_path, str(seed)), seed=seed) for seed in range(1, 5))


@pytest.mark.needs("micropython")
def test_a_difference_between_the_interpreters_is_found(
    monkeypatch: pytest.MonkeyPatch, peer: capture.Peer, tmp_path: Path
) -> None:
    """A value may have any size, here alone."""
    monkeypatch.setattr(connections, "exactly", lambda _octets, at, _end: at)
    assert found(tmp_path, peer, 2).startswith("another interpreter")


POOL, COMMON = 600, 100  # messages; those that are drawn more often
MESSAGES = {"cpython": 3000, "micropython": 3000, "mips": 1000}


def pool(draw: random.Random, order: str) -> list[bytes]:
    """Return recorded messages as ends of connections, others of or near the same layout, and broken ones."""
    recorded = [
        message[:4] + b"\2\1" + message[6:] for message in capture.seeds() if message[4:6] in (b"\0\1", b"\2\1")
    ]
    if order == ">":
        recorded = [kernel.reencode(message) for message in recorded]
    made = list(recorded)
    for message in recorded:
        wide = bytearray(message)
        for at in range(20, len(message) - 3, 4):
            if wide[at : at + 4] == bytes(4) and draw.random() < 0.5:
                wide[at : at + 4] = draw.randbytes(4)  # the upper half of a counter, or padding
        made.append(bytes(wide))
    while len(made) < POOL:
        made.append(mutated(draw, recorded, order))
    return made


@pytest.mark.long
def test_learned_layouts_never_change_what_a_message_says(any_interpreter: Interpreter) -> None:
    """Any order, far more layouts than are remembered.

    Equal to fresh decoders each time, nothing read behind the message's end.
    """
    draw, order = random.Random(24), ">" if any_interpreter.name == "mips" else "<"
    made = pool(draw, order)
    chosen = [
        draw.choice(made[:COMMON] if draw.random() < 0.5 else made) for _ in range(MESSAGES[any_interpreter.name])
    ]
    done = any_interpreter.larger().run(
        *capture.STAGE, input=b"".join(struct.pack("<H", len(one)) + one for one in chosen), timeout=240
    )
    lines = done.stdout.decode().splitlines()
    assert len(lines) == len(chosen)
    assert [line for line in lines if line.startswith("WARM")] == []
    told: dict[bytes, str] = {}
    assert all(told.setdefault(one, line) == line for one, line in zip(chosen, lines, strict=True))


def test_that_many_layouts_are_learned_used_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The messages above do what they are for: layouts are learned anew once forgotten, and others are found again."""
    learned = Counter[tuple[int, tuple[bytes, ...]]]()
    remember = connections.Decoder._remember

    def counting(decoder: connections.Decoder, size: int, layout: connections.Layout) -> None:
        learned[size, layout.pattern.wanted] += 1
        remember(decoder, size, layout)

    monkeypatch.setattr(connections.Decoder, "_remember", counting)
    draw = random.Random(24)
    made, reading, read = pool(draw, "<"), Reading(), 0
    for _ in range(2000):
        one = draw.choice(made[:COMMON])
        reading.tell(one, len(one))
        read += reading.events.connections
        reading.events.connections = 0
    remembered = 0
    for first in reading.events.layouts.values():
        layout: connections.Layout | None = first
        while layout:
            layout, remembered = layout.following, remembered + 1
    assert remembered == connections._LAYOUTS
    assert connections._LAYOUTS < len(learned) < learned.total() < read


BEHIND = """
import sys
from agent.runtime import libc
from tools.fuzz import stage
guard = stage.Guard()
message = guard.room(8)
message[:] = bytes(range(8))
heads = [(0, bytes(range(4)))]
print("%x" % libc.native.Pattern(heads, {"word": (4, 4)}).read(message, 0).word)
sys.stdout.flush()
longer = libc.buffer_at(guard.end - 8, 12)
print(libc.native.Pattern(heads, {"word": (8, 4)}).read(longer, 0).word)
"""


def test_the_closed_page_ends_an_interpreter_that_reads_behind_a_message(any_interpreter: Interpreter) -> None:
    """The guard of the tests above is one: the last word of a message is read, the one behind it is death."""
    done = any_interpreter.run("-c", BEHIND, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGSEGV, b"4050607\n")


def soak(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.soak", *words],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@pytest.mark.needs("micropython")
@pytest.mark.long
def test_the_long_command_says_what_it_did() -> None:
    done = soak("--trial", "capture", "--hours", "0.0001", "--seed", "7")
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    commit = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=False
    ).stdout.strip()
    assert said["commit"].startswith(commit)
    assert (said["seed"], list(said["trials"])) == (7, ["capture"])
    trial = said["trials"]["capture"]
    assert trial["findings"] == []
    assert trial["executions"] >= trial["corpus"] > 0
    assert trial["features"] >= trial["edges"] > 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("--trial", "attic"),
            (
                "tools/soak: --trial: 'attic' isn't known; accepted: capture, vault, summary, sim, search, "
                "consents, openwrt, gateway, firmware\n"
            ),
        ),
        (("--attic",), "tools/soak: No such option: --attic; accepted: what tools/soak --help says\n"),
        (("--hours", "many"), "tools/soak: Invalid value for '--hours': "),
        (
            ("--hours", "0", "--json", "/no/such/folder/file"),
            "tools/soak: --json: /no/such/folder/file: can't be written ",
        ),
    ],
)
@pytest.mark.long
def test_bad_use_of_the_long_command_is_one_line(words: tuple[str, ...], line: str) -> None:
    done = soak(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
