# SPDX-License-Identifier: Apache-2.0
"""What only a real OpenWrt showed to be wrong, and stays right there: each of these failed on it before.

What a restore and an empty battery showed is in test_power; what a missing daemon must be called, in test_doctor.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from typing import TYPE_CHECKING

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from host_sim.openwrt.network import GATEWAY
from host_sim.venue.portal import ASKS
from tests.openwrt.conftest import WAIT
from tools.custodian import bundles

if TYPE_CHECKING:
    from tests.openwrt.conftest import World

GUEST = """
set network.guest_bridge=device
set network.guest_bridge.type=bridge
set network.guest_bridge.name=br-guest
set network.guest_bridge.bridge_empty=1
set network.guest=interface
set network.guest.proto=static
set network.guest.device=br-guest
set network.guest.ipaddr=192.168.7.1/24
commit network
"""
LEASES = "/tmp/dhcp.leases"
# The recorder as it is, but that for it a day has passed for each octet of a file.
AGED = """import os, sys
from agent.runtime import clocks
class Later(clocks.DeviceTime):
    def monotonic(self):
        return super().monotonic() + os.stat("/etc/oubli/later")[6] * 86401 * 1000000000
clocks.DeviceTime = Later
from agent.__main__ import main
sys.exit(main(["recorder"]))
"""
AS_AGED = """aged='$([ "$1" = recorder ] \\&\\& echo /etc/oubli/aged.py \\|\\| echo -m agent "$1")'
sed -i 's|-m agent "$1"$|'"$aged"'|' /etc/init.d/oubli
/etc/init.d/sysntpd stop; /etc/init.d/oubli restart"""
# The gateway's own connections end again and again: names asked for, the time, and the broker, for which doctor would
# wait. None is there or tracked. The administrator's own is tracked, and would end while she says nothing.
QUIET = """sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_established=86400
uci delete oubli.mqtt.host; uci commit oubli
nft -f - <<'END'
table inet quiet {
    chain out { type filter hook output priority raw; tcp sport != 22 notrack; udp dport 0-65535 notrack; }
    chain in { type filter hook prerouting priority raw; tcp dport != 22 notrack; udp dport 0-65535 notrack; }
}
END"""
DAYS = 2  # for which attribution keeps, and after which the custodian's keys are destroyed
ATTRIBUTION = (
    "attribution.enabled=1", "attribution.ground=IIbis-3", "attribution.reference=test",
    f"attribution.lifetime={DAYS}d", "attribution.block_size=128", "attribution.budget=67108864",
)  # fmt: skip


def test_networks_that_root_alone_may_read_are_seen_and_followed_without_a_restart(installed):
    """L34-I-2: OpenWrt writes /etc/config/network 0600.

    A network that isn't there is loud, and one that comes up is seen by itself.
    """
    machine = installed.machine
    assert machine.run("ls -l /etc/config/network").startswith("-rw-------")
    assert installed.status()["capture"] == "ok"
    installed.change("gateway.lan='guest'")
    # Until procd has started it anew the former recorder is told that its own `lan` is no network any more
    installed.until(lambda: installed.status().get("missing") == ["guest"])
    assert installed.status()["capture"] == "no-lan"
    assert "!! NO LAN" in machine.run("oubli status")
    assert "no-lan" in installed.found()
    assert installed.health()["capture"] == "no-lan"
    starts = installed.status()["counters"]["starts"]
    machine.run("uci -q batch; reload_config", GUEST.encode())
    installed.until(lambda: installed.status().get("capture") == "ok")
    assert (installed.status()["missing"], installed.status()["counters"]["starts"]) == ([], starts)
    assert "no-lan" not in installed.found()
    assert installed.health()["capture"] == "ok"


def test_a_recorder_that_hears_nothing_for_a_day_is_loud(installed):
    """EXP-1: the kernel has connections, and none has ended for a day: status and doctor say so until one ends."""
    machine = installed.machine
    machine.put("/etc/oubli/aged.py", AGED.encode())
    machine.put("/etc/oubli/later", b"")
    machine.run(QUIET + "\n" + AS_AGED)
    installed.until(lambda: installed.status().get("capture") == "ok")
    assert "deaf" not in installed.found()

    def deaf() -> bool:
        # A day more: what was tracked before may have ended since the last one
        machine.run("echo >>/etc/oubli/later")
        return "deaf" in installed.found()

    installed.until(deaf)
    machine.run("nft delete table inet quiet")
    installed.lan.generate(4)
    installed.lan.ended(machine, WAIT)
    installed.until(lambda: "deaf" not in installed.found())


def test_the_guests_page_answers_from_within_its_jail(complete):
    """L34-V-4: ujail wants a command's absolute path."""
    machine = complete.machine
    assert "<!DOCTYPE html>" in machine.run("wget -q -O- http://127.0.0.1:8450/")
    (process,) = machine.run("pgrep -f '^/usr/bin/micropython .*-m agent page'").split()[-1:]
    assert "oubli-portal" in machine.run(f"ls -ld /proc/{process}")
    assert machine.run(f"readlink /proc/{process}/ns/mnt") != machine.run("readlink /proc/1/ns/mnt")


