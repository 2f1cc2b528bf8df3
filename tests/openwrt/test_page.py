# SPDX-License-Identifier: Apache-2.0
"""The guests' page on a real OpenWrt: under procd and ujail, terminals that ask over the LAN by HTTP.

A guest consents, suspends, resumes, sees, saves, objects, withdraws and has erased. A name that leads here (DNS
rebinding) and a page of another site get 403 (L34-V-3, L34-V-4, L34-VI-5).
"""

from __future__ import annotations

import json
import re
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from host_sim.openwrt.network import GATEWAY
from host_sim.venue.portal import ASKS
from tests.openwrt.conftest import WAIT

if TYPE_CHECKING:
    from host_sim.lab.network import Terminal
    from tests.openwrt.conftest import World

HERE = f"http://{GATEWAY}:8450"
TOKEN = r'name="token" value="(\w+)">(?:<input[^>]*>)*<button name="act" value="{}"'
# One request from a terminal's namespace: host, method, path, headers, body; prints
# status, headers, body and seconds as JSON.
ASK = """
import http.client, json, sys, time
host, method, path, headers, body = json.loads(sys.argv[1])
began = time.monotonic()
client = http.client.HTTPConnection(host, 8450, timeout=300)
client.request(method, path, body, headers)
answer = client.getresponse()
text = answer.read().decode()
print(json.dumps([answer.status, dict(answer.getheaders()), text, time.monotonic() - began]))
"""


class Guests:
    """The gateway with `services` and `location` on, and what terminals do on its page."""

    def __init__(self, world: World) -> None:
        self.world, self.machine = world, world.machine
        self.guest, self.other = world.lan.terminals[:2]
        self._seen: dict[str, str] = {}

    def ask(
        self, terminal: Terminal, body: str = "", path: str = "/?lang=en", **headers: str
    ) -> tuple[int, dict[str, str], str, float]:
        """Ask over HTTP as a terminal; returns status, headers, page and seconds.

        As if a minute had passed since it last asked: beyond 30 connections in one it would have to wait.
        """
        self.machine.run("nft flush set inet oubli_page terminals")
        request = json.dumps([GATEWAY, "POST" if body else "GET", path, headers, body or None])
        done = self.world.lan.run(terminal, sys.executable, "-c", ASK, request, seconds=600)
        assert done.returncode == 0, done.stderr[-500:]
        status, got, text, seconds = json.loads(done.stdout)
        return status, got, text, seconds

    def token(self, terminal: Terminal, act: str = "see") -> str:
        """Return the token of a form of the page that a terminal sees; it opens the page where it sees none."""
        form = re.compile(TOKEN.format(act))
        found = form.search(self._seen.get(terminal.namespace, ""))
        if found is None:
            status, _, text, _ = self.ask(terminal)
            found = form.search(text)
            assert status == 200, text
        assert found is not None
        return found[1]

    def act(self, terminal: Terminal, act: str, more: str = "") -> str:
        """Press a button of the page that a terminal sees; returns what it says then.

        A guest goes on from that page, and needn't open it anew. Pages of one guest ask the recorder for few things a
        second: nobody presses more buttons.
        """
        time.sleep(1)
        body = f"lang=en&act={act}&token={self.token(terminal, act)}{more}"
        status, _, text, _ = self.ask(terminal, body, "/", Origin=HERE)
        assert status == 200, text
        self._seen[terminal.namespace] = text
        return text

    def consents(self) -> dict[str, int]:
        """Return how many consents are in which state."""
        counts: dict[str, int] = json.loads(self.machine.run("oubli consent list --json"))["counts"]
        return counts

    def grant(self, terminal: Terminal) -> None:
        """Let the portal take a terminal's consent."""
        words = "--purposes services,location --third-parties none --days 30"
        shown = json.loads(self.machine.run(f"oubli consent text {words} --text 3.fr --json"))["text"]
        words += f" --categories connections,access-point --document {shown}"
        self.machine.run(f"oubli consent grant --terminal {terminal.address4} {words}")


@pytest.fixture(scope="module")
def guests(equipped: World) -> Guests:
    """Give the gateway with all packages, a trusted clock, and both purposes by consent on."""
    machine = equipped.machine
    machine.restore("complete")
    for name in ("services", "location"):
        machine.run(f"uci set oubli.{name}=purpose; uci set oubli.{name}.enabled=1; uci set oubli.{name}.budget=262144")
    for name, value in ASKS.items():
        machine.run(f"uci set oubli.notice.{name}='{value}'")
    machine.run("uci commit oubli; /etc/init.d/oubli restart")
    equipped.until(lambda: {"services", "location"} <= {*equipped.status().get("purposes", ())})
    return Guests(equipped)


