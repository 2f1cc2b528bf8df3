# SPDX-License-Identifier: Apache-2.0
"""A guests' network of its own beside the private one, as OpenWrt's guide sets it up: bridge, zone, an instance of dnsmasq."""

from __future__ import annotations

import time

from host_sim.openwrt.lan import Lan, records
from tests.openwrt.conftest import WAIT

SETTINGS = """
set network.guest_bridge=device
set network.guest_bridge.type=bridge
set network.guest_bridge.name=br-guest
add_list network.guest_bridge.ports=eth2
set network.guest=interface
set network.guest.device=br-guest
set network.guest.proto=static
set network.guest.ipaddr=192.168.7.1/24
set network.guest.ip6assign=64
set dhcp.@dnsmasq[0].notinterface=guest
set dhcp.guest_dns=dnsmasq
set dhcp.guest_dns.leasefile=/tmp/dhcp.leases.guest
set dhcp.guest_dns.resolvfile=/tmp/resolv.conf.d/resolv.conf.auto
add_list dhcp.guest_dns.interface=guest
set dhcp.guest=dhcp
set dhcp.guest.instance=guest_dns
set dhcp.guest.interface=guest
set dhcp.guest.start=100
set dhcp.guest.limit=50
set dhcp.guest.leasetime=1h
set dhcp.guest.ra=server
set firewall.guest=zone
set firewall.guest.name=guest
set firewall.guest.network=guest
set firewall.guest.input=ACCEPT
set firewall.guest.output=ACCEPT
set firewall.guest.forward=REJECT
set firewall.guest_wan=forwarding
set firewall.guest_wan.src=guest
set firewall.guest_wan.dest=wan
delete oubli.gateway.lan
add_list oubli.gateway.lan=guest
"""


def test_only_the_guests_are_recorded_beside_a_private_network(installed):
    machine = installed.machine
    machine.run("uci -q batch; uci commit", SETTINGS.encode())
    machine.run("/etc/init.d/network restart; sleep 15; /etc/init.d/dnsmasq restart; /etc/init.d/odhcpd restart; fw4 reload; sleep 5")
    machine.run("/etc/init.d/oubli restart")
    guests = Lan(installed.wires, installed.folder, "guest", first=500)
    (guest,) = guests.join(seconds=WAIT)
    before = len(records(machine))
    installed.lan.generate(8)
    guests.generate(8)
    deadline = time.monotonic() + WAIT
    while len(records(machine)) < before + 8 and time.monotonic() < deadline:
        time.sleep(3)
    new = records(machine)[before:]
    assert len(new) >= 8
    assert {bytes(record.mac) for record in new} == {guest.mac}
