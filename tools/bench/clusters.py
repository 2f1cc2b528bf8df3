# SPDX-License-Identifier: Apache-2.0
"""What nodes of a cluster that die do to forwarders' messages.

`outlive` lets real forwarders publish through it over TLS while one node is cut off from its peers (as root, in
namespaces: clients reach it, its peers don't), one hangs, so that nothing ends its connections, and each is killed.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from tools import clock
from tools.bench import needs
from tools.bench.apart import Apart, apart
from tools.bench.nats_nodes import Nats
from tools.bench.nodes import NAMES, ROOT, Cluster, StuckError, running, until
from tools.bench.rabbits import Rabbit
from tools.bench.rounds import Tell
from tools.bench.sheets import Sheet
from tools.fleet import load, site
from tools.fleet.postgres import Postgres

KINDS: dict[str, type[Cluster]] = {"nats": Nats, "rabbitmq": Rabbit}
NEEDS = ("haproxy", "postgresql")
SERVERS = {"nats": "nats-server", "rabbitmq": "rabbitmq-server"}
FORWARDERS, EACH = 300, 40  # messages of each
LASTS = 100.0  # seconds for which they publish: 120 messages a second of 300
AWAY = 15.0  # seconds for which one is cut off, or hangs
SETTLES = 5.0  # seconds between both
# Seconds that may go without a message stored. NATS's nodes choose a new leader 4 to 9 s after the former's last word,
# and end a waiting MQTT connection 4 s later: constants of its raft.go and mqtt.go (2.10), no settings.
GAPS = {"nats": 20.0, "rabbitmq": 10.0}


def _whole(stored: "_Stored", wanted: int) -> None:
    """Wait until every message is stored; StuckError says how many are."""
    try:
        until(lambda: stored.look() >= wanted, "every message is stored")
    except StuckError as failure:
        raise StuckError(f"{failure}: {stored.look():,} of {wanted:,}") from None


def outlive(kind: str, folder: Path, url: str, forwarders: int, each: int, hub: Apart | None = None) -> dict[str, Any]:
    """Let forwarders publish while nodes die; return what came of it. The store at `url` is open.

    Without namespaces no node is cut off.
    """
    from tools.fleet.models import Message, Tally

    wanted, rate, idents = (
        forwarders * each,
        forwarders * each / LASTS,
        [load.name(number) for number in range(forwarders)],
    )
    with running(KINDS[kind](folder, idents, hub)) as cluster, (folder / "log").open("wb") as log:
        load.prepare(folder / "gateways", range(forwarders), each, int(clock.seconds()), cluster.options)
        serve = [
            sys.executable,
            "-m",
            "tools.fleet",
            "serve",
            "--no-page",
            "--consumers=2",
            "--name=cluster",
            *cluster.words(),
        ]
        collector = subprocess.Popen(
            serve, cwd=ROOT, env=os.environ | {"OUBLI_FLEET_DB": url}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        command = [sys.executable, "-m", "tools.fleet.load", str(folder / "gateways"), "0", str(forwarders), str(rate)]
        gateways: subprocess.Popen[bytes] | None = None
        stored = _Stored(wanted)
        try:
            gateways = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)
            until(lambda: stored.look() > 0, "the first message")
            until(lambda: stored.look() >= wanted // 8, "under way")
            _kill(cluster, hub, stored, wanted)
            until(lambda: (stored.look(), gateways.poll() is not None)[1], "every spool is empty")
            _whole(stored, wanted)
        finally:
            for one in (gateways, collector):
                if one is not None:
                    one.terminate()
                    one.wait(60)
    expected = sum((number + place) % 90 - 5 for number in range(forwarders) for place in range(each))
    kept = sum(Tally.objects.filter(fate="kept").values_list("count", flat=True))
    return {
        "kind": kind,
        "forwarders": forwarders,
        "messages": wanted,
        "stored": Message.objects.count(),
        "right": sum(Message.objects.values_list("v0", flat=True)) == expected and kept == wanted,
        "seconds": round(stored.seconds, 1),
        "gap_seconds": {part: round(gap, 1) for part, gap in stored.gaps.items()},
        "late_seconds": round(max(stored.seconds - LASTS, 0), 1),
    }


def measure(kind: str, forwarders: int, each: int, tell: Tell) -> dict[str, Any]:
    """Kill nodes under forwarders, with PostgreSQL; `findings` are what must not be."""
    needs.need((*NEEDS, SERVERS[kind]), root=False)
    with tempfile.TemporaryDirectory(prefix="oubli-cluster-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user
        (folder / "postgres").mkdir()
        with Postgres(folder / "postgres", durable=True) as database:
            url = database.create("fleet")
            site.configure(url)
            site.open_store()
            from django.db import connections

            tell(f"{forwarders} forwarders, three nodes")
            with apart(NAMES) if os.geteuid() == 0 else contextlib.nullcontext() as hub:
                found = outlive(kind, folder, url, forwarders, each, hub)
            connections.close_all()
    findings = (
        [] if found["right"] and found["stored"] == found["messages"] else ["a message was lost, doubled or changed"]
    )
    findings += [
        f"nothing was stored for {gap} s: {part}" for part, gap in found["gap_seconds"].items() if gap >= GAPS[kind]
    ]
    return {"cluster": found, "findings": findings}


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the figures for a person."""
    one = result["cluster"]
    lost = "every message once" if one["right"] else "NOT every message once"
    rows = [
        (
            "all",
            f"{one['forwarders']:,} forwarders, {one['messages']:,} messages in {one['seconds']} s: {lost}",
        ),
        *((part, f"longest time without one stored: {gap} s") for part, gap in one["gap_seconds"].items()),
        ("the last", f"{one['late_seconds']} s after all were due"),
    ]
    return [Sheet(f"Three nodes ({one['kind']}) behind HAProxy", ("", ""), rows, (0, 1))]


