# SPDX-License-Identifier: Apache-2.0
"""One lab an interpreter, played through once; the tests read what was seen on the way.

The story: 2,000 conversations, vault against witness. Then the broker freezes while a slot closes and a message is in
flight. The forwarder is killed, the broker stays away for a minute, the forwarder is killed again. The broker comes
back and is restarted. Last, the clock passes the lifetime. strace follows the recorder, and the forwarder from its
second life on: a process that is traced can't have its core taken, and the first one's is taken twice.
"""

from __future__ import annotations

import secrets
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from host_sim.checks import canary as lab_canary
from host_sim.lab import sockets
from host_sim.lab.device import GATEWAY_ID
from host_sim.lab.lab import HEALTH, SLOT, Lab

if TYPE_CHECKING:
    from host_sim.lab.broker import Message
    from host_sim.lab.compare import Comparison

HERE = Path(__file__).parent
CONNECTIONS = 2000
KEPT = {"MAC", "client address"}  # what a record of the purpose keeps
MINUTE = 60  # seconds of the daemons' clocks that the forwarder finds no broker
RUNNING = ("recorder", "forwarder")
MARK = "OUBLI_LAB_MARK"  # a variable that a lab's processes inherit


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of this folder in one group: most of their time is waiting, beside others who compute."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.xdist_group("lab"))


@dataclass
class Story:
    """What one lab saw."""

    terminals: int
    comparison: Comparison
    beyond: list[str]
    status: dict
    held: dict[str, set[str]]
    found: dict[str, set[str]]
    core_is_whole: bool
    in_flight: dict[str, bytes]
    away: dict[str, bytes]
    delivered: list[Message]
    retained: dict[str, bytes]
    forgotten: dict[str, int]
    ends: dict[str, int]
    asked: dict[str, set[str]] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


def needles(lab: Lab) -> list[lab_canary.Needle]:
    """Return every form of what went through this lab and must be found nowhere."""
    network, canary = lab.network, lab.canary
    sought = lab_canary.text_forms("payload", canary.body) + lab_canary.text_forms("host name", canary.host)
    for address in (*network.canary4, *network.canary6):
        sought += lab_canary.address_forms("destination", address)
    for terminal in network.terminals:
        sought += lab_canary.mac_forms("MAC", terminal.mac)
        sought += lab_canary.address_forms("client address", terminal.address4)
        sought += lab_canary.address_forms("client address", terminal.address6)
    return sought


def scan(lab: Lab, core: bytes = b"", before: bytes = b"") -> dict[str, set[str]]:
    """Search files, logs, the broker's messages and its own files, and a core of the forwarder.

    Returns the kinds of what was found, by place. `before` is such a core from before the traffic.
    """
    sought = needles(lab)
    root, device = lab.device.root, lab.device
    found = lab_canary.in_files(root, sought) | lab_canary.in_files(lab.folder / "mosquitto", sought)
    # The open chunk is the purpose's own store before it is sealed: fields of the purpose may be there, nothing else.
    chunks = "var/run/oubli/vault/security/chunks"
    found[chunks] = [needle for needle in found.get(chunks, []) if needle.kind not in KEPT]
    for log in (device.log("recorder"), device.log("forwarder"), lab.broker.log):
        found[log.name] = lab_canary.hits(log.read_bytes(), sought)
    for message in lab.broker.messages:
        found[message.topic] = lab_canary.hits(message.topic.encode() + message.payload, sought)
    lived = lab_canary.hits(core, sought)
    chance = lab_canary.hits(before, lived)
    found["the forwarder's core"] = [needle for needle in lived if needle not in chance]
    return {place: {needle.kind for needle in got} for place, got in found.items() if got}


def leftovers(name: str, mark: str) -> list[str]:
    """Return what is left of labs whose names begin so, and of processes with this mark in their environment."""
    folders = ("/run/netns", "/dev/shm", "/tmp")  # noqa: S108 (looked at)
    left = [str(path) for folder in folders for path in Path(folder).glob(f"{name}*")]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes():
                left.append((process / "cmdline").read_text())
        except OSError:  # it has ended, or belongs to somebody whom root may not look at
            continue
    return left


