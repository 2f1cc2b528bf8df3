# SPDX-License-Identifier: Apache-2.0
"""What `tools/soak --trial openwrt` runs: the power goes at random moments while it writes (EXP-2, EXP-6).

QEMU is killed while terminals talk, root looks things up, a guest suspends and resumes, and flash is written to. Each
boot is eight hours later by the clock's battery, so that sealed segments become due between two of them. Then stores
must open, nothing may be past its deadline, what was acknowledged must be there, and doctor must find nothing. It is on
f2fs and ext4 of a disk, and on jffs2 of a flash chip (host_sim/openwrt/flash.py).

What QEMU had handed to this machine is on its disk: of a flash chip that loses its own cache this says nothing.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import subprocess
import tarfile
import threading
import time
from collections import Counter
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from host_sim.driver.interpreters import ROOT
from host_sim.lab.network import LabError
from host_sim.openwrt.witness import records
from host_sim.venue.portal import ASKS
from tests.openwrt.conftest import BATTERY, WAIT, World
from tools.custodian import bundles, segments

if TYPE_CHECKING:
    from collections.abc import Iterator

CUTS = {"f2fs": 10, "ext4": 10, "jffs2": 5}  # how often, by file system
MOST = max(CUTS.values())
EXT4 = 96  # MiB of a disk; mount_root takes ext4 for an overlay below 100 MiB
AFTER = 8  # hours between two boots, by the battery
LIFETIME = 1  # day for which attribution keeps
LONGEST = 25  # seconds of writing before a cut
CONNECTIONS = 12  # that must be kept after each boot
PARTS = ("openwrt", "micropython-1.28")  # of tools/parts.txt
OPTIONS = (
    ["gateway.hardware_clock=1", "services=purpose", "services.enabled=1", "services.budget=262144"]
    + [f"notice.{name}='{value}'" for name, value in ASKS.items()]
    + ["attribution.enabled=1", "attribution.ground=IIbis-3", "attribution.reference=test"]
    + [
        f"attribution.lifetime={LIFETIME}d",
        "attribution.block_size=128",
        "attribution.budget=8388608",
        "summary.rows=512",
    ]
)
GRANT = (
    "oubli consent grant --terminal {} --purposes services --categories connections --third-parties none --days 30 "
    "--document $(oubli consent text --purposes services --third-parties none --days 30 --text 3.fr 2>/dev/null | "
    "sha256sum | cut -c 1-64)"
)
# Each act says so once it was answered; besides, the file system is kept busy.
ACTS = """(while :; do cp -r /etc /overlay/copy; rm -rf /overlay/copy; done) >/dev/null 2>&1 </dev/null &
while :; do
    oubli consent suspend --terminal {address} >/dev/null && echo suspended
    oubli lookup --terminal {mac} --at {at} --until {at} --reason fault >/dev/null && echo lookup
    oubli consent resume --terminal {address} >/dev/null && echo resumed
