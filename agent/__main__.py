# SPDX-License-Identifier: Apache-2.0
"""The command `oubli VERB ...`, the same on both interpreters; one small table of verbs."""

import errno
import os
import sys

from agent import VERSION, canonical
from agent.config import ConfigError, load
from agent.paths import Paths
from agent.runtime import process
from agent.runtime.clocks import DeviceTime
from agent.runtime.files import exists
from agent.runtime.libc import LIBC
from agent.runtime.sodium import LIBRARY
from agent.summary.metrics import METRICS

HELP = """usage: oubli VERB [--config FILE] [--root DIR] [--json] [--fix] [--day D] [--purpose NAME | --all]

  recorder    the daemon that reads connection tracking and keeps the buffer
  forwarder   the daemon that sends finished messages to the MQTT broker
  status      what is kept, for how long, what was lost, what was published
  summary     the sums that were published of a day, as they were: with their noise
  explain METRIC   what a published figure means, what it hides and how sure it is (in French where LANG is)
  leases      have the recorder read the DHCP leases now (called by hotplug.d/dhcp)
  doctor      what on this gateway makes records wrong, late or unlawful (run as root)
  erase       destroy what is kept, now: for --purpose NAME, or for --all of them
  ntp         tell the recorder that the time service has just confirmed the time (its hook calls this)

  --config FILE   configuration (default: /etc/config/oubli below the root)
  --root DIR      folder below which every path lies (default: /)
  --json          machine-readable output
  --day D         agent-day, as 2026-11-25 (summary; default: the newest)
  --fix           set right what can do no harm, and say what was done (doctor)
  --help, --version

exit codes: 0 fine, 1 can't go on (doctor: something was found), 2 bad use or bad configuration"""


_ONLY = (("--fix", "doctor", ""), ("--day", "summary", " D"), ("--all", "erase", ""), ("--purpose", "erase", " NAME"))
ACCEPTED = "VERB, --config FILE, --root DIR, --json, --fix, --day D, --purpose NAME, --all, --help"


class UsageError(Exception):
    """A command line that can't be understood; its text is the one line to show."""


def parse(words: "list[str]") -> "tuple[str, dict[str, str], list[str]]":
    """Return (verb, options with a value, flags); UsageError names what was wrong and what is accepted."""
    verb, options, flags = "", {}, []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in ("--config", "--root", "--day", "--purpose"):
            if not rest:
                raise UsageError(word + ": a value is missing")
            options[word] = rest.pop(0)
        elif word in ("--json", "--fix", "--all"):
            flags.append(word)
        elif verb == "explain" and word in [metric.name for metric in METRICS] and "METRIC" not in options:
            options["METRIC"] = word
        elif word.startswith("-") or verb:
            raise UsageError(word + ": not understood; accepted: " + ACCEPTED)
        elif word in VERBS:
            verb = word
        else:
            raise UsageError(word + ": unknown verb; accepted: " + ", ".join(sorted(VERBS)))
    if not verb:
        raise UsageError("a verb is missing; accepted: " + ", ".join(sorted(VERBS)))
    for option, only, value in _ONLY:
        if (option in flags or option in options) and verb != only:
            raise UsageError(option + ": not for " + verb + "; accepted: " + only + " " + option + value)
    parts = options.get("--day", "2026-11-25").split("-")
    if [len(part) for part in parts] != [4, 2, 2] or not "".join(parts).isdigit():
        raise UsageError("--day: not understood; accepted: a date such as 2026-11-25")
    if verb == "explain" and "METRIC" not in options:
        raise UsageError("explain: a metric is missing; accepted: " + ", ".join([metric.name for metric in METRICS]))
    if verb == "erase" and ("--all" in flags) == ("--purpose" in options):
        raise UsageError("erase: of which purpose isn't clear; accepted: erase --purpose NAME, erase --all")
    return verb, options, flags


def _recorder(paths: Paths, options: "dict[str, str]", _flags: "list[str]") -> int:
    from agent import recorder
    from agent.vault import expiry

    source = DeviceTime()
    expiry.destroy_due(paths.root, source.boot, source.monotonic())
    settings = load(options["--config"])
    if not paths.root and process.swaps_to_disk():
        sys.stderr.write("oubli: swap on a disk is in use: memory could outlive its deadline there; accepted: none, or zram (EXP-2)\n")
        return 1
    return recorder.run(settings, paths.root, source)


def _forwarder(paths: Paths, options: "dict[str, str]", _flags: "list[str]") -> int:
    from agent import forwarder

    settings = load(options["--config"])
    settings.require_mqtt()
    return forwarder.run(settings, paths.root, DeviceTime())