def _interrupt_delivery(lab: Lab) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Let a message be in flight when everything fails, then bring everything back.

    Returns the messages that are due when the forwarder is first killed, and the spool when it is killed again.
    """
    device, broker = lab.device, lab.broker
    broker.freeze()
    lab.jump(SLOT)
    lab.wait(lab.due, "no message is due", 120)
    time.sleep(1.2)  # a turn of the forwarder: it has sent one and waits for the word that it has arrived
    in_flight = lab.due()
    device.stop("forwarder", signal.SIGKILL)
    broker.thaw()
    broker.stop()

    device.start("forwarder", trace=True)
    lab.wait(lambda: "not connected" in _newest_life(lab), "the forwarder does not miss its broker", 120)
    lab.jump(MINUTE)
    lab.wait(lambda: _newest_life(lab).count("not connected") > 1, "the forwarder does not try again", 120)
    away = device.spool()
    device.stop("forwarder", signal.SIGKILL)

    broker.start()
    device.start("forwarder", trace=True)
    lab.wait(lambda: not in_flight.keys() & device.spool().keys(), "the forwarder does not empty the spool", 120)
    lab.wait(lambda: len(lab.arrivals()) >= len(in_flight), "the spooled messages do not arrive", 120)
    broker.stop()
    before = len(broker.messages)
    broker.start()
    lab.wait(
        lambda: any(b'"online"' in one.payload for one in broker.messages[before:]),
        "the forwarder does not come back",
        120,
    )
    healths = len(broker.on("/health"))
    lab.jump(2 * HEALTH)
    # The recorder has made one by now; the forwarder looks at a moment of the next period's
    device.call({"call": "status"})
    lab.jump(2 * HEALTH)
    lab.wait(lambda: len(broker.on("/health")) > healths, "no health message comes after the restart", 120)
    return in_flight, away


def _newest_life(lab: Lab) -> str:
    """Return what the forwarder logged since it was last started."""
    return lab.device.log("forwarder").read_text().rsplit("started", 1)[-1]


def play(lab: Lab) -> Story:
    """Play the whole story."""
    device = lab.device
    lab.start()
    lab.confirm_time()
    before = lab_canary.core(device.pid("forwarder"), lab.folder)
    lab.traffic(CONNECTIONS)
    lab.settle()
    comparison, beyond = lab.compare()
    core = lab_canary.core(device.pid("forwarder"), lab.folder)
    found = scan(lab, core, before)
    held = {daemon: sockets.held(device.pid(daemon)) for daemon in RUNNING}
    status = device.call({"call": "status"})
    in_flight, away = _interrupt_delivery(lab)
    found |= scan(lab)
    retained = lab.broker.retained()
    for daemon in RUNNING:
        held[daemon] |= sockets.held(device.pid(daemon))
    forgotten = lab.forget()
    ends = {daemon: device.stop(daemon) for daemon in reversed(RUNNING)}
    found |= scan(lab)
    story = Story(
        terminals=len(lab.network.terminals),
        comparison=comparison,
        beyond=beyond,
        status=status,
        held=held,
        found=found,
        core_is_whole=GATEWAY_ID.encode() in core,
        in_flight=in_flight,
        away=away,
        delivered=lab.arrivals(),
        retained=retained,
        forgotten=forgotten,
        ends=ends,
    )
    for daemon in RUNNING:
        story.asked[daemon] = set().union(*(sockets.asked_for(trace, "launch.py") for trace in device.traces[daemon]))
        story.logs[daemon] = device.log(daemon).read_text()
    return story


@pytest.fixture(scope="session", params=["cpython", "micropython"])
def story(request: pytest.FixtureRequest) -> Story:
    """Give the story of one interpreter."""
    mark = secrets.token_hex(8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, mark)
        with Lab(request.param, trace=("recorder",)) as lab:
            told = play(lab)
    told.left = leftovers(lab.network.name, mark)
    return told
