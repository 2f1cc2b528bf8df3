# SPDX-License-Identifier: Apache-2.0
"""A story of `tools/soak --room gateway`: guests' stations roam among three access points.

The radios are the kernel's simulated ones, with a real hostapd on ubus (tools/openwrt): what `location` and an
emergency hear is what that says (L34-V-1).
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from host_sim.venue.portal import ASKS
from tests.openwrt.conftest import BATTERY, World

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCESS_POINTS = ("wlan0", "wlan1", "wlan2")
GUEST, OTHER = "wlan3", "wlan4"  # the cards of two stations
# Three access points of one network on the LAN's bridge; channels 1, 6 and 11.
RADIOS = """apk add kmod-mac80211-hwsim iw hostapd >/dev/null
modprobe mac80211; insmod mac80211_hwsim radios=5; sleep 2
for n in 0 1 2; do
    printf '%s\\n' interface=wlan$n bridge=br-lan driver=nl80211 ssid=oubli hw_mode=g channel=$((1 + 5 * n)) >/tmp/ap$n
done
hostapd -B /tmp/ap0 /tmp/ap1 /tmp/ap2 >/tmp/hostapd.log
for n in 3 4; do ip link set wlan$n up; done"""
GRANT = (
    "oubli consent grant --terminal {} --purposes location --categories access-point --third-parties none --days 30 "
    "--text 2.fr"
)
WALK = (0, 1, 2, 0)  # where both go, by number
STAY = 15  # seconds at an access point


class Air:
    """The gateway's radios, and stations that go from one to another."""

    def __init__(self, world: World) -> None:
        self.world, self.machine = world, world.machine
        self.machine.run(RADIOS)
        self.world.until(lambda: all(f"hostapd.{name}" in self.machine.run("ubus list") for name in ACCESS_POINTS))
        self.mac = {name: self.machine.run(f"cat /sys/class/net/{name}/address").strip() for name in (GUEST, OTHER)}

    def goes(self, station: str, number: int | None = None) -> None:
        """Let a station leave where it is, and take another access point, None: none."""
        self.machine.run(f"iw dev {station} disconnect 2>/dev/null; sleep 1")
        if number is not None:
            name, frequency = ACCESS_POINTS[number], 2412 + 25 * number
            there = f"iw dev {station} connect oubli {frequency} $(cat /sys/class/net/{name}/address)"
            self.machine.run(there)
            self.world.until(lambda: self.mac[station] in self.machine.run(f"iw dev {name} station dump"))
        time.sleep(STAY)

    def stays(self, station: str) -> list[str]:
        """Return at which access points it was, by what the gateway holds of it."""
        said = self.machine.run(f"oubli who --mac {self.mac[station]} --agreed --json").splitlines()
        rows = [json.loads(line) for line in said[:-1]]
        return [row["access_point"] for row in rows if row["purpose"] == "location" and "going_on" not in row]


def radios(world: World) -> Iterator[str]:
    """Let stations associate and roam: one who consented is followed, and only as long; a rescue finds the other."""
    machine = world.machine
    machine.run(BATTERY)
    asks = [f"notice.{name}='{value}'" for name, value in ASKS.items()]
    world.change(*asks, "location=purpose", "location.enabled=1", "location.budget=262144")
    world.until(lambda: "location" in world.status().get("purposes", ()) and world.status()["clock"] == "trusted")
    air = Air(world)
    for station in (GUEST, OTHER):
        air.goes(station, WALK[0])
    if stays := air.stays(GUEST):
        yield f"before a consent it was at {stays}"
    machine.run(GRANT.format(air.mac[GUEST]))
    time.sleep(STAY)
    for number in WALK[1:]:
        for station in (GUEST, OTHER):
            air.goes(station, number)
    air.goes(GUEST)
    walked = [ACCESS_POINTS[number] for number in WALK]
    if (stays := air.stays(GUEST)) != walked:
        yield f"with a consent it was at {stays}"
    machine.run(f"oubli consent suspend --terminal {air.mac[GUEST]}")
    air.goes(GUEST, 1)
    air.goes(GUEST)
    if len(air.stays(GUEST)) != len(stays):
        yield f"while it was suspended it was at {air.stays(GUEST)[len(stays) :]}"
    if others := air.stays(OTHER):
        yield f"who never consented was at {others}"
    found = json.loads(machine.run(f"oubli emergency open --terminal {air.mac[OTHER]} --incident 112 --json"))
    if found["access_points"] != ["wlan0"]:
        yield f"a rescue hears {found}"
    machine.run("oubli emergency close")
    if air.stays(OTHER):
        yield "a rescue leaves a record"
    machine.run(f"oubli consent withdraw --terminal {air.mac[GUEST]}")
    if stays := air.stays(GUEST):
        yield f"after a withdrawal it was at {stays}"
    world.said["radios"] = f"a station at {', '.join(walked)}, as long as its guest consented"
