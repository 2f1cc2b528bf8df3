# SPDX-License-Identifier: Apache-2.0
"""Fuzzes agent/capture and the fast path: the kernel's bytes, bent ever further, on both interpreters.

A datagram joins the corpus when it runs through lines in a way that none did before. What must hold of each execution:
nothing raises, and the modules that have read everything before say the same as fresh ones (a learned layout never
misreads). A recorder that takes it by the fast path then holds what one holds that doesn't (tools.fuzz.ways). What must
hold of each new corpus entry, and of every EACH-th execution: MicroPython says the same, without a read behind the
datagram.
"""

import random
import select
import struct
import subprocess
import traceback
from pathlib import Path
from typing import IO, Any

from agent.runtime.deflate import DEFLATE
from host_sim.driver import interpreters
from host_sim.venue import kernel
from tools.bench.instructions import record
from tools.fuzz.coverage import Coverage, Feature
from tools.fuzz.mutations import mutated
from tools.fuzz.stage import Reading
from tools.fuzz.ways import Ways

VECTORS = interpreters.ROOT / "tests" / "vectors"
_AGENT = interpreters.ROOT / "agent"
WATCHED = [*(_AGENT / "capture").glob("*.py"), _AGENT / "runtime" / "cpython.py", _AGENT / "recorder" / "fast_path.py"]
STAGE = ("-m", "tools.fuzz.stage")
EACH = 16
_TERMINALS, _ENDED = 200, 120  # of the recorded LAN, more than a segment remembers, and connections that ended there
_LONGEST = 8192  # octets; a mutation may double what it bends
_FINDINGS = 100  # told at most
_WAIT = 30  # seconds for an answer


def seeds() -> list[bytes]:
    """Return the recorded datagrams, and each message of those that have several; one of each length and beginning."""
    kept: dict[tuple[int, bytes], bytes] = {}
    for path in sorted(VECTORS.glob("*/*.bin")):
        for datagram in kernel.records(path.read_bytes()):
            for part in (*messages(datagram), datagram):
                kept.setdefault((len(part), part[4:8]), part)
    return list(kept.values())


def messages(datagram: bytes) -> list[bytes]:
    """Return the messages of a recorded datagram."""
    found = []
    while datagram:
        (size,) = struct.unpack_from("<I", datagram)
        found.append(datagram[:size])
        datagram = datagram[(size + 3) & ~3 :]
    return found


def lan(folder: Path) -> Path:
    """Write a recording of connections that ended on a LAN, always the same, and who is there; returns the first."""
    return record(folder, _TERMINALS, _ENDED)


class Peer:
    """Another interpreter that is asked about datagrams one by one; `folder` is its own."""

    def __init__(self, interpreter: str, folder: Path) -> None:
        words = [*interpreters.command(interpreter, interpreters.MORE), *STAGE, str(lan(folder)), str(folder / "ways")]
        self._process = subprocess.Popen(
            words, cwd=interpreters.ROOT, env=interpreters.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._questions: IO[bytes] = self._process.stdin  # type: ignore[assignment]  # a pipe
        self._answers: IO[bytes] = self._process.stdout  # type: ignore[assignment]  # the same

    def tell(self, datagram: bytes) -> str:
        """Return its answer; EOFError where it ended instead."""
        self._questions.write(struct.pack("<H", len(datagram)) + datagram)
        self._questions.flush()
        if not select.select([self._answers], [], [], _WAIT)[0]:
            self._process.kill()
        answer = self._answers.readline()
        if not answer.endswith(b"\n"):
            raise EOFError
        return answer[:-1].decode()

    def close(self) -> int:
        """End it; returns its exit status (negative: the signal that ended it)."""
        self._questions.close()
        self._answers.close()
        return self._process.wait(_WAIT)


class Fuzzer:
    """Grows a corpus; `findings` are what was wrong, as text with the octets that showed it. `folder` is its own."""

    def __init__(self, seed: int, folder: Path, peer: Peer | None = None) -> None:
        self.executions = 0
        self.corpus: list[bytes] = []
        self.features: set[Feature] = set()
        self.findings: list[dict[str, str]] = []
        self._draw = random.Random(seed)
        self._coverage = Coverage(WATCHED)
        DEFLATE.way("deflate")  # opens libz once a process: not in the middle of the first run
        self._warm = Reading()
        self._peer = peer
        recording = lan(folder)
        self._ways = Ways(str(recording), str(folder / "ways"))
        self._ended = list(kernel.records(recording.read_bytes()))
        self._seeds = [*seeds(), *self._ended]
        for datagram in self._seeds:
            self._execute(datagram)

    def step(self) -> None:
        """Bend one datagram of the corpus, a recent, a recorded or a fast path's one rather than any."""
        parents = self._draw.choice((self._seeds, self.corpus, self.corpus[-64:], self._ended))
        self._execute(mutated(self._draw, parents, "<")[:_LONGEST])

    def report(self) -> dict[str, Any]:
        """Return the figures."""
        return {
            "executions": self.executions,
            "corpus": len(self.corpus),
            "edges": len({edge for edge, _ in self.features}),
            "features": len(self.features),
            "fast": self._ways.fast_path,
            "findings": self.findings,
        }

    def close(self) -> None:
        """Let go of what it holds beside the corpus."""
        self._ways.close()

    def _execute(self, datagram: bytes) -> None:
        self.executions += 1
        try:
            fresh, features = self._coverage.of(lambda: Reading().tell(datagram, len(datagram)))
            warm = self._warm.tell(datagram, len(datagram))
            differ, more = self._coverage.of(lambda: self._ways.tell(datagram, len(datagram)))
        except Exception:  # noqa: BLE001 (whatever it is, it is the finding)
            self._find(datagram, traceback.format_exc(limit=-3))
            self._warm = Reading()
            return
        if warm != fresh:
            self._find(datagram, f"a learned layout misreads: {warm!r} instead of {fresh!r}")
        if differ:
            self._find(datagram, f"the fast path leaves something else behind: {differ}")
        features |= more
        new = not features <= self.features
        if new:
            self.features |= features
            self.corpus.append(datagram)
        if self._peer and (new or self.executions % EACH == 0):
            self._compare(self._peer, datagram, fresh)

    def _compare(self, peer: Peer, datagram: bytes, expected: str) -> None:
        try:
            answer = peer.tell(datagram)
        except EOFError:
            self._find(datagram, "the other interpreter ended or was silent")
            self._peer = None
            return
        if answer != expected:
            self._find(datagram, f"another interpreter: {answer!r} instead of {expected!r}")

    def _find(self, datagram: bytes, what: str) -> None:
        if len(self.findings) < _FINDINGS:
            self.findings.append({"datagram": datagram.hex(), "what": what})
