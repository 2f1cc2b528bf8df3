# SPDX-License-Identifier: Apache-2.0
"""Who comes to the venue, how long they stay, and what their devices talk about.

People are drawn, not packets: an hour's arrivals, a stay, a kind of device. A device opens pages, syncs in the
background, streams, calls, holds a tunnel, pings, and keeps a push channel open until its owner walks out. Each number
below stands beside what it rests on. "ours" means that no study gives it: it was chosen so that a café day has about
200 terminals and 100,000 connections. `oubli-sim people` draws what is generated beside what the sources say.

Sources:
  [stay]    Free-Hotspot, cafés of Paris, 2006: mean stay 89 min, most in the afternoon. Divgi and Chlebus, PIMRC 2007
            (hotspots of Australia); Papadopouli et al., European Wireless 2005: long-tailed visits. The lognormal and
            its spread are ours.
  [arrive]  Ghosh et al., INFOCOM 2011 (hotspots from coffee shops to enterprises): arrivals are a Poisson process whose
            rate follows hour and weekday.
  [pages]   HTTP Archive: a page opens about a dozen connections; Web Almanac
            2024, "HTTP": HTTP/3 near 30 % of requests.
  [sizes]   Falaki et al., "A first look at traffic on smartphones", IMC 2010: transfers are small and heavy-tailed.
  [phones]  Maier et al., "A first look at mobile hand-held device traffic", PAM 2010: media dominates bytes.
  [ports]   RFC 6056; Linux and Android use 32768-60999, Apple and Windows 49152-65535 (IANA's dynamic range).
  [mac]     Android 10 and iOS 14 give each network a random, locally administered
            MAC; some change it again after a while.
  [v6]      RFC 8981: temporary addresses, a new one each day; about half of the users reach dual-stack sites over IPv6
            (Google's public count).
  [roam]    Ojala et al., 2005 (city-centre WLAN of Oulu): under a tenth of the sessions move at all.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Literal, NamedTuple

from host_sim.venue.kernel import ICMP, TCP, UDP

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

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
    calls: float = 0.0  # an hour, ours
    tunnels: float = 0.0  # share of devices behind a VPN, ours
    mail: float = 0.0  # an hour, ours


KINDS = (
    Kind("android phone", 0.38, 40, 0.9, (32768, 60999), 9, 34, 1.2, 0.1, 5228, 0.15, 0.02),
    Kind("iphone", 0.29, 40, 0.9, (49152, 65535), 9, 30, 1.2, 0.0, 5223, 0.15, 0.02),
    Kind("laptop", 0.26, 85, 0.6, (49152, 65535), 17, 50, 1.5, 2.0, 443, 0.25, 0.2, 4),
    Kind("tablet", 0.07, 60, 0.7, (49152, 65535), 11, 20, 2.5, 0.0, 5223, 0.1),
)

_TCP_HEADER, _UDP_HEADER, _SEGMENT = 52, 28, 1400  # IP and transport headers; payload of a full packet


@dataclass
class Device:
    """A terminal on a visit.

    `mac` is random and locally administered [mac]; `temporary` are IPv6 addresses or empty, newest last [v6].
    """

    kind: Kind
    mac: bytes
    address: bytes
    temporary: list[bytes]
    arrives: int
    leaves: int
    random: Random = field(repr=False)
    port: int = 0
    sleep: float = 0.0  # share of its stay

    def next_port(self) -> int:
        """Return the next ephemeral source port [ports]."""
        low, high = self.kind.ports
        self.port = self.port + 1 if low <= self.port < high else low
        return self.port

    def bursts(self, activity: float) -> Iterator[tuple[int, list[Talk]]]:
        """Yield (time, connections that begin about then) until the device leaves; `activity` scales every rate.

        A device that sleeps does so for a while after each while awake, and only syncs meanwhile, ten times less often.
        """
        kind, draw = self.kind, self.random
        self.port = draw.randint(*kind.ports)
        yield self.arrives, [*self._hello()]
        weights = (kind.pages, kind.background, kind.streams, kind.pings, kind.calls, kind.mail)
        makers = (self._page, self._sync, self._stream, self._ping, self._call, self._mail)
        rate = activity * sum(weights) / HOUR
        now = self.arrives + 4 * SECOND
        while rate > 0:
            now += int(draw.expovariate(rate))
            if now >= self.leaves - SECOND:
                return
            (make,) = draw.choices(makers, weights)
            if self.sleep and self._asleep(now) and (make != self._sync or draw.random() > 0.1):
                continue
            yield now, [self._cut(talk) for talk in make(now)]

    def _asleep(self, now: int) -> bool:
        """Whether it sleeps: in the last part of each half-hour since it came, for `sleep` of it."""
        return (now - self.arrives) % (30 * MINUTE) > (1 - self.sleep) * 30 * MINUTE

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
        if draw.random() < self.kind.tunnels:
            seconds = stay // SECOND
            tunnel = self._transfer(
                at + 3 * SECOND, draw.choice((51820, 4500, 1194)), 900 * seconds, 6000 * seconds, stay - quiet, UDP
            )
            yield tunnel

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
        if draw.random() < 0.05:  # plain HTTP: what is left of it, ours
            return self._transfer(at, 80, up, down, lasts)
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
            yield self._transfer(
                at + place * SECOND, 443, 20_000 + down // 120, down, lasts, UDP if draw.random() < 0.6 else TCP
            )

    def _call(self, at: int) -> Iterator[Talk]:
        """A call: STUN, then a stream of voice or video, 32 to 1,200 kbit/s each way, minutes long (ours)."""
        draw = self.random
        yield self._query(at)
        yield self._transfer(at + SECOND // 10, 3478, 200, 200, SECOND, UDP)
        seconds = int(min(max(draw.lognormvariate(math.log(180), 1.0), 5), 7200))
        octets = seconds * draw.choice((4_000, 6_000, 60_000, 150_000))
        yield self._transfer(at + SECOND, 19302, octets, octets, seconds * SECOND, UDP)

    def _mail(self, at: int) -> Iterator[Talk]:
        """A mailbox is looked at."""
        yield self._query(at)
        yield self._transfer(at + SECOND // 10, 993, 1500, 6000 + int(self.random.expovariate(1 / 40_000)), 2 * SECOND)

    def _ping(self, at: int) -> Iterator[Talk]:
        count = self.random.randint(1, 10)
        yield Talk(at, (count - 1) * SECOND, ICMP, 0, False, count, 84 * count, count, 84 * count, "silent")


class Visit(NamedTuple):
    """One stay of a device under one MAC. `new`: its owner has just walked in."""

    arrives: int
    leaves: int
    kind: Kind
    has_ipv6: bool
    new: bool = True


@dataclass(frozen=True)
class Crowd:
    """Who comes: `visitors` devices on a day of average weight, over the hours by `arrivals` (24 weights) [arrive].

    `weekdays` are 7 weights, Monday first; `stay` scales every stay; `sleep` is a share of it, `rotate` hours between
    two MACs of a device (0: one for the visit), `roams` changes of the access point an hour, `kinds` the weights of
    KINDS.
    """

    visitors: float
    arrivals: tuple[float, ...]
    ipv6: float
    weekdays: tuple[float, ...] = (1.0,) * 7
    stay: float = 1.0
    sleep: float = 0.0
    rotate: float = 0.0
    roams: float = 0.0
    kinds: tuple[float, ...] = tuple(kind.share for kind in KINDS)

    def day(self, draw: Random, midnight: int, closes: int) -> list[Visit]:
        """Return the visits of a local day that starts at `midnight` (its weekday is UTC's), in order of arrival.

        A time-varying Poisson process [arrive]; whoever would stay past `closes` (ns after midnight) leaves then, but
        for a venue that is open for 24 hours.
        """
        # The epoch was a Thursday
        weight = self.weekdays[((midnight + 12 * HOUR) // DAY + 3) % 7] * 7 / sum(self.weekdays)
        total = sum(self.arrivals)
        visits: list[Visit] = []
        for hour, share in enumerate(self.arrivals):
            expected = self.visitors * weight * share / total
            at = midnight + hour * HOUR
            end = at + HOUR
            while expected > 0:
                at += int(draw.expovariate(expected / HOUR))
                if at >= end:
                    break
                (kind,) = draw.choices(KINDS, self.kinds)
                minutes = draw.lognormvariate(math.log(kind.stay_minutes * self.stay), kind.stay_spread)
                leaves = at + int(min(max(minutes, 0.5), 20_160) * MINUTE)
                if closes < DAY:
                    leaves = min(leaves, midnight + closes)
                if at < leaves:
                    visits += self._under_macs(Visit(at, leaves, kind, draw.random() < self.ipv6))
        return visits

    def _under_macs(self, visit: Visit) -> Iterator[Visit]:
        """Cut a stay where the device takes another MAC [mac]."""
        step = int(self.rotate * HOUR)
        at = visit.arrives
        while step and visit.leaves - at > step:
            yield visit._replace(arrives=at, leaves=at + step, new=at == visit.arrives)
            at += step
        yield visit._replace(arrives=at, new=at == visit.arrives)
