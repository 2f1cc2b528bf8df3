# SPDX-License-Identifier: Apache-2.0
"""`oubli doctor` on a real OpenWrt: a healthy gateway is fine, and each thing that is broken on purpose is named, and nothing else."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import pytest

# A machine that is emulated on a busy one is behind the time that its battery told, and waits for NTP to agree twice.
CLOCK = {"clock-untrusted", "clock-battery"}
SOON = 300  # seconds within which what is broken has come to light
NFT = (
    "nft 'add table inet broken; add flowtable inet broken {name} {{ hook ingress priority 0; devices = {{ eth2 }}; {counter} }}'; "
    "nft list flowtables | grep -q {name}"
)
END = 'ubus call service delete \'{{"name":"oubli","instance":"{name}"}}\''


class Broken(NamedTuple):
    """One thing that goes wrong: what doctor calls it, and what breaks it."""

    name: str
    command: str


# What is broken together is named together: no row may hide another one of its list.
TOGETHER = {
    "kernel": (
        Broken("events", "sysctl -qw net.netfilter.nf_conntrack_events=2"),
        Broken("acct", "sysctl -qw net.netfilter.nf_conntrack_acct=0"),
        Broken("timestamp", "sysctl -qw net.netfilter.nf_conntrack_timestamp=0"),
        Broken("table-size", "sysctl -qw net.netfilter.nf_conntrack_max=4000000"),
        Broken("listeners", "apk add conntrack; conntrack -E >/dev/null 2>&1 </dev/null & sleep 5; pidof conntrack"),
        Broken("offload", NFT.format(name="fast", counter="")),
        Broken("counted-offload", NFT.format(name="counted", counter="counter;")),
        Broken("second-nat", "ip addr add 10.9.9.9/32 dev eth1"),
        Broken("watch", END.format(name="watch")),
        Broken("page", END.format(name="page")),
        Broken("folders", "chmod 0755 /srv/oubli"),
        Broken("secret", "chmod 0644 /etc/oubli/gateway.key"),
        Broken("libsodium", "for f in /usr/lib/libsodium.so*; do mv $f /usr/lib/gone-${f##*.}; done"),
    ),
    "configuration": (
        Broken("no-lan", "uci set oubli.gateway.lan=guest"),
        Broken("wan", "uci set oubli.gateway.wan=elsewhere"),
        Broken("plain-text", "uci set oubli.mqtt.insecure=1"),
        Broken("broker", "uci set oubli.mqtt.host=nowhere.example.org"),
        Broken("unconnected", "uci commit oubli; /etc/init.d/oubli restart"),
    ),
    "purposes": (
        Broken("bundle-missing", "uci set oubli.attribution=purpose; uci set oubli.attribution.enabled=1"),
        Broken("agents", "uci set oubli.attribution.ground=IIbis-3; uci set oubli.attribution.reference=trial"),
        Broken("certificate", "uci commit oubli; /etc/init.d/oubli restart; echo none >/etc/oubli/ca.pem"),
        Broken("forwarder", "until oubli status; do sleep 1; done >/dev/null 2>&1; " + END.format(name="forwarder")),
    ),
    "flash": (
        Broken("configuration", "uci set oubli.security.lifetime=91d; uci commit oubli; sync"),
        Broken("flash-refuses", "mount -o remount,ro /overlay; /etc/init.d/oubli restart"),
    ),
    "time": (
        Broken("recorder", END.format(name="recorder")),
        Broken("broker-missing", "uci delete oubli.mqtt.host; uci commit oubli"),
        Broken("flash", "dd if=/dev/zero of=/overlay/full bs=64k 2>/dev/null; true"),
        Broken("clock-wrong", "/etc/init.d/sysntpd stop; date -s 2001-02-03"),
    ),
}


@pytest.mark.parametrize("together", TOGETHER)
def test_doctor_finds_nothing_on_a_healthy_gateway_then_each_thing_that_is_broken_and_nothing_else(installed, together):
    broken = TOGETHER[together]
    if together in {"kernel", "purposes"}:
        installed.add("oubli-purposes")
    installed.until(lambda: {*installed.found()} <= CLOCK)
    for one in broken:
        installed.machine.run(one.command)
    expected = {one.name for one in broken}
    with contextlib.suppress(AssertionError):
        installed.until(lambda: {*installed.found()} >= expected, SOON)
    assert {*installed.found()} - CLOCK == expected
