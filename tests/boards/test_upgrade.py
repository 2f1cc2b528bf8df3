# SPDX-License-Identifier: Apache-2.0
"""From this version to the next and back, in a gateway's root.

What it kept is read, goes on time, and nothing is spent twice.

The next version is this one with a higher number. The daemons run on MicroPython on this
machine's kernel, as the package installs them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from agent import VERSION
from agent.summary.ledger import OWED
from host_sim.venue.portal import NOTICE
from tests.openwrt import gateway as roots
from tests.openwrt import procd
from tests.openwrt.trial import (
    LAN,
    NEEDS,
    build,
    build_next,
    client,
    connected,
    next_version,
    recorded,
    run_script,
    status,
    wait_for,
    with_battery,
)
from tests.support.interpreters import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LATER = "PKG_UPGRADE=1"
HOUR = 3600 * 10**9
pytestmark = pytest.mark.needs(*NEEDS)


def tree(root: Path) -> set[str]:
    """Return the files of a root that aren't in memory."""
    outside = {"proc", "dev", "tmp", "host"}
    return {
        str(path.relative_to(root))
        for top in root.iterdir()
        if top.name not in outside
        for path in top.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


class Device:
    """A gateway with opkg's way of installing, its service under a fake procd."""

    def __init__(self, gateway: roots.Gateway) -> None:
        self.gateway = gateway
        self.root = gateway.path
        self.scripts: dict[str, dict[str, str]] = {}  # of each package that is there
        self.service = procd.Procd({"instances": {}}, gateway.start)

    def _run(self, name: str, text: str | None, *env: str) -> None:
        """Run a script of a package, and let procd do what it is told.

        An end at once, for what the script does next waits for it.
        """
        if not text:
            return
        with ThreadPoolExecutor(1) as pool:
            script = pool.submit(run_script, self.gateway, text, *env, package=name)
            while not script.done():
                if self.told()[-1:] == ["kill\x1foubli"]:
                    self.service.update(procd.service("kill\x1foubli"))
                time.sleep(0.05)
            script.result()
        if self.told():
            self.service.update(procd.service(recorded(self.gateway)))

    def told(self) -> list[str]:
        """Return what procd was told since the last word to a script, a call a line."""
        return self.gateway.run("/bin/sh", "-c", "cat /tmp/procd.calls", check=False).stdout.splitlines()

    def install(self, package: bytes) -> None:
        """Install a package, or put it in the place of the one that is there, as opkg does."""
        fresh = roots.ipk_scripts(package)
        name = roots.name_of(fresh)
        former = self.scripts.get(name, {})
        upgrade = (LATER,) if former else ()
        self._run(name, former.get("prerm"), *upgrade)
        self._run(name, fresh.get("preinst"), *upgrade)
        self.scripts[name] = roots.unpack_ipk(package, self.root)
        self._run(name, former.get("postrm"), *upgrade)
        self._run(name, fresh["postinst"], *upgrade)

    def remove(self, name: str = "oubli") -> None:
        """Remove a package as opkg does: its files, but for the configuration files, and what opkg keeps of it."""
        scripts = self.scripts.pop(name)
        self._run(name, scripts["prerm"])
        info = self.root / "usr/lib/opkg/info"
        for path in (info / f"{name}.list").read_text().split():
            if path not in scripts["conffiles"].split():
                (self.root / path[1:]).unlink(missing_ok=True)
        for file in info.glob(f"{name}.*"):
            file.unlink()
        self._run(name, scripts.get("postrm"))

    def status(self) -> dict[str, Any]:
        """Return the status once a recorder answers; one that ended is started again, as procd does."""

        def answer() -> dict[str, Any]:
            self.service.look()
            return status(self.gateway)

        wait_for(answer, 90)
        return status(self.gateway)

    def capture(self, count: int, connect: Callable[[], None]) -> dict[str, Any]:
        """Make connections until so many more were kept; returns the status then."""
        wanted = self.status()["counters"]["kept"] + count

        def kept() -> bool:
            connect()
            self.gateway.host("conntrack", "-F")
            return status(self.gateway)["counters"]["kept"] >= wanted

        wait_for(kept)
        return self.status()

    def ledger(self) -> dict[str, int]:
        """Return the ledger on flash."""
        return json.loads((self.root / "srv/oubli/ledger").read_text())

    def spent(self) -> dict[str, int]:
        """Return what of the ledger stays the same until a day opens or a boot: an hour may be full meanwhile."""
        hourly = {"hours", "since_token", "high_water", "number", "check"}
        return {name: value for name, value in self.ledger().items() if name not in hourly}

    def version(self) -> str:
        """Return what the installed command says it is."""
        return self.gateway.run("/usr/bin/oubli", "--version").stdout

    def stop(self) -> None:
        """Stop the service."""
        self.gateway.run("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli", "stop")
        self.service.update(procd.service(recorded(self.gateway)))

    def restart(self) -> None:
        """Stop the service and start it."""
        self.stop()
        self.gateway.run("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli", "start")
        self.service.update(procd.service(recorded(self.gateway)))

    def settings(self) -> str:
        """Return the configuration."""
        return (self.root / "etc/config/oubli").read_text()


@pytest.fixture
def device(tmp_path) -> Iterator[Device]:
    """Give a gateway without the package."""
    roots.make(tmp_path / "root")
    (tmp_path / "root/etc/sysctl.d").mkdir()
    shutil.copy(PROJECT / "boards/common/etc/sysctl.d/50-oubli.conf", tmp_path / "root/etc/sysctl.d")
    with_battery(tmp_path / "root")
    with connected(tmp_path / "root") as gateway:
        one = Device(gateway)
        try:
            yield one
        finally:
            one.service.stop()


def test_upgrade_goes_on_with_what_was_kept_and_so_does_the_step_back(device, remotes, tmp_path):
    """EXP-1, ANON-5: records are read and go on time, the ledger is spent on, the configuration is understood."""
    made = build()["oubli"][0]
    with client(device.gateway) as connect:
        device.install(made)
        assert device.version() == f"oubli {VERSION}\n"
        path = device.root / "etc/config/oubli"
        before = device.capture(5, connect)
        spent, settings = device.spent(), device.settings()
        device.stop()
        state = device.gateway.run(
            "/bin/sh",
            "-c",
            "cp -R /tmp/run/oubli /copy && rm -f /copy/control/* && cat /proc/sys/kernel/random/boot_id",
        )
        boot, now = state.stdout.strip().replace("-", ""), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        for name in ("cpython", "micropython"):
            root, ask = tmp_path / name, remotes(name)
            shutil.copytree(device.root / "copy", root / "var/run/oubli")
            assert (
                len(ask("read", str(root), time.time_ns(), now, 0)["rows"]) == before["purposes"]["security"]["records"]
            )
            assert ask("vault_destroy_due", str(root), boot, now + 23 * HOUR) == 0
            assert (
                ask("vault_destroy_due", str(root), boot, now + 25 * HOUR) == before["purposes"]["security"]["segments"]
            )
            assert ask("read", str(root), time.time_ns(), now, 0)["rows"] == []

        device.install(build_next()["oubli"])
        assert device.version() == f"oubli {next_version()}\n"
        here = device.status()
        assert here["purposes"]["security"]["records"] == before["purposes"]["security"]["records"]
        assert (here["gateway"], here["counters"]["gaps"]) == (before["gateway"], 1)
        assert device.spent() == spent  # nothing is spent twice: the day's table is the same
        assert device.settings() == settings
        assert device.capture(1, connect)["purposes"]["security"]["records"] > before["purposes"]["security"]["records"]

    device.install(made)
    assert device.version() == f"oubli {VERSION}\n"
    assert device.status()["purposes"]["security"]["records"] > before["purposes"]["security"]["records"]
    assert device.spent() == spent
    kept = device.status()["purposes"]["security"]["records"]
    path.write_text(device.settings() + "config later 'later'\n\toption minutes '15'\n")
    device.restart()
    # What this version doesn't know stops nothing: the last accepted one goes on, and everything says so
    here = device.status()
    said = re.compile(r"/etc/config/oubli:\d+: section 'later': unknown [^\n]*")
    assert said.fullmatch(here["refused"])
    assert here["purposes"]["security"]["records"] == kept
    loud = "!! CONFIGURATION REFUSED, the last accepted one goes on: " + here["refused"]
    assert loud in device.gateway.run("/usr/bin/oubli", "status").stdout.splitlines()
    found = json.loads(device.gateway.run("/usr/bin/oubli", "doctor", "--json", check=False).stdout)["findings"]
    assert [finding["what"] for finding in found if finding["id"] == "configuration"] == [here["refused"]]
    health = json.loads(device.gateway.run("/bin/cat", "/var/run/oubli-live/health").stdout)
    assert "configuration" in health["doctor"]
    device.stop()
    (device.root / "etc/oubli/accepted").unlink()
    refused = device.gateway.run("/usr/bin/oubli", "recorder", check=False)
    assert (refused.returncode, said.fullmatch(refused.stderr[len("oubli: ") : -1]) is not None) == (2, True), refused


def test_both_packages_are_upgraded_and_what_goes_with_the_second_is_forgotten(device):
    """EXP-1, L34-V-3: with a consent, upgraded, then without `oubli-purposes`."""
    made, later = {name: package for name, (package, _) in build().items()}, build_next()
    path = device.root / "etc/config/oubli"
    with client(device.gateway) as connect:
        device.install(made["oubli"])
        on = device.settings().replace("config purpose 'services'", "config purpose 'services'\n\toption enabled '1'")
        path.write_text(on.replace("config notice 'notice'\n", NOTICE))
        line = device.settings().splitlines().index("config purpose 'services'") + 1
        refusal = f"/etc/config/oubli:{line}: services.enabled: the package oubli-purposes isn't installed "
        device.restart()
        before = device.status()
        assert (before["refused"].startswith(refusal), list(before["purposes"])) == (True, ["security"]), before
        assert not (device.root / "usr/lib/oubli/agent/purposes/consent/consented.mpy").exists()

        device.install(made["oubli-purposes"])
        before = device.capture(3, connect)
        assert not before["refused"]
        words = ("--purposes", "services", "--third-parties", "none", "--days", "1")
        said = device.gateway.run("/usr/bin/oubli", "consent", "text", *words, "--text", "3.fr", "--json").stdout
        shown = json.loads(said)["text"]
        hers = ("--terminal", f"{LAN}.2", "--categories", "connections", "--document", shown)
        device.gateway.run("/usr/bin/oubli", "consent", "grant", *words, *hers)
        assert device.status()["consents"]["active"] == 1
        spent = device.spent()

        for name in ("oubli", "oubli-purposes"):
            device.install(later[name])
        here = device.status()
        assert here["consents"]["active"] == 1
        assert here["purposes"]["security"]["records"] == before["purposes"]["security"]["records"]
        assert device.spent() == spent
        kept = device.capture(1, connect)
        assert kept["consents"]["active"] == 1

        device.remove("oubli-purposes")
        here = device.status()  # what was accepted with it isn't any more: `security` goes on all the same
        assert (here["refused"].startswith(refusal), list(here["purposes"])) == (True, ["security"]), here
        assert not [name for name in ("consents", "device.key", "vault") if (device.root / "srv/oubli" / name).exists()]
        path.write_text(device.settings().replace("\toption enabled '1'", "\toption enabled '0'"))
        device.restart()
        here = device.status()
        assert here["consents"] is None
        # Fewer purposes, fewer keys: those of what stays on stay where they are.
        assert here["purposes"]["security"]["records"] == kept["purposes"]["security"]["records"] > 3
        assert not here["counters"].get("lost: ring resized")
        assert device.spent() == spent
    device.remove()
    assert not (device.root / "srv/oubli").exists()


@pytest.mark.needs("mips", "binfmt_misc")
def test_a_mips_root_has_the_package_installed_started_upgraded_and_removed(tmp_path):
    """Every program of it is a big-endian MIPS one, busybox included.

    The recorder alone can't go on: qemu-user gives no such socket.
    """
    roots.make(tmp_path / "root", "mips")
    (tmp_path / "root/etc/sysctl.d").mkdir()
    shutil.copy(PROJECT / "boards/common/etc/sysctl.d/50-oubli.conf", tmp_path / "root/etc/sysctl.d")
    with connected(tmp_path / "root", "mips") as gateway:
        assert gateway.run("/bin/uname", "-m").stdout == "mips\n"
        before = tree(gateway.path)
        device = Device(gateway)
        try:
            device.install(build("archer-c7-v5")["oubli"][0])
            assert device.version() == f"oubli {VERSION}\n"
            with (gateway.path / "etc/config/oubli").open("a") as file:
                file.write("\toption host '127.0.0.1'\n\toption port '1'\n\toption insecure '1'\n")
            device.install(build_next("archer-c7-v5")["oubli"])
            assert device.version() == f"oubli {next_version()}\n"
            wait_for(
                lambda: gateway.run("/bin/cat", "/var/run/oubli-live/forwarder.json", check=False).stdout.startswith(
                    "{"
                )
            )
            running = {name: process.poll() for name, process in device.service.running.items() if name != "recorder"}
            assert running == {"forwarder": None, "watch": None}
            said = gateway.run("/usr/bin/oubli", "recorder", check=False)
            assert (said.returncode, said.stderr) == (1, "oubli: can't go on: socket (protocol not supported)\n")
            found = json.loads(gateway.run("/usr/bin/oubli", "doctor", "--json", check=False).stdout)["findings"]
            assert [finding["id"] for finding in found][:2] == ["recorder", "conntrack"]
            assert device.service.stop()["forwarder"] == 0
        finally:
            device.service.stop()
        device.remove()
        left = tree(gateway.path) - before
        assert left == {"etc/config/oubli"}


def test_sysupgrade_keeps_what_the_list_names_and_nothing_else(device, tmp_path):
    """An image with the next version in the place of this one, as the image builder makes it.

    What is kept is laid over it.
    """
    device.install(build()["oubli"][0])
    former = device.status()
    (device.root / "etc/oubli").mkdir(exist_ok=True)
    (device.root / "etc/oubli/custodian.pub").write_text("a key")
    (device.root / "etc/ssl").mkdir(exist_ok=True)
    (device.root / "etc/ssl/broker.pem").write_text("an authority")
    with (device.root / "etc/config/oubli").open("a") as file:  # its last section is mqtt
        file.write("\toption ca '/etc/ssl/broker.pem'\n")
    ledger = device.ledger()
    device.stop()
    roots.make(tmp_path / "image")
    scripts = roots.unpack_ipk(build_next()["oubli"], tmp_path / "image")
    (tmp_path / "image/script").write_text(scripts["postinst"])
    words = [tmp_path / "image/bin/busybox", "ash", tmp_path / "image/script"]
    subprocess.run(words, check=True, env={"IPKG_INSTROOT": str(tmp_path / "image"), "PATH": os.environ["PATH"]})
    # What sysupgrade saves, by file: the packages' lists and hooks, the configuration files, and its own list's users.
    hooks = ". /lib/upgrade/oubli.sh; for hook in $sysupgrade_init_conffiles; do $hook /tmp/all; done"
    kept = "for path in $(grep ^/ /lib/upgrade/keep.d/oubli); do find $path -type f; done; cat /tmp/all"
    listed = device.gateway.run("/bin/sh", "-c", f"{hooks}; {kept}").stdout.split()
    listed += ["/etc/config/oubli", "/etc/passwd", "/etc/group"]
    assert {"/srv/oubli/ledger", "/etc/ssl/broker.pem", "/etc/oubli/accepted", "/etc/oubli/custodian.pub"} <= set(
        listed
    )
    saved = device.gateway.run("/bin/sh", "-c", f"tar -cf /saved.tar {' '.join(path[1:] for path in listed)}")
    assert not saved.stderr
    with connected(tmp_path / "image") as gateway:
        shutil.move(device.root / "saved.tar", gateway.path / "saved.tar")
        gateway.run("/bin/tar", "-xf", "/saved.tar")
        fresh = Device(gateway)
        gateway.run("/bin/sh", "-c", "for file in /etc/uci-defaults/*; do (. $file) && rm $file; done")
        gateway.run("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli", "start")
        fresh.service.update(procd.service(recorded(gateway)))
        try:
            here = fresh.status()
        finally:
            fresh.service.stop()
        assert fresh.version() == f"oubli {next_version()}\n"
        assert (here["gateway"], here["purposes"]["security"]["records"]) == (former["gateway"], 0)
        assert (gateway.path / "etc/oubli/custodian.pub").read_text() == "a key"
        now = fresh.ledger()
        # Its mark stayed behind: what was spent on this day isn't known for certain, and the hours count all the same.
        assert (now["starts"], now["tokens"], now["life"] != ledger["life"]) == (1, OWED, True)
        assert now["hours"] + now["uncounted"] > ledger["hours"] + ledger["uncounted"]
