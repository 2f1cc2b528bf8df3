# SPDX-License-Identifier: Apache-2.0
"""procd's half of the fake peer: the JSON of `service set` from what was recorded, its instances' processes."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

TABLES, ARRAYS, BOOLEANS = (
    ("env", "data", "limits"),
    ("command", "netdev", "file", "respawn", "watch"),
    ("stdout", "stderr", "no_new_privs"),
)
FILLING = ("json_add_array", "json_add_object", "json_add_string", "json_close_array", "json_close_object")


def service(recorded: str) -> dict[str, Any]:
    """Return the message that procd.sh would send for the newest service in a record.

    ValueError for a call it doesn't know.
    """
    message: dict[str, Any] = {}
    instance: dict[str, Any] = {}
    data: list[Any] = []  # what is being filled in, outermost first
    for line in recorded.splitlines():
        call, *words = line.split("\x1f")
        match call:
            case "open_service":
                message = {"name": words[0], "script": words[1], "instances": {}, "triggers": []}
            case "open_instance":
                instance = message["instances"].setdefault(words[0], {})
            case "set_param":
                instance[words[0]] = _parameter(*words)
            case "append_param" if words[0] in ARRAYS:
                instance.setdefault(words[0], []).extend(words[1:])
            case "add_jail":
                instance["jail"] = {"name": words[0], **dict.fromkeys(words[1:], True), "mount": {}}
            case "add_jail_mount" | "add_jail_mount_rw":
                instance["jail"]["mount"] |= dict.fromkeys(words, "1" if call.endswith("rw") else "0")
            case "add_reload_trigger":
                script = message["script"]
                message["triggers"] += [
                    ["config.change", ["if", ["eq", "package", word], ["run_script", script, "reload"]], 1000]
                    for word in words
                ]
            case "open_data":
                data = [instance.setdefault("data", {})]
            case _ if call in FILLING:
                _fill(data, call, words)
            case "kill":
                message = {"name": words[0], "instances": {}, "triggers": []}
            case "close_data" | "close_instance" | "close_service":
                pass
            case _:
                raise ValueError(call)
    return message


def _parameter(name: str, *words: str) -> object:
    """Return the value of an instance's parameter."""
    if name in TABLES:
        return dict(word.partition("=")[::2] for word in words)
    if name in ARRAYS:
        return [*words]
    return words[0] == "1" if name in BOOLEANS else words[0]


def _fill(data: list[Any], call: str, words: list[str]) -> None:
    """Do what a function of jshn.sh does to the innermost array or object, which is the last of `data`."""
    if "close" in call:
        data.pop()
        return
    made: Any = words[1] if call == "json_add_string" else [] if call == "json_add_array" else {}
    if isinstance(data[-1], list):
        data[-1].append(made)
    else:
        data[-1][words[0]] = made
    if call != "json_add_string":
        data.append(made)


class Procd:
    """Runs a service's instances: `start(instance)` returns the process of one; what ends by itself is started again.

    Of a jail everything that is asked for is real but its log socket: see root/host/ujail.
    """

    def __init__(self, message: dict[str, Any], start: Callable[[dict[str, Any]], subprocess.Popen[bytes]]) -> None:
        self.instances: dict[str, dict[str, Any]] = message["instances"]
        self._start = start
        self.running = {name: start(instance) for name, instance in self.instances.items()}
        self.respawns = dict.fromkeys(self.running, 0)

    def look(self) -> None:
        """Start anew what has ended, as `respawn THRESHOLD TIMEOUT RETRY` says; RETRY 0 means for ever."""
        for name, process in self.running.items():
            retry = int(self.instances[name].get("respawn", ["0", "0", "1"])[2])
            if process.poll() is not None and (retry == 0 or self.respawns[name] < retry):
                self.respawns[name] += 1
                self.running[name] = self._start(self.instances[name])

    def update(self, message: dict[str, Any]) -> None:
        """Take another `service set`: an instance that is gone ends, a changed one starts anew, others go on."""
        fresh: dict[str, dict[str, Any]] = message["instances"]
        gone = [name for name in self.running if fresh.get(name) != self.instances[name]]
        for name in gone:
            self.running[name].terminate()
        for name in gone:
            self.running.pop(name).wait(timeout=240)
        self.instances = fresh
        for name in fresh.keys() - self.running.keys():
            self.running[name], self.respawns[name] = self._start(fresh[name]), 0

    def kill(self, name: str) -> None:
        """End one instance as a crash would."""
        self.running[name].send_signal(signal.SIGKILL)
        self.running[name].wait(timeout=240)

    def stop(self, patience: float = 10) -> dict[str, int]:
        """End all, politely first; returns the exit statuses."""
        for process in self.running.values():
            process.terminate()
        until = time.monotonic() + patience
        for process in self.running.values():
            try:
                process.wait(timeout=max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=240)
        return {name: process.returncode for name, process in self.running.items()}