def test_flash_that_refuses_is_loud(installed):
    """EXP-6: status, doctor and health name it; the fleet's alarm hangs on health (tools/fleet/prometheus)."""
    machine = installed.machine
    machine.run("sync; mount -o remount,ro /overlay; /etc/init.d/oubli restart")
    installed.until(lambda: installed.status().get("refusing"))
    assert "!! FLASH REFUSES" in machine.run("oubli status")
    assert "flash-refuses" in installed.found()
    machine.run("/etc/init.d/oubli restart")  # a recorder writes its health as it starts, and each five minutes
    installed.until(lambda: "flash-refuses" in (installed.health()["doctor"] or ()))
    machine.run("mount -o remount,rw /overlay; /etc/init.d/oubli restart")
    installed.until(lambda: installed.status().get("refusing") is False)
    assert "flash-refuses" not in installed.found()


def test_a_restart_is_no_alarm_and_normal_lines_are_no_errors(installed):
    """ANON-4: `stopped` of the former recorder isn't sent by a forwarder that was started with the next one."""
    machine, broker = installed.machine, installed.broker
    told = len(broker.messages("/health"))
    assert machine.run("/etc/init.d/oubli restart 2>&1") == ""
    installed.until(lambda: len(broker.messages("/health")) > told)
    assert [json.loads(message.payload)["capture"] for message in broker.messages("/health")[told:]] == ["ok"]
    started = [line for line in machine.run("logread -e oubli").splitlines() if " recorder: started" in line]
    assert started
    assert not [line for line in started if "daemon.err" in line]
    assert machine.run("oubli status 2>&1 | head -n 1").count("\n") == 1


def test_a_new_installation_has_nothing_old_and_nothing_odd(installed):
    """EXP-1: what is kept can't be older than the program that keeps it; an install has no complaint of its own."""
    assert not re.search(r"\berror\b", installed.said["add"], re.IGNORECASE)
    (oldest,) = re.findall(r"oldest (?:\d+ to )?(\d+) s", installed.said["status"])
    assert int(oldest) < installed.seconds["first record"] + 3600  # a segment's window is an hour at most
    security = installed.status()["purposes"]["security"]
    assert security["oldest_seconds"] - security.get("window_seconds", 0) < installed.machine.uptime()


def test_another_choice_of_purposes_and_rows_keeps_what_security_keeps(complete):
    """L34-III-3: the keys of what stays on stay where they are."""
    records = complete.status()["purposes"]["security"]["records"]
    assert records
    asks = [f"notice.{name}='{value}'" for name, value in ASKS.items()]
    for options in (
        (*asks, "services.enabled=1", "summary.rows=8192"),
        ("services.enabled=0", "summary.rows=1024", "security.lifetime=48h"),
    ):
        starts = complete.status()["counters"]["starts"]
        complete.change(*options)
        complete.until(lambda starts=starts: complete.status().get("counters", {}).get("starts", 0) > starts)
        here = complete.status()
        assert here["purposes"]["security"]["records"] >= records
        assert not [name for name, count in here["counters"].items() if name.startswith("lost") and count]


