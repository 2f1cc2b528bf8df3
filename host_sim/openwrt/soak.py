# SPDX-License-Identifier: Apache-2.0
"""`tools/soak --room gateway`: what takes too long for the tests on the OpenWrt that boots.

Power cuts at random moments of writing, on f2fs and on ext4 (mount_root takes ext4 where the overlay is small); boots with a battery that
says 1970, 2020 and 2040, then the time by NTP; a crowd of terminals with the memory of all processes before and after.
"""

import re
import time
from collections.abc import Callable
from random import Random
from typing import Any, cast

from host_sim.lab.network import LabError
from host_sim.openwrt import feeds
from host_sim.openwrt.lab import GatewayLab
from host_sim.openwrt.lan import records

DISKS = {"f2fs": 512, "ext4": 64}  # MiB
CUTS, CROWD, CONNECTIONS = 20, 250, 20_000
CLOCKS = ("1970-01-02T00:00:00", "2020-01-01T00:00:00", "2040-01-01T00:00:00")
MOST = 40  # seconds of writing before a cut
SOON = 240  # seconds within which what happens soon has happened
WRITING = "(while :; do cp -r /srv/oubli /overlay/copy; sync; rm -rf /overlay/copy; done) >/dev/null 2>&1 </dev/null &"


def _prepared(lab: GatewayLab) -> None:
    """Boot a gateway as it leaves the factory and install oubli on it."""
    machine = lab.machine
    machine.boot()
    for name, data in feeds.build().items():
        if re.match(r"oubli-\d", name):
            machine.put("/var/oubli.apk", data)
    machine.run("apk add --allow-untrusted /var/oubli.apk", seconds=900)
    lab.configure()
    machine.run("/etc/init.d/oubli restart; oubli doctor --fix; true")
    _until(lambda: machine.ask("oubli status").returncode == 0)


def _until(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + SOON
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(3)
    return True


def _healthy(lab: GatewayLab) -> list[str]:
    """Return what is wrong with the gateway: the recorder's answer, its audit log, new records."""
    machine, wrong = lab.machine, []
    if not _until(lambda: machine.ask("oubli status").returncode == 0):
        return [f"the recorder doesn't answer: {machine.run('logread | grep oubli | tail -n 3')}"]
    if machine.ask("oubli log --verify").returncode != 0:
        wrong.append("the audit log doesn't hold together")
    before = len(records(machine))
    lab.lan.generate(4)
    if not _until(lambda: len(records(machine)) >= before + 4):
        wrong.append("nothing new is recorded")
    return wrong


def _cuts(kind: str, random: Random, until: float) -> dict[str, Any]:
    """Cut the power while the flash is written, again and again."""
    found: list[str] = []
    cuts = 0
    with GatewayLab(disk_mib=DISKS[kind]) as lab:
        _prepared(lab)
        lab.lan.join()
        if f" {kind} " not in lab.machine.run("grep ' /overlay ' /proc/mounts"):
            found.append(f"the overlay isn't {kind}")
        while cuts < CUTS and time.monotonic() < until:
            lab.machine.run(WRITING)
            time.sleep(random.uniform(0, MOST))
            lab.machine.kill()
            cuts += 1
            lab.machine.boot()
            found += [f"{kind}, cut {cuts}: {wrong}" for wrong in _healthy(lab)]
    return {"cuts": cuts, "findings": found}


def _clocks() -> dict[str, Any]:
    """Boot with a battery that is wrong, and see that the gateway has the right time by NTP, and goes on."""
    found = []
    with GatewayLab() as lab:
        _prepared(lab)
        lab.lan.join()
        for clock in CLOCKS:
            lab.machine.run("sync")
            lab.machine.kill()
            lab.machine.boot(clock)
            if not _until(lambda: abs(int(lab.machine.run("date +%s")) - time.time()) < 60):
                found.append(f"battery at {clock}: no right time by NTP")
            found += [f"battery at {clock}: {wrong}" for wrong in _healthy(lab)]
    return {"clocks": list(CLOCKS), "findings": found}


def _memory(lab: GatewayLab) -> dict[str, int]:
    """Return each process's proportional share of memory in KiB, by its name; what has the same name together."""
    text = lab.machine.run("for p in /proc/[0-9]*; do echo $(cat $p/comm) $(grep '^Pss:' $p/smaps_rollup); done 2>/dev/null")
    shares: dict[str, int] = {}
    for name, size in re.findall(r"^(\S+) Pss: (\d+) kB", text, re.MULTILINE):
        shares[name] = shares.get(name, 0) + int(size)
    return shares


def _crowd() -> dict[str, Any]:
    """Let a crowd hold its conversations, and compare the memory of all processes before and after."""
    with GatewayLab() as lab:
        _prepared(lab)
        before = _memory(lab)
        began = time.monotonic()
        lab.lan.join(CROWD, seconds=SOON)
        lab.lan.generate(CONNECTIONS)
        took = time.monotonic() - began
        _until(lambda: len(records(lab.machine)) >= CONNECTIONS)
        kept, counters = len(records(lab.machine)), cast("dict[str, int]", lab.machine.status()["counters"])
        lost = {name: value for name, value in counters.items() if name.startswith("lost") and value}
        wrong = [] if kept >= CONNECTIONS or lost else [f"{kept} of {CONNECTIONS} records, and no loss is told"]
        return {"seconds": round(took), "kept": kept, "lost": lost, "before": before, "after": _memory(lab), "findings": wrong}


def soak(seed: int, seconds: float) -> dict[str, Any]:
    """Try all of it, the power cuts as long as there is time."""
    random, end = Random(seed), time.monotonic() + seconds
    parts: dict[str, dict[str, Any]] = {}
    steps = {"clocks": _clocks, "crowd": _crowd, **{kind: lambda kind=kind: _cuts(kind, random, end) for kind in DISKS}}  # type: ignore[misc]
    for name, step in steps.items():
        try:
            parts[name] = step()
        except LabError as failure:
            parts[name] = {"findings": [f"{name}: {failure}"]}
    return {**parts, "findings": [finding for part in parts.values() for finding in part.pop("findings")]}
