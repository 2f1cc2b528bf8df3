# SPDX-License-Identifier: Apache-2.0
"""Many gateways' forwarders in one process: the agent's own `Forwarder`, spool, one MQTT connection each.

Each has a folder with a spool of real messages and is given a turn after the other, as procd would give each its
process. A message's file goes when the broker has acknowledged it, so an empty spool means: all is the broker's to
answer for. What was sent when is kept beside (`sent`), to be held against the store's commit times.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent.config import config
from agent.forwarder import forwarder
from agent.runtime.clocks import DeviceTime
from agent.summary import messages
from agent.summary.metrics import METRICS, scale
from tools import clock

_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_DAY = 86_400


def name(number: int) -> str:
    """Return a gateway's id by its number."""
    return "".join(_LETTERS[number >> 5 * place & 31] for place in range(16))


def spool_of(root: Path) -> Path:
    """Return where a gateway's messages wait."""
    return root / "srv/oubli-spool"


def plain(port: int) -> Callable[[str], str]:
    """Return what gives the lines of a gateway's configuration for a broker on loopback without TLS."""
    return lambda _: f" option host '127.0.0.1'\n option port '{port}'\n option insecure '1'\n"


def prepare(folder: Path, numbers: range, count: int, now: int, options: Callable[[str], str]) -> None:
    """Make the folders of these gateways with `count` messages each, of the newest days before `now`.

    `options` of each, by its id.
    """
    for number in numbers:
        root = folder / name(number)
        for path in (spool_of(root), root / "var/run/oubli-live", root / "etc/config"):
            path.mkdir(parents=True)
        configuration = f"config gateway\n option id '{name(number)}'\nconfig mqtt\n{options(name(number))}"
        (root / "etc/config/oubli").write_text(configuration)
        for place in range(count):
            end, metric, text = message(number, place, now)
            (spool_of(root) / f"{end + 60:012}-{metric}-{place % 24:02}").write_bytes(text)


def message(number: int, place: int, now: int) -> tuple[int, str, bytes]:
    """Return the hours of past days, newest day first: (end, metric, octets)."""
    metric = METRICS[0]
    day = now // _DAY - 2 - place // 24
    end = day * _DAY + 3 * 3600 + (place % 24 + 1) * 3600
    text = messages.summary(
        name(number),
        metric,
        day,
        place % 24,
        end - 3600,
        end,
        [(number + place) % 90 - 5],
        scale(metric.l1, metric.epsilon),
    )
    return end, metric.name, text


def run(folder: Path, numbers: range, rate: float) -> None:
    """Let them publish until every spool is empty, or SIGTERM; `rate` in messages a second in all, 0: full speed.

    At a rate each has a thread: one that waits for a broker that is stuck holds up no other.
    """
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    source = DeviceTime()
    fleet = {}
    for number in numbers:
        root = folder / name(number)
        fleet[name(number)] = forwarder.Forwarder(
            config.load(str(root / "etc/config/oubli")), str(root), source, lambda _: None
        )
    if rate:
        forwarder.PACE = 1
    sent: dict[str, float] = {}

    def speak(those: list[str]) -> None:
        """Give these turns, one after the other."""
        mine, waiting = rate * len(those) / len(fleet), set(those)
        begun, count = time.monotonic() + (random.uniform(0, 1 / mine) if mine else 0), 0
        while waiting and not stop:
            for one in sorted(waiting):
                ahead = count / mine - (time.monotonic() - begun) if mine else 0
                time.sleep(max(ahead, 0))
                before, at = fleet[one].published, clock.seconds()
                fleet[one].turn(0)
                count += fleet[one].published - before
                for place in range(before, fleet[one].published):
                    sent[f"{one}/{place}"] = at
                if not any(os.scandir(spool_of(folder / one))):
                    waiting.discard(one)

    groups = [[one] for one in fleet] if rate else [list(fleet)]
    with ThreadPoolExecutor(len(groups)) as pool:
        list(pool.map(speak, groups))
    (folder / f"sent-{numbers.start}.json").write_text(json.dumps(sent))
    for each in fleet.values():
        each.close()


if __name__ == "__main__":
    run(Path(sys.argv[1]), range(int(sys.argv[2]), int(sys.argv[3])), float(sys.argv[4]))
