# SPDX-License-Identifier: Apache-2.0
"""Consent on the real kernel (L34-IV-1, L34-V-1 to L34-V-5).

Three terminals, one consents to location, one suspends, one withdraws.

hostapd is a fake peer that tells of their associations; connections, neighbours and the daemon are real. The person at
the gateway uses `oubli`, a guest the gateway's page.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent.purposes.consent import consent_ring
from agent.purposes.location import record as location
from agent.purposes.services import record as services
from host_sim.driver import live_files
from host_sim.driver.interpreters import MORE, environment
from host_sim.lab.lab import Lab
from host_sim.lab.network import GATEWAY_4
from host_sim.venue.hostapd import Hostapd
from host_sim.venue.portal import NOTICE
from tests.lab.test_terminals import BOTH, A, B, C, Venue
from tests.support.interpreters import INTERPRETERS, PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.needs("root", "ip", "nft", "conntrack", "mosquitto"),
]
PURPOSES = (
    """
config purpose 'services'
	option enabled '1'
config purpose 'location'
	option enabled '1'
	option budget '262144'
"""
    + NOTICE
)
EACH = {"services": "connections", "location": "access-point"}
FIRST = {A: 22000, B: 22100, C: 22200}  # source ports name whose connection it is
EARLY = 22999
# What a browser does: it opens the page, and sends a form of it.
PRESS = """
import http.client, re, sys, time
def asked(*words):
    client = http.client.HTTPConnection(sys.argv[1], 8450, timeout=60)
    client.request(*words)
    return client.getresponse().read().decode()
for _ in range(600):
    try:
        shown = asked("GET", "/?lang=en")
        break
    except ConnectionRefusedError:
        time.sleep(0.1)
(token,) = set(re.findall(r'name="token" value="([a-p]{32})"', shown))
body = f"act={sys.argv[2]}&lang=en&token={token}"
print(asked("POST", "/", body, {"Origin": f"http://{sys.argv[1]}:8450"}))
"""
SLOT, KEY = 192, slice(32, 64)


class Consenting(Venue):
    """A venue with radios, and both purposes on."""

    def __init__(self, lab: Lab, name: str, radios: Hostapd) -> None:
        super().__init__(lab)
        self.interpreter, self.radios = INTERPRETERS[name], radios
        self.root = lab.device.root
        self.macs = [":".join(f"{octet:02x}" for octet in terminal.mac) for terminal in self.terminals]

    def oubli(self, *words: str, code: int = 0, **given: Any) -> Any:
        done = self.interpreter.run("-m", "agent", *words, "--root", self.root, check=False, **given)
        assert done.returncode == code, (done.stdout + done.stderr).decode()
        return json.loads(done.stdout) if "--json" in words else (done.stdout or done.stderr).decode()

    def grant(self, number: int, *purposes: str, code: int = 0) -> str:
        kinds = ",".join(EACH[purpose] for purpose in purposes)
        words = ["--purposes", ",".join(purposes), "--third-parties", "none", "--days", "30"]
        shown = self.oubli("consent", "text", *words, "--text", "3.fr", "--json")["text"]
        words += ["--terminal", "-", "--categories", kinds, "--document", shown]
        said: str = self.oubli("consent", "grant", *words, code=code, input=self.macs[number] + "\n")
        assert said.startswith("oubli: " if code else "consent ")
        return said

    @contextmanager
    def page(self) -> Iterator[None]:
        """Run the guests' page."""
        command = self.interpreter.command("-m", "agent", "page", "--root", self.root)
        words = self.lab.network.inside(self.lab.network.gateway, *command)
        with subprocess.Popen(words, cwd=PROJECT, env=environment()) as process:
            try:
                yield
                process.terminate()
                assert process.wait(240) == 0
            finally:
                process.kill()

    def press(self, number: int, act: str) -> str:
        """Let a terminal open the page over HTTP and press a button of it; returns what is shown then."""
        command = self.lab.network.inside(self.terminals[number].namespace, sys.executable, "-c", PRESS, GATEWAY_4, act)
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def talk(self, *numbers: int) -> list[int]:
        """Let terminals make a connection each, and wait until the vault of `security` has them.

        Returns their ports.
        """
        ports = []
        for number in numbers:
            FIRST[number] += 1
            self.exchange(number, self.terminals[number].address4, FIRST[number])
            ports.append(FIRST[number])
        self.holders(*ports)
        return ports

    def services(self) -> dict[int, bytes]:
        """Return MAC by source port of what `services` gives out, of `talk` alone.

        A guest's way to the page is one, too.
        """
        rows = [services.unpack(packed) for packed in consent_ring.read(str(self.root), "services", *self.lab.now())]
        return {row.source_port: bytes(row.mac) for row in rows if row.source_port <= EARLY}

    def stays(self) -> list[tuple[bytes, bytes]]:
        """Return MAC and access point of what `location` gives out."""
        rows = [location.unpack(packed) for packed in consent_ring.read(str(self.root), "location", *self.lab.now())]
        return [(row[0], row[3]) for row in rows]

    def counter(self, name: str) -> int:
        return self.counters().get(name, 0)

    def keys(self, place: int) -> set[bytes]:
        """Return the keys of the consent with this number."""
        data = (self.root / "var/run/oubli/keys").read_bytes()
        slots = [data[at : at + SLOT] for at in range(64, len(data), SLOT)]
        return {
            slot[KEY]
            for slot in slots
            if slot[1] in {4, 5} and slot[0] and struct.unpack_from("<H", slot, 4) == (place,)
        }

    def find(self, secrets: set[bytes]) -> set[str]:
        """Return where these octets stand: the device's files, the writable memory of its recorder."""
        places = live_files.contents(self.root)
        pid = self.lab.device.pid("recorder")
        with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            for line in maps:
                words = line.split()
                if "w" in words[1]:
                    start, end = (int(part, 16) for part in words[0].split("-"))
                    memory.seek(start)
                    name = "process: " + (words[5].rsplit("/", 1)[-1] if len(words) > 5 else "memory")
                    places[name] = places.get(name, b"") + memory.read(end - start)
        return {place for place, data in places.items() if any(secret in data for secret in secrets)}


