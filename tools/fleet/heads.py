# SPDX-License-Identifier: Apache-2.0
"""Heads of a gateway's audit log as health messages told them, held against each other (L34-VI-3).

A log that was rewritten, cut or forked from an older copy holds together by itself: its owner can make all hashes anew.
It can't hold what somebody else has seen before. A log in the hand is held against a head by
`oubli log --verify --head NUMBER:HASH`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Head:
    """The newest checkpoint in a health message: its time (s), the checkpoint's number and hash (hexadecimal)."""

    time: int
    number: int
    hash: str

    @classmethod
    def of(cls, health: dict[str, Any]) -> "Head":
        """Return the head that a health message carries."""
        return cls(health["time"], health["audit"]["checkpoints"], health["audit"]["head"])


def finding(seen: Iterable[Head], new: Head) -> str | None:
    """Return what is wrong with a gateway's log, judged by all heads that it showed; None where nothing is.

    `forked`: one checkpoint with two hashes, so the log was rewritten before it or goes on twice. `cut`: a later
    message knows fewer checkpoints than an earlier one did.
    """
    cut = False
    for old in seen:
        if old.number == new.number and old.hash != new.hash:
            return "forked"
        cut |= (old.number - new.number) * (new.time - old.time) > 0
    return "cut" if cut else None
