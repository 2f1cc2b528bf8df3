# SPDX-License-Identifier: Apache-2.0
"""Who comes to the venue, how long they stay, and what their devices talk about.

People are drawn, not packets: an hour's arrivals, a stay, a kind of device; a device opens pages, syncs in the background,
streams, pings, and keeps a push channel open until its owner walks out. Each number below stands beside what it rests on;
"ours" means that no study gives it and that it was chosen so that a café day has about 200 terminals and 100,000 connections.

Sources:
  [stay]    Free-Hotspot, cafés of Paris, 2006: mean stay 89 min. WeFi, 2011: 30 % of Android sessions < 5 min, 30 % >= 20 min.
            Balachandran et al., SIGMETRICS 2002; Divgi and Chlebus, PIMRC 2007 (cafés): long-tailed stays, arrivals by hour.
  [pages]   HTTP Archive: a page opens about a dozen connections; Web Almanac 2024, "HTTP": HTTP/3 near 30 % of requests.
  [sizes]   Falaki et al., "A first look at traffic on smartphones", IMC 2010: transfers are small and heavy-tailed.
  [phones]  Maier et al., "A first look at mobile hand-held device traffic", PAM 2010: media dominates bytes.
  [ports]   RFC 6056; Linux and Android use 32768-60999, Apple and Windows 49152-65535 (IANA's dynamic range).
  [mac]     Android 10 and iOS 14 give each network a random, locally administered MAC.
  [v6]      RFC 8981: temporary addresses; about half of the users reach dual-stack sites over IPv6 (Google's public count).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Literal, NamedTuple

from host_sim.kernel import ICMP, TCP, UDP

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

Ending = Literal["closed", "reset", "silent", "unanswered"]


class Talk(NamedTuple):
    """One connection that a device makes. Times in ns, volumes in octets with IP headers, as conntrack counts them."""

    at: int
    lasts: int  # first packet to last
    protocol: int
    port: int  # destination
    local: bool  # to the gateway itself, not translated
    packets_up: int
    bytes_up: int
    packets_down: int
    bytes_down: int
    ending: Ending


@dataclass(frozen=True)
class Kind:
    """A kind of device: its share of the terminals, its stay, what it does in an hour."""

    name: str
    share: float
    stay_minutes: float  # median [stay]
    stay_spread: float  # sigma of the lognormal [stay]
    ports: tuple[int, int]  # [ports]
    pages: float  # an hour, ours
    background: float  # an hour, ours
    streams: float  # an hour, ours; [phones] has media as the largest part of the bytes
    pings: float  # an hour, ours
    push_port: int


KINDS = (
    Kind("android phone", 0.38, 40, 0.9, (32768, 60999), 9, 34, 1.2, 0.1, 5228),
    Kind("iphone", 0.29, 40, 0.9, (49152, 65535), 9, 30, 1.2, 0.0, 5223),
    Kind("laptop", 0.26, 85, 0.6, (49152, 65535), 17, 50, 1.5, 2.0, 443),
    Kind("tablet", 0.07, 60, 0.7, (49152, 65535), 11, 20, 2.5, 0.0, 5223),
)

_TCP_HEADER, _UDP_HEADER, _SEGMENT = 52, 28, 1400  # IP and transport headers; payload of a full packet


@dataclass
class Device:
    """A terminal on a visit. `mac` is random and locally administered [mac]; `temporary` are IPv6 addresses or empty."""

    kind: Kind
    mac: bytes
    address: bytes
    temporary: list[bytes]
    arrives: int
    leaves: int
    random: Random = field(repr=False)
    port: int = 0

    def next_port(self) -> int:
        """Return the next ephemeral source port [ports]."""
        low, high = self.kind.ports
        self.port = self.port + 1 if low <= self.port < high else low
        return self.port

    def bursts(self, activity: float) -> Iterator[tuple[int, list[Talk]]]:
        """Yield (time, connections that begin about then) until the device leaves; `activity` scales every rate."""
        kind, draw = self.kind, self.random
        self.port = draw.randint(*kind.ports)
        yield self.arrives, [*self._hello()]
        weights = (kind.pages, kind.background, kind.streams, kind.pings)
        makers = (self._page, self._sync, self._stream, self._ping)
        rate = activity * sum(weights) / HOUR
        now = self.arrives + 4 * SECOND
        while rate > 0:
            now += int(draw.expovariate(rate))
            if now >= self.leaves - SECOND:
                return
            (make,) = draw.choices(makers, weights)
            yield now, [self._cut(talk) for talk in make(now)]

    def _cut(self, talk: Talk) -> Talk:
        """Whoever walks out leaves connections open: their last packet is then the last before the door closed."""
        left = self.leaves - talk.at
        if talk.lasts <= left:
            return talk
        return talk._replace(lasts=max(left, 0), ending="silent")

    def _hello(self) -> Iterator[Talk]:
        """Association: the captive-portal check, the clock, a push channel that stays until the owner leaves."""
        draw, at = self.random, self.arrives + SECOND
        yield self._query(at)
        yield self._transfer(at + SECOND // 5, 80, 200, 300, SECOND // 4)
        yield Talk(at + SECOND, SECOND // 20, UDP, 123, False, 1, 76, 1, 76, "silent")
        stay = max(self.leaves - at - 5 * SECOND, SECOND)
        beats = 1 + stay // (9 * MINUTE)
        quiet = int(draw.random() * min(stay // 2, 9 * MINUTE))
        push = self._transfer(at + 2 * SECOND, self.kind.push_port, 1800 + 90 * beats, 4200 + 60 * beats, stay - quiet)
        yield push._replace(ending="silent")

    def _query(self, at: int) -> Talk:
        """One DNS query, most of them to the gateway's own resolver; A, AAAA and HTTPS records count as one each."""
        draw = self.random
        up, down = 60 + int(draw.expovariate(1 / 18)), 90 + int(draw.expovariate(1 / 70))
        wait = int(draw.lognormvariate(math.log(0.02), 0.9) * SECOND)
        local = draw.random() < 0.8
        if draw.random() < 0.004:
            return Talk(at, 5 * SECOND, UDP, 53, local, 2, 2 * up, 0, 0, "unanswered")
        return Talk(at, min(wait, 4 * SECOND), UDP, 53, local, 1, up, 1, down, "silent")

    def _transfer(self, at: int, port: int, up: int, down: int, lasts: int, protocol: int = TCP) -> Talk:
        """A connection that carries so many octets of payload each way."""
        header, extra = (_TCP_HEADER, 3) if protocol == TCP else (_UDP_HEADER, 1)
        packets_down = extra + math.ceil(down / _SEGMENT)
        packets_up = extra + math.ceil(up / _SEGMENT) + packets_down // 2
        ending: Ending = "closed" if protocol == TCP else "silent"
        if protocol == TCP and self.random.random() < 0.08:
            ending = "reset"
        volumes = (packets_up, up + header * packets_up, packets_down, down + header * packets_down)
        return Talk(at, lasts, protocol, port, False, *volumes, ending)

    def _web(self, at: int) -> Talk:
        """One web connection: QUIC in about a third [pages], a lognormal size [sizes]."""
        draw = self.random
        up = int(draw.lognormvariate(math.log(1500), 0.8))
        down = int(draw.lognormvariate(math.log(7000), 1.7))
        lasts = int(min(draw.lognormvariate(math.log(4), 1.4), 900) * SECOND)
        if draw.random() < 0.01:
            return Talk(at, 7 * SECOND, TCP, 443, False, 4, 4 * 60, 0, 0, "unanswered")
        return self._transfer(at, 443, up, down, lasts, UDP if draw.random() < 0.3 else TCP)

    def _page(self, at: int) -> Iterator[Talk]:
        draw = self.random
        names = 2 + int(draw.expovariate(1 / 6))
        for place in range(names):
            # A, AAAA, HTTPS: two or three queries a name
            for _ in range(2 if draw.random() < 0.6 else 3):
                yield self._query(at + int(place * 0.2 * SECOND))
        for _ in range(2 + int(draw.expovariate(1 / 10))):
            yield self._web(at + int(draw.expovariate(1 / 1.5) * SECOND))

    def _sync(self, at: int) -> Iterator[Talk]:
        draw = self.random
        for _ in range(2):
            yield self._query(at)
        for place in range(1 + (draw.random() < 0.4)):
            yield self._web(at + place * SECOND // 3)

    def _stream(self, at: int) -> Iterator[Talk]:
        draw = self.random
        yield self._query(at)
        for place in range(1 + int(draw.expovariate(1 / 2))):
            down = int(draw.lognormvariate(math.log(6e6), 1.1))
            lasts = int(min(draw.lognormvariate(math.log(90), 0.9), 3600) * SECOND)
            yield self._transfer(at + place * SECOND, 443, 20_000 + down // 120, down, lasts, UDP if draw.random() < 0.6 else TCP)

    def _ping(self, at: int) -> Iterator[Talk]:
        count = self.random.randint(1, 10)
        yield Talk(at, (count - 1) * SECOND, ICMP, 0, False, count, 84 * count, count, 84 * count, "silent")


@dataclass(frozen=True)
class Crowd:
    """Who comes: `visitors` devices a day, shared over the local hours by `arrivals` (24 weights)."""

    visitors: float
    arrivals: tuple[float, ...]
    ipv6: float

    def day(self, draw: Random, midnight: int, closes: int) -> list[tuple[int, int, Kind, bool]]:
        """Return (arrives, leaves, kind, has IPv6) of one local day that starts at `midnight`, in order of arrival.

        A time-varying Poisson process [stay]; whoever would stay past `closes` (ns after midnight) leaves then.
        """
        total = sum(self.arrivals)
        visits = []
        for hour, weight in enumerate(self.arrivals):
            expected = self.visitors * weight / total
            at = midnight + hour * HOUR
            end = at + HOUR
            while expected > 0:
                at += int(draw.expovariate(expected / HOUR))
                if at >= end:
                    break
                (kind,) = draw.choices(KINDS, [kind.share for kind in KINDS])
                minutes = draw.lognormvariate(math.log(kind.stay_minutes), kind.stay_spread)
                leaves = min(at + int(max(minutes, 0.5) * MINUTE), midnight + closes)
                if at < leaves:
                    visits.append((at, leaves, kind, draw.random() < self.ipv6))
        return visits
