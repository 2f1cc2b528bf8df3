# SPDX-License-Identifier: Apache-2.0
"""The power goes, the flash is put back, the box is reset: what a real OpenWrt's preinit makes of it. Each test boots the machine anew."""

from __future__ import annotations

import pytest

from host_sim.openwrt.lan import records
from tests.openwrt.test_life import recorded


@pytest.fixture
def anew(installed):
    """Give the installed gateway, and at the end the one that was booted first: a disk and a memory that belong together."""
    machine = installed.machine
    snapshots = machine.disk.with_suffix(".kept")
    machine.run("sync")
    machine.set_aside(snapshots)
    yield installed
    machine.kill()
    machine.put_back(snapshots, "installed")


def test_power_cut_while_writing_loses_memory_alone(anew):
    """Keys die with the power (EXP-2): nothing of before is readable; configuration and ledger are there, and recording goes on."""
    machine = anew.machine
    ident = machine.run("uci get oubli.gateway.id")
    starts = machine.run("oubli log --json | wc -l")
    machine.run("(while :; do cp -r /srv/oubli /overlay/copy 2>/dev/null; rm -rf /overlay/copy; done) >/dev/null 2>&1 </dev/null &")
    machine.kill()
    machine.boot()
    assert machine.run("uci get oubli.gateway.id") == ident
    assert int(machine.run("oubli log --json | wc -l")) >= int(starts)
    assert "holds together" in machine.run("oubli log --verify")
    assert recorded(anew) >= 8


def test_sysupgrade_restore_through_preinit_goes_on(anew):
    """What `sysupgrade -b` keeps, restored on a factory-fresh disk by the real preinit: same gateway, stores that can be written."""
    machine = anew.machine
    ident = machine.run("uci get oubli.gateway.id")
    machine.run("sysupgrade -b /tmp/backup.tgz")
    backup, package = machine.get("/tmp/backup.tgz"), machine.get("/tmp/oubli.apk") or machine.ask("cat /tmp/oubli-[0-9]*.apk").stdout
    machine.kill()
    machine.new_disk()
    machine.boot()
    machine.put("/sysupgrade.tgz", backup)
    machine.run("sync")
    machine.reboot()
    assert "oubli" in machine.run("ls /etc/config")
    machine.put("/tmp/oubli.apk", package)
    machine.run("apk add --allow-untrusted /tmp/oubli.apk")
    assert machine.run("uci get oubli.gateway.id") == ident
    assert recorded(anew) >= 8
    assert machine.run("stat -c %U /srv/oubli /srv/oubli/spool").split() == ["oubli-rec", "oubli-rec"]


def test_factory_reset_leaves_nothing(anew):
    machine = anew.machine
    assert records(machine)
    machine.run("firstboot -y && sync")
    machine.reboot()
    assert machine.run("ls -d /srv/oubli /etc/oubli /etc/config/oubli /usr/bin/oubli 2>/dev/null || true") == ""
