# SPDX-License-Identifier: Apache-2.0
"""What the plain verbs of `oubli` do; each takes the line as it was understood and returns an exit code.

Rooms are imported where they are used: a router's small heap holds the one verb that runs, not all of them.
"""

import os
import sys

from agent import canonical
from agent.config import in_force, load
from agent.runtime import files, process
from agent.runtime.clocks import DeviceTime
from agent.runtime.libc import reason


def status(line: "Line") -> int:
    """Show what is kept, lost and published."""
    from agent import status as room

    answer = line.ask("status")
    return 1 if answer is None else line.show(answer, room.lines(answer))


def leases(line: "Line") -> int:
    """Have the leases read now."""
    return 1 if line.ask("leases") is None else 0


def summary(line: "Line") -> int:
    """Show what was published of a day."""
    from agent.summary import published

    figures = published.Published(line.paths.published).day(line.get("--day"))
    lines = ["nothing was published " + ("on " + line["--day"] if "--day" in line else "yet")]
    if figures:
        lines = [figures[0].day + ", as published"] + published.lines(figures)
    return line.show([figure.data() for figure in figures], lines)


def explain(line: "Line") -> int:
    """Explain a metric."""
    from agent.summary import explain as room

    language = os.getenv("LC_ALL") or os.getenv("LC_MESSAGES") or os.getenv("LANG") or ""
    print("\n".join(room.lines(line.word, load(line.config).metrics.get(line.word), french=language.startswith("fr"))))
    return 0


def ntp(line: "Line") -> int:
    """Tell the recorder that the time was confirmed."""
    answer = line.ask("ntp")
    return 1 if answer is None else line.show(answer, ["clock " + answer["clock"]])


def erase(line: "Line") -> int:
    """Destroy what is kept."""
    if "--all" in line and files.exists(line.paths.run) and files.hold_folder(line.paths.run):
        # No recorder runs: a service that was stopped for good destroys nothing by itself.
        from agent.vault import expiry

        _as_recorder(line.paths)
        segments = expiry.erase_all(line.paths, line.config)
        return line.show({"segments": segments}, ["erased " + str(segments) + " segments; no recorder runs"])
    answer = line.ask("erase", purpose=line.get("--purpose") or "all")
    return 1 if answer is None else line.show(answer, ["erased " + str(answer["erased"]) + " records"])


def forget(line: "Line") -> int:
    """Destroy what is kept and remove the daemons' files, all of them or what only oubli-purposes could destroy; no recorder may run."""
    from agent.vault import expiry

    paths = line.paths
    if files.exists(paths.run) and not files.hold_folder(paths.run):
        sys.stderr.write("oubli: forget: a recorder runs; accepted: once it is stopped\n")
        return 1
    _as_recorder(paths)
    if line.word == "everything":
        expiry.erase_all(paths, line.config)
        places = [paths.flash, paths.spool, paths.run, paths.live]
    else:
        purposes = [paths.vault + "/" + name for name in ("attribution", "billing", "services", "location")]
        places = [paths.device_key, paths.consents, paths.sealed, paths.bundles, paths.run + "/blocks"] + purposes
    for place in places:
        files.clear(place)
    return 0


def _as_recorder(paths: "Paths") -> None:
    """Become the user whose folders these are: what it may have linked to elsewhere isn't changed by root (L34-VI-2)."""
    for folder in (paths.run, paths.flash):
        if files.exists(folder):
            status = os.stat(folder)
            process.become(status[4], status[5])
            return


def law(line: "Line") -> int:
    """Show the table of purposes and what of it is on, or the notice that the guests must be given."""
    settings = load(line.config)
    if "--notice" in line:
        from agent import notice

        print("\n".join(notice.lines(settings, line["--notice"])))
        return 0
    from agent import article

    return line.show(article.data(settings), article.lines(settings))


def log(line: "Line") -> int:
    """Show the audit log, an act a line, and whether it holds together; with --verify only that. With --json each line is an object."""
    from agent.control.history import History, written

    try:
        list(files.names(line.paths.audit))
    except OSError as failure:
        sys.stderr.write("oubli: no audit log at " + line.paths.audit + reason(failure.errno) + "\n")
        return 1
    book = History(line.paths.audit, line.get("--head"))
    quiet = "--verify" in line
    book.read(lambda entry: None if quiet else print(canonical.dumps(entry.data()) if "--json" in line else written(entry)))
    line.show(book.data(), book.lines())
    return 1 if book.wrong else 0


def doctor(line: "Line") -> int:
    """Examine this gateway."""
    settings = in_force(line.config, line.paths.accepted) if line.config == line.paths.config else load(line.config)
    from agent.capture.netlink import RECEIVE_BUFFER
    from agent.doctor import examination
    from agent.doctor.gateway import Gateway

    gateway = Gateway(settings, line.paths.root, DeviceTime().wall, RECEIVE_BUFFER)
    return examination.run(gateway, fix="--fix" in line, as_json="--json" in line)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.command import Line
    from agent.paths import Paths
