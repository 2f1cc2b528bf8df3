# SPDX-License-Identifier: Apache-2.0
"""`oubli-sim fleet --light` at a real Mosquitto: what light gateways say is stored and shown, whatever is cut off."""

from __future__ import annotations

import datetime as dt
import resource
import socket
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from agent.outbox import jitter
from agent.summary.metrics import METRICS
from host_sim.load import light, light_tally, rhythm
from host_sim.load.fleet_worker import identity
from host_sim.load.light_gateway import WAITING, Due, Gateway, Place
from tests.fleet.test_collector import collector, connected, until
from tests.support.interpreters import PROJECT
from tools.fleet import enrol, reading
from tools.fleet.models import Gateway as Row
from tools.fleet.models import Message, Tally
from tools.fleet.mosquitto import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY = 86_400
FAST = light.Pace(seconds=6, speed=DAY / 6, ramp=0.5, spread=0.5)


def lived(
    count: int, pace: light.Pace, url: str, ca: Path | None = None, passed: Callable[[str], None] = lambda _: None
) -> light.Lived:
    """Let so many live."""
    return light.run(count, [url], str(ca) if ca else None, pace, lambda _: None, passed=passed)


@pytest.mark.needs("mosquitto")
def test_a_day_of_light_gateways_is_stored_once_and_shown_and_a_third_comes_back(sqlite, tmp_path):
    """28 figures of each, their health and how they stand: online, lost where they are cut off, stopped at the end."""
    log = tmp_path / "log"
    with Mosquitto(tmp_path) as broker, collector(sqlite, broker.port, log):
        until(lambda: connected(log, 2), "both consumers")

        def passed(part: str) -> None:
            if part == "ramp":
                until(lambda: Row.objects.filter(state="online").count() == 30, "all online")
            if part == "cut":
                until(lambda: Row.objects.filter(state="online").count() == 30, "all online again")

        found = lived(30, light.Pace(6, DAY / 6, 12, 0.5, 1 / 3, 1), f"mqtt://127.0.0.1:{broker.port}", passed=passed)
        until(lambda: Row.objects.filter(state="stopped").count() == 30, "all said goodbye")
    assert found.whole
    assert (found.counts["figures"], found.counts["cut"], found.counts["connected"]) == (28 * 30, 10, 0)
    assert 0 < found.back_after < 30
    assert Message.objects.count() == 28 * 30
    fates = Counter(dict.fromkeys(reading.REASONS, 0))
    for fate, count in Tally.objects.values_list("fate", "count"):
        fates[fate] += count
    assert fates["kept"] == 28 * 30
    assert fates["health"] >= 30
    assert fates["state"] == 30 + 10 + 10 + 30
    assert sum(fates[reason] for reason in reading.REASONS) == 0
    browser = Client(HTTP_HOST="localhost")
    browser.force_login(get_user_model().objects.create_user("operator"))
    assert identity(7) in browser.get("/").content.decode()
    assert browser.get(f"/gateway/{identity(7)}").status_code == 200


class Forgetful:
    """A broker that goes without acknowledging the first figure; `figures` are what it was sent, by connection."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.figures: list[list[bytes]] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                stream, _ = self._server.accept()
                self.figures.append([])
                with stream, suppress(EOFError):
                    while self._answer(stream):
                        pass

    def _answer(self, stream: socket.socket) -> bool:
        first, length, shift = self._read(stream, 1)[0], 0, 0
        while (octet := self._read(stream, 1)[0]) & 0x80:
            length, shift = length | (octet & 0x7F) << shift, shift + 7
        body = self._read(stream, length | octet << shift)
        if first == 0x10:
            stream.sendall(b"\x20\x02\0\0")
        if first & 0xF0 == 0x30:
            topic = int.from_bytes(body[:2], "big") + 2
            if b"/summary/" in body[:topic]:
                self.figures[-1].append(body[:topic] + body[topic + 2 :])
                if len(self.figures) == 2:
                    return False
            stream.sendall(b"\x40\x02" + body[topic : topic + 2])
        return True

    def _read(self, stream: socket.socket, count: int) -> bytes:
        found = b""
        while len(found) < count:
            part = stream.recv(count - len(found))
            if not part:
                raise EOFError
            found += part
        return found

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


def test_a_figure_that_was_not_acknowledged_is_sent_again_octet_for_octet():
    """The first connection is the one that looks whether a broker is there."""
    broker = Forgetful()
    try:
        found = lived(1, light.Pace(2, 43_200, 12, 0.1, 0, 0), f"mqtt://127.0.0.1:{broker.port}")
    finally:
        broker.close()
    assert found.whole
    assert found.counts["failures"] == 1
    assert len(broker.figures) == 3
    assert [len(one) for one in broker.figures[:2]] == [0, 1]
    assert len(set(broker.figures[2])) == len(broker.figures[2]) == 28
    assert broker.figures[2][0] == broker.figures[1][0]


@pytest.mark.needs("mosquitto")
def test_a_broker_that_restarts_costs_light_gateways_nothing(tmp_path):
    """All come back, and what was due meanwhile is acknowledged after."""
    with Mosquitto(tmp_path) as broker:

        def passed(part: str) -> None:
            if part == "ramp":
                broker.stop()
                broker.start()

        found = lived(20, FAST, f"mqtt://127.0.0.1:{broker.port}", passed=passed)
    assert found.whole
    assert found.connected == 20
    assert found.counts["failures"] >= 20


@pytest.mark.needs("mosquitto")
def test_light_gateways_speak_tls_and_say_who_they_are(tmp_path):
    """Mosquitto with a password file and a certificate of ours; one of another authority's gets nobody."""
    authority = enrol.Authority(tmp_path / "ca", dt.datetime.now(dt.UTC))
    authority.broker("localhost")
    authority.collector()
    enrol.Authority(tmp_path / "other", dt.datetime.now(dt.UTC))
    with Mosquitto(tmp_path, tmp_path / "ca") as broker:
        broker.stop()
        path = tmp_path / "mosquitto.conf"
        lines = [
            line for line in path.read_text().splitlines() if not line.startswith(("require_", "use_", "acl_file"))
        ]
        subprocess.run(["mosquitto_passwd", "-b", "-c", tmp_path / "passwords", "them", "secret"], check=True)
        path.write_text("\n".join([*lines, f"password_file {tmp_path}/passwords\n"]))
        broker.start()
        url = f"mqtts://them:secret@localhost:{broker.port}"
        found = lived(20, FAST, url, ca=tmp_path / "ca" / "ca.pem")
        assert found.whole
        assert found.counts["failures"] == 0
        for wrong, ca in ((url.replace("secret", "wrong"), "ca"), (url, "other")):
            refused = lived(3, light.Pace(1, 1, 12, 0.1), wrong, ca=tmp_path / ca / "ca.pem")
            assert (refused.whole, refused.connected_after) == (False, 0)
            assert refused.counts["failures"] >= 3


