# SPDX-License-Identifier: Apache-2.0
"""Signals interrupt what a lab does, once: what follows is the removal of everything, which nothing interrupts."""

import signal
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def ignore_signals() -> None:
    """Let no signal interrupt what follows: the removal of everything."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _stop(_number: int, _frame: FrameType | None) -> None:
    """Interrupt what is done, once: what follows is the removal of everything, which nothing interrupts."""
    ignore_signals()
    raise KeyboardInterrupt


def take_signals() -> None:
    """Let a signal interrupt what is done, once, for the rest of this process."""
    for number in SIGNALS:
        signal.signal(number, _stop)
