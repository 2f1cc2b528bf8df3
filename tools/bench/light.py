# SPDX-License-Identifier: Apache-2.0
"""What very many gateways cost: light ones at several Mosquittos, a collector at each, one PostgreSQL.

They connect, and live three minutes in which an hour's figures come, beside a health every five minutes of each. Then a
third is cut off at once. Every figure must be in the store once, soon, and all must be back within 90 s. What each part
costs is what a machine for so many needs: processor time, memory, disk.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from host_sim.load import light
from host_sim.load.fleet import memory
from tools.bench import machine, needs
from tools.bench.nodes import ROOT, until
from tools.bench.rounds import Tell
from tools.bench.sheets import Sheet
from tools.fleet import site
from tools.fleet.mosquitto import Mosquitto
from tools.fleet.postgres import Postgres
from tools.fleet.reading import REASONS

GATEWAYS = 100_000
NEEDS = ("mosquitto", "postgresql")
LASTS = 180.0  # seconds
CUT, SPREAD = 0.33, 60.0  # the share that is cut off; seconds within which a forwarder comes back first
BACK, LATE = 90.0, 5.0  # seconds, at most: until all are back; of 99 in 100 figures until committed
_RATE = 1000  # connections a second, as the shipped HAProxy lets in


def _family(pid: int) -> list[int]:
    """Return a process and all below it."""
    found = [pid]
    with suppress(FileNotFoundError):  # one ends while we look
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found += _family(int(child))
    return found


class _Parts:
    """Brokers, collectors and database: the processes of each, what they use and what they hold."""

    def __init__(self, brokers: Iterable[int], collectors: Iterable[int], database: int) -> None:
        self._roots = {"Mosquitto": list(brokers), "collector": list(collectors), "PostgreSQL": [database]}

    def used(self) -> dict[str, float]:
        """Return the CPU seconds of each part until now."""
        found = {}
        for name, roots in self._roots.items():
            found[name] = 0.0
            for pid in (pid for root in roots for pid in _family(root)):
                with suppress(FileNotFoundError):
                    found[name] += machine.cpu([pid])
        return found

    def held(self) -> dict[str, float]:
        """Return the memory of each part, MiB, shared pages by their share."""
        return {
            name: round(sum(memory(pid) for root in roots for pid in _family(root)) / 2**20, 1)
            for name, roots in self._roots.items()
        }


@contextmanager
def _collectors(folder: Path, ports: Iterable[int], url: str, limit: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run a collector at each broker; returns when all have connected."""
    running = []
    log = folder / "collectors.log"
    try:
        with log.open("wb") as file:
            for port in ports:
                command = [sys.executable, "-m", "tools.fleet", "serve", "--no-page", f"--gateways={limit}"]
                command += [f"--broker=mqtt://127.0.0.1:{port}", "--name=light"]
                running.append(
                    subprocess.Popen(
                        command,
                        cwd=ROOT,
                        env=os.environ | {"OUBLI_FLEET_DB": url},
                        stdin=subprocess.DEVNULL,
                        stdout=file,
                        stderr=file,
                    )
                )
        until(lambda: log.read_text().count("connected without") == 2 * len(running), "the collectors connect")
        yield running
    finally:
        for one in running:
            one.terminate()
        for one in running:
            one.wait(120)


def live(folder: Path, database: Postgres, gateways: int, pace: light.Pace, tell: Tell) -> dict[str, Any]:
    """Let so many live; return what it cost and what came of it."""
    url = database.create("fleet")
    site.configure(url)
    site.open_store()
    from tools.fleet.models import Gateway, Message, Tally

    empty = _octets("fleet_message")
    sent = folder / "sent"
    sent.mkdir()
    with ExitStack() as stack:
        brokers = []
        for number in range(light.processes(gateways, "Mosquittos")):
            place = folder / f"broker-{number}"
            place.mkdir()
            brokers.append(stack.enter_context(Mosquitto(place)))
        collectors = stack.enter_context(_collectors(folder, [one.port for one in brokers], url, 2 * gateways + 1000))
        parts = _Parts((one.process.pid for one in brokers), (one.pid for one in collectors), database.pid)
        marks: list[tuple[float, dict[str, float]]] = []
        held: dict[str, float] = {}
        online: list[int] = []

        def passed(part: str) -> None:
            marks.append((time.monotonic(), parts.used()))
            if part == "day":
                held.update(parts.held())
            if part == "cut":
                tell("what came back is stored")
                until(lambda: Gateway.objects.filter(state="online").count() >= gateways, "all are online")
                online.append(Gateway.objects.filter(state="online").count())

        lived = light.run(gateways, [f"mqtt://127.0.0.1:{one.port}" for one in brokers], None, pace, tell, sent, passed)
        until(lambda: Message.objects.count() >= lived.counts["figures"], "every figure is stored")
        fates: Counter[str] = Counter()
        for fate, count in Tally.objects.values_list("fate", "count"):
            fates[fate] += count
    (began, before), (ended, after) = marks[:2]
    seconds = ended - began
    waits = _waits(sent)
    return {
        "gateways": gateways,
        "brokers": len(brokers),
        "simulated": lived.data(),
        "seconds": round(seconds, 1),
        "stored": Message.objects.count(),
        "online": online[0],
        "fates": dict(fates),
        "figures_a_second": round(lived.counts["figures"] / pace.seconds, 1),
        "healths_a_second": round(lived.counts["healths"] / pace.seconds, 1),
        "committed_s": {name: round(waits[place], 3) for name, place in (("p50", 49), ("p99", 98))},
        "cores": {name: round((after[name] - before[name]) / seconds, 3) for name in after},
        "memory_mib": held,
        "octets_a_figure": round((_octets("fleet_message") - empty) / max(Message.objects.count(), 1)),
        "octets_a_gateway": round(_octets("fleet_gateway") / gateways),
    }


