# SPDX-License-Identifier: Apache-2.0
"""A guests' network of its own beside the private one, as OpenWrt's guide sets it up.

Bridge, zone, an instance of dnsmasq. The zone lets guests reach no service of the gateway but DNS, DHCP and ICMPv6.
"""

from __future__ import annotations

import json
import sys

from host_sim.openwrt.lan import Lan
from host_sim.openwrt.witness import records
from tests.openwrt.conftest import WAIT
from tests.openwrt.test_page import ASK

ADDRESS = "192.168.7.1"
SETTINGS = f"""
set network.guest_bridge=device
set network.guest_bridge.type=bridge
set network.guest_bridge.name=br-guest
add_list network.guest_bridge.ports=eth2
set network.guest=interface
set network.guest.device=br-guest
set network.guest.proto=static
set network.guest.ipaddr={ADDRESS}/24
set network.guest.ip6assign=64
set network.lan.ip6assign=63
rename dhcp.@dnsmasq[0]=lan_dns
add_list dhcp.lan_dns.notinterface=guest
set dhcp.lan.instance=lan_dns
set dhcp.guest_dns=dnsmasq
add_list dhcp.guest_dns.notinterface=loopback
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
set firewall.guest.input=REJECT
set firewall.guest.output=ACCEPT
set firewall.guest.forward=REJECT
set firewall.guest_wan=forwarding
set firewall.guest_wan.src=guest
set firewall.guest_wan.dest=wan
set firewall.guest_dns=rule
set firewall.guest_dns.src=guest
set firewall.guest_dns.proto=tcp udp
set firewall.guest_dns.dest_port=53
set firewall.guest_dns.target=ACCEPT
set firewall.guest_dhcp=rule
set firewall.guest_dhcp.src=guest
set firewall.guest_dhcp.proto=udp
set firewall.guest_dhcp.dest_port=67-68
set firewall.guest_dhcp.target=ACCEPT
set firewall.guest_icmp6=rule
set firewall.guest_icmp6.src=guest
set firewall.guest_icmp6.proto=icmp
set firewall.guest_icmp6.family=ipv6
set firewall.guest_icmp6.target=ACCEPT
delete oubli.gateway.lan
add_list oubli.gateway.lan=guest
"""


def test_only_the_guests_are_recorded_beside_a_private_network(complete):
    """L34-I-2: who is on the private network is no guest, whatever goes out by the same WAN at the same time.

    L34-V-4: a guest opens the guests' page, though the zone lets her reach little else.
    """
    machine = complete.machine

    def process() -> str:
        return machine.run("ubus call service list | jsonfilter -e @.oubli.instances.recorder.pid; true").strip()

    former = process()
    machine.run("uci -q batch; uci commit; /etc/init.d/network reload; /etc/init.d/oubli reload", SETTINGS.encode())
    complete.until(lambda: process() not in {"", former})  # the one that listened to the private network has ended
    complete.until(lambda: "true" in machine.run("ubus call network.interface.guest status | jsonfilter -e @.up; true"))
    # dnsmasq takes the interfaces that are there
    machine.run("fw4 -q restart; /etc/init.d/dnsmasq restart; /etc/init.d/odhcpd restart")
    machine.wait_for_wan()
    complete.until(
        lambda: (
            complete.status().get("capture") == "ok" and "br-guest" in machine.run("cat /var/run/oubli-root/networks")
        )
    )
    guests = Lan(complete.wires, complete.folder, "guest", first=500)
    (guest,) = guests.join(seconds=WAIT)
    before = len(records(machine))
    assert before
    complete.lan.generate(4)
    guests.generate(4)
    for lan in (complete.lan, guests):
        lan.ended(machine, WAIT)
    complete.until(lambda: len(records(machine)) >= before + 4)
    assert [bytes(record.mac) for record in records(machine)].count(guest.mac) == 4
    assert len(records(machine)) == before + 4
    asked = guests.run(guest, sys.executable, "-c", ASK, json.dumps([ADDRESS, "GET", "/?lang=en", {}, None]))
    assert asked.returncode == 0, asked.stderr[-500:] + machine.run("nft list chain inet fw4 input_guest")
    assert json.loads(asked.stdout)[0] == 200
