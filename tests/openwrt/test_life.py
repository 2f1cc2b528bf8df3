# SPDX-License-Identifier: Apache-2.0
"""What happens to a gateway in its life, on a real OpenWrt: networks change, modules go, the flash fills up, packages go and come back."""

from __future__ import annotations

import time

import pytest

from host_sim.openwrt.lan import records
from tests.openwrt.conftest import WAIT, World

LEFT = (
    "ls -d /usr/lib/oubli /srv/oubli /var/run/oubli /usr/bin/oubli /etc/init.d/oubli 2>/dev/null; "
    "ps w | grep '[o]ubli'; nft list tables | grep oubli; ubus list | grep oubli; true"
)


def recorded(world: World, connections: int = 8) -> int:
    """Let the terminals hold some conversations and return how many more records are kept, once all are."""
    before = len(records(world.machine))
    world.lan.generate(connections)
    deadline = time.monotonic() + WAIT
    while (found := len(records(world.machine)) - before) < connections and time.monotonic() < deadline:
        time.sleep(3)
    return found


@pytest.mark.parametrize(
    "change",
    [
        "/etc/init.d/network restart; sleep 20",
        "fw4 reload; sleep 3",
        "uci set network.wan.metric=7; uci set network.wan.hostname=other; uci commit network; /etc/init.d/network reload; sleep 15",
        "uci set firewall.@defaults[0].flow_offloading=1; uci commit firewall; fw4 reload; sleep 3",
    ],
    ids=["network restart", "fw4 reload", "the WAN changes", "flow offload"],
)
def test_recorder_goes_on_when_the_network_changes(installed, change):
    installed.machine.run(change)
    assert recorded(installed) >= 8
    assert installed.machine.status()["capture"] == "ok"


def test_recorder_comes_back_when_connection_tracking_was_unloaded_and_loaded_again(installed):
    machine = installed.machine
    machine.run(
        "fw4 flush; /etc/init.d/oubli stop; killall conntrack 2>/dev/null; for i in 1 2 3 4 5 6 7 8 9; do "
        "for m in $(lsmod | awk '/^(nf|nft|xt)_/ {print $1}'); do rmmod $m 2>/dev/null; done; done; true"
    )
    assert "nf_conntrack " not in machine.run("lsmod")
    machine.run("kmodloader; fw4 reload; /etc/init.d/sysctl restart; /etc/init.d/oubli start")
    assert recorded(installed) >= 8


def test_removal_leaves_the_configuration_alone_and_a_new_installation_goes_on(installed):
    machine = installed.machine
    assert "oubli" in machine.run(LEFT)
    ident = machine.run("uci get oubli.gateway.id")
    machine.run("apk del oubli")
    assert machine.run(LEFT) == ""
    assert machine.run("uci get oubli.gateway.id") == ident
    machine.run("apk add --allow-untrusted /tmp/oubli-[0-9]*.apk")
    assert recorded(installed) >= 8
    assert machine.run("uci get oubli.gateway.id") == ident


def test_full_flash_stops_no_record_and_is_told(installed):
    machine = installed.machine
    machine.run("dd if=/dev/zero of=/overlay/full bs=64k 2>/dev/null; sync; true")
    assert "100%" in machine.run("df /overlay | tail -1")
    assert recorded(installed) >= 8
    machine.run("rm /overlay/full; sync")
    assert recorded(installed) >= 8