def test_page_runs_under_procd_in_a_jail_and_a_strangers_page_gets_403(guests: Guests) -> None:
    """L34-VI-2: as its own user, without a capability.

    A name that leads here, a page of another site and a form without a token.
    """
    machine = guests.machine
    instance = json.loads(machine.run("""ubus call service list '{"name":"oubli"}'"""))["oubli"]["instances"]["page"]
    assert instance["running"]
    assert instance["command"][-3:] == ["-m", "agent", "page"]
    assert "jail" in instance
    (pid,) = machine.run(f"pgrep -P {instance['pid']}").split()
    status = dict(line.split(":\t", 1) for line in machine.run(f"cat /proc/{pid}/status").splitlines() if ":\t" in line)
    uid = machine.run("sed -n 's/^oubli-portal:x:\\([0-9]*\\):.*/\\1/p' /etc/passwd").strip()
    assert status["Uid"].split() == [uid] * 4
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {0}
    assert status["NoNewPrivs"] == "1"
    guests.grant(guests.guest)
    token = guests.token(guests.guest)
    form = f"lang=en&act=withdraw&token={token}"
    for body, headers in (
        ("", {"Host": "evil.example:8450"}),
        (form, {"Host": "evil.example:8450", "Origin": "http://evil.example:8450"}),
        (form, {"Origin": "http://evil.example"}),
        (form, {}),
        ("lang=en&act=withdraw", {"Origin": HERE}),
        (f"lang=en&act=withdraw&token={'a' * len(token)}", {"Origin": HERE}),
    ):
        status_, _, text, _ = guests.ask(guests.guest, body, "/", **headers)
        assert status_ == 403, (body, headers)
        assert "evil" not in text
    assert guests.consents() == {"active": 1, "suspended": 0, "withdrawn": 0, "ended": 0}


def test_a_guest_does_on_the_page_what_the_law_gives_him(guests: Guests) -> None:
    """Consent, suspend, resume, see, save, object, take that back, withdraw, erase.

    By HTTP, each told on the page and done.
    """
    guest, machine = guests.guest, guests.machine
    if not guests.consents()["active"]:
        guests.grant(guest)
    assert "Your consent is suspended" in guests.act(guest, "suspend")
    assert guests.consents()["suspended"] == 1
    assert "is no longer suspended" in guests.act(guest, "resume")
    assert guests.consents()["active"] == 1
    guests.world.lan.generate(8)
    guests.world.lan.ended(machine, WAIT)
    mac = guest.mac.hex(":")

    def held() -> dict[str, Any]:
        end: dict[str, Any] = json.loads(machine.run(f"oubli who --mac {mac} --agreed --json").splitlines()[-1])
        return end

    guests.world.until(lambda: held()["records"]["security"] >= 1)
    deadline = time.monotonic() + WAIT
    while True:  # until nothing comes in between: what she asks here is a connection too
        guests.world.lan.ended(machine, WAIT)
        before = held()
        seen = guests.act(guest, "see")
        status, headers, text, _ = guests.ask(guest, f"act=export&token={guests.token(guest)}", "/", Origin=HERE)
        saved = json.loads(text)
        if held() == before:
            break
        assert time.monotonic() < deadline
    assert status == 200
    assert headers["Content-Disposition"] == 'attachment; filename="oubli.json"'
    kept = {name: sum(row["purpose"] == name for row in saved["records"]) for name in before["records"]}
    assert (kept, saved["complete"], saved["consents"]) == (before["records"], True, before["consents"])
    assert f"security of the network: {kept['security']}\u00a0record" in seen
    assert "is counted no more" in guests.act(guest, "object")
    assert guests.world.status()["objections"] == 1
    assert "is taken back" in guests.act(guest, "accept")
    assert guests.world.status()["objections"] == 0
    guests.act(guest, "resume")
    guests.act(guest, "withdraw", "&purpose=location")
    assert [one["purposes"] for one in held()["consents"]] == [["services"]]
    assert "Your consent is withdrawn" in guests.act(guest, "withdraw")
    assert guests.consents()["withdrawn"] == 1
    guests.act(guest, "erase")

    def gone() -> bool:
        newer = [json.loads(line) for line in machine.run(f"oubli who --mac {mac} --agreed --json").splitlines()[:-1]]
        return not [row for row in newer if row in saved["records"]]

    guests.world.until(gone)
