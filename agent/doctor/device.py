# SPDX-License-Identifier: Apache-2.0
"""The device itself: clock, memory that forgets, flash, cryptography (EXP-2, EXP-5, EXP-6)."""

import os

import agent
from agent.config.uci import agreeing_clock
from agent.control import client
from agent.doctor.catalogue import Finding
from agent.runtime import files
from agent.runtime.sodium import Sodium

RESERVE = 65536  # octets of flash for the ledger and what is written beside it before a rename
_MTIME = 8


def clock(gateway: "Gateway") -> "Iterator[Finding]":
    """Compare the clock with the build and the configuration, and ask the recorder, if it runs, what it believes."""
    floor = max(os.stat(agent.__file__)[_MTIME], os.stat(gateway.config.path)[_MTIME])
    if gateway.wall() // 1000000000 < floor:
        yield Finding("clock-wrong", "the clock shows a time before the program or its configuration was written")
    try:
        state = client.ask(gateway.paths.run.socket, "status")["clock"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if state != "trusted":
        yield Finding("clock-untrusted", "the recorder doesn't trust the clock yet: " + str(state))
        path = gateway.paths.networks
        if gateway.config.gateway.hardware_clock and files.exists(path) and not agreeing_clock(path):
            yield Finding("clock-battery", "the system doesn't show what a clock with a battery said at power-up")


def tmpfs(gateway: "Gateway") -> "Iterator[Finding]":
    """Check that what must forget lies in memory."""
    if not files.in_memory(gateway.nearest(gateway.paths.run.vault)):
        yield Finding("tmpfs", "the folder of volatile stores and keys isn't on tmpfs")


def swap(gateway: "Gateway") -> "Iterator[Finding]":
    """Check that nothing in memory can be written to a disk; compressed memory (zram) is none."""
    used = [line for line in gateway.lines("swaps")[1:] if line and not line.startswith("/dev/zram")]
    if used:
        yield Finding("swap", "swap that isn't zram is on: " + str(len(used)))


def libsodium(_gateway: "Gateway") -> "Iterator[Finding]":
    """Load libsodium and bind every function that is used."""
    try:
        Sodium()
    except (OSError, AttributeError):
        yield Finding("libsodium", "libsodium can't be loaded, or lacks a function")


def flash(gateway: "Gateway") -> "Iterator[Finding]":
    """Check that the spool can grow to its bound and the ledger be rewritten."""
    spool = gateway.paths.flash.spool
    held = sum(files.size_of(spool + "/" + name) for name in files.names(spool)) if files.exists(spool) else 0
    status = os.statvfs(gateway.nearest(spool))
    free, needed = status[1] * status[4], max(0, gateway.config.mqtt.spool_bytes - held) + RESERVE
    if free < needed:
        yield Finding("flash", "free on flash: " + str(free) + " bytes; needed at most: " + str(needed))


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from agent.doctor.gateway import Gateway
