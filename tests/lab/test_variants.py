# SPDX-License-Identifier: Apache-2.0
"""Negative controls: each daemon that is broken on purpose is caught by the very check that the real one passes.

A check returns what it found wrong, and a variant must show exactly the wrong that it does: a lab that fails for
another reason proves nothing. All labs of this file are played at once: they mostly wait for the kernel to forget a
connection.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from agent.forwarder.broker_connection import BACKOFF_LAST
from host_sim.checks import canary
from host_sim.faults import variants
from host_sim.lab import sockets
from host_sim.lab.lab import SLOT, Lab
from tests.lab.conftest import KEPT, RUNNING, needles, scan

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    Check = Callable[[Lab], set[str]]

pytestmark = pytest.mark.needs("root", "ip", "nft", "conntrack", "mosquitto", "strace", "gdb")
CONNECTIONS = 90  # every kind of conversation but the rare, slow ones
AT_ONCE = 6
DAY, NOON = 86400, 43200
# Of the recorder's clock, one a call: an `arrivals` that is drawn anew comes out as
# before with a chance of 6.3 % each time
TURNS = 20


def _sockets(lab: Lab) -> set[str]:
    """Return the families beyond what the two daemons may hold, now or ever."""
    wrong = set()
    for daemon, families in (("recorder", {"AF_NETLINK", "AF_UNIX"}), ("forwarder", {"AF_INET"})):
        wrong |= {f"{daemon} holds {family}" for family in sockets.held(lab.device.pid(daemon)) - families}
        asked = sockets.asked_for(lab.device.traces[daemon][0], "launch.py")
        wrong |= {f"{daemon} asked for {family}" for family in asked - families}
    return wrong


def _canaries(lab: Lab) -> set[str]:
    """Return what was found where it must not be."""
    return {f"{kind} in {place}" for place, kinds in scan(lab).items() for kind in kinds}


def _records(lab: Lab) -> set[str]:
    """Return in what vault and witness differ."""
    found, _ = lab.compare()
    return {kind for kind in ("missing", "extra") if getattr(found, kind)} | set(found.unequal_in)


def _forgetting(lab: Lab) -> set[str]:
    """Return what is left after the lifetime."""
    found = lab.forget()
    assert found.pop("segments_before")
    assert found.pop("records_before")
    return {name for name, count in found.items() if count}


def _delivery(lab: Lab) -> set[str]:
    """Return whether what waited in the spool is not what arrives, or was drawn again while it waited."""
    lab.broker.stop()
    lab.jump(SLOT)
    lab.wait(lab.due, "no message is due", 120)
    waiting = lab.due()
    for _ in range(TURNS):
        time.sleep(0.2)
        lab.device.call({"call": "status"})
        if not lab.device.spool().items() >= waiting.items():
            return {"drawn again"}
    lab.broker.start()
    lab.jump(BACKOFF_LAST)  # a forwarder that has tried meanwhile waits
    lab.wait(lambda: len(lab.arrivals()) >= len(waiting), "no message arrives", 120)
    # Another one may have come to its time meanwhile.
    return set() if set(waiting.values()) <= {message.payload for message in lab.arrivals()} else {"edited"}


def _everything(lab: Lab) -> set[str]:
    """Return what all the checks find together."""
    return set().union(*(check(lab) for check in (_sockets, _canaries, _records, _delivery, _forgetting)))


def _core_of_the_recorder(lab: Lab) -> set[str]:
    """Return what of the terminals a core of the process shows that does see them."""
    return {needle.kind for needle in canary.hits(canary.core(lab.device.pid("recorder"), lab.folder), needles(lab))}


# The check, and exactly what it must find in a lab with this variant.
CAUGHT: dict[str, tuple[Check, set[str]]] = {
    "udp-socket": (_sockets, {"recorder holds AF_INET", "recorder asked for AF_INET"}),
    "brief-packet-socket": (_sockets, {"recorder asked for AF_PACKET"}),
    "forwarder-netlink": (_sockets, {"forwarder holds AF_NETLINK", "forwarder asked for AF_NETLINK"}),
    "log-mac": (_canaries, {"MAC in recorder.log"}),
    "keep-destination": (
        _canaries,
        {f"{kind} in var/run/oubli-live/notes" for kind in ("destination", "client address")},
    ),
    "stop-is-end": (_records, {"duration"}),
    "lose-one": (_records, {"missing"}),
    "port-before-translation": (_records, {"translated_port"}),
    "keep-keys": (_forgetting, {"octets_of_keys_left"}),
    # Reading refuses what is past its deadline by itself; copies at the former time, with
    # keys that should be gone, it can't refuse.
    "forget-nothing": (_forgetting, {"segments_left", "records_readable_from_copies", "octets_of_keys_left"}),
    "draw-again": (_delivery, {"drawn again"}),
    "edit-messages": (_delivery, {"edited"}),
}


def _play(variant: str | None, check: Check) -> set[str]:
    """Play a short lab and return what its check finds."""
    traced = RUNNING if check in (_sockets, _everything) else ()
    # Without traffic it is noon: a day that closes meanwhile is over, and nobody draws for it again.
    ahead = int(NOON - time.time()) % DAY if check is _delivery else 0
    with Lab("micropython", terminals=3, variant=variant, trace=traced, ahead=ahead) as lab:
        lab.start()
        lab.confirm_time()
        if check not in (_sockets, _delivery):
            lab.traffic(CONNECTIONS)
            lab.settle()
        return check(lab)


@pytest.fixture(scope="session")
def found() -> dict[str, Future[set[str]]]:
    """Give what each lab's check found: a lab a variant, `nothing` unbroken, `core` for what a core shows."""
    checks = {name: (name, check) for name, (check, _) in CAUGHT.items()}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        plays = {"nothing": (None, _everything), "core": (None, _core_of_the_recorder), **checks}
        return {name: pool.submit(_play, *words) for name, words in plays.items()}


def test_every_variant_has_its_check() -> None:
    """A variant without a check, or the other way round, is a hole."""
    assert set(CAUGHT) == set(variants.VARIANTS)


@pytest.mark.parametrize("name", CAUGHT)
def test_variant_is_caught(found: dict[str, Future[set[str]]], name: str) -> None:
    """The lab notices what the variant breaks, and nothing else."""
    assert found[name].result() == CAUGHT[name][1]


def test_checks_find_nothing_where_nothing_is_broken(found: dict[str, Future[set[str]]]) -> None:
    """All the checks, one after the other, in one lab: what catches a variant is the variant."""
    assert found["nothing"].result() == set()


def test_core_shows_the_terminals_of_a_process_that_sees_them(found: dict[str, Future[set[str]]]) -> None:
    """The recorder's core, taken and searched like the forwarder's, gives its terminals away.

    A destination may be in it too: the kernel's last message lies in its buffer until the next.
    """
    assert KEPT <= found["core"].result() <= KEPT | {"destination"}
