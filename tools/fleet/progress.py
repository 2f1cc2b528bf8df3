# SPDX-License-Identifier: Apache-2.0
"""How far something long is, said while it goes on."""

import time
from collections.abc import Callable

from tools.fleet import serve as serving


class Progress:
    """Says every few seconds how far something long is, and how long it goes on."""

    EVERY = 5.0  # seconds

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._begun = self._said = monotonic()

    def __call__(self, text: str, done: int, count: int) -> None:
        """Take note that the next of `count` steps begins, `done` are behind."""
        now = self._monotonic()
        if done and now - self._said >= self.EVERY:
            self._said = now
            serving.log(f"{text}, about {round((now - self._begun) / done * (count - done))} s to go")
