# SPDX-License-Identifier: Apache-2.0
"""What only a real OpenWrt showed to be wrong, and stays right there: each of these failed on it before."""

from __future__ import annotations

import json


def test_networks_that_root_alone_may_read_are_seen_and_followed_without_a_restart(installed):
    """L34-I-2: OpenWrt writes /etc/config/network 0600. A network that isn't there is loud, and one that comes up is seen by itself."""
    machine = installed.machine
    assert machine.run("ls -l /etc/config/network").startswith("-rw-------")
    assert installed.status()["capture"] == "ok"
    installed.change("gateway.lan='guest'")
    installed.until(lambda: installed.status().get("capture") == "no-lan")
    assert installed.status()["missing"] == ["guest"]
    assert "no-lan" in installed.found()
    assert installed.health()["capture"] == "no-lan"
    starts = installed.status()["counters"]["starts"]
    machine.run(
        "uci set network.guestbr=device; uci set network.guestbr.type=bridge; uci set network.guestbr.name=br-guest; "
        "uci set network.guestbr.bridge_empty=1; uci set network.guest=interface; uci set network.guest.proto=static; "
        "uci set network.guest.device=br-guest; uci set network.guest.ipaddr=192.168.7.1/24; uci commit network; reload_config"
    )
    installed.until(lambda: installed.status().get("capture") == "ok")
    assert (installed.status()["missing"], installed.status()["counters"]["starts"]) == ([], starts)
    assert "no-lan" not in installed.found()


def test_the_guests_page_answers_from_within_its_jail(installed):
    """L34-V-4: ujail wants a command's absolute path."""
    machine = installed.machine
    installed.add("oubli-purposes")
    installed.until(lambda: "<!DOCTYPE html>" in machine.ask("wget -q -O- http://127.0.0.1:8450/cgi-bin/oubli").stdout.decode())
    assert "oubli-po" in machine.run("ps w | grep 'uhttpd -f -h /www/oubli' | grep -v grep")
    assert "page" not in installed.found()


def test_flash_that_refuses_is_loud(installed):
    """EXP-6: status, doctor and health name it; the fleet's alarm hangs on health (tools/fleet/prometheus)."""
    machine = installed.machine
    machine.run("sync; mount -o remount,ro /overlay; /etc/init.d/oubli restart")
    installed.until(lambda: installed.status().get("refusing"))
    assert "!! FLASH REFUSES" in machine.run("oubli status")
    assert "flash-refuses" in installed.found()
    installed.until(lambda: "flash-refuses" in (installed.health()["doctor"] or ()))
    machine.run("mount -o remount,rw /overlay; /etc/init.d/oubli restart")
    installed.until(lambda: installed.status().get("refusing") is False)
    assert "flash-refuses" not in installed.found()


def test_health_says_ok_right_after_a_restart_and_normal_lines_are_no_errors(installed):
    """ANON-4: `stopped` of the former recorder isn't sent by a forwarder that was started with the next one."""
    machine, broker = installed.machine, installed.broker
    told = len(broker.messages("/health"))
    machine.run("/etc/init.d/oubli restart")
    installed.until(lambda: len(broker.messages("/health")) > told)
    assert [json.loads(message.payload)["capture"] for message in broker.messages("/health")[told:]] == ["ok"]
    assert "oubli recorder: started" in machine.run("logread -e oubli")
    assert "daemon.err" not in "".join(line for line in machine.run("logread -e oubli").splitlines(True) if ": started" in line)
    assert machine.run("oubli status 2>&1 | head -n 1").count("\n") == 1


def test_another_choice_of_purposes_and_rows_keeps_what_security_keeps(installed):
    """L34-III-3: the keys of what stays on stay where they are."""
    installed.add("oubli-purposes")
    installed.until(lambda: installed.status().get("capture") == "ok")
    records = installed.status()["purposes"]["security"]["records"]
    assert records
    for options in (("services.enabled=1", "summary.rows=8192"), ("services.enabled=0", "summary.rows=1024", "security.lifetime=48h")):
        starts = installed.status()["counters"]["starts"]
        installed.change(*options)
        installed.until(lambda starts=starts: installed.status().get("counters", {}).get("starts", 0) > starts)
        here = installed.status()
        assert here["purposes"]["security"]["records"] >= records
        assert not [name for name, count in here["counters"].items() if name.startswith("lost") and count]


def test_a_refused_configuration_stops_nothing_and_is_loud(installed):
    """L34-II-2: the last accepted one goes on, over a restart too; status, doctor, health and LuCI's object say which line is wrong."""
    accepted = installed.health()["gateway"]
    installed.change("security.lifetime=91d")
    installed.until(lambda: installed.status().get("refused"))
    here = installed.status()
    assert "security.lifetime: '91d' is above the ceiling of 90d" in here["refused"]
    assert here["purposes"]["security"]["lifetime_seconds"] == 86400
    assert here["purposes"]["security"]["records"]
    assert "configuration" in installed.found()
    installed.until(lambda: "configuration" in (installed.health()["doctor"] or ()))
    assert installed.health()["gateway"] == accepted
    installed.until(lambda: installed.status()["forwarder"].get("connected"))
    installed.change("security.lifetime=24h")
    installed.until(lambda: installed.status().get("refused") == "")
    assert "configuration" not in installed.found()


def test_a_removed_package_leaves_nothing_and_says_nothing_odd(installed):
    """L34-VI-2: by the recorder's own rights; and an install has no complaint of its own."""
    machine = installed.machine
    assert "write error" not in installed.said["add"]
    machine.run("ln -s /etc/config /srv/oubli/vault; chown -h oubli-rec /srv/oubli/vault")
    said = machine.ask("apk del oubli")
    assert said.returncode == 0, said
    assert machine.run("ls -d /srv/oubli* /var/run/oubli* 2>/dev/null || :") == ""
    assert "network" in machine.run("ls /etc/config")