@contextmanager
def consenting(name: str) -> Iterator[Consenting]:
    with Lab(name, terminals=3, heap=MORE) as lab:
        lab.network.set_timeout("udp_timeout", 3)
        lab.network.set_timeout("udp_timeout_stream", 3)
        config, written = lab.device.config, lab.device.config.stat().st_mtime
        config.write_text(config.read_text() + PURPOSES)
        os.utime(config, (written, written))
        shutil.copytree(PROJECT / "boards/common/usr/share/oubli", lab.device.root / "usr/share/oubli")
        radios = Hostapd(lab.device.root / "var/run/ubus/ubus.sock", "wlan0", "wlan1")
        place = Consenting(lab, name, radios)
        try:
            yield place
        finally:
            radios.close()


@BOTH
def test_three_terminals_one_suspends_one_withdraws(name: str) -> None:
    """What each consented to is kept, nothing else.

    After the withdrawal nobody reads its records, and the others' are unharmed.
    """
    with consenting(name) as place:
        lab, radios = place.lab, place.radios
        place.start()
        assert radios.subscribers() == 0  # nobody consents: nobody listens
        before = place.talk(A, B, C)
        # The kernel tells of it seconds later, when B has consented
        place.exchange(B, place.terminals[B].address4, EARLY)
        place.grant(B, "services", "location")
        place.grant(A, "location")
        place.grant(C, "services", "location")
        lab.wait(lambda: radios.subscribers() == 2, "the recorder does not subscribe", 120)
        refused = place.oubli("consent", "withdraw", "--terminal", "192.0.2.1", code=1)
        assert "nobody on the LAN is known to hold it" in refused

        # Each is somewhere, and talks.
        for number, radio in ((A, "wlan0"), (B, "wlan0"), (C, "wlan1")):
            radios.associate(place.macs[number], radio)
        time.sleep(2.1)  # what began within the second of a consent doesn't count
        first = place.talk(A, B, C)
        lab.wait(lambda: len(place.services()) == 2, "services are missing", 120)
        macs = [terminal.mac for terminal in place.terminals]
        assert place.services() == {first[1]: macs[B], first[2]: macs[C]}
        place.holders(EARLY)
        assert not {*before, EARLY} & set(place.services())  # no back-fill: it began before (L34-V-4)

        # C roams: a stay is kept. B suspends by the page: its stay ends, and nothing more is kept.
        radios.associate(place.macs[C], "wlan0")
        lab.wait(lambda: place.counter("location kept") == 1, "no stay is kept", 120)
        with place.page():
            assert "is suspended" in place.press(B, "suspend")
        lab.wait(lambda: place.counter("location kept") == 2, "the suspended stay is not kept", 120)
        assert place.stays() == [(macs[C], b"wlan1"), (macs[B], b"wlan0")]
        radios.associate(place.macs[B], "wlan1")
        second = place.talk(B, C)
        lab.wait(lambda: second[1] in place.services(), "services are missing", 120)
        assert second[0] not in place.services()

        # C withdraws: its keys are nowhere, what it left is noise; the same search finds them before.
        keys = place.keys(2)
        assert len(keys) == 2
        assert place.find(keys) == {"var/run/oubli/keys", "process: keys"}
        others = place.keys(0) | place.keys(1)
        assert (
            place.oubli("consent", "withdraw", "--terminal", place.macs[C])
            == "withdrawn 1 consent\nrecords made unreadable: 3\n"
        )
        assert place.find(keys) == set()
        assert others == place.keys(0) | place.keys(1)
        assert place.services() == {first[1]: macs[B]}
        assert place.stays() == [(macs[B], b"wlan0")]
        radios.leave(place.macs[C], "wlan0")
        assert "not to be asked again" in place.grant(C, "location", code=1)

        # Over a restart of the daemon B is suspended still, A is followed on from now, and what was kept is readable.
        lab.device.stop("recorder")
        assert (macs[A], b"wlan0") in place.stays()  # its stay ended with the daemon
        lab.device.start("recorder")
        lab.device.wait_for_recorder()
        lab.wait(lambda: radios.subscribers() == 2, "the recorder does not subscribe again", 120)
        assert place.services() == {first[1]: macs[B]}
        third = place.talk(A, B, C)
        assert not set(third) & set(place.services())
        radios.leave(place.macs[A], "wlan0")
        lab.wait(lambda: place.stays().count((macs[A], b"wlan0")) == 2, "the new stay is not kept", 120)

        # An emergency: now, this gateway's radios, nobody else's presence; then nothing of it is left.
        radios.associate(place.macs[C], "wlan1")
        found = place.oubli("emergency", "open", "--terminal", place.macs[C], "--incident", "112", "--json")
        assert (found["access_points"], found["covers"], found["answered"]) == (
            ["wlan1"],
            "this gateway's radios only",
            True,
        )
        assert place.oubli("emergency", "close") == "closed\n"
        assert place.oubli("emergency", "where", code=1) == "oubli: no emergency is open; accepted: emergency open\n"
        check_what_is_shown(place)
        check_the_end(place)


