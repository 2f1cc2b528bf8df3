# SPDX-License-Identifier: Apache-2.0
"""Where consenting terminals are (L34-V-1), and an emergency (L34-V-5).

The fake peer first, then the agent's end of ubus on it.

The peer was held against the real thing by hand: OpenWrt's `ubus list`, `call` and `subscribe` understand it, and the
agent's rooms work against OpenWrt's ubusd.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import time
from typing import TYPE_CHECKING

import pytest

from host_sim.venue import hostapd
from host_sim.venue.hostapd import Hostapd
from tests.support.interpreters import PROJECT, Remote

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1800000000
GUEST, OTHER, THIRD = "02:11:22:33:44:55", "02:66:77:88:99:00", "02:aa:bb:cc:dd:ee"
BOTH = ("assoc", "sta-authorized")


@pytest.fixture
def radios(tmp_path):
    """Give a hostapd with two radios."""
    made = Hostapd(tmp_path / "ubus.sock", "wlan0", "wlan1")
    yield made
    made.close()


class Ear:
    """The agent's modules in an interpreter; `turn` until something holds."""

    def __init__(self, interpreter, path: Path) -> None:
        self.stage = Remote(interpreter, "tests.support.consent_stage")
        self.stage("radios_open", str(path))
        self.now, self.monotonic = NOW, 100
        self.kept: list[list] = []

    def allow(self, mac: str, place: int = 1) -> None:
        self.stage("radios_allow", mac.replace(":", ""), place)

    def turn(self, milliseconds: int = 20) -> dict:
        kept, stays, radios, answered, refused, malformed, connected = self.stage(
            "radios_turn", self.monotonic, self.now, milliseconds
        )
        self.kept += kept
        return {
            "stays": stays, "radios": radios, "answered": answered,
            "refused": refused, "malformed": malformed, "connected": connected,
        }  # fmt: skip

    def until(self, holds) -> dict:
        limit = time.monotonic() + 90
        while not holds(seen := self.turn()):
            assert time.monotonic() < limit, (seen, self.kept)
        return seen

    def emergency(self, call: str, *words: object):
        return self.stage("emergency", call, *words)

    def status(self) -> dict:
        return self.emergency("status", self.monotonic * 10**9)


@pytest.fixture
def ear(any_interpreter, radios, tmp_path):
    """Give the modules, connected and subscribed to both radios."""
    made = Ear(any_interpreter, tmp_path / "ubus.sock")
    made.until(lambda seen: seen["answered"] and radios.subscribers() == 2)
    yield made
    assert made.stage.close() == 0


# The fake peer


class Raw:
    """A client of the bus that says what it is told to."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(str(path))
        self.stream = self.socket.makefile("rb")

    def send(self, kind: int, octets: bytes = b"", peer: int = 0) -> None:
        self.socket.sendall(struct.pack(">BBHII", 0, kind, 5, peer, 4 + len(octets)) + octets)

    def read(self) -> tuple[int, dict[int, bytes]]:
        _, kind, _, _, size = struct.unpack(">BBHII", self.stream.read(12))
        return kind, hostapd.attributes(self.stream.read((size & 0xFFFFFF) - 4))

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


@pytest.fixture
def raw(radios, tmp_path):
    """Give such a client, greeted."""
    assert radios.subscribers() == 0
    made = Raw(tmp_path / "ubus.sock")
    assert made.read()[0] == hostapd.HELLO
    yield made
    made.close()


def test_the_peer_names_its_radios(raw):
    raw.send(hostapd.LOOKUP, hostapd.blob(hostapd.A_PATH, b"hostapd.*\0"))
    found = [raw.read() for _ in range(3)]
    assert [kind for kind, _ in found] == [hostapd.DATA, hostapd.DATA, hostapd.STATUS]
    assert [one[hostapd.A_PATH] for _, one in found[:2]] == [b"hostapd.wlan0\0", b"hostapd.wlan1\0"]
    raw.send(hostapd.LOOKUP, hostapd.blob(hostapd.A_PATH, b"network\0"))
    assert raw.read()[1][hostapd.A_STATUS] == struct.pack(">I", hostapd.NOT_FOUND)


def test_the_peer_says_what_hostapd_says(raw, radios):
    """Table by table, as hostapd's `get_clients` and `ubus subscribe` show it, signal strength included."""
    raw.send(hostapd.ADD_OBJECT)
    own = raw.read()[1][hostapd.A_OBJECT]
    raw.read()
    raw.send(hostapd.SUBSCRIBE, hostapd.blob(hostapd.A_OBJECT, own) + hostapd.number(hostapd.A_TARGET, 0x1001))
    assert raw.read()[1][hostapd.A_STATUS] == bytes(4)
    radios.associate(GUEST, "wlan0")
    told = [raw.read()[1] for _ in range(4)]
    assert [one[hostapd.A_METHOD] for one in told] == [b"probe\0", b"auth\0", b"assoc\0", b"sta-authorized\0"]
    assert all(one[hostapd.A_OBJECT] == own and one[hostapd.A_NO_REPLY] == b"\1" for one in told)
    assert struct.pack(">I", hostapd.SIGNAL) in told[2][hostapd.A_DATA]
    call = hostapd.number(hostapd.A_OBJECT, 0x1001) + hostapd.blob(hostapd.A_METHOD, b"get_clients\0")
    raw.send(hostapd.INVOKE, call, 0x1001)
    said = raw.read()[1][hostapd.A_DATA]
    assert GUEST.encode() in said
    assert b"signal" in said
    assert raw.read()[0] == hostapd.STATUS
    radios.remove("wlan0")
    assert raw.read()[0] == hostapd.UNSUBSCRIBE
    raw.send(hostapd.INVOKE, call, 0x1001)
    assert raw.read()[1][hostapd.A_STATUS] == struct.pack(">I", hostapd.NOT_FOUND)