def _octets(table: str) -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size(%s)", [table])
        return int(cursor.fetchone()[0])


def _waits(sent: Path) -> list[float]:
    """Return the hundredths of the times from when a figure was due to its commit, seconds."""
    from django.db import connection

    due = {}
    for path in sent.iterdir():
        for line in path.read_text().splitlines():
            ident, kind, end, moment = line.split()
            due[ident, int(kind), int(end)] = float(moment)
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT ident, metric, fleet_message."end", '
            "extract(epoch FROM pg_xact_commit_timestamp(fleet_message.xmin)) "
            "FROM fleet_message JOIN fleet_gateway ON fleet_gateway.id = gateway_id"
        )
        waits = [float(at) - due[ident, kind, end] for ident, kind, end, at in cursor.fetchall()]
    return statistics.quantiles(waits, n=100)


def measure(gateways: int, tell: Tell) -> dict[str, Any]:
    """Measure them; `findings` are what must not be."""
    needs.need(NEEDS, root=False)
    with tempfile.TemporaryDirectory(prefix="oubli-light-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user
        (folder / "postgres").mkdir()
        with Postgres(folder / "postgres", durable=True) as database:
            from django.db import connections

            pace = light.Pace(LASTS, 1, 12, max(gateways / _RATE, 5), CUT, SPREAD)
            found = live(folder, database, gateways, pace, tell)
            connections.close_all()
    return {"light": found, "findings": findings(found)}


def findings(found: dict[str, Any]) -> list[str]:
    """Return what must not be."""
    said = found["simulated"]
    refused = {fate: count for fate, count in found["fates"].items() if fate in REASONS and count}
    wrong = (
        (not said["whole"], "not all gateways connected, came back and had every figure acknowledged"),
        (found["stored"] != said["figures"], f"{found['stored']:,} of {said['figures']:,} figures are stored"),
        (found["online"] != found["gateways"], f"{found['online']:,} of {found['gateways']:,} gateways are online"),
        (refused, f"refused: {refused}"),
        (found["committed_s"]["p99"] >= LATE, f"a figure in a hundred took {found['committed_s']['p99']} s"),
        (said["all_back_after_s"] >= BACK, f"all were back only after {said['all_back_after_s']} s"),
    )
    return [text for bad, text in wrong if bad]


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the figures for a person."""
    one, said = result["light"], result["light"]["simulated"]
    taken = ", ".join(f"{name} {share * 100:.1f} %" for name, share in one["cores"].items())
    held = ", ".join(f"{name} {size:,.0f}" for name, size in one["memory_mib"].items())
    rows = [
        (
            "connected",
            (
                f"{said['connected']:,} of {one['gateways']:,} at {one['brokers']} Mosquittos, after "
                f"{said['all_connected_after_s']} s"
            ),
        ),
        ("a second", f"{one['healths_a_second']} healths, {one['figures_a_second']} figures, for {one['seconds']} s"),
        ("until committed", f"median {one['committed_s']['p50']} s, p99 {one['committed_s']['p99']} s"),
        ("cut off", f"{said['cut']:,} at once; all back after {said['all_back_after_s']} s"),
        ("of a core", taken),
        ("MiB", held),
        ("disk", f"{one['octets_a_figure']} octets a figure, {one['octets_a_gateway']} a gateway"),
        ("simulator", f"{said['processes']} processes, {said['cpu_s']} s of CPU, {said['memory_mib']} MiB"),
    ]
    return [Sheet("Light gateways through Mosquittos into PostgreSQL", ("", ""), rows, (0, 1))]
