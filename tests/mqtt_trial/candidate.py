# SPDX-License-Identifier: Apache-2.0
"""A client on an interpreter, and the process in which it is tried."""

import json
import os
import resource
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.interpreters import INTERPRETERS

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 1 << 27  # bytes; a client that holds whatever a broker sends is a finding, and not the end of this machine
DRIVER = Path(__file__).with_name("driver.py")


@dataclass(frozen=True)
class Candidate:
    """What is tried: a module, an interpreter with its options, and where the client keeps its last packet id."""

    module: str
    interpreter: tuple[str, ...]
    identifier: str
    certificates: str = "crt"  # what the client reads: "crt" is PEM, "der" is DER
    tls: bool = True
    path: str = ""  # folders that its imports need, beside the project
    memory: int = MEMORY  # octets of data, at most; an emulator needs more of its own

    def __str__(self) -> str:
        """As a test's id."""
        return f"{self.module.rsplit('.', 1)[-1]}-{Path(self.interpreter[0]).name}"


@dataclass(frozen=True)
class Answer:
    """How a call ended, and after how many seconds.

    "ok", "refused" (MqttError), "fault" (any other exception) or "hang".
    """

    outcome: str
    text: str
    seconds: float


class Process:
    """A driver process with one client. Calls can be sent to several of them before any answer is waited for."""

    def __init__(self, candidate: Candidate) -> None:
        path = os.pathsep.join(filter(None, [str(ROOT), candidate.path]))
        environment = {
            **os.environ,
            "PYTHONPATH": path,
            "MICROPYPATH": f"{path}:.frozen",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._process = subprocess.Popen(
            [*candidate.interpreter, str(DRIVER), candidate.module],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        resource.prlimit(self._process.pid, resource.RLIMIT_DATA, (candidate.memory, candidate.memory))
        self._sent = 0.0
        self._pending = b""

    def send(self, *request: object) -> None:
        """Begin a call."""
        assert self._process.stdin
        self._sent = time.monotonic()
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it died: the answer will say so

    def answer(self, within: float) -> Answer:
        """Wait for the end of the call, counted from its beginning."""
        assert self._process.stdout
        while True:
            line, end, rest = self._pending.partition(b"\n")
            if end:
                self._pending = rest
                with suppress(ValueError):  # a client that prints: the next line may be the answer
                    outcome, text = json.loads(line)
                    return Answer(outcome, text, time.monotonic() - self._sent)
                continue
            left = max(0.0, self._sent + within - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                return Answer("hang", f"no end within {within} s", within)
            data = os.read(self._process.stdout.fileno(), 65536)
            if not data:
                assert self._process.stderr
                return Answer(
                    "fault", "died: " + self._process.stderr.read().decode()[-400:], time.monotonic() - self._sent
                )
            self._pending += data

    def call(self, *request: object, within: float = 20.0) -> Answer:
        """Begin a call and wait for its end."""
        self.send(*request)
        return self.answer(within)

    def do(self, *request: object, within: float = 20.0) -> None:
        """Call something that must succeed."""
        self.send(*request)
        self.do_answer(within)

    def do_answer(self, within: float = 20.0) -> None:
        """Wait for the end of a call that must succeed."""
        answer = self.answer(within)
        assert answer.outcome == "ok", f"{answer.outcome} after {answer.seconds:.1f} s: {answer.text}"

    def kill(self) -> None:
        """End the process as the kernel would."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def client(candidate: Candidate, port: int, **settings: object) -> Iterator[Process]:
    """A process that has made a client for 127.0.0.1 and the port."""
    arguments = {
        "host": "127.0.0.1",
        "port": port,
        "client_id": "gateway",
        "will_topic": "oubli/1/gateway/state",
        "will_payload": '{"state":"lost"}',
        "connect_timeout": 3,
        "acknowledge_timeout": 3,
        **settings,
    }
    process = Process(candidate)
    try:
        process.do("new", arguments)
        yield process
    finally:
        process.kill()


CPYTHON = INTERPRETERS["cpython"].words
MICROPYTHON = INTERPRETERS["micropython"].words
