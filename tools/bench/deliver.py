# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench deliver`: 1,000 real forwarders through Mosquitto into PostgreSQL, killed and restarted.

And a year of 500 gateways.

Three parts. *deliver*: a flood while two consumers are killed with SIGKILL and the broker is restarted; every message
must be in the store once, with its figure. Then a steady rate, undisturbed, for the latency between a forwarder's turn
and the store's commit. *costs*: the CPU of a health and of a figure. *year*: a year of 500 gateways in the database,
and how long each page takes. Findings are what must not be.
"""

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tools import clock
from tools.bench import clusters, intake, light, machine, needs, pages
from tools.bench.rounds import Tell
from tools.bench.sheets import Sheet
from tools.fleet import load, site
from tools.fleet.mosquitto import Mosquitto
from tools.fleet.postgres import Postgres

ROOT = Path(__file__).parents[2]
EACH = 24  # messages of a gateway at the steady rate
NEEDS = ("mosquitto", "postgresql")
STEADY = 100  # messages a second
_PATIENCE = 900  # seconds


class StuckError(RuntimeError):
    """What should have come to an end didn't."""


def _until(done: Callable[[], object], what: str) -> None:
    end = time.monotonic() + _PATIENCE
    while not done():
        if time.monotonic() > end:
            raise StuckError(what)
        time.sleep(0.1)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError):  # one ends while we look
        for thread in Path(f"/proc/{pid}/task").iterdir():
            children = [int(child) for child in (thread / "children").read_text().split()]
            found += [child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    return sorted(found)


def _peak(pids: list[int]) -> float:
    """Return the largest peak of memory of these processes, MiB."""
    peaks = []
    for pid in pids:
        text = Path(f"/proc/{pid}/status").read_text()
        peaks.append(int(text.partition("VmHWM:")[2].split()[0]) / 1024)
    return max(peaks)


def deliver(folder: Path, forwarders: int, each: int) -> dict[str, Any]:
    """Flood, kill, restart, compare; then measure latency at a steady rate."""
    cluster = folder / "postgres"
    cluster.mkdir()
    with Postgres(cluster, durable=True) as database, Mosquitto(folder) as broker:
        url = database.create("fleet")
        site.configure(url)
        site.open_store()
        command = [
            sys.executable,
            "-m",
            "tools.fleet",
            "serve",
            "--no-page",
            "--broker",
            f"mqtt://127.0.0.1:{broker.port}",
            "--name",
            "soak",
        ]
        with (folder / "log").open("wb") as log:
            running = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | {"OUBLI_FLEET_DB": url},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            _until(lambda: (folder / "log").read_text().count("connected without") == 2, "two consumers connect")
            flood = _flood(folder, broker, running.pid, forwarders, each)
            return flood | {"steady": _steady(folder, broker, max(20, forwarders // 5))}
        finally:
            running.terminate()
            running.wait(60)


def _publish(
    folder: Path, port: int, numbers: range, each: int, rate: float, parts: int
) -> list[subprocess.Popen[bytes]]:
    load.prepare(folder, numbers, each, int(clock.seconds()), load.plain(port))
    step = -(-len(numbers) // parts)
    words = [
        [str(first), str(min(first + step, numbers.stop)), str(rate / parts)]
        for first in range(numbers.start, numbers.stop, step)
    ]
    return [
        subprocess.Popen(
            [sys.executable, "-m", "tools.fleet.load", str(folder), *one], cwd=ROOT, stdin=subprocess.DEVNULL
        )
        for one in words
    ]


def _flood(folder: Path, broker: Mosquitto, collector: int, forwarders: int, each: int) -> dict[str, Any]:
    from tools.fleet.models import Message, Tally

    wanted = forwarders * each
    gateways = _publish(folder / "flood", broker.port, range(forwarders), each, 0, 2)
    try:
        _until(Message.objects.exists, "the first message")
        begun = time.monotonic()
        used = {}
        for part in (1, 2):
            least = part * wanted // 4
            _until(lambda least=least: Message.objects.count() > least, "under way")  # type: ignore[misc]
            _until(lambda: len(_children(collector)) == 2, "two consumers")
            os.kill(_children(collector)[part - 1], signal.SIGKILL)
            if part == 1:
                used["mosquitto"] = machine.cpu([broker.process.pid])
                broker.stop()
                broker.start()
        _until(lambda: all(one.poll() is not None for one in gateways), "every spool is empty")
        _until(lambda: Message.objects.count() >= wanted, "every message is stored")
        took = time.monotonic() - begun
    finally:
        for one in gateways:
            one.kill()
            one.wait()
    consumers = _children(collector)
    expected = sum((number + place) % 90 - 5 for number in range(forwarders) for place in range(each))
    stored = sum(Message.objects.values_list("v0", flat=True))
    fates: dict[str, int] = {}
    for fate, count in Tally.objects.values_list("fate", "count"):
        fates[fate] = fates.get(fate, 0) + count
    return {
        "forwarders": forwarders,
        "messages": wanted,
        "stored": Message.objects.count(),
        "right": stored == expected and fates["kept"] == wanted,
        "fates": fates,
        "seconds": round(took, 1),
        "messages_a_second": round(wanted / took),
        "cpu_seconds": {
            "consumers": round(machine.cpu([collector, *consumers]), 1),
            "mosquitto": round(used["mosquitto"] + machine.cpu([broker.process.pid]), 1),
        },
        "peak_mib": {"consumer": round(_peak(consumers), 1), "mosquitto": round(_peak([broker.process.pid]), 1)},
    }


def _steady(folder: Path, broker: Mosquitto, gateways: int) -> dict[str, Any]:
    """Return latencies, from a forwarder's turn to PostgreSQL's commit, at a steady rate and undisturbed."""
    from django.db import connection

    from tools.fleet.models import Message

    numbers = range(500_000, 500_000 + gateways)
    before = Message.objects.count()
    processes = _publish(folder / "steady", broker.port, numbers, EACH, STEADY, 1)
    _until(lambda: all(one.poll() is not None for one in processes), "every spool is empty")
    _until(lambda: Message.objects.count() == before + gateways * EACH, "every message is stored")
    sent: dict[str, float] = json.loads((folder / "steady" / f"sent-{numbers.start}.json").read_text())
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT ident, row_number() OVER (PARTITION BY ident ORDER BY fleet_message.end) - 1, "
            "extract(epoch FROM pg_xact_commit_timestamp(fleet_message.xmin)) "
            "FROM fleet_message JOIN fleet_gateway ON fleet_gateway.id = gateway_id WHERE ident = ANY(%s)",
            [[load.name(number) for number in numbers]],
        )
        waits = [float(at) - sent[f"{ident}/{place}"] for ident, place, at in cursor.fetchall()]
    parts = statistics.quantiles(waits, n=100)
    return {
        "messages_a_second": STEADY,
        "messages": len(waits),
        "p50_ms": round(parts[49] * 1000),
        "p99_ms": round(parts[98] * 1000),
    }


class Size(NamedTuple):
    """How much is measured: forwarders, messages of each, gateways of the page, days of totals, days of messages."""

    forwarders: int
    each: int
    gateways: int
    days: int
    told: int


def size(*, quick: bool) -> Size:
    """Return what is measured where nothing else is asked for."""
    return Size(100, EACH, 50, 30, 30) if quick else Size(1000, EACH, 500, 365, 365)


def measure(forwarders: int, each: int, gateways: int, days: int, told: int, tell: Tell) -> dict[str, Any]:
    """Measure both parts; `findings` are what must not be."""
    needs.need(NEEDS, root=False)
    findings = []
    with tempfile.TemporaryDirectory(prefix="oubli-fleet-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user
        tell(f"{forwarders} forwarders")
        delivered = deliver(folder, forwarders, each)
        if not delivered["right"] or delivered["stored"] != delivered["messages"]:
            findings.append("a message was lost, doubled or changed")
        tell("what a message costs")
        costs = intake.costs(folder, 1000)
        findings += intake.dear(costs)
        tell(f"{days} days of {gateways} gateways")
        asked = pages.year(folder, gateways, days, told)
        findings += pages.findings(asked["ms"])
    return {"deliver": delivered, "costs": costs, "year": asked, "findings": findings}


def of_pages(gateways: int, days: int, told: int, tell: Tell) -> dict[str, Any]:
    """Measure pages alone: of fleets of none, one, 30 and so many gateways."""
    needs.need(("postgresql",), root=False)
    with tempfile.TemporaryDirectory(prefix="oubli-fleet-") as name:
        Path(name).chmod(0o755)  # PostgreSQL runs as another user
        return pages.measure(Path(name), [0, 1, 30, gateways], days, told, tell)


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the figures for a person."""
    if "pages" in result:
        return pages.sheets(result)
    if "light" in result:
        return light.sheets(result)
    if "cluster" in result:
        return clusters.sheets(result)
    one, asked = result["deliver"], result["year"]
    steady, used = one["steady"], one["cpu_seconds"]
    lost = (
        "every message once"
        if not any("lost" in finding for finding in result["findings"])
        else "NOT every message once"
    )
    took = ", ".join(f"{name} {ms['median']} ({ms['slowest']}; {ms['cpu']})" for name, ms in asked["ms"].items())
    until = f"median {steady['p50_ms']} ms, p99 {steady['p99_ms']} ms until committed"
    rows = [
        (
            "flood",
            (
                f"{one['forwarders']:,} forwarders, {one['messages']:,} messages, two consumers killed, "
                f"broker restarted: {lost}"
            ),
        ),
        (
            "",
            (
                f"{one['messages_a_second']} messages/s; CPU s: consumers {used['consumers']}, "
                f"mosquitto {used['mosquitto']}"
            ),
        ),
        ("", f"peak MiB: a consumer {one['peak_mib']['consumer']}, mosquitto {one['peak_mib']['mosquitto']}"),
        ("steady", f"{steady['messages_a_second']} messages/s: {until}"),
        (
            "pages",
            (
                f"{asked['messages']:,} messages of {asked['gateways']:,} gateways; ms, median (slowest; "
                f"CPU) of ten: {took}"
            ),
        ),
    ]
    if "costs" in result:  # figures that were kept before there were these
        costs = ", ".join(f"{kind} {' + '.join(map(str, one.values()))}" for kind, one in result["costs"].items())
        rows.append(("costs", f"ms of CPU a message, Python + PostgreSQL: {costs}"))
        octets = asked["ms"]["metrics"]["octets"]
        rows.append(("", f"every gateway judged anew: {asked['judged_seconds']} s; /metrics {octets:,} octets"))
    return [Sheet("From forwarders through Mosquitto into PostgreSQL, and the fleet's pages", ("", ""), rows, (0, 1))]
