# SPDX-License-Identifier: Apache-2.0
"""A story of `tools/soak --trial gateway`: guests log in at a portal; what they do is attributed and billed to them.

The portal is openNDS, OpenWrt's package of it (tools/openwrt): what `attribution` and `billing` hear is what it says
(L34-II-1).
"""

from __future__ import annotations

import datetime as dt
import io
import json
import re
import sys
import tarfile
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from agent.purposes.attribution import record as attribution
from agent.purposes.billing import record as billing
from host_sim.openwrt.network import GATEWAY
from tests.openwrt.conftest import BATTERY, WAIT, World
from tests.openwrt.test_page import ASK
from tools.custodian import bundles, segments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from host_sim.lab.network import Terminal

USERS = ("anna", "bert")
LISTED = 45  # seconds in which a list of openNDS's has come to the recorder; it is asked for each half minute
DAYS = 2  # for which attribution and billing keep
PORTAL = """apk add opennds >/dev/null; uci set opennds.@opennds[0].login_option_enabled=2
uci set opennds.@opennds[0].gatewayinterface=br-lan
uci add_list opennds.@opennds[0].users_to_router='allow tcp port 8450'; uci commit opennds
/etc/init.d/opennds enable; /etc/init.d/opennds restart"""
# A guest's browser: it is led to the portal, fills each form with what is known, and follows it until none is left.
BROWSER = """
import html, re, sys, urllib.parse, urllib.request
known = dict(word.split("=") for word in sys.argv[3:])
page = urllib.request.urlopen(sys.argv[1], timeout=60)  # until openNDS runs, who answers there is no web server
for _ in range(6):
    text, here = page.read().decode(errors="replace"), page.geturl()
    form = re.search(r"<form action=.([^ >]*?).[ >].*?</form>", text, re.DOTALL)
    if form is None or not sys.argv[2]:
        break
    fields = {}
    for field in re.findall(r"<input [^>]*>", form[0]):
        said = dict(re.findall(r'(\\w+)="([^"]*)"', field))
        if "name" in said:
            fields[said["name"]] = known.get(said["name"], html.unescape(said.get("value", "")))
    there = urllib.parse.urljoin(here, form[1]) + "?" + urllib.parse.urlencode(fields)
    page = urllib.request.urlopen(there, timeout=600)
print(text)
"""
STATE = re.compile(r'"mac":"([^"]*)".*?"state":"([^"]*)"', re.DOTALL)  # openNDS's list is only almost JSON
# What a guest does then, over IPv4: openNDS forwards no IPv6 of a guest.
TALK = """
import socket, sys
for _ in range(10):
    with socket.create_connection((sys.argv[1], 443), timeout=60) as one:
        one.sendall(bytes(400))
"""


