# SPDX-License-Identifier: Apache-2.0
"""What the plain verbs of `oubli` do; each takes the line as it was understood and returns an exit code.

Modules are imported where they are used: a router's small heap holds the one verb that runs, not all of them.
"""

import os
import sys
import time
from errno import EACCES

from agent import law as table
from agent.base import canonical
from agent.base.paths import clear_run
from agent.cli.command import counted
from agent.config.config import in_force, load, running
from agent.control import client
from agent.runtime import files, process
from agent.runtime.clocks import DeviceTime
from agent.runtime.libc import reason

CLOSING = 50  # seconds in which a recorder that closes has ended, or one that hangs was ended by the watch


def status(line: "Line") -> int:
    """Show what is kept, lost and published."""
    from agent.cli import status as module

    answer = line.ask("status")
    return 1 if answer is None else line.show(answer, module.lines(answer))


def summary(line: "Line") -> int:
    """Show what was published of a day."""
    from agent.summary import published

    figures = published.Published(line.paths.flash.published).day(line.get("--day"))
    lines = ["nothing was published " + ("on " + line["--day"] if "--day" in line else "yet")]
    if figures:
        lines = [figures[0].day + ", as published"] + published.lines(figures)
    return line.show([figure.data() for figure in figures], lines)


def explain(line: "Line") -> int:
    """Explain a metric: with the noise that is set here, or the default one where nothing is configured yet."""
    from agent.cli import explain as module

    language = os.getenv("LC_ALL") or os.getenv("LC_MESSAGES") or os.getenv("LANG") or ""
    published = load(line.config).metrics if "--config" in line or files.exists(line.config) else None
    print("\n".join(module.lines(line.word, published, french=language.startswith("fr"))))
    return 0


def ntp(line: "Line") -> int:
    """Tell the recorder that the time was confirmed."""
    answer = line.ask("ntp")
    return 1 if answer is None else line.show(answer, ["clock " + answer["clock"]])


def new_device(line: "Line") -> int:
    """Say that nobody was ever counted here."""
    answer = line.ask("new device")
    return 1 if answer is None else line.show(answer, ["this device is new: its sums begin once the time is trusted"])


def erase(line: "Line") -> int:
    """Destroy what is kept: by the recorder, or here where none runs.

    One that closes, or hangs, is waited for: it ends, or is ended.
    """
    if "--mac" in line:
        return line.run("purposes.erasure.verbs.run")
    purpose = line.get("--purpose") or "all"
    known = [row.name for row in table.PURPOSES]
    if purpose not in known and purpose != "all":
        sys.stderr.write("oubli: --purpose: unknown; accepted: " + ", ".join(known) + "\n")
        return 1
    end = DeviceTime().monotonic() + CLOSING * 1000000000
    while True:
        if _alone(line.paths.run.folder):
            # A service that was stopped for good destroys nothing by itself.
            from agent.vault import expiry

            as_recorder(line.paths)
            segments = expiry.erase_all(line.paths, line.config, purpose)
            return line.show({"segments": segments}, ["erased " + counted(segments, "segment") + "; no recorder runs"])
        if DeviceTime().monotonic() >= end:
            break
        try:
            answer = client.ask(line.paths.run.socket, "erase", purpose=purpose)
        except ValueError:
            answer = {}  # it went away meanwhile
        except OSError as failure:
            if failure.errno == EACCES:
                break
            answer = {}
        if "error" in answer:
            sys.stderr.write("oubli: " + answer["error"] + "\n")
            return 1
        if answer:
            return line.show(answer, ["erased " + counted(answer["erased"], "record")])
        time.sleep(0.2)
    sys.stderr.write(
        "oubli: nothing is erased: the recorder neither answers nor ends, or this user may not; accepted: "
        "as root, again\n"
    )
    return 1


def expire(line: "Line") -> int:
    """Destroy what is due where no recorder runs: the watch calls this once it has ended one that hung (EXP-1)."""
    from agent.vault import expiry

    time_ = DeviceTime()
    gone = 0
    if _alone(line.paths.run.folder):
        as_recorder(line.paths)
        gone = expiry.destroy_due(line.paths.root, time_.boot, time_.monotonic())
    return line.show({"segments": gone}, ["destroyed " + counted(gone, "due segment")])


