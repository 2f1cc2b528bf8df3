# SPDX-License-Identifier: Apache-2.0
"""Two consumers of the fleet's figures at once, each in a thread with database connections of its own."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

from django.db import connections

from tools.fleet.intake import Intake

if TYPE_CHECKING:
    from collections.abc import Sequence


def consume_at_once(parts: Sequence[tuple[list[Any], int]], now: int) -> None:
    """Let each consumer take its messages, shuffled, in batches of its own size; what one raises is raised here."""
    failures: list[BaseException] = []

    def consume(seed: int, messages: list[Any], batch: int) -> None:
        random.Random(seed).shuffle(messages)
        try:
            for start in range(0, len(messages), batch):
                Intake().take(messages[start : start + batch], now)
        except BaseException as failure:  # noqa: BLE001 (handed to the test)
            failures.append(failure)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=consume, args=(seed, *part)) for seed, part in enumerate(parts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