def portal(world: World) -> Iterator[str]:
    """Let guests log in at openNDS: what one does from then on is attributed and billed to her, and to nobody else."""
    machine, lan = world.machine, world.lan
    keys = _custodian(world)
    options = (
        "summary.rows=512", "attribution=purpose", "attribution.enabled=1", "attribution.ground=IIbis-3",
        "attribution.reference=test",
        f"attribution.lifetime={DAYS}d", "attribution.block_size=128", "attribution.budget=16777216",
        "billing=purpose", "billing.enabled=1", f"billing.lifetime={DAYS}d", "billing.budget=1048576",
    )  # fmt: skip
    machine.run("".join(f"uci set oubli.{option}; " for option in options) + BATTERY)
    world.until(lambda: {"attribution", "billing"} <= {*world.status().get("purposes", ())})
    machine.run(PORTAL)
    machine.run("/etc/init.d/oubli restart")  # which asks openNDS from now on
    guest, other = lan.terminals[:2]
    macs = {guest.mac.hex(":"), other.mac.hex(":")}
    for terminal in (guest, other):
        world.until(partial(_led, world, terminal))
    asked = lan.run(guest, sys.executable, "-c", ASK, json.dumps([GATEWAY, "GET", "/", {}, None]), seconds=WAIT)
    if asked.returncode or json.loads(asked.stdout)[0] != 200:
        yield f"before log-in a guest can't open the guests' page: {asked.stdout[-300:]} {asked.stderr[-300:]}"
    # One is let in without a word on who he is. openNDS does one thing at a time, and says that it is busy
    machine.run(f"until ndsctl auth {other.mac.hex(':')}; do sleep 2; done")
    for name in USERS:
        said = lan.run(guest, *_browser(world, name), seconds=WAIT)
        clients = machine.run("until ndsctl json >/tmp/json; do sleep 2; done; cat /tmp/json")
        if {state for mac, state in STATE.findall(clients) if mac in macs} != {"Authenticated"}:
            yield f"{name} isn't logged in: {clients} {said.stdout[-300:]} {said.stderr[-300:]}"
            return
        time.sleep(LISTED)
        for terminal in (guest, other):
            lan.run(terminal, sys.executable, "-c", TALK, lan.canary4[0], seconds=WAIT)
        lan.ended(machine, WAIT)
        machine.run(f"until ndsctl deauth {guest.mac.hex(':')}; do sleep 2; done")
        time.sleep(LISTED)
    machine.run("/etc/init.d/oubli restart; until oubli status >/dev/null; do sleep 1; done; sync")
    named = {name: _named(world, name, mine) for name, mine in keys.items()}
    world.said["portal"] = json.dumps(named)
    for name, found in named.items():
        # A bill's session goes on for half an hour, where nobody else comes at its terminal
        whose = USERS if name == "attribution" else USERS[:-1]
        if {user for _, user in found} != {"", *(f"username={user} emailaddress={user}@example.org" for user in whose)}:
            yield f"{name} names {found}"
        if [user for mac, user in found if user and mac == other.mac.hex(":")]:
            yield f"{name} names whom nobody named: {found}"


def _led(world: World, terminal: Terminal) -> bool:
    """Return whether a guest who goes somewhere is led to the portal."""
    return "form action" in world.lan.run(terminal, *_browser(world, ask=""), seconds=WAIT).stdout


def _browser(world: World, name: str = "", ask: str = "follow") -> tuple[str, ...]:
    """Return the words of a guest's browser, which goes somewhere and logs in as `name` where it is led to a form."""
    where = f"http://{world.wires.canary4[0]}/"
    known = [f"username={name}", f"emailaddress={name}@example.org"] if name else []
    return (sys.executable, "-c", BROWSER, where, ask, *known)


def _named(world: World, name: str, keys: dict[dt.date, PrivateKey]) -> list[tuple[str, str]]:
    """Return terminals and portal users of a purpose's sealed records."""
    packed = world.machine.ask(f"tar -C /srv/oubli/vault -cf - {name}").stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        files = [tar.extractfile(one).read() for one in tar if one.isfile()]  # type: ignore[union-attr]
    unpack = {"attribution": attribution.unpack, "billing": billing.unpack}[name]
    rows: list[Any] = []
    for segment in (segments.read(data) for data in files if data.startswith(b"OUBL")):
        rows += map(unpack, segment.records(keys[segment.day]))
    return [(row.mac.hex(":"), row.portal_user.decode()) for row in rows]


def _custodian(world: World) -> dict[str, dict[dt.date, PrivateKey]]:
    """Put a custodian's keys on the gateway; returns the secret ones."""
    signing, today = SigningKey.generate(), dt.datetime.now(dt.UTC).date()
    keys: dict[str, dict[dt.date, PrivateKey]] = {"attribution": {}, "billing": {}}
    rows = []
    for name, mine in keys.items():
        for day in (today + dt.timedelta(days=ahead) for ahead in range(-1, 3)):
            mine[day] = PrivateKey.generate()
            rows.append(bundles.Row(name, day, bytes(mine[day].public_key), day + dt.timedelta(days=DAYS)))
    world.machine.put("/etc/oubli/custodian.pub", bytes(signing.verify_key).hex().encode() + b"\n")
    world.machine.put("/tmp/bundle", bundles.write(today, rows, signing))
    world.machine.run("chmod 0644 /etc/oubli/custodian.pub; oubli bundle install /tmp/bundle")
    return keys
