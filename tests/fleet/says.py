# SPDX-License-Identifier: Apache-2.0
"""What a gateway says, byte for byte as the agent makes it; the fleet's tests take their messages from here."""

import json
from typing import Any

from agent.outbox import topics
from agent.summary import messages
from agent.summary.metrics import METRICS, scale
from tools.fleet import simulated
from tools.fleet.delivery import Arrival
from tools.fleet.load import name
from tools.fleet.reading import METRIC

__all__ = ["name"]

DAY = 20_780  # an agent-day: 2026-11-23
NOW = DAY * 86_400 + 2 * 86_400


def summary(
    gateway: str, metric: str = "arrivals", day: int = DAY, slot: int = 0, values: list[int] | None = None
) -> Arrival:
    """Return a summary message."""
    one = METRICS[METRIC[metric]]
    end = day * 86_400 + 3 * 3600 + (slot + 1) * one.slot_seconds
    cells = values or [slot + cell for cell in range(len(one.cells))]
    text = messages.summary(gateway, one, day, slot, end - one.slot_seconds, end, cells, scale(one.l1, one.epsilon))
    return Arrival(topics.summary(gateway, metric), text)


def health(gateway: str, time: int = NOW, **facts: Any) -> Arrival:
    """Return a health message."""
    return simulated.health(gateway, time, **facts)


def state(gateway: str, boot: int = 1, version: str = "0.1.0", config: str = "0f" * 8) -> Arrival:
    """Return an online message."""
    content = {"state": "online", "boot": f"{boot:032x}", "version": version, "config": config}
    return Arrival(topics.state(gateway), json.dumps(content, separators=(",", ":")).encode())
