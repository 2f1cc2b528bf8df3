# SPDX-License-Identifier: Apache-2.0
"""What `tools/soak --trial gateway` runs on a real OpenWrt: lying batteries, a factory reset, a crowd, air, portal.

The clock of the battery says 1970, 2020 and 2040 at power-up, and NTP puts it right (EXP-5). A gateway is set back to
how it left the factory, and installed anew (ANON-5). 250 terminals hold 20,000 conversations in ten minutes (L34-I-2).
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from host_sim.lab.network import LabError
from tests.openwrt.air import radios
from tests.openwrt.conftest import WAIT, World
from tests.openwrt.portal import portal
from tests.openwrt.power import keep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BATTERIES = ("1970-01-02T00:00:00", "2020-01-01T00:00:00", "2040-06-01T00:00:00")
TERMINALS, CONVERSATIONS, ROUNDS = 250, 20_000, 50
TALKING = 50  # terminals at a time, in turn
MINUTES = 10
AT_ONCE = 8  # terminals that ask for a lease
GROWTH = 1.5  # times the memory of oubli's processes before the crowd came
# The recorder as it is, but that two confirmations of the time may come one after the other.
SOON = """import sys
from agent.base import clock
clock.APART = 1
from agent.__main__ import main
sys.exit(main(["recorder"]))
"""
AS_SOON = """started='$([ "$1" = recorder ] \\&\\& echo /etc/oubli/soon.py \\|\\| echo -m agent "$1")'
sed -i 's|-m agent "$1"$|'"$started"'|' /etc/init.d/oubli
uci set oubli.gateway.hardware_clock=1; uci commit oubli
uci set system.ntp.enabled=0; uci commit system; /etc/init.d/sysntpd stop; sync"""
NTP = "/etc/init.d/sysntpd enable; uci set system.ntp.enabled=1; /etc/init.d/sysntpd restart"
MEMORY = """for p in /proc/[0-9]*; do
    awk -v n="$(tr '\\0' ' ' <$p/cmdline)" '/^Pss:/ {print $2, n}' $p/smaps_rollup 2>/dev/null
done; true"""
PART = re.compile(r"-m agent (\w+)|/oubli-(watch|sessions)\b")
LARGE = """uci -q delete network.lan.ipaddr; uci set network.lan.ipaddr=192.168.1.1
uci set network.lan.netmask=255.255.252.0; uci commit network
uci set dhcp.lan.start=512; uci set dhcp.lan.limit=400; uci commit dhcp
/etc/init.d/network restart; /etc/init.d/dnsmasq restart"""


def batteries(world: World) -> Iterator[str]:
    """Boot with each battery's time; nothing is believed before NTP, and everything goes on after it."""
    machine = world.machine
    machine.put("/etc/oubli/soon.py", SOON.encode())
    machine.run(AS_SOON)
    ledger = json.loads(machine.run("cat /srv/oubli/ledger"))
    for battery in BATTERIES:
        machine.kill()
        machine.boot(battery)
        world.until(lambda: world.status().get("capture") == "ok")
        world.hurry()
        year = machine.run("date +%Y").strip()
        if (state := world.status()["clock"]) == "trusted":
            yield f"{battery}: the clock shows {year}, and is {state}"
        if (now := json.loads(machine.run("cat /srv/oubli/ledger")))["high_water"] > time.time() + 86400:
            yield f"{battery}: the ledger reaches to {now['high_water']}"
        machine.run(NTP)
        world.until(lambda: abs(int(machine.run("date +%s")) - time.time()) < 3)
        world.until(lambda: "clock trusted" in machine.run("sleep 2; oubli ntp; oubli status"))
        world.lan.rejoin(WAIT)
        keep(world)
        now = json.loads(machine.run("cat /srv/oubli/ledger"))
        if now["day"] < ledger["day"] or now["hours"] < ledger["hours"] or now["life"] != ledger["life"]:
            yield f"{battery}: the ledger was {ledger} and is {now}"
        if "holds together" not in (said := machine.run("oubli log --verify")):
            yield f"{battery}: {said}"
        machine.run("sync")