def test_a_refused_configuration_stops_nothing_and_is_loud(installed):
    """L34-II-2: the last accepted one goes on, over a restart too.

    Status, doctor and health say which line is wrong.
    """
    gateway = installed.health()["gateway"]
    installed.change("security.lifetime=91d")
    installed.until(lambda: installed.status().get("refused"))
    here = installed.status()
    assert "security.lifetime: '91d' is above the ceiling of 90d" in here["refused"]
    assert here["purposes"]["security"]["lifetime_seconds"] == 86400
    assert here["purposes"]["security"]["records"]
    assert "configuration" in installed.found()
    assert "configuration" in installed.health()["doctor"]
    assert installed.health()["gateway"] == gateway
    installed.until(lambda: installed.status()["forwarder"].get("connected"))
    installed.change("security.lifetime=24h")
    installed.until(lambda: installed.status().get("refused") == "")
    assert "configuration" not in installed.found()


def test_a_terminal_whose_lease_was_lost_gets_a_port_block(complete):
    """After a power cut there is no lease file, and phones keep their address (L34-II-4).

    They are heard of before the WAN is up.
    """
    machine = complete.machine
    _custodian(complete)
    complete.change(*ATTRIBUTION)
    complete.until(lambda: "attribution" in complete.status().get("purposes", ()))
    machine.run(
        f"/etc/init.d/oubli stop; ifdown wan; rm -f {LEASES} /var/run/oubli/blocks; "
        "ip neigh flush dev br-lan; /etc/init.d/oubli start"
    )
    complete.until(lambda: complete.status().get("capture") == "ok")
    for terminal in complete.lan.terminals:  # heard of before there is a public address
        complete.lan.run(
            terminal, sys.executable, "-c", f"import socket; socket.socket(2, 2).sendto(b'x', ('{GATEWAY}', 9))"
        )
    machine.run("ifup wan")
    machine.wait_for_wan()
    complete.lan.generate(4)
    assert not machine.run(f"cat {LEASES} 2>/dev/null; true")
    complete.until(
        lambda: complete.status()["purposes"]["attribution"]["blocks"]["held"] >= len(complete.lan.terminals)
    )
    blocks = machine.run("nft list map ip oubli blocks")
    assert all(f"{terminal.address4} " in blocks for terminal in complete.lan.terminals)


def test_recorder_has_room_for_every_purpose(complete):
    """Of 64 bits, as this system is: three purposes were too much for its heap, and it started again and again."""
    _custodian(complete)
    asks = [f"notice.{name}='{value}'" for name, value in ASKS.items()]
    others = ("billing", "services", "location")
    on = [f"{name}.{option}" for name in others for option in ("enabled=1", "budget=1048576")]
    complete.change(*ATTRIBUTION, *asks, *on, f"billing.lifetime={DAYS}d")
    complete.until(lambda: {"security", "attribution", *others} == {*complete.status().get("purposes", ())})
    assert len(complete.recorded()) >= 4


def _custodian(world: World) -> None:
    """Put a custodian's bundle of keys on the gateway."""
    today, signing = dt.datetime.now(dt.UTC).date(), SigningKey.generate()
    days = [today + dt.timedelta(days=ahead) for ahead in range(-1, 3)]
    rows = [
        bundles.Row("attribution", day, bytes(PrivateKey.generate().public_key), day + dt.timedelta(days=DAYS))
        for day in days
    ]
    world.machine.put("/etc/oubli/custodian.pub", bytes(signing.verify_key).hex().encode() + b"\n")
    world.machine.put("/tmp/bundle", bundles.write(days[0], rows, signing))
    world.machine.run("chmod 0644 /etc/oubli/custodian.pub; oubli bundle install /tmp/bundle")


def test_a_removed_package_follows_no_link(installed):
    """L34-VI-2: removal is by the recorder's own rights: a link of its own leads nowhere else."""
    machine = installed.machine
    machine.run("ln -s /etc/config /srv/oubli/vault; chown -h oubli-rec /srv/oubli/vault")
    said = machine.ask("apk del oubli")
    assert said.returncode == 0, said
    assert sorted(machine.run("find /srv/oubli* /var/run/oubli* 2>/dev/null || :").split()) == [
        "/var/run/oubli",
        "/var/run/oubli/lines",
        "/var/run/oubli/timeouts",
    ]
    assert "network" in machine.run("ls /etc/config")