@pytest.mark.needs("mosquitto")
def test_where_a_process_may_hold_few_connections_there_are_more_of_both(tmp_path):
    """By the hard limit of descriptors: 100 gateways, 40 of each process and broker; and too many are refused."""

    def limited(count: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "host_sim", "fleet", "--light", count, "--seconds", "2", "--ramp", "0.5"]
        return subprocess.run(
            command,
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (240, 240)),
        )

    done = limited("100")
    assert done.returncode == 0, done.stderr
    assert "100 at 3 brokers, all connected after" in done.stdout
    assert "\nprocesses  3: " in done.stdout
    done = limited("3000")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "64 processes of 40 descriptors each (ulimit -Hn); accepted: at most 2560, or a larger limit" in done.stderr


def test_each_says_a_days_figures_once_within_the_agents_windows():
    """24 arrivals and four of the whole day, 150 to 660 s after their slots, and its clock is never ahead of ours."""
    now = 1_800_000_123
    begins = rhythm.begin(now, 86_400 / 100, 100, 12)
    assert begins % DAY == 12 * 3600 + jitter.SETTLE
    assert now - 2 * DAY < begins <= now - DAY
    clock, draw, found = rhythm.Rhythm(begins, 500.0, 100), Random(1), []
    for kind in rhythm.FIGURES:
        moment, end = clock.first(kind, draw)
        while moment < 500 + 864:
            assert jitter.SETTLE <= clock.reads(moment) - end <= 660
            assert (end - 3 * 3600) % METRICS[kind].slot_seconds == 0
            found.append((kind, end))
            moment, end = clock.next(kind, end, moment, 0, draw)
    assert len(set(found)) == len(found) == 28
    for kind, end in found:
        topic, text = rhythm.figure("a" * 16, kind, end)
        assert rhythm.figure("a" * 16, kind, end) == (topic, text)
        assert reading.read(topic, text, now).kind == METRICS[kind].name


def test_health_comes_every_five_minutes_at_moments_of_its_own_and_no_faster_than_is_taken():
    draw = Random(1)
    for speed, least, most in ((1, 150, 450), (1000, 120, 120)):
        clock = rhythm.Rhythm(1_800_000_000, 500.0, speed)
        moments = [clock.next(rhythm.HEALTH, 0, clock.first(rhythm.HEALTH, draw)[0], 37, draw)[0]]
        for _ in range(50):
            moments.append(clock.next(rhythm.HEALTH, 0, moments[-1], 37, draw)[0])
        waits = [after - before for before, after in pairwise(moments)]
        assert least - 0.01 <= min(waits) <= max(waits) <= most + 0.01
        assert sum(waits) / 50 == pytest.approx(max(300 / speed, 120), rel=0.05)


def test_what_a_gateway_that_is_away_keeps_is_bounded():
    """A week's figures, and one health."""
    one = Gateway(1, "a" * 16, Place(2, ("127.0.0.1", 1), None, "", None, None), 1)
    for number in range(WAITING - 1):
        assert one.keep(Due(0, 3600 * (number + 1), 0.0))
        assert one.keep(Due(rhythm.HEALTH, 0, float(number)))
    assert one.waiting is not None
    assert len(one.waiting) == WAITING
    assert [due.moment for due in one.waiting if not due.end] == [WAITING - 2]
    assert not one.keep(Due(0, 1, 0.0))
    assert len(one.waiting) == WAITING
    assert one.waiting[0].end == 7200


def test_quantiles_are_those_of_the_waits_to_five_percent():
    share = light_tally.STEP
    assert share == 1.05
    waits = Counter({0: 98, 20: 1, 40: 1})
    found = light.Lived(1, 1, 1, light.Pace(), waits={"figures": waits}).data()["figures_s"]
    assert found == {"p50": 1.0, "p95": 1.0, "p99": round(share**20, 4), "most": round(share**40, 4)}
