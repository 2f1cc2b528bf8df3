# SPDX-License-Identifier: Apache-2.0
"""A share of a light fleet: very many gateways' connections in one loop (`oubli-sim fleet --light`).

    python -m host_sim.load.light_worker JSON

It reads lines on standard input: "cut SHARE" ends so many connections at once, "end" lets each say goodbye. Where the
input ends, so does this process, at once. Every half second a line of JSON says how it goes. What is kept grows with
the gateways, not with time: what each says next, what one that is away must still say, and counts.
"""

import contextlib
import errno
import heapq
import json
import os
import random
import resource
import select
import ssl
import sys
import time
from pathlib import Path

from agent.forwarder import mqtt_small as mqtt
from agent.forwarder.broker_connection import BACKOFF_FIRST, BACKOFF_LAST, STOPPED
from agent.outbox import jitter, topics
from host_sim.load import light_gateway, rhythm
from host_sim.load.fleet_worker import identity
from host_sim.load.light_gateway import Due, Gateway, GoneError, Place
from host_sim.load.light_tally import Tally

_TELL, _PATIENCE = 0.5, 20.0  # seconds; the second for an answer, as the forwarder's
_BOUND = 30.0  # seconds that goodbyes may take
_PING, _CONNECT = rhythm.HEALTH + 1, rhythm.HEALTH + 2
_GONE = (OSError, GoneError)  # ssl.SSLError is an OSError


def source(host: str, worker: int) -> str | None:
    """Return the address from which a worker reaches a broker: one of its own, with its own ports, on loopback."""
    return f"127.77.{worker // 250}.{worker % 250 + 1}" if host.startswith("127.") else None