def check_the_end(place: Consenting) -> None:
    """The consents end: so does all that was kept under them, keys first (EXP-1, L34-V-2)."""
    left = place.keys(0) | place.keys(1)
    assert place.find(left)
    place.lab.jump(31 * 86400)
    place.lab.wait(lambda: place.find(left) == set(), "keys outlive their consents", 120)
    assert (place.services(), place.stays()) == ({}, [])
    place.lab.device.wait_for_recorder()  # it makes up for the hours of a month first
    assert "0 active, 0 suspended" in place.oubli("consent", "list")


def check_what_is_shown(place: Consenting) -> None:
    """Figures, lists, log: no terminal in any of them.

    The person at a terminal may see what is held on it (`oubli who`).
    """
    listed = place.oubli("consent", "list")
    assert listed.startswith("1 active, 1 suspended, 1 withdrawn, 0 ended\n  0  services+location suspended, ends ")
    log = place.oubli("log")
    shown = place.oubli("status") + listed + log + place.lab.device.log("recorder").read_text()
    assert "consents, applied where their purpose is on and the time confirmed and new: 1 active, 1 suspended" in shown
    assert all(mac not in shown and mac.replace(":", "") not in shown for mac in place.macs)
    assert [line.split(" consent ")[1] for line in log.splitlines() if " consent " in line] == ACTS
    assert [line.split(" emergency ")[1] for line in log.splitlines() if " emergency " in line] == [
        "opened 112 root",
        "closed 112 root",
    ]
    held = place.oubli("who", "--mac", place.macs[B], "--agreed")
    # One, and those of the page itself that were over before the second in which B suspended.
    rows = consent_ring.read(str(place.root), "services", *place.lab.now())
    own = [bytes(services.unpack(packed).mac).hex(":") for packed in rows].count(place.macs[B])
    assert own >= 1
    assert re.search(rf"^records under this MAC in services \(.*\): {own}$", held, re.MULTILINE)
    assert re.search(r"^records under this MAC in location \(.*\): 1$", held, re.MULTILINE)
    assert re.search("consent to services, location: given 20.* UTC, suspended since 20", held)


ACTS = ["granted root", "granted root", "granted root", "suspended root", "withdrawn root"]