def _alone(folder: str) -> bool:
    """Return True if no daemon runs that holds this folder, and keep one from starting; never for who may not look."""
    try:
        return not files.exists(folder) or files.hold_folder(folder)
    except OSError:
        return False


def forget(line: "Line") -> int:
    """Destroy what is kept and remove the daemons' files: all, or what only oubli-purposes could destroy."""
    from agent.vault import expiry

    paths, flash, run = line.paths, line.paths.flash, line.paths.run
    end = DeviceTime().monotonic() + CLOSING * 1000000000
    # The recorder isn't asked: one that closes answers by what it still runs with
    for folder in (run.folder, flash.spool):
        while not _alone(folder):
            if DeviceTime().monotonic() >= end:
                sys.stderr.write(
                    "oubli: forget: a daemon runs, or this user may not; accepted: as root, once it is stopped\n"
                )
                return 1
            time.sleep(0.2)
    as_recorder(paths)
    steps: "list[tuple[Callable[..., object], tuple[Any, ...]]]" = []
    if line.word == "everything":
        steps += [(expiry.erase_all, (paths, line.config)), (clear_run, (paths,))]
        places = [flash.device_key, flash.folder, flash.spool]
    else:
        names = [row.name for row in table.PURPOSES if row.name != "security"]
        steps += [(expiry.erase_all, (paths, line.config, name)) for name in names]
        places = [flash.device_key, flash.consents, flash.sealed, flash.bundles]
        places += [run.vault + "/" + name for name in names]
    failed = 0
    for step, given in steps + [(files.clear, (place,)) for place in places]:
        try:
            step(*given)
        except (OSError, ValueError) as failure:  # what comes after goes; ValueError: a name that is no text
            number = failure.errno if isinstance(failure, OSError) else None
            sys.stderr.write("oubli: forget: not all could be destroyed" + reason(number) + "\n")
            failed = 1
    return failed


def as_recorder(paths: "Paths") -> None:
    """Become the user whose folders these are.

    So root changes nothing that the user may have linked to elsewhere (L34-VI-2).
    """
    for folder in (paths.run.folder, paths.flash.folder, paths.flash.spool):
        if files.exists(folder):
            status = os.stat(folder)
            process.become(status[4], status[5])


def law(line: "Line") -> int:
    """Show the table of purposes and what of it is on, the notice that guests get, or the entry in the register."""
    for option, paper in (
        ("--notice", "notice"),
        ("--register", "register"),
        ("--dpia", "impact"),
        ("--duties", "duties"),
    ):
        if option in line:
            return line.run("purposes." + paper + ".run")
    settings = running(line.config, line.paths)
    from agent.cli import article

    held = article.held(settings, line.paths)
    return line.show(article.data(settings, held), article.lines(settings, held))


def log(line: "Line") -> int:
    """Show the audit log, an act a line, and whether it holds together; with --verify only that.

    With --json each line is an object.
    """
    from agent.audit.history import History, written

    try:
        list(files.names(line.paths.flash.audit))
    except OSError as failure:
        sys.stderr.write("oubli: no audit log at " + line.paths.flash.audit + reason(failure.errno) + "\n")
        return 1
    book = History(line.paths.flash.audit, line.get("--head"))
    quiet = "--verify" in line
    book.read(
        lambda entry: None if quiet else print(canonical.dumps(entry.data()) if "--json" in line else written(entry))
    )
    line.show(book.data(), book.lines())
    return 1 if book.wrong else 0


def doctor(line: "Line") -> int:
    """Examine this gateway."""
    settings = (
        in_force(line.config, line.paths.etc.accepted) if line.config == line.paths.etc.config else load(line.config)
    )
    from agent.capture.netlink import RECEIVE_BUFFER
    from agent.doctor import examination
    from agent.doctor.gateway import Gateway

    gateway = Gateway(settings, line.paths.root, DeviceTime().wall, RECEIVE_BUFFER)
    return examination.run(gateway, fix="--fix" in line, as_json="--json" in line)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from agent.base.paths import Paths
    from agent.cli.command import Line