done"""
LOGGED = "logread | grep -E 'put back|be read|a fault of the program|Kernel panic|EXT4-fs error' | head -n 3"
USUAL = {"duty", "agents", "bundle-ending"}  # what doctor has to say of such a configuration


class Trial:
    """A gateway on one file system, its custodian's keys, what was acknowledged and what was found."""

    def __init__(self, world: World, file_system: str) -> None:
        self.world, self.machine, self.file_system = world, world.machine, file_system
        self.now = dt.datetime.now(dt.UTC).replace(microsecond=0)
        self.keys: dict[dt.date, PrivateKey] = {}
        self.told: Counter[str] = Counter()
        self.last = ""
        self.boots: list[float] = []
        self.sealed = 0  # records of sealed segments that were read
        self.findings: list[str] = []

    def prepare(self) -> None:
        """Boot, install everything, give keys, let two terminals in, one of which consents."""
        machine, world = self.machine, self.world
        machine.boot(self.now.strftime("%Y-%m-%dT%H:%M:%S"))
        if f" {self.file_system} " not in (mounts := machine.run("grep ' /overlay ' /proc/mounts")):
            raise LabError(f"the overlay isn't {self.file_system}: {mounts}")
        world.add_packages()
        world.configure()
        machine.run("uci set system.ntp.enabled=0; uci commit system; /etc/init.d/sysntpd stop")
        signing, rows = SigningKey.generate(), []
        for day in (self.now.date() + dt.timedelta(days=ahead) for ahead in range(-1, MOST * AFTER // 24 + 2)):
            self.keys[day] = PrivateKey.generate()
            public = bytes(self.keys[day].public_key)
            rows.append(bundles.Row("attribution", day, public, day + dt.timedelta(days=LIFETIME)))
        machine.put("/etc/oubli/custodian.pub", bytes(signing.verify_key).hex().encode() + b"\n")
        machine.put("/tmp/bundle", bundles.write(self.now.date(), rows, signing))
        machine.run(BATTERY + "chmod 0644 /etc/oubli/custodian.pub; until oubli status >/dev/null; do sleep 1; done")
        machine.run("oubli new-device; oubli bundle install /tmp/bundle")
        world.change("attribution=purpose", *OPTIONS)
        world.until(lambda: {"attribution", "services"} <= {*world.status().get("purposes", ())})
        world.hurry()
        world.lan.join(2, WAIT)
        machine.run(GRANT.format(world.lan.terminals[0].address4))
        machine.run("sync")

    def cut(self, seconds: float) -> None:
        """Let everything write for a while, and cut the power."""
        lan, machine = self.world.lan, self.machine
        guest = lan.terminals[0]
        at = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.spent = self._ledger()
        # It seals what waits
        self.machine.run("/etc/init.d/oubli restart; until oubli status >/dev/null; do sleep 1; done")
        acts = ACTS.format(address=guest.address4, mac=guest.mac.hex(":"), at=at)
        with subprocess.Popen(machine.shell(acts), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
            talk = threading.Thread(target=self._talk)
            talk.start()
            time.sleep(seconds)
            machine.kill()
            said = running.communicate()[0].decode().split()
        talk.join()
        self.told.update(said)
        self.last = said[-1] if said else self.last
        self.now += dt.timedelta(hours=AFTER)

    def _talk(self) -> None:
        with suppress(LabError):  # those whose gateway goes
            self.world.lan.generate(200)

    def boot(self) -> None:
        """Boot after the cut, and look at all that is there."""
        world, machine = self.world, self.machine
        began = time.monotonic()
        machine.boot(self.now.strftime("%Y-%m-%dT%H:%M:%S"))
        self.boots.append(round(time.monotonic() - began, 1))
        world.hurry()
        world.until(lambda: world.status().get("capture") == "ok")
        if world.status()["clock"] != "trusted":  # a busy machine's clock has lost time
            machine.run(BATTERY)
        world.until(lambda: world.status().get("clock") == "trusted")
        world.lan.rejoin(WAIT)
        for say in (self._acts(), self._consents(), self._spending(), self._sealed(), self._talked()):
            self.findings += [f"{self.file_system}, cut {len(self.boots)}: {wrong}" for wrong in say]
        with suppress(AssertionError):
            world.until(lambda: not {*world.found()} - USUAL, 120)
        rest = sorted({*world.found()} - USUAL) + machine.run(LOGGED).splitlines()
        self.findings += [f"{self.file_system}, cut {len(self.boots)}: {wrong}" for wrong in rest]

    def _acts(self) -> Iterator[str]:
        """Each look-up that was answered stands in the log, and the log holds together."""
        if "holds together" not in (said := self.machine.run("oubli log --verify")):
            yield said
        lines = self.machine.run("oubli log --json").splitlines()
        there = sum(json.loads(line).get("act") == "lookup" for line in lines)
        if there < min(self.told["lookup"], 200):
            yield f"{self.told['lookup']} look-ups were answered, {there} are in the log"

    def _consents(self) -> Iterator[str]:
        """The one consent is there, and is suspended where that was the last word."""
        counts = json.loads(self.machine.run("oubli consent list --json"))["counts"]
        if counts["active"] + counts["suspended"] != 1 or (self.last == "suspended" and not counts["suspended"]):
            yield f"the last word was {self.last or 'granted'}, and the consents are {counts}"

    def _ledger(self) -> dict[str, int]:
        said: dict[str, int] = json.loads(self.machine.run("cat /srv/oubli/ledger"))
        return said

    def _spending(self) -> Iterator[str]:
        """What was spent stays spent (ANON-5)."""
        before, after = self.spent, self._ledger()
        if (after["life"], after["hours"]) < (before["life"], before["hours"]) or after["number"] < before["number"]:
            yield f"the ledger is another one: {before} {after}"
        if after["day"] < before["day"] or (after["day"] == before["day"] and after["spent"] < before["spent"]):
            yield f"the ledger forgot a day: {before} {after}"

    def _sealed(self) -> Iterator[str]:
        """Sealed segments open with the custodian's keys, and none is there whose day is over (EXP-3)."""
        packed = self.machine.ask("tar -C /srv/oubli/vault -cf - attribution").stdout
        today = self.now.date()
        with tarfile.open(fileobj=BytesIO(packed)) as tar:
            files = {one.name: tar.extractfile(one).read() for one in tar if one.isfile()}  # type: ignore[union-attr]
        for name, data in files.items():
            if not data.startswith(b"OUBL"):
                continue
            segment = segments.read(data)
            self.sealed += len(list(segment.records(self.keys[segment.day])))
            if segment.destroy <= today:
                yield f"{name} was due on {segment.destroy}, and it is {self.now}"

    def _talked(self) -> Iterator[str]:
        """Nothing of the former boot is in memory, what comes is kept, and every connection has one fate."""
        old = [record for record in records(self.machine) if record.start / 10 < self.now.timestamp() - 60]
        if old:
            yield f"{len(old)} records are of before this boot"
        keep(self.world)
        counters = self.world.status()["counters"]
        fates = sum(counters[name] for name in ("kept", "no purpose"))
        fates += sum(count for name, count in counters.items() if name.startswith("excluded: "))
        lost = {name: count for name, count in counters.items() if name.startswith("lost") and count}
        if lost or counters["connections"] != fates:
            yield f"of {counters['connections']} connections {fates} have a fate, lost: {lost}"

    def figures(self) -> dict[str, Any]:
        """Return what was done."""
        return {
            "cuts": len(self.boots),
            "boot_seconds": [min(self.boots), max(self.boots)] if self.boots else [],
            "acknowledged": dict(self.told),
            "sealed_records_read": self.sealed,
        }


def keep(world: World) -> None:
    """After a boot: what terminals do is kept."""
    for chance in (2, 1, 0):
        try:
            world.recorded(CONNECTIONS)
            break
        except LabError:
            if not chance:
                raise
            # Its provider says only now and then that it is a router, and odhcpd only says it where one does
            world.machine.run("ifup wan6")
            world.machine.wait_for_wan()
            world.lan.rejoin(WAIT)


def world_on(file_system: str) -> World:
    """Return a gateway whose overlay will be of a file system."""
    if file_system == "jffs2":
        return World(chip=True)
    return World(disk_mib=EXT4) if file_system == "ext4" else World()


def soak(seed: int, seconds: float) -> dict[str, Any]:
    """Cut the power on each file system, as far as there is time; Ctrl-C ends it with the figures so far."""
    if subprocess.run([ROOT / "tools/setup-part", *PARTS], check=False).returncode != 0:
        raise LabError(f"{' and '.join(PARTS)} can't be made; accepted: after what tools/setup-part says")
    draw, end, rest = random.Random(seed), time.monotonic() + seconds, sum(CUTS.values())
    figures: dict[str, Any] = {}
    findings: list[str] = []
    for file_system, cuts in CUTS.items():
        until = time.monotonic() + (end - time.monotonic()) * cuts / rest
        rest -= cuts
        with world_on(file_system) as world:
            trial = Trial(world, file_system)
            try:
                trial.prepare()
                while len(trial.boots) < cuts and time.monotonic() < until:
                    trial.cut(draw.uniform(0, LONGEST))
                    trial.boot()
            except (AssertionError, LabError) as failure:
                findings.append(f"{file_system}, after {len(trial.boots)} cuts: {failure}")
            except KeyboardInterrupt:
                figures["interrupted"] = True
            findings += trial.findings
            if trial.boots and not trial.sealed:
                findings.append(f"{file_system}: no sealed record was there to be read")
            figures[file_system] = trial.figures()
        if "interrupted" in figures:
            break
    return {**figures, "findings": findings}
