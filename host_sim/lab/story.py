# SPDX-License-Identifier: Apache-2.0
"""What `oubli-sim lab` does: one lab from its first connection to the end of its records, told step by step."""

import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from host_sim.driver.interpreters import NoInterpreterError
from host_sim.lab.broker import Message
from host_sim.lab.compare import Comparison
from host_sim.lab.device import GATEWAY_ID, usable
from host_sim.lab.lab import Lab
from host_sim.lab.network import INTERNET_4, INTERNET_6, TIMEOUTS, LabError
from host_sim.lab.plan import FIRST_PORT, LAST_PORT
from host_sim.lab.reader import Reader
from host_sim.lab.signals import ignore_signals, take_signals

MOST = 5 * (LAST_PORT - FIRST_PORT)


def _run(lab: Lab, interpreter: str, connections: int, recording: str | None) -> dict:
    """Go through the whole story once, telling it on standard error; returns what was found."""
    begun = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {text}", file=sys.stderr, flush=True)

    network = lab.network
    tell(
        f"{len(network.terminals)} terminals, gateway and internet as namespaces {network.name}-*; connection "
        "tracking and broker are up"
    )
    reader = Reader(network, lab.folder) if recording else None
    if reader:
        lab.ends_with(reader.stop)
        reader.start()
    lab.start()
    tell(f"recorder and forwarder run on {interpreter}, each as a user of its own")
    lab.confirm_time()
    tell("the time is confirmed twice, 11 minutes apart: the clock is trusted")
    lab.traffic(connections)
    tell(
        f"{connections} conversations held: TCP, UDP and ICMP over IPv4 and IPv6, to {INTERNET_4}, "
        f"{INTERNET_6} and three others"
    )
    lab.settle()
    if reader and recording:
        _keep(reader, recording)
    comparison, beyond = _compare(lab, tell)
    status = lab.device.call({"call": "status"})
    message, retained = _published(lab, tell)
    forgotten = _forget(lab, tell)
    ends = {daemon: lab.device.stop(daemon) for daemon in ("forwarder", "recorder")}
    tell("both daemons ended on SIGTERM")
    wrong = {
        "connections differ": comparison.fails() or comparison.terminals_connections != connections,
        "a record goes beyond what the terminals did": bool(beyond),
        "something is left after the lifetime": any(_left(forgotten).values()) or not forgotten["records_before"],
        "arrivals is not its fixed shape": json.loads(message.payload)["gateway"] != GATEWAY_ID
        or len(message.payload) != len(lab.arrivals()[0].payload),
        "state or health is not retained": not {"state", "health"} <= retained,
        "a daemon did not end cleanly": any(ends.values()),
    }
    return {
        "ok": not any(wrong.values()),
        "wrong": [name for name, is_wrong in wrong.items() if is_wrong],
        "interpreter": interpreter,
        "asked_for": connections,
        "terminals": len(network.terminals),
        "timeouts": TIMEOUTS,
        "comparison": asdict(comparison) | {"beyond_the_truth": beyond[:5]},
        "arrivals": [json.loads(one.payload) for one in lab.arrivals()],
        "retained": sorted(retained),
        "forgotten": forgotten,
        "status": status,
        "seconds": round(time.monotonic() - begun, 1),
    }


def _keep(reader: Reader, recording: str) -> None:
    """Copy what the kernel said to the file that was asked for."""
    try:
        shutil.copy(reader.tape, recording)
    except OSError as failure:
        if Path(recording).is_file():
            Path(recording).unlink()
        raise LabError(
            f"--record: {recording}: can't be written ({failure.strerror}); accepted: where there is room"
        ) from None


def _compare(lab: Lab, tell: Callable[[str], None]) -> tuple[Comparison, list[str]]:
    """Compare and tell what came of it."""
    comparison, beyond = lab.compare()
    shares = f"{comparison.terminals_connections}: {comparison.by_protocol}"
    tell(f"the witness saw {comparison.connections} connections end; of terminals {shares}")
    tell(
        f"vault and witness agree on {comparison.equal}: protocol, terminal, address, both ports, octets, "
        "packets, start, duration"
    )
    tell(f"translation rewrote {comparison.rewritten_ports} source ports")
    tell(
        f"missing {comparison.missing}, extra {comparison.extra}, unequal {comparison.unequal}, beyond the "
        f"terminals' word {len(beyond)}"
    )
    return comparison, beyond


def _published(lab: Lab, tell: Callable[[str], None]) -> tuple[Message, set[str]]:
    """Return the newest `arrivals`, and the topics that the broker retains."""
    message = lab.wait_for_arrivals()
    arrivals = json.loads(message.payload)
    tell(
        f"published on {message.topic}: {arrivals['values'][0]} (+-{arrivals['half_width']}) terminals, "
        f"in truth {len(lab.network.terminals)}"
    )
    retained = {topic.rsplit("/", 1)[1] for topic in lab.broker.retained()}
    tell(f"the broker holds for newcomers: {', '.join(sorted(retained))}")
    return message, retained


def _forget(lab: Lab, tell: Callable[[str], None]) -> dict[str, int]:
    """Let the lifetime pass; returns what there was and what is left."""
    forgotten = lab.forget()
    tell(
        f"past the lifetime: of {forgotten['records_before']} records in {forgotten['segments_before']} segments is "
        f"left {_left(forgotten)}"
    )
    return forgotten


def _left(forgotten: dict[str, int]) -> dict[str, int]:
    return {name: value for name, value in forgotten.items() if not name.endswith("_before")}


def run(interpreter: str, connections: int, recording: str | None = None) -> tuple[int, dict | None]:
    """Run the lab; returns its exit status and what was found.

    `interpreter` is cpython, micropython or a command line, `recording` a file for the kernel's datagrams. Exit status
    0 where everything held, 1 where something did not, 2 where the lab can't be run here, 130 where it was interrupted.
    What it has to say it says on standard error. It takes the process's signals over for good: nothing follows it but
    the figures.
    """

    def fail(status: int, text: str) -> tuple[int, None]:
        print(f"oubli-sim: {text}", file=sys.stderr)
        return status, None

    if not 1 <= connections <= MOST:
        return fail(2, f"--connections: {connections}; accepted: 1 to {MOST}")
    if reason := usable():
        return fail(2, reason)
    take_signals()
    try:
        with Lab(interpreter) as running:
            try:
                result = _run(running, interpreter, connections, recording)
            finally:
                ignore_signals()
    except NoInterpreterError as failure:
        return fail(2, str(failure))
    except LabError as failure:
        return fail(1, f"the lab failed: {failure}")
    except KeyboardInterrupt:
        return fail(130, "the lab was interrupted; everything it made is removed")
    for line in result["comparison"]["differences"] + result["comparison"]["beyond_the_truth"]:
        print(f"          {line}", file=sys.stderr)
    print(f"oubli-sim: the lab {'held' if result['ok'] else 'FAILED: ' + '; '.join(result['wrong'])}", file=sys.stderr)
    return (0 if result["ok"] else 1), result