class Share:
    """So many gateways and their loop; `given` says which, where, and how."""

    def __init__(self, given: dict) -> None:
        self._draw = random.Random(given["first"])
        self._spread, self._ends = given["spread"], given["ends"]
        self._rhythm = rhythm.Rhythm(given["begins"], given["at"], given["speed"])
        self._context = ssl.create_default_context(cafile=given["ca"]) if given["ca"] else None
        self._poll = select.epoll()
        self._poll.register(sys.stdin, select.EPOLLIN)
        self.tally = Tally(Path(given["sent"], f"sent-{given['first']}") if given["sent"] else None)
        places = [
            Place(one["family"], (one["host"], one["port"]), source(one["host"], given["worker"]), *one["who"])
            for one in given["brokers"]
        ]
        self.gateways = [
            Gateway(number, identity(number), places[number % len(places)], BACKOFF_FIRST)
            for number in range(given["first"], given["first"] + given["count"])
        ]
        self._plan: list[tuple[float, int, int, int]] = []  # moment, kind, gateway, end: a heap
        for place in range(given["count"]):
            self._plan.append(
                (given["at"] - given["lead"] + given["ramp"] * place / given["count"], _CONNECT, place, 0)
            )
            for kind in (*rhythm.FIGURES, rhythm.HEALTH):
                self._due(kind, place, *self._rhythm.first(kind, self._draw))
        heapq.heapify(self._plan)
        self._first = given["first"]
        self._streams: dict[int, Gateway] = {}
        self._flying: dict[Gateway, float] = {}  # who waits for an answer, since when; oldest first
        self.leaving = 0.0
        self.over = False

    def _due(self, kind: int, place: int, moment: float, end: int) -> None:
        """Plan a message, where it comes before the end of the run."""
        if moment < self._ends:
            self._plan.append((moment, kind, place, end))

    def turn(self) -> None:
        """Do what is due, then what has come."""
        now = time.monotonic()
        while self._plan and self._plan[0][0] <= now:
            self._step(*heapq.heappop(self._plan))
        while self._flying and self._flying[oldest := next(iter(self._flying))] + _PATIENCE < now:
            self._fail(oldest)
        wait = min(max(self._plan[0][0] - time.monotonic(), 0), _TELL) if self._plan else _TELL
        for descriptor, event in self._poll.poll(wait, 1024):
            if descriptor == 0:
                self._asked()
            elif one := self._streams.get(descriptor):
                try:
                    self._serve(one, event)
                except _GONE:
                    self._fail(one)
        if self.leaving and (not self._streams or time.monotonic() > self.leaving + _BOUND):
            self.over = True

    def _step(self, moment: float, kind: int, place: int, end: int) -> None:
        one = self.gateways[place]
        if kind == _CONNECT:
            if one.phase == light_gateway.AWAY and not self.leaving:
                self._reach(one)
        elif kind == _PING:
            if one.session == end:
                self._ping(one, moment)
        else:
            after = self._rhythm.next(kind, end, moment, one.number * 37 % 300, self._draw)
            if after[0] < self._ends:
                heapq.heappush(self._plan, (after[0], kind, place, after[1]))
            self.tally.counts["figures due"] += kind != rhythm.HEALTH
            self.tally.counts["given up"] += not one.keep(Due(kind, end, moment))
            try:
                self._speak(one)
            except _GONE:
                self._fail(one)

    def _reach(self, one: Gateway) -> None:
        try:
            stream = one.reach()
        except OSError as failure:
            if failure.errno in {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL}:
                raise
            self._fail(one)
            return
        self._streams[stream.fileno()] = one
        self._poll.register(stream, select.EPOLLIN | select.EPOLLOUT)
        self._flying[one] = time.monotonic()

    def _serve(self, one: Gateway, event: int) -> None:
        if one.phase in {light_gateway.REACHING, light_gateway.SHAKING}:
            self._open(one, event)
            return
        if event & select.EPOLLOUT:
            one.write()
            self._listen(one)
        for answer in one.answers() if event & ~select.EPOLLOUT else ():
            self._answered(one, answer)

    def _open(self, one: Gateway, event: int) -> None:
        """Go on with a connection that doesn't stand yet."""
        if one.phase == light_gateway.REACHING:
            if event & select.EPOLLIN and not event & select.EPOLLOUT:
                return
            one.reached(self._context)
        writes = one.phase == light_gateway.SHAKING and one.shake()
        self._listen(one, writes=writes)

    def _listen(self, one: Gateway, *, writes: bool = False) -> None:
        if one.stream is not None:
            self._poll.modify(one.stream, select.EPOLLIN | select.EPOLLOUT * (writes or bool(one.out)))

    def _answered(self, one: Gateway, answer: int) -> None:
        if answer == mqtt.PINGRESP:
            one.asked = False
            return
        self._flying.pop(one, None)
        if answer == mqtt.CONNACK:
            if one.phase != light_gateway.GREETING:
                raise GoneError
            one.phase = light_gateway.ANNOUNCING
            self._publish(one, *rhythm.online(one.ident), retain=True)
        elif one.phase == light_gateway.ANNOUNCING:
            one.phase, one.backoff = light_gateway.UP, max(self._spread, BACKOFF_FIRST)
            self.tally.counts["connected"] += 1
            self._plan_ping(one, time.monotonic())
            self._speak(one)
        elif one.phase == light_gateway.LEAVING:
            one.write(mqtt.DISCONNECT)
            self._drop(one)
        elif one.sent is not None:
            self.tally.taken(one.ident, one.sent)
            one.sent = None
            self._speak(one)

    def _speak(self, one: Gateway) -> None:
        """Send what waits, one at a time; at the end, goodbye."""
        if one.phase != light_gateway.UP or one.sent is not None:
            return
        if self.leaving:
            one.phase = light_gateway.LEAVING
            self.tally.counts["connected"] -= 1
            self._publish(one, topics.state(one.ident), STOPPED, retain=True)
        elif one.waiting:
            one.sent = one.waiting.popleft()
            one.waiting = one.waiting or None
            if one.sent.end:
                self._publish(one, *rhythm.figure(one.ident, one.sent.kind, one.sent.end), retain=False)
            else:
                self._publish(one, *rhythm.health(one.ident, self._rhythm.reads(time.monotonic())), retain=True)

    def _publish(self, one: Gateway, topic: str, text: bytes, *, retain: bool) -> None:
        self._flying[one] = time.monotonic()
        one.publish(topic, text, retain=retain)
        if one.out:
            self._listen(one)

    def _plan_ping(self, one: Gateway, former: float) -> None:
        moment = jitter.ping(int(former * 1e9), jitter.KEEPALIVE, self._draw.randbytes) / 1e9
        heapq.heappush(self._plan, (moment, _PING, one.number - self._first, one.session))

    def _ping(self, one: Gateway, moment: float) -> None:
        if one.phase != light_gateway.UP:
            return
        try:
            if one.asked:
                raise GoneError
            one.asked = True
            one.write(mqtt.PINGREQ)
        except _GONE:
            self._fail(one)
        else:
            self._plan_ping(one, moment)

    def _fail(self, one: Gateway) -> None:
        """Drop a connection and come back as a forwarder does: at random within the window, which grows."""
        self.tally.counts["failures"] += 1
        self._drop(one)
        wait = self._draw.random() * one.backoff + 0.1
        one.backoff = max(one.backoff, min(one.backoff * 2, BACKOFF_LAST))
        heapq.heappush(self._plan, (time.monotonic() + wait, _CONNECT, one.number - self._first, 0))

    def _drop(self, one: Gateway) -> None:
        self.tally.counts["connected"] -= one.phase == light_gateway.UP
        if one.stream is not None:
            self._streams.pop(one.stream.fileno(), None)
        self._flying.pop(one, None)
        if one.sent is not None:
            one.keep(one.sent, first=True)
            one.sent = None
        one.cut()

    def _asked(self) -> None:
        """Do what the parent says."""
        line = os.read(0, 64).decode().split()
        if not line:
            self.over = True
        elif line[0] == "cut":
            there = [one for one in self.gateways if one.phase == light_gateway.UP]
            chosen = self._draw.sample(there, round(len(there) * float(line[1])))
            self.tally.counts["cut"] += len(chosen)
            for one in chosen:
                one.backoff = self._spread
                self._fail(one)
                self.tally.counts["failures"] -= 1
        else:
            self.leaving = time.monotonic()
            for one in self.gateways:
                if one.phase == light_gateway.UP:
                    with contextlib.suppress(*_GONE):
                        self._speak(one)
                elif one.phase != light_gateway.AWAY:
                    self._drop(one)


def raise_limit() -> int:
    """Let this process hold as many descriptors as it may; return how many that are."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def main(given: dict) -> None:
    """Let them live until standard input ends, or all have said goodbye."""
    raise_limit()
    share = Share(given)
    told = 0.0
    while not share.over:
        share.turn()
        if time.monotonic() - told >= _TELL:
            told = time.monotonic()
            print(json.dumps(share.tally.told()), flush=True)
    print(json.dumps(share.tally.told()), flush=True)


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except OSError as failure:
        print(json.dumps({"failed": os.strerror(failure.errno or 0)}), flush=True)
