# SPDX-License-Identifier: Apache-2.0
"""`oubli-sim fleet --light`: so many gateways that each can't be a forwarder of its own, at one broker or several.

A connection each, with its own id and will, in a few processes' loops (`host_sim.load.light_worker`). They say what
gateways say, in octets of the true form, so that a collector stores it. Their clock is `host_sim.load.rhythm`'s.
"""

import contextlib
import os
import socket
import ssl
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from host_sim.load import rhythm
from host_sim.load.fleet import FleetError, address, memory, worker
from host_sim.load.light_tally import STEP
from host_sim.load.light_worker import raise_limit
from tools.fleet.mosquitto import BrokerError, Mosquitto

PATIENCE = 120  # seconds that the last messages, or who was cut off, may take
PROCESSES = 64  # at most
_SPARE = 200  # descriptors of a process that are no gateway's
_LEAD = 2  # seconds between the processes' start and the first connection
KINDS = ("figures", "healths")


@dataclass(frozen=True)
class Pace:
    """How they live.

    `seconds` of a clock that runs `speed` times as fast, from an `hour` (UTC) on; before, they connect within `ramp`
    seconds. After, the share `cut` of them is cut off at once, and each comes back within `spread` seconds, as a
    forwarder's `mqtt.spread` says.
    """

    seconds: float = 60
    speed: float = 1
    hour: int = 12
    ramp: float = 10
    cut: float = 0
    spread: float = 60


@dataclass
class Lived:
    """What they did: times in seconds, counts of what was acknowledged; `waits` from due to acknowledged, by steps."""

    gateways: int
    processes: int
    brokers: int
    pace: Pace
    counts: Counter[str] = field(default_factory=Counter)
    waits: dict[str, Counter[int]] = field(default_factory=dict)
    connected: int = 0
    connected_after: float = 0.0
    back_after: float = 0.0
    cpu: float = 0.0
    memory: int = 0

    @property
    def whole(self) -> bool:
        """Return True if all connected, came back where they were cut off, and every figure was acknowledged."""
        back = bool(self.back_after) or not self.pace.cut
        return bool(self.connected_after) and back and self.counts["figures"] == self.counts["figures due"]

    def data(self) -> dict[str, Any]:
        """Return what `--json` writes."""
        return {
            "gateways": self.gateways,
            "processes": self.processes,
            "brokers": self.brokers,
            "connected": self.connected,
            "all_connected_after_s": round(self.connected_after, 1),
            "seconds": self.pace.seconds,
            "speed": self.pace.speed,
            "figures": self.counts["figures"],
            "figures_due": self.counts["figures due"],
            "healths": self.counts["healths"],
            **{f"{kind}_s": _quantiles(self.waits.get(kind, Counter())) for kind in KINDS},
            "cut": self.counts["cut"],
            "all_back_after_s": round(self.back_after, 1),
            "failed_connections": self.counts["failures"],
            "given_up": self.counts["given up"],
            "cpu_s": round(self.cpu, 1),
            "memory_mib": round(self.memory / 2**20, 1),
            "whole": self.whole,
        }


def _quantiles(waits: Counter[int]) -> dict[str, float]:
    """Return quantiles of waits that were counted by powers of STEP, each at most 5 % too large; none of none."""
    total, found = sum(waits.values()), {}
    for share in (50, 95, 99, 100):
        seen = 0
        for step in sorted(waits):
            seen += waits[step]
            if seen * 100 >= total * share:
                found["most" if share == 100 else f"p{share}"] = round(STEP**step, 4)
                break
    return found