class _Stored:
    """How many messages are stored, and the longest time in which none came while some were due.

    After that a few gateways that were cut off are still in their pauses, up to 300 s.
    """

    def __init__(self, wanted: int) -> None:
        self._wanted, self._count, self._since = wanted, 0, time.monotonic()
        self._begun = self._since
        self.part, self.gaps = "all run", dict[str, float]()

    @property
    def seconds(self) -> float:
        return self._since - self._begun

    def more(self, than: int) -> bool:
        return self.look() > than or self._count == self._wanted

    def look(self) -> int:
        from tools.fleet.models import Message

        now, count = time.monotonic(), Message.objects.count()
        if self._count and self._count < self._wanted and now < self._begun + LASTS:
            self.gaps[self.part] = max(self.gaps.get(self.part, 0), now - self._since)
        if count > self._count:
            self._begun = self._begun if self._count else now
            self._since = now
        self._count = count
        return count


def _kill(cluster: Cluster, hub: Apart | None, stored: _Stored, wanted: int) -> None:
    """Cut a node off, let one hang, kill each in turn; each comes back, and storing goes on."""
    if hub is not None:
        stored.part = "one cut off"
        hub.cut(NAMES[1])
        _pass(stored, AWAY)
        hub.heal()
        _pass(stored, SETTLES)
    stored.part = "one hangs"
    cluster.nodes[0].signal(signal.SIGSTOP)
    _pass(stored, AWAY)
    cluster.nodes[0].signal(signal.SIGCONT)
    stored.part = "one killed"
    for place, node in enumerate(cluster.nodes):
        until(lambda place=place: stored.look() >= wanted * (place + 3) // 8, "under way")  # type: ignore[misc]
        node.kill()
        stored.look()
        _pass(stored, 5)
        node.start()
        until(lambda node=node: (stored.look(), node.ready())[1], "it is back")  # type: ignore[misc]
        until(partial(stored.more, stored.look()), "storing goes on")


def _pass(stored: _Stored, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        stored.look()
        time.sleep(0.1)