def _ask(paths: Paths, request: "dict[str, Any]") -> "dict[str, Any] | None":
    """Return the recorder's answer; None, and the reason on standard error, where it gave none."""
    from agent.control import client

    try:
        answer = client.ask(paths.socket, request)
    except (OSError, ValueError) as failure:
        refused = isinstance(failure, OSError) and failure.errno == errno.EACCES
        why = "not permitted for this user" if refused else "the recorder isn't running"
        sys.stderr.write("oubli: no answer at " + paths.socket + ": " + why + "\n")
        return None
    if "error" in answer:
        sys.stderr.write("oubli: " + answer["error"] + "\n")
        return None
    return answer


def _status(paths: Paths, _options: "dict[str, str]", flags: "list[str]") -> int:
    from agent import status

    answer = _ask(paths, {"call": "status"})
    if answer is None:
        return 1
    print(canonical.dumps(answer) if "--json" in flags else "\n".join(status.lines(answer)))
    return 0


def _leases(paths: Paths, _options: "dict[str, str]", _flags: "list[str]") -> int:
    return 1 if _ask(paths, {"call": "leases"}) is None else 0


def _summary(paths: Paths, options: "dict[str, str]", flags: "list[str]") -> int:
    from agent.summary import published

    figures = published.Published(paths.published).day(options.get("--day"))
    if "--json" in flags:
        print(canonical.dumps([figure.data() for figure in figures]))
    elif figures:
        print(figures[0].day + ", as published\n" + "\n".join(published.lines(figures)))
    else:
        print("nothing was published " + ("on " + options["--day"] if "--day" in options else "yet"))
    return 0


def _explain(_paths: Paths, options: "dict[str, str]", _flags: "list[str]") -> int:
    from agent.summary import explain

    name = options["METRIC"]
    language = os.getenv("LC_ALL") or os.getenv("LC_MESSAGES") or os.getenv("LANG") or ""
    print("\n".join(explain.lines(name, load(options["--config"]).metrics.get(name), french=language.startswith("fr"))))
    return 0


def _ntp(paths: Paths, _options: "dict[str, str]", flags: "list[str]") -> int:
    answer = _ask(paths, {"call": "ntp"})
    if answer is None:
        return 1
    print(canonical.dumps(answer) if "--json" in flags else "clock " + answer["clock"])
    return 0


def _erase(paths: Paths, options: "dict[str, str]", flags: "list[str]") -> int:
    answer = _ask(paths, {"call": "erase", "purpose": options.get("--purpose", "all")})
    if answer is None:
        return 1
    print(canonical.dumps(answer) if "--json" in flags else "erased " + str(answer["erased"]) + " records")
    return 0


def _doctor(paths: Paths, options: "dict[str, str]", flags: "list[str]") -> int:
    settings = load(options["--config"])
    from agent.capture.netlink import RECEIVE_BUFFER
    from agent.doctor import examination
    from agent.doctor.gateway import Gateway

    gateway = Gateway(settings, paths.root, DeviceTime().wall, RECEIVE_BUFFER)
    return examination.run(gateway, fix="--fix" in flags, as_json="--json" in flags)


VERBS = {
    "recorder": _recorder,
    "forwarder": _forwarder,
    "status": _status,
    "summary": _summary,
    "explain": _explain,
    "leases": _leases,
    "doctor": _doctor,
    "erase": _erase,
    "ntp": _ntp,
}


def main(words: "list[str] | None" = None) -> int:
    """Run one command; returns its exit code."""
    words = sys.argv[1:] if words is None else words
    if "--help" in words or "-h" in words:
        print(HELP)
        return 0
    if words == ["--version"]:
        print("oubli " + VERSION)
        return 0
    try:
        verb, options, flags = parse(words)
        root = options.get("--root", "/")
        if not exists(root + "/."):
            raise UsageError("--root " + root + ": no such folder; accepted: an existing folder")
        paths = Paths(root)
        options.setdefault("--config", paths.config)
        return VERBS[verb](paths, options, flags)
    except (UsageError, ConfigError) as failure:
        sys.stderr.write("oubli: " + str(failure) + "\n")
        return 2
    except OSError as failure:
        # Never the exception's own text, which may carry a path or a name, but which C function or library it came from.
        word = failure.args[1] if len(failure.args) > 1 else ""
        step = word + ", " if word == LIBRARY or LIBC.has(word) else ""
        sys.stderr.write("oubli: can't go on (" + step + "errno " + str(failure.errno) + ")\n")
        return 1


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

if __name__ == "__main__":
    sys.exit(main())
