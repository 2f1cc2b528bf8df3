# SPDX-License-Identifier: Apache-2.0
"""A story of `tools/soak --trial gateway`: guests' stations roam among three access points, which go down and up.

The radios are the kernel's simulated ones, with a real hostapd on ubus (tools/openwrt): what `location` and an
emergency hear is what that says (L34-V-1).
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

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
for n in 3 4; do ip link set wlan$n up; done"""
# What `wifi down` and `wifi up` come to: hostapd ends, and another one starts.
DOWN = "killall hostapd; while pidof hostapd >/dev/null; do sleep 1; done"
UP = "hostapd -B /tmp/ap0 /tmp/ap1 /tmp/ap2 >/tmp/hostapd.log"
GRANT = (
    "oubli consent grant --terminal {} --purposes location --categories access-point --third-parties none --days 30 "
    "--document $(oubli consent text --purposes location --third-parties none --days 30 --text 3.fr 2>/dev/null | "
    "sha256sum | cut -c 1-64)"
)
WALK = (0, 1, 2, 0)  # where both go, by number
STAY = 15  # seconds at an access point
LOOK = 45  # seconds in which the recorder has found the radios anew; it looks for them each half minute
HEARD = 5  # seconds for the radios' answers


class Air:
    """The gateway's radios, and stations that go from one to another."""

    def __init__(self, world: World) -> None:
        self.world, self.machine = world, world.machine
        self.machine.run(RADIOS)
        self.up()
        self.mac = {name: self.machine.run(f"cat /sys/class/net/{name}/address").strip() for name in (GUEST, OTHER)}

    def up(self) -> None:
        """Start the access points, and wait until each is on the bus."""
        self.machine.run(UP)
        self.world.until(lambda: all(f"hostapd.{name}" in self.machine.run("ubus list") for name in ACCESS_POINTS))

    def goes(self, station: str, number: int | None = None) -> None:
        """Let a station leave where it is, and take another access point, None: none."""
        self.machine.run(f"iw dev {station} disconnect 2>/dev/null; sleep 1")
        if number is not None:
            name, frequency = ACCESS_POINTS[number], 2412 + 25 * number
            there = f"iw dev {station} connect oubli {frequency} $(cat /sys/class/net/{name}/address)"
            self.machine.run(there)
            self.world.until(lambda: self.mac[station] in self.machine.run(f"iw dev {name} station dump"))
        time.sleep(STAY)

    def stays(self, station: str, *, ended: bool = True) -> list[str]:
        """Return at which access points it was, by what the gateway holds of it; not `ended`: where it still is."""
        said = self.machine.run(f"oubli who --mac {self.mac[station]} --agreed --json").splitlines()
        rows = [json.loads(line) for line in said[:-1]]
        return [
            row["access_point"] for row in rows if row["purpose"] == "location" and ("going_on" not in row) == ended
        ]

    def sought(self, station: str) -> dict[str, Any]:
        """Return what a rescue hears of a station."""
        # Both say by their status, too, that a radio hasn't answered
        asked = f"oubli emergency open --terminal {self.mac[station]} --incident 112 >/dev/null; sleep {HEARD}; "
        said: dict[str, Any] = json.loads(self.machine.run(asked + "oubli emergency where --json || true"))
        self.machine.run("oubli emergency close")
        return said


def radios(world: World) -> Iterator[str]:
    """Let stations associate and roam: one who consented is followed, and only as long; a rescue finds the other."""
    machine = world.machine
    asks = [f"notice.{name}='{value}'" for name, value in ASKS.items()]
    options = (*asks, "location=purpose", "location.enabled=1", "location.budget=262144")
    machine.run("".join(f"uci set oubli.{option}; " for option in options) + BATTERY)
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
    yield from _down_and_up(air, stays)
    stays = air.stays(GUEST)
    machine.run(f"oubli consent suspend --terminal {air.mac[GUEST]}")
    air.goes(GUEST, 1)
    air.goes(GUEST)
    if len(air.stays(GUEST)) != len(stays):
        yield f"while it was suspended it was at {air.stays(GUEST)[len(stays) :]}"
    if others := air.stays(OTHER):
        yield f"who never consented was at {others}"
    if (found := air.sought(OTHER))["access_points"] != ["wlan0"]:
        yield f"a rescue hears {found}"
    if air.stays(OTHER):
        yield "a rescue leaves a record"
    machine.run(f"oubli consent withdraw --terminal {air.mac[GUEST]}")
    if stays := air.stays(GUEST):
        yield f"after a withdrawal it was at {stays}"
    world.said["radios"] = f"a station at {', '.join(walked)}, as long as its guest consented; also after a restart"


def _down_and_up(air: Air, before: list[str]) -> Iterator[str]:
    """Take the access points away from under a station, and let them come back: its stay ends, and it is seen anew."""
    air.goes(GUEST, 2)
    if (where := air.stays(GUEST, ended=False)) != ["wlan2"]:
        yield f"before the radios go it is at {where}"
    air.machine.run(DOWN)
    time.sleep(STAY)
    if (stays := air.stays(GUEST)) != [*before, "wlan2"] or (where := air.stays(GUEST, ended=False)):
        yield f"once the radios are gone it was at {stays}, and is at {where}"
    if (found := air.sought(OTHER))["access_points"] or found["radios"]:
        yield f"without radios a rescue hears {found}"
    air.up()
    time.sleep(LOOK)
    air.goes(OTHER, 0)
    air.goes(GUEST, 1)
    if (where := air.stays(GUEST, ended=False)) != ["wlan1"]:
        yield f"once the radios are back it is at {where}"
    air.goes(GUEST)
    if (stays := air.stays(GUEST)) != [*before, "wlan2", "wlan1"]:
        yield f"after the radios' return it was at {stays}"
