# SPDX-License-Identifier: Apache-2.0
"""A device in an attacker's hands: its clocks, and its flash under the paths that the recorder writes."""

import os
from collections.abc import Callable
from typing import Any

from host_sim.faults.flash import Flash

BEGINS = 1_800_000_000 * 1_000_000_000  # ns since the epoch


class FlashOs:
    """What `agent.runtime.files` asks of `os`, by path: of the flash, or of the real one."""

    def __init__(self, flash: Flash) -> None:
        self._flash = flash

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def ask(path: str, *rest: Any) -> Any:  # noqa: ANN401 (as many answers as calls)
            return getattr(self._flash if path.startswith(self._flash.prefix) else os, name)(path, *rest)

        return ask


class Time:
    """The device's clocks: `t` is the true time."""

    def __init__(self) -> None:
        self.t = self.booted = BEGINS
        self.offset = 0  # of the wall clock, from the truth
        self.boot = ""

    def wall(self) -> int:
        """Return ns since the epoch."""
        return self.t + self.offset

    def monotonic(self) -> int:
        """Return ns since boot."""
        return self.t - self.booted