def test_the_acl_that_ships_allows_what_is_asked_and_no_more():
    """It is reached through ubus with an ACL: subscriptions and get_clients, for the recorder's user."""
    acl = json.loads((PROJECT / "boards/common/usr/share/acl.d/oubli.json").read_text())
    assert acl == {
        "user": "oubli-rec",
        "subscribe": ["hostapd.*"],
        "access": {"hostapd.*": {"methods": ["get_clients"]}},
    }


# Location


def test_a_stay_of_a_consenting_terminal_is_kept_and_nobody_elses_is(ear, radios):
    """L34-V-1: whoever has no active consent is dropped at the door."""
    ear.allow(GUEST, 7)
    radios.associate(OTHER, "wlan0")
    radios.associate(GUEST, "wlan0")
    ear.until(lambda seen: seen["stays"] == [7])
    ear.now += 60
    radios.leave(OTHER, "wlan0")
    radios.leave(GUEST, "wlan0")
    ear.until(lambda seen: not seen["stays"])
    assert ear.kept == [[7, GUEST.replace(":", ""), NOW, NOW + 60, "wlan0"]]


@pytest.mark.parametrize("kind", ["disassoc", "deauth", "local-deauth", "inactive-deauth"])
def test_each_way_of_leaving_ends_a_stay(kind, cpython, radios, tmp_path):
    made = Ear(cpython, tmp_path / "ubus.sock")
    made.until(lambda seen: seen["answered"] and radios.subscribers() == 2)
    made.allow(GUEST)
    radios.associate(GUEST, "wlan1")
    made.until(lambda seen: seen["stays"] == [1])
    radios.leave(GUEST, "wlan1", kind)
    made.until(lambda seen: not seen["stays"])
    assert [row[-1] for row in made.kept] == ["wlan1"]
    made.stage.close()


def test_a_terminal_that_roams_has_one_stay_after_the_other(ear, radios):
    """Its leaving the former radio afterwards ends nothing; being let in once more begins nothing anew."""
    ear.allow(GUEST)
    radios.associate(GUEST, "wlan0")
    ear.until(lambda seen: seen["stays"] == [1])
    ear.now += 10
    radios.associate(GUEST, "wlan1")
    ear.until(lambda seen: seen["connected"] and len(ear.kept) == 1)
    ear.now += 10
    radios.leave(GUEST, "wlan0")
    radios.associate(GUEST, "wlan1")
    radios.leave(GUEST, "wlan1")
    ear.until(lambda seen: not seen["stays"])
    assert [row[2:] for row in ear.kept] == [[NOW, NOW + 10, "wlan0"], [NOW + 10, NOW + 20, "wlan1"]]


