# SPDX-License-Identifier: Apache-2.0
"""`tools/soak --room gateway`: what takes too long for the tests on the OpenWrt that boots.

`oubli-sim gateway` from its first line to its last; boots with a battery that says 1970, 2020 and 2040, then the time by NTP; a crowd of
terminals with the memory of all processes before and after; power cuts at random moments of writing, on f2fs and on ext4, which mount_root
takes where the overlay is small.
"""

import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from host_sim.driver.interpreters import ROOT
from host_sim.lab.network import LabError
from host_sim.openwrt.command import install
from host_sim.openwrt.lab import GatewayLab
from host_sim.openwrt.lan import records

DISKS = {"f2fs": 512, "ext4": 64}  # MiB
CUTS, CROWD, CONNECTIONS = 20, 250, 20_000
CLOCKS = ("1970-01-02T00:00:00", "2020-01-01T00:00:00", "2040-01-01T00:00:00")
MOST = 40  # seconds of writing before a cut
SOON = 240  # seconds within which what happens soon has happened
WRITING = "(while :; do cp -r /srv/oubli /overlay/copy; sync; rm -rf /overlay/copy; done) >/dev/null 2>&1 </dev/null &"
SHOWN = "messages at the broker"  # of the line that the terminals' first conversations bring


def _until(condition: Callable[[], object], seconds: float = SOON) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(3)
    return True


def _prepared(lab: GatewayLab) -> None:
    """Boot a gateway as it leaves the factory, install oubli on it, and let a terminal in."""
    lab.machine.boot()
    install(lab)
    lab.lan.join()


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


def _demonstration() -> dict[str, Any]:
    """Run the command as its user does, see that what it prints is true, and interrupt it."""
    began = time.monotonic()
    words = [sys.executable, "-m", "host_sim", "gateway"]
    process = subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    said, wrong = [], []
    for line in process.stdout or ():
        said.append(line)
        if SHOWN in line:
            break
    took = time.monotonic() - began
    pages = re.findall(r"http://127\.0\.0\.1:\d+\S*", "".join(said))
    if len(pages) != 2:
        wrong.append(f"demonstration: it doesn't say where LuCI and the fleet page are: {said[-3:]}")
    wrong += [f"demonstration: {page} doesn't answer" for page in pages if not _fetched(page)]
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=300)[0]
    if process.returncode != 130:
        wrong.append(f"demonstration: it ended with {process.returncode}: {rest[-300:]}")
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    if f"oubli-{process.pid}-" in left:
        wrong.append("demonstration: it left namespaces behind")
    return {"seconds": round(took), "findings": wrong}


def _fetched(address: str) -> bool:
    """Return whether a page answers, LuCI's question for a password (403) too."""
    try:
        with urllib.request.urlopen(address, timeout=120):  # noqa: S310 (our own doors)
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _clocks() -> dict[str, Any]:
    """Boot with a battery that is wrong, and see that the gateway has the right time by NTP, and goes on."""
    found = []
    with GatewayLab() as lab:
        _prepared(lab)
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


def _crowd(until: float) -> dict[str, Any]:
    """Let a crowd hold its conversations, and compare the memory of all processes before and after."""
    with GatewayLab() as lab:
        _prepared(lab)
        before = _memory(lab)
        began = time.monotonic()
        while len(lab.lan.terminals) < CROWD and time.monotonic() < until:
            lab.lan.join(10, seconds=SOON)
        done = 0
        while done < CONNECTIONS and time.monotonic() < until:
            done += lab.lan.generate(4 * len(lab.lan.terminals))
        took = time.monotonic() - began
        _until(lambda: len(records(lab.machine)) >= done, 2 * SOON)
        kept, counters = len(records(lab.machine)), lab.machine.status()["counters"]
        lost = {name: value for name, value in counters.items() if name.startswith("lost") and value}
        wrong = [] if kept >= done or lost else [f"crowd: {kept} of {done} records, and no loss is told"]
        figures = {"terminals": len(lab.lan.terminals), "connections": done, "seconds": round(took), "kept": kept, "lost": lost}
        return figures | {"before": before, "after": _memory(lab), "findings": wrong}


def _cuts(kind: str, random: Random, until: float) -> dict[str, Any]:
    """Cut the power while the flash is written, again and again."""
    found: list[str] = []
    cuts = 0
    with GatewayLab(disk_mib=DISKS[kind]) as lab:
        _prepared(lab)
        if f" {kind} " not in lab.machine.run("grep ' /overlay ' /proc/mounts"):
            found.append(f"the overlay isn't {kind}")
        ident = lab.machine.run("uci get oubli.gateway.id")
        while cuts < CUTS and time.monotonic() < until:
            lab.machine.run(WRITING)
            time.sleep(random.uniform(0, MOST))
            lab.machine.kill()
            cuts += 1
            lab.machine.boot()
            wrong = _healthy(lab)
            if lab.machine.run("uci get oubli.gateway.id") != ident:
                wrong.append("it is another gateway")
            found += [f"{kind}, cut {cuts}: {what}" for what in wrong]
    return {"cuts": cuts, "findings": found}


def soak(seed: int, seconds: float) -> dict[str, Any]:
    """Try all of it; the crowd and the power cuts for as long as there is time."""
    random, end = Random(seed), time.monotonic() + seconds
    parts: dict[str, dict[str, Any]] = {}
    steps: dict[str, Callable[[], dict[str, Any]]] = {
        "demonstration": _demonstration,
        "clocks": _clocks,
        "crowd": partial(_crowd, time.monotonic() + seconds / 2),
        **{kind: partial(_cuts, kind, random, end) for kind in DISKS},
    }
    for name, step in steps.items():
        try:
            parts[name] = step()
        except LabError as failure:
            parts[name] = {"findings": [f"{name}: {failure}"]}
    return {**parts, "findings": [finding for part in parts.values() for finding in part.pop("findings")]}
