# SPDX-License-Identifier: Apache-2.0
"""`oubli erase --mac`: what is kept on one terminal (L34-VI-5)."""

import sys
import time

from agent import law
from agent.purposes import words
from agent.runtime.clocks import DeviceTime

ERASING = 600  # seconds for which the erasure of a terminal is waited for


def run(line: "Line") -> int:
    """Erase what is kept on one terminal, by the recorder; say what can't be, with its end (L34-VI-5).

    Returns the exit code: 0 where all of it is done and on flash, else 1.
    """
    mac = line["--mac"]
    answer = line.ask("erase terminal", terminal=mac)
    if answer is None:
        return 1
    end = DeviceTime().monotonic() + ERASING * 1000000000
    state = line.ask("erase state", terminal=mac)
    while state is not None and state["erasing"] and DeviceTime().monotonic() < end:
        time.sleep(0.2)
        state = line.ask("erase state", terminal=mac)
    if state is None:
        return 1
    answer["erased"] = not state["erasing"]
    lines = ["still being erased; accepted: the same again"]
    if answer["erased"]:
        lines = ["erased what security keeps under this MAC; what has no known terminal stays until its end"]
    if not answer["unreadable"]:
        consents = words.counted(answer["withdrawn"], ("consent", "consents"), "en")
        destroyed = words.counted(answer["destroyed"], ("record", "records"), "en")
        lines.append(consents + " ended, " + destroyed + " kept by consent made unreadable")
    for name, seconds, unseen in answer["sealed"]:
        lines.append(
            f"{name}: {words.UNSEEN[1] if unseen else ''}not erased here, sealed or not; each record goes after "
            f"{law.duration(seconds)} at the latest, but for an injunction to preserve"
        )
    at_once = "" if answer["unreadable"] else ", or at once by: oubli objection --terminal MAC"
    lines.append("any row in the count of visitors goes about 03:00 UTC" + at_once)
    line.show(answer, lines)
    if answer["unreadable"]:
        sys.stderr.write(
            "oubli: consents can't be read now: none has ended, and nothing kept by them is erased; "
            "accepted: the same again once they can\n"
        )
    elif not answer["durable"]:
        sys.stderr.write(
            "oubli: flash refuses the end of its consents: it holds until oubli restarts, "
            "and is tried again until then\n"
        )
    return 0 if answer["erased"] and answer["durable"] else 1


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.cli.command import Line