def test_who_is_there_already_is_there_from_now_on(any_interpreter, radios, tmp_path):
    """No back-fill: asked for when a radio is subscribed to, from that moment."""
    radios.associate(GUEST, "wlan0")
    radios.associate(OTHER, "wlan0")
    made = Ear(any_interpreter, tmp_path / "ubus.sock")
    made.allow(GUEST)
    made.now = NOW + 500
    made.until(lambda seen: seen["answered"] and seen["stays"] == [1])
    made.stage("stays", "finish", 1, NOW + 600)
    made.turn(0)
    assert made.kept == [[1, GUEST.replace(":", ""), NOW + 500, NOW + 600, "wlan0"]]
    assert radios.said == {"get_clients": 2}
    made.stage.close()


def test_a_stay_that_is_withdrawn_is_kept_nowhere(ear, radios):
    """L34-V-3: dropped, and overwritten in memory; so is each other's address once it was looked at."""
    ear.allow(GUEST)
    for mac in (GUEST, OTHER):
        radios.associate(mac, "wlan0")
    ear.until(lambda seen: seen["stays"] == [1])
    ear.stage("stays", "drop", 1)
    ear.allow(GUEST, -1)
    radios.leave(GUEST, "wlan0")
    for _ in range(3):
        assert ear.turn()["stays"] == []
    assert ear.kept == []


def test_a_radio_that_goes_ends_its_stays_and_a_new_one_is_found(ear, radios):
    ear.allow(GUEST)
    radios.associate(GUEST, "wlan0")
    ear.until(lambda seen: seen["stays"] == [1])
    radios.remove("wlan0")
    ear.until(lambda seen: not seen["stays"])
    assert [row[-1] for row in ear.kept] == ["wlan0"]
    radios.add("wlan2")
    ear.monotonic += 31
    ear.until(lambda seen: seen["radios"] == 2 and radios.subscribers() == 2)
    radios.associate(GUEST, "wlan2")
    ear.until(lambda seen: seen["stays"] == [1])


def test_a_bus_that_goes_away_is_found_again(ear, radios, tmp_path):
    """Stays end with it, for nobody would tell of their end; a refused subscription is counted."""
    ear.allow(GUEST)
    radios.associate(GUEST, "wlan0")
    ear.until(lambda seen: seen["stays"] == [1])
    radios.close()
    ear.until(lambda seen: not seen["connected"] and not seen["stays"])
    assert len(ear.kept) == 1
    again = Hostapd(tmp_path / "again.sock", "wlan0")
    again.allowed = False
    (tmp_path / "ubus.sock").unlink()
    (tmp_path / "again.sock").rename(tmp_path / "ubus.sock")
    ear.monotonic += 6
    ear.until(lambda seen: seen["refused"] == 2)  # the subscription and get_clients
    again.close()


def test_nobody_listens_where_nobody_consents(ear, radios):
    """L34-V-1: without an active consent, or an emergency, there is no connection to the bus at all."""
    ear.stage("radios_wanted", False)
    ear.until(lambda seen: not seen["connected"])
    limit = time.monotonic() + 90
    while radios.subscribers():
        assert time.monotonic() < limit
    ear.stage("radios_wanted", True)
    ear.monotonic += 6
    ear.until(lambda seen: seen["answered"] and radios.subscribers() == 2)


def test_a_radio_that_waits_for_an_answer_gets_one(ear, radios):
    """Band steering's `notify_response`: hostapd holds the terminal up until each subscriber has answered."""
    radios.notify_response = True
    radios.associate(OTHER, "wlan0")
    limit = time.monotonic() + 90
    while radios.answers < 4:
        ear.turn()
        assert time.monotonic() < limit


def test_a_hundred_terminals_at_once(ear, radios):
    """Lists longer than one read; none of the others is followed."""
    for number in range(100):
        radios.associate(f"02:00:00:00:01:{number:02x}", "wlan0")
        if number % 4 == 0:
            ear.turn()
    ear.allow("02:00:00:00:01:63", 3)
    ear.stage("radios", "ask")
    ear.until(lambda seen: seen["stays"] == [3])
    assert ear.turn()["malformed"] == 0


def test_signal_strength_is_never_read():
    """L34-V-1: neither its name nor any other field's but these stands in the modules that read the bus."""
    for room in ("ubus", "stations", "stays", "bus"):
        code = (PROJECT / f"agent/purposes/location/{room}.py").read_text()
        assert not any(word in code for word in ('b"signal"', 'b"freq"', 'b"rssi"', 'b"capabilities"', 'b"rate"'))
    assert {'b"address"', 'b"clients"', 'b"assoc"'} <= set(
        (PROJECT / "agent/purposes/location/stations.py").read_text().replace(")", " ").split()
    )