def factory(world: World) -> Iterator[str]:
    """Set it back to how it left the factory, and install anew: nothing is left, and no token is given for it."""
    machine = world.machine
    ident = machine.run("uci get oubli.gateway.id")
    machine.run("firstboot -y >/dev/null; sync")
    machine.kill()
    machine.boot()
    left = machine.run("ls -d /srv/oubli /etc/config/oubli /usr/bin/oubli /etc/oubli 2>/dev/null; true").split()
    if left:
        yield f"a factory reset leaves {' '.join(left)}"
        return
    world.add_packages()
    world.configure()
    machine.run("/etc/init.d/oubli restart")
    world.until(lambda: world.status().get("capture") == "ok")
    world.hurry()
    world.lan.rejoin(WAIT)
    keep(world)
    if machine.run("uci get oubli.gateway.id") == ident:
        yield "the gateway's id outlived a factory reset"
    if (tokens := json.loads(machine.run("cat /srv/oubli/ledger"))["tokens"]) > 0:
        yield f"a factory reset gives {tokens} tokens"


def crowd(world: World) -> Iterator[str]:
    """Let 250 terminals hold 20,000 conversations: each has a fate, and memory stays what it was."""
    before = oubli_memory(world)
    gather(world)
    counted = world.status()["counters"]
    took = talk(world)
    status, after = world.status(), oubli_memory(world)
    grew = {name: status["counters"][name] - counted.get(name, 0) for name in status["counters"]}
    fates = grew["kept"] + grew["no purpose"] + sum(grew[name] for name in grew if name.startswith("excluded: "))
    lost = {name: count for name, count in grew.items() if name.startswith("lost") and count}
    world.said["crowd"] = (
        f"{len(world.lan.terminals)} terminals, {grew['connections']} connections, {grew['kept']} kept, in {took:.0f} s"
    )
    world.said["memory"] = f"kB before {before}, after {after}"
    if grew["kept"] < CONVERSATIONS or lost or fates != grew["connections"]:
        yield f"of {grew['connections']} connections {fates} have a fate, {grew['kept']} are kept, lost: {lost}"
    if sum(after.values()) > GROWTH * sum(before.values()):
        yield f"memory grew from {before} to {after} kB"


def gather(world: World) -> None:
    """Give the LAN room for a crowd, and let it in."""
    machine, lan = world.machine, world.lan
    loaded = world.loaded()
    machine.run(LARGE)
    world.until(lambda: world.loaded() > loaded)
    machine.wait_for_wan()
    world.until(lambda: world.status().get("capture") == "ok")
    lan.rejoin(WAIT)
    while len(lan.terminals) < TERMINALS:
        lan.join(min(AT_ONCE, TERMINALS - len(lan.terminals)), WAIT)
    lan.know_router()


def talk(world: World) -> float:
    """Let the crowd talk, some of it at a time; returns the seconds after the last conversation was through."""
    lan, began = world.lan, time.monotonic()
    for number in range(ROUNDS):
        first = number * TALKING % TERMINALS
        lan.generate(CONVERSATIONS // ROUNDS, lan.terminals[first : first + TALKING])
        time.sleep(max(0.0, began + (number + 1) * MINUTES * 60 / ROUNDS - time.monotonic()))
    took = time.monotonic() - began
    lan.ended(world.machine, WAIT)
    time.sleep(30)
    return took


def oubli_memory(world: World) -> dict[str, int]:
    """Return the proportional set size of each of oubli's parts in kB."""
    return by_part(world.machine.run("sh", MEMORY.encode()))


def by_part(rows: str) -> dict[str, int]:
    """Return the kB of each part, its jail included, from lines of a size and a command line."""
    sizes: Counter[str] = Counter()
    for line in rows.splitlines():
        size, _, words = line.partition(" ")
        if found := PART.search(words):
            sizes[found[1] or found[2]] += int(size)
    return dict(sizes)


STORIES: tuple[Callable[[World], Iterator[str]], ...] = (batteries, factory, crowd, radios, portal)


def soak(_seed: int, _seconds: float) -> dict[str, Any]:
    """Tell each story on a machine of its own."""
    figures: dict[str, Any] = {}
    findings: list[str] = []
    for story in STORIES:
        began = time.monotonic()
        with World() as world:
            try:
                prepare(world)
                findings += [f"{story.__name__}: {wrong}" for wrong in story(world)]
            except (AssertionError, LabError) as failure:
                findings.append(f"{story.__name__}: {failure}")
            figures[story.__name__] = {"seconds": round(time.monotonic() - began), "figures": world.said}
    return {**figures, "findings": findings}


def prepare(world: World) -> None:
    """Boot, install everything, let two terminals in."""
    world.machine.boot()
    world.add_packages()
    world.configure()
    world.machine.run("/etc/init.d/oubli restart; until oubli status >/dev/null; do sleep 1; done; oubli new-device")
    world.until(lambda: world.status().get("capture") == "ok")
    world.hurry()
    world.lan.join(2, WAIT)
    keep(world)
    world.machine.run("sync")
