# SPDX-License-Identifier: Apache-2.0
"""The agent itself on this gateway: whether it runs, sees guests, may write, and has the operator's configuration.

What a recorder knows is asked of it over the control socket. Whether one runs at all is read off the hold that it has
on its folder.
"""

import errno
import os
import time

from agent.control import client
from agent.doctor.catalogue import Finding
from agent.runtime import files

PAGE = 8450  # the guests' page's port (agent.purposes.consent.page_server)
_MODE, _UID = 0, 1  # of `_status`
_TRIES, _PAUSE = 40, 0.25  # s: a recorder takes some to start on a router


def configuration(gateway: "Gateway") -> "Iterator[Finding]":
    """Tell of a configuration that is refused while the last accepted one goes on."""
    if gateway.config.refused:
        yield Finding("configuration", gateway.config.refused)


def recorder(gateway: "Gateway") -> "Iterator[Finding]":
    """Ask the recorder what it sees."""
    try:
        status = _answer(gateway)
        missing, deaf = status["missing"], status["deaf"]
        refused = sorted([name for name in status["purposes"] if status["purposes"][name].get("trouble")])
        refused += ["ledger and messages"] if status["refusing"] else []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        held = _held(gateway.paths.run.folder)
        yield Finding("recorder", "it runs, and doesn't answer" if held else "no recorder runs")
        return
    if missing:
        yield Finding(
            "no-lan",
            "gateway.lan (" + ", ".join(gateway.config.gateway.lan) + ") leads to no interface " + ", ".join(missing),
        )
    if deaf:
        yield Finding("deaf", "no connection has ended for a day, and the kernel has some")
    if refused:
        yield Finding("flash-refuses", "not written: " + ", ".join(refused))
    if gateway.config.mqtt.host:
        if not _held(gateway.paths.flash.spool):
            yield Finding("forwarder", "a broker is configured, and no forwarder runs")
        elif not status["forwarder"]["connected"]:
            yield Finding("unconnected", "the forwarder runs, and isn't connected to the broker")


def _answer(gateway: "Gateway") -> "dict[str, Any]":
    """Ask the recorder how it is; one whose process has begun, and doesn't listen yet, is waited for."""
    for _ in range(_TRIES):
        try:
            return client.ask(gateway.paths.run.socket, "status")
        except OSError as failure:
            if failure.errno not in (errno.ENOENT, errno.ECONNREFUSED) or not runs(gateway, "\0recorder\0"):
                raise
        time.sleep(_PAUSE)
    return client.ask(gateway.paths.run.socket, "status")


def watch(gateway: "Gateway") -> "Iterator[Finding]":
    """Look for the process that ends a recorder which hangs, where the package has brought it."""
    if files.exists(gateway.paths.root + "/usr/sbin/oubli-watch") and not runs(gateway, "oubli-watch"):
        yield Finding("watch", "oubli-watch doesn't run")


def page(gateway: "Gateway") -> "Iterator[Finding]":
    """Look for the guests' page, where the package that has it is installed."""
    if files.exists(gateway.paths.root + "/usr/share/oubli/page.nft"):
        tables = gateway.lines("net/tcp")[1:] + gateway.lines("net/tcp6")[1:]
        local = [line.split()[1:4] for line in tables if line]
        if not any(words[0].endswith(":%04X" % PAGE) and words[2] == "0A" for words in local):
            yield Finding("page", "nothing answers at port " + str(PAGE))


def folders(gateway: "Gateway") -> "Iterator[Finding]":
    """Hold owners and modes of the daemons' folders and of the forwarder's secrets against what they must be."""
    paths, flash, run = gateway.paths, gateway.paths.flash, gateway.paths.run
    users, mqtt = gateway.users(), gateway.config.mqtt
    wrong = []
    keeper = "oubli-rec" if files.exists(paths.root + "/sbin/ujail") else "root"  # without a jail the recorder is root
    for path, mode in (
        (flash.folder, 0o700),
        (flash.spool, 0o2770),
        (run.folder, 0o711),
        (run.live, 0o2770),
        (run.vault, 0o700),
    ):
        status = _status(path)
        if status is not None and "oubli-rec" in users and status[_UID] != users.get(keeper, 0):
            wrong.append(path + " isn't " + keeper + "'s")
        elif status is not None and status[_MODE] & 0o7777 != mode:
            wrong.append(path + " has mode " + oct(status[_MODE] & 0o7777)[2:])
    if wrong:
        yield Finding("folders", ", ".join(wrong))
    for option, path in (("key", mqtt.key), ("password_file", mqtt.password_file)):
        status = _status(path) if path else None
        if path and (
            status is None or status[_MODE] & 0o077 or ("oubli-fwd" in users and status[_UID] != users["oubli-fwd"])
        ):
            yield Finding(
                "secret", "mqtt." + option + ": " + ("absent" if status is None else "not a file of oubli-fwd's alone")
            )


def _held(folder: str) -> bool:
    try:
        return files.is_held(folder)
    except OSError:
        return False


def _status(path: str) -> "tuple[int, int] | None":
    """Return a file's mode and its owner's number, None where it is absent."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status[0], status[4]


def runs(gateway: "Gateway", word: str) -> bool:
    """Return True if a process has this in its command line."""
    lines = [gateway.lines(name + "/cmdline") for name in os.listdir(gateway.proc) if name.isdigit()]
    return any(word in line for one in lines for line in one)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

    from agent.doctor.gateway import Gateway