def processes(gateways: int, what: str) -> int:
    """Return how many processes hold so many connections, by this machine's limit; FleetError beyond what is sane."""
    room = max(raise_limit() - _SPARE, 1)
    if gateways > PROCESSES * room:
        raise FleetError(
            f"--light: {gateways} connections in {PROCESSES} {what} of {room} descriptors each (ulimit -Hn); "
            f"accepted: at most {PROCESSES * room}, or a larger limit"
        )
    return -(-gateways // room)


def _brokers(urls: Sequence[str], ca: str | None) -> list[dict[str, Any]]:
    """Return what a process is told of each broker; FleetError."""
    found = []
    for url in urls:
        at = address(url, ca)
        try:
            if at.ca:
                ssl.create_default_context(cafile=at.ca)
        except OSError:
            raise FleetError(f"--ca: {at.ca}: no certificate in it; accepted: a file of certificates, PEM") from None
        try:
            with socket.create_connection((at.host, at.port), 20) as tried:
                family, host = tried.family, tried.getpeername()[0]  # of a name's addresses, one that answers
        except OSError as failure:
            raise FleetError(
                f"--broker: {at.host}:{at.port}: {failure.strerror or failure}; accepted: a broker that is there"
            ) from None
        who = (at.host, at.username, at.password)
        found.append({"family": int(family), "host": host, "port": at.port, "who": who})
    return found


@contextlib.contextmanager
def _own(folder: Path, gateways: int) -> Iterator[list[str]]:
    """Start as many Mosquittos as hold so many connections."""
    with ExitStack() as stack:
        urls = []
        for number in range(processes(gateways, "Mosquittos")):
            place = folder / f"broker-{number}"
            place.mkdir()
            urls.append(f"mqtt://127.0.0.1:{stack.enter_context(Mosquitto(place)).port}")
        yield urls


class _Shares:
    """The processes, and what they say."""

    def __init__(self, stack: ExitStack, given: Sequence[dict[str, Any]]) -> None:
        self._running = [stack.enter_context(worker("host_sim.load.light_worker", one)) for one in given]

    def order(self, line: str) -> None:
        """Say something to all of them."""
        for one in self._running:
            with contextlib.suppress(BrokenPipeError):
                cast("IO[bytes]", one.process.stdin).write(line.encode())
                cast("IO[bytes]", one.process.stdin).flush()

    def look(self) -> Counter[str]:
        """Return the sums of what they count; FleetError where one has ended."""
        total: Counter[str] = Counter()
        for one in self._running:
            if "failed" in one.said:
                raise FleetError(
                    f"--light: {one.said['failed']}; accepted: fewer gateways, more brokers, or a larger `ulimit -Hn`"
                )
            if one.process.poll() not in {None, 0}:
                raise FleetError(f"a process of gateways ended with status {one.process.returncode}; accepted: none")
            total.update({key: value for key, value in one.said.items() if isinstance(value, int)})
        return total

    @property
    def over(self) -> bool:
        """Return True if all have ended."""
        return all(one.process.poll() is not None for one in self._running)

    def finish(self, lived: Lived) -> None:
        """Put together what they said last."""
        for kind in KINDS:
            lived.waits[kind] = Counter()
            for one in self._running:
                lived.waits[kind].update({int(step): count for step, count in one.last()["waits"][kind].items()})
        lived.counts = self.look()
        lived.cpu = sum(one.last()["cpu"] for one in self._running)

    def memory(self) -> int:
        """Return what they take, octets."""
        return sum(memory(one.process.pid) for one in self._running)


def run(
    gateways: int,
    urls: Sequence[str],
    ca: str | None,
    pace: Pace,
    tell: Callable[[str], None],
    sent: Path | None = None,
    passed: Callable[[str], None] = lambda _: None,
) -> Lived:
    """Let so many live, at these brokers or at Mosquittos of their own.

    `sent`: a folder for files that name each figure that was acknowledged and when it was due. `passed` is told of
    each part when it is over: "ramp", "day", "cut". FleetError, BrokerError.
    """
    if pace.seconds * pace.speed > rhythm.LONGEST * rhythm.DAY:
        raise FleetError(f"--speed: more than {rhythm.LONGEST} days pass; accepted: less, or fewer --seconds")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oubli-sim-fleet-")))
        shares = max(processes(gateways, "processes"), min(os.cpu_count() or 1, gateways))
        brokers = _brokers(urls or stack.enter_context(_own(folder, gateways)), ca)
        at = time.monotonic() + _LEAD + gateways / 20_000 + pace.ramp
        common = {"brokers": brokers, "ca": ca, "spread": pace.spread, "ramp": pace.ramp, "lead": pace.ramp, "at": at,
                  "speed": pace.speed, "ends": at + pace.seconds, "sent": str(sent) if sent else None,
                  "begins": rhythm.begin(int(time.time()), pace.seconds, pace.speed, pace.hour)}  # fmt: skip
        given, first = [], 0
        for number in range(shares):
            count = (gateways - first) // (shares - number)
            given.append({**common, "first": first, "count": count, "worker": number})
            first += count
        lived = Lived(gateways, shares, len(brokers), pace)
        _watch(lived, _Shares(stack, given), at, tell, passed)
    return lived


def _watch(
    lived: Lived, shares: _Shares, at: float, tell: Callable[[str], None], passed: Callable[[str], None]
) -> None:
    """Look on until the day is over, who was cut off is back, and all have said goodbye."""
    pace, part, cut = lived.pace, "ramp", 0.0
    end = at + pace.seconds
    while True:
        now, counts = time.monotonic(), shares.look()
        lived.connected = counts["connected"]
        tell(
            f"{now - at:5.0f} s  {counts['connected']:,} connected  {counts['figures']:,} figures  "
            f"{counts['healths']:,} healths"
        )
        if lived.connected == lived.gateways and not lived.connected_after:
            lived.connected_after = now - at + pace.ramp
        if part == "ramp" and now >= at:
            part = "day"
            passed("ramp")
        if part == "day" and now >= end and (counts["figures"] == counts["figures due"] or now > end + PATIENCE):
            part, cut = "cut", now
            lived.memory = shares.memory()
            passed("day")
            if pace.cut:
                shares.order(f"cut {pace.cut}\n")
        if part == "cut":
            back = counts["cut"] > 0 and lived.connected == lived.gateways
            if back:
                lived.back_after = now - cut
            if not pace.cut or back or now > cut + PATIENCE:
                break
        time.sleep(0.2)
    passed("cut")
    shares.order("end\n")
    while not shares.over:
        tell("goodbye")
        time.sleep(0.1)
    shares.finish(lived)


__all__ = ["BrokerError", "FleetError", "Lived", "Pace", "run"]
