# SPDX-License-Identifier: Apache-2.0
"""What happens to a gateway in its life, on a real OpenWrt.

Networks change, modules go, the flash fills up, packages go and come back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.openwrt.conftest import WAIT
from tests.openwrt.trial import build_next, next_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.openwrt.conftest import World

# What is done, and whether netifd takes the WAN down and up for it: what is under way then ends.
CHANGES = {
    "network": ("/etc/init.d/network restart", True),
    "wan": (
        (
            "uci set network.wan.metric=7; uci set network.wan.hostname=other; uci commit network; "
            "/etc/init.d/network reload"
        ),
        True,
    ),
    "flow offload": (
        "uci set firewall.@defaults[0].flow_offloading=1; uci commit firewall; fw4 reload; sleep 3",
        False,
    ),
}
LEFT = (
    "ls -d /usr/lib/oubli /srv/oubli /usr/bin/oubli /etc/init.d/oubli 2>/dev/null\n"
    "ls -A /var/run/oubli 2>/dev/null | grep -vxE 'lines|timeouts'\n"
    "ps w | grep '[o]ubli'; nft list tables | grep oubli; ubus list | grep oubli; true"
)  # given to a shell: on a command line `ps` would find these words
# A recorder that hangs as it closes: who waits for the folder has it as soon as the recorder's end lets it go. `kept`
# is the keys' file by another name, so that what the removal wrote over them can be read afterwards.
HELD = """cd /var/run/oubli && wc -c <keys && ln keys /tmp/kept
(flock 9; sleep 300) 9</var/run/oubli >/dev/null 2>&1 &
echo $! >/tmp/holder
"""
UNLOAD = """fw4 flush; /etc/init.d/oubli stop; killall conntrack 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9; do
    for m in $(lsmod | awk '/^(nf|nft|xt)_/ {print $1}'); do rmmod $m 2>/dev/null; done
done
true"""


@pytest.fixture
def moving(installed: World) -> Iterator[World]:
    """Give the gateway, and at the end terminals that are where the saved states have them.

    Another prefix may be delegated meanwhile.
    """
    yield installed
    installed.machine.restore("installed")
    installed.lan.rejoin(WAIT)


@pytest.mark.parametrize("change", CHANGES)
def test_recorder_goes_on_when_the_network_changes(moving, change):
    """The LAN's bridge goes and comes, the WAN gets other settings, nftables' rules are made anew and offload.

    All is recorded.
    """
    lines, wan_restarts = CHANGES[change]
    machine = moving.machine
    before = moving.loaded()
    machine.run(lines)
    if wan_restarts:
        moving.until(lambda: moving.loaded() > before)
    machine.wait_for_wan()
    # odhcpd has told terminals meanwhile that it is no router any more, and tells them no sooner
    moving.lan.rejoin(WAIT)
    assert len(moving.recorded()) >= 4
    moving.until(lambda: moving.status().get("capture") == "ok")
    assert ("counted-offload" in moving.found()) == (change == "flow offload")


def test_recorder_comes_back_when_connection_tracking_was_unloaded_and_loaded_again(installed):
    machine = installed.machine
    machine.run(UNLOAD)
    assert "nf_conntrack " not in machine.run("lsmod")
    machine.run("kmodloader; fw4 start; /etc/init.d/sysctl restart; /etc/init.d/oubli start")
    installed.hurry()
    installed.until(lambda: installed.status().get("capture") == "ok")  # what begins sooner is of a terminal unknown
    assert len(installed.recorded()) >= 4


def test_an_upgrade_keeps_what_is_kept_and_a_removal_leaves_the_configuration_alone(installed):
    machine = installed.machine
    assert {"/usr/lib/oubli", "/srv/oubli"} <= {*machine.run("sh", LEFT.encode()).split()}
    ident, records = machine.run("uci get oubli.gateway.id"), installed.status()["purposes"]["security"]["records"]
    assert records
    machine.put("/tmp/next.apk", build_next(form="apk")["oubli"])
    machine.run("apk add --allow-untrusted /tmp/next.apk")
    installed.until(
        lambda: (
            next_version() in machine.run("apk list --installed oubli") and installed.status().get("capture") == "ok"
        )
    )
    assert installed.status()["purposes"]["security"]["records"] >= records
    machine.run("apk del oubli")
    installed.until(lambda: machine.run("sh", LEFT.encode()) == "")  # the watch's last `sleep` takes five seconds
    assert machine.run("uci get oubli.gateway.id") == ident
    machine.run("apk add --allow-untrusted /tmp/oubli-[0-9]*.apk")
    installed.until(lambda: installed.status().get("capture") == "ok")
    assert len(installed.recorded()) >= 4
    assert machine.run("uci get oubli.gateway.id") == ident


def test_a_removal_that_must_not_wait_for_ever_overwrites_the_keys_itself(installed):
    """L34-II-4: apk goes on where a package's script fails, so the script does what `oubli forget` refused."""
    machine = installed.machine
    octets = int(machine.run("sh", HELD.encode()))
    assert octets
    assert machine.run("tr -d '\\000' </tmp/kept | wc -c").strip() != "0"
    said = machine.ask("apk del oubli")
    assert "oubli: forget: a daemon runs" in (said.stdout + said.stderr).decode()
    assert machine.run("wc -c </tmp/kept; tr -d '\\000' </tmp/kept | wc -c").split() == [str(octets), "0"]
    assert machine.run("apk list --installed oubli; ls -A /var/run/oubli | grep -vxE 'lines|timeouts'; true") == ""
    machine.run("kill $(cat /tmp/holder)")


def test_full_flash_stops_no_record_and_is_told(installed):
    machine = installed.machine
    machine.run("dd if=/dev/zero of=/overlay/full bs=64k 2>/dev/null; sync; true")
    assert "100%" in machine.run("df /overlay | tail -1")
    assert len(installed.recorded()) >= 4
    assert "flash" in installed.found()
    machine.run("rm /overlay/full; sync")
    assert len(installed.recorded()) >= 4
    assert "flash" not in installed.found()
