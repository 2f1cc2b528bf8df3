# SPDX-License-Identifier: Apache-2.0
"""A share of a simulated fleet: the real forwarders of so many gateways, in turn, in one process (`oubli-sim fleet`).

    python -m host_sim.load.fleet_worker JSON

Each has its own folder, configuration, spool and MQTT connection. Every half second, a line of JSON says how it goes;
the process ends when its standard input does.
"""

import json
import select
import sys
import time
from pathlib import Path
from random import Random

from agent.base.paths import Paths, make_folders
from agent.config import config as configuration
from agent.forwarder.forwarder import Forwarder
from agent.runtime.clocks import DeviceTime
from agent.summary import messages
from agent.summary.metrics import METRICS, PROFILES, scale
from agent.summary.noise import Sampler

BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_TELL = 0.5  # seconds

_CONFIG = """\
config gateway 'gateway'
	option id '{identity}'

config mqtt 'mqtt'
	option host '{host}'
	option port '{port}'
{tls}"""


def identity(number: int) -> str:
    """Return the id of a gateway by its number: 16 letters of base32."""
    return "".join(BASE32[number >> shift & 31] for shift in range(75, -1, -5))


def fill(folder: Path, number: int, start: int, seconds: float, count: int) -> None:
    """Spool an agent-day's messages, `count` of them, due evenly from `start` (s since the epoch) on, over a span."""
    draw = Random(number)
    sampler = Sampler(draw.randbytes)
    slots = [(metric, slot) for metric in METRICS if metric.name in PROFILES["medium"] for slot in range(metric.slots)]
    for place in range(count):
        metric, slot = slots[place % len(slots)]
        b = scale(metric.l1, metric.epsilon)
        values = [draw.randrange(20) + sampler.laplace(b) for _ in metric.cells]
        day = start // 86400 - 1 - place // len(slots)
        opened = day * 86400 + 10800
        end = opened + (slot + 1) * metric.slot_seconds
        text = messages.summary(identity(number), metric, day, slot, end - metric.slot_seconds, end, values, b)
        due = start + int((place + draw.random()) * seconds / count)
        (folder / f"{due:012d}-{metric.name}-{slot:02d}").write_bytes(text)


def _forwarders(given: dict) -> list[Forwarder]:
    source, made = DeviceTime(), []
    for number in range(given["first"], given["first"] + given["count"]):
        root = Path(given["folder"]) / str(number)
        root.mkdir()
        paths = Paths(str(root))
        make_folders(paths)
        fill(Path(paths.flash.spool), number, given["start"], given["seconds"], given["messages"])
        text = _CONFIG.format(identity=identity(number), host=given["host"], port=given["port"], tls=given["tls"])
        (root / "oubli.config").write_text(text)
        made.append(
            Forwarder(configuration.load(str(root / "oubli.config")), str(root), source, lambda _text: None, bytes)
        )  # zeros: at its time
    return made


def main(given: dict) -> None:
    """Make the forwarders, say so, then let them work until standard input ends."""
    forwarders = _forwarders(given)
    print(json.dumps({"made": len(forwarders)}), flush=True)
    told = 0.0
    while not select.select([sys.stdin], [], [], 0)[0]:
        began = time.time()
        due = (began - given["start"]) / max(given["ramp"], 0.001) * len(forwarders)
        for place, one in enumerate(forwarders):
            if place <= due:
                one.turn(0)
        if began - told >= _TELL:
            told = began
            connected = sum(one.broker.stands for one in forwarders)
            published, failures = (
                sum(one.published for one in forwarders),
                sum(one.broker.failures for one in forwarders),
            )
            said = {
                "connected": connected,
                "published": published,
                "failures": failures,
                "cpu": round(time.process_time(), 2),
            }
            print(json.dumps(said), flush=True)
        time.sleep(max(0.0, 0.02 - (time.time() - began)))
    for one in forwarders:
        one.close()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
