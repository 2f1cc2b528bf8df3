# SPDX-License-Identifier: Apache-2.0
"""Where a history's recorder runs, and the recorder in this very process."""

from pathlib import Path
from typing import Any, Protocol
from unittest import mock

from agent.config import config as configuration
from agent.recorder.recorder import Recorder
from agent.runtime import memory
from host_sim.driver import first_boot
from host_sim.driver.killed import unmap


class Device(Protocol):
    """Where the recorder runs: in this process or in another interpreter. Times in ns."""

    def open(self, config: Path, root: Path, boot: str, wall: int, monotonic: int) -> None:
        """Start a recorder."""

    def steps(self, *steps: list[Any]) -> dict[str, Any]:
        """Take steps as tests.support.remote's `recorder` does; returns what a history looks at of its status."""

    def close(self) -> None:
        """Stop the recorder in order."""

    def kill(self) -> None:
        """End it at once: what it holds outside its mapped files is gone."""


class _Time:
    def __init__(self, boot: str, wall: int, monotonic: int) -> None:
        self.boot, self.now, self.since = boot, wall, monotonic

    def wall(self) -> int:
        return self.now

    def monotonic(self) -> int:
        return self.since


class Here:
    """The recorder in this process."""

    def __init__(self) -> None:
        self.recorder: Any = None
        self.time = _Time("", 0, 0)

    def open(self, config: Path, root: Path, boot: str, wall: int, monotonic: int) -> None:
        """Start a recorder."""
        self.time = _Time(boot, wall, monotonic)
        first_boot.new_device(str(root))
        sysctl = {"events": 1, "acct": 1, "timestamp": 1, "tcp_timeout_established": 7440}.get
        self.recorder = Recorder(
            configuration.load(str(config)), str(root), self.time, log=lambda _: None, sysctl=sysctl
        )

    def steps(self, *steps: list[Any]) -> dict[str, Any]:
        """Take steps; returns what a history looks at of the status.

        This process's heap isn't a recorder's: what is gone from it isn't overwritten, a third of a history's time.
        """
        with mock.patch.object(memory, "overwrite_freed"):
            self._take(steps)
        # All of a status would be a third of a history's time: the published figures are read for it
        return {"clock": self.recorder.clock.state, "counters": dict(self.recorder.counters.values)}

    def _take(self, steps: tuple[list[Any], ...]) -> None:
        for step in steps:
            if step[0] == "time":
                self.time.now, self.time.since = step[1], step[2]
                self.recorder.tick()
            elif step[0] == "confirm":
                self.recorder.confirm_time()
            else:
                data = bytes.fromhex(step[1])
                (self.recorder.streams.datagram if step[0] == "datagram" else self.recorder.streams.neighbour)(
                    data, len(data)
                )
        self.recorder.tick()

    def close(self) -> None:
        """Stop it in order."""
        self.recorder.close()

    def kill(self) -> None:
        """Unmap what it mapped, without a word to the files: they are as SIGKILL would leave them."""
        unmap(self.recorder)