@pytest.mark.long
def test_malformed_messages_harm_nobody(any_interpreter):
    """Every message of a session cut at each octet, and 2,000 with octets changed.

    No error, nobody is followed who didn't consent.
    """
    stage = Remote(any_interpreter, "tests.support.consent_stage")
    stage("radios_open", "/nowhere")
    data = hostapd.blob(hostapd.A_DATA, hostapd.table({"address": OTHER, "signal": 1}))
    told = hostapd.number(hostapd.A_OBJECT, 9) + hostapd.blob(hostapd.A_METHOD, b"assoc\0") + data
    found = hostapd.blob(hostapd.A_PATH, b"hostapd.wlan0\0") + hostapd.number(hostapd.A_OBJECT, 9)
    clients = hostapd.table({"freq": 1, "clients": {GUEST: {"assoc": True, "signal": 3, "rrm": [1, 2]}}})
    listed = hostapd.number(hostapd.A_OBJECT, 9) + hostapd.blob(hostapd.A_DATA, clients)
    session = [
        struct.pack(">BBHII", 0, kind, number, 0, 4 + len(octets)) + octets
        for number, (kind, octets) in enumerate(
            [
                (0, b""),
                (2, found),
                (2, hostapd.number(3, 77)),
                (1, hostapd.number(1, 0)),
                (2, listed),
                (5, told),
                (9, hostapd.number(8, 9)),
            ]
        )
    ]
    dice = random.Random(11)
    for message in session:
        for size in range(12, len(message) + 1, 3):
            stage("radios_feed", message[:size].hex(), NOW)
    for _ in range(300 if any_interpreter.name == "mips" else 1000):
        changed = bytearray(dice.choice(session))
        for _ in range(dice.randrange(1, 5)):
            changed[dice.randrange(8, len(changed))] = dice.randrange(256)
        stage("radios_feed", changed.hex(), NOW)
    assert stage("stays", "places") == []
    assert stage.close() == 0


# Emergency


def test_an_emergency_asks_where_one_terminal_is_now(ear, radios):
    """L34-V-5: nothing before it is opened, this gateway's radios only, nobody else's presence.

    Overwritten when it closes.
    """
    for mac in (GUEST, OTHER, THIRD):
        radios.associate(mac, "wlan1")
    assert ear.turn()["stays"] == []
    asked = dict(radios.said)
    assert ear.status() == {"open": False}
    assert ear.emergency("again").startswith("refused: no emergency is open")
    ear.emergency("open", "0x" + GUEST.replace(":", ""), 112, ear.monotonic * 10**9)
    ear.until(lambda seen: seen["answered"])
    status = ear.status()
    assert status.pop("seconds_left") == 4 * 3600
    assert status == {
        "open": True, "incident": 112, "access_points": ["wlan1"],
        "radios": 2, "answered": True, "covers": "this gateway's radios only",
    }  # fmt: skip
    assert radios.said["get_clients"] == asked["get_clients"] + 2
    assert ear.emergency("open", "0x" + OTHER.replace(":", ""), 1, 0).startswith("refused: an emergency is open")
    radios.associate(GUEST, "wlan0")
    radios.leave(GUEST, "wlan1")
    ear.turn()
    assert ear.status()["access_points"] == ["wlan1"]  # it isn't followed, only asked for
    ear.emergency("again")
    ear.until(lambda seen: seen["answered"])
    assert ear.status()["access_points"] == ["wlan0"]
    assert ear.turn()["stays"] == []
    assert b"wlan0".hex() in ear.stage("emergency_memory")[0]
    ear.emergency("close")
    assert ear.status() == {"open": False}
    answer, sought = ear.stage("emergency_memory")
    assert (set(answer), sought) == ({"0"}, None)
    assert ear.kept == []


def test_an_emergency_closes_after_four_hours(ear):
    ear.emergency("open", "0x" + GUEST.replace(":", ""), 112, ear.monotonic * 10**9)
    assert ear.emergency("tick", (ear.monotonic + 4 * 3600) * 10**9 - 1) == 0
    assert ear.emergency("tick", (ear.monotonic + 4 * 3600) * 10**9) == 112
    assert ear.status() == {"open": False}
    assert ear.emergency("tick", (ear.monotonic + 5 * 3600) * 10**9) == 0
