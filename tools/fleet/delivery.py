# SPDX-License-Identifier: Apache-2.0
"""What a consumer asks of any broker: hand over messages, take an acknowledgement after the commit.

Two kinds of work have a process each, so that neither waits for the other: `FIGURES` (summaries, QoS 1, each must
arrive) and `STATUS` (state and health, of which the newest counts).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from agent.outbox import topics

FIGURES, STATUS = "figures", "status"
SUMMARIES, STATES, HEALTHS = topics.summary("+", "+"), topics.state("+"), topics.health("+")
GATEWAYS = 200_000  # at most, where nothing else is said: a publisher who makes up names fills no disk
AWAY = 7 * 86_400  # seconds for which a broker is asked to keep what comes while a collector is away


class Lost(Exception):  # noqa: N818 (a state of the connection)
    """The connection is gone; the broker still has what wasn't acknowledged. `args[0]` says why, without a secret.

    `taken_over`: another client took the session.
    """

    def __init__(self, reason: str, *, taken_over: bool = False) -> None:
        super().__init__(reason)
        self.taken_over = taken_over


@dataclass(frozen=True)
class Arrival:
    """What the broker handed over.

    `retained`: it was said before we asked; `again`: the broker isn't sure that we hadn't it already.
    """

    topic: str
    payload: bytes
    retained: bool = False
    again: bool = False


class Delivery(NamedTuple):
    """A message and what acknowledges it; None where the broker waits for no acknowledgement."""

    arrival: Arrival
    token: Any


class Transport(Protocol):
    """One connection to a broker.

    Lost and OSError: try again later. BrokerError: the broker can't be used, and its text says what is accepted.
    """

    def connect(self) -> None:
        """Connect and subscribe; return when the broker has confirmed both."""

    def receive(self, seconds: float) -> list[Delivery]:
        """Return what has come, after at most so many seconds."""

    def acknowledge(self, tokens: list[Any]) -> None:
        """Tell the broker that these messages are committed."""

    def drop(self) -> None:
        """Close without a word; never raises."""

    def close(self) -> None:
        """Say goodbye and close; never raises."""
