# SPDX-License-Identifier: Apache-2.0
"""`oubli consent ...` and `oubli emergency ...`: the person at the gateway, or a portal's script (L34-V-2 to L34-V-5).

A terminal is named by its MAC, or by an address that it holds now. `-` reads that from standard input, so that it
stands in no list of processes. Nothing that is shown says whose a consent is.
"""

import sys
import time

from agent.base.dates import date
from agent.cli.command import counted

_PAUSE, _TRIES = 0.2, 50  # s between two looks for the radios' answers, and how many


def given(line: "Line", option: str) -> str:
    """Return an option's value; `-` reads it from standard input, so that it stands in no list of processes."""
    return sys.stdin.readline(64).strip() if line[option] == "-" else line[option]


def whose(line: "Line") -> "dict[str, str]":
    """Return the field of a call that names a terminal: by its MAC, or by an address that it holds now."""
    word = given(line, "--terminal")
    return {"terminal" if word.count(":") == 5 and len(word) == 17 else "address": word}


def _agreed(line: "Line") -> "dict[str, Any]":
    """Return what a consent is to, as the calls take it."""
    return {
        "purposes": line["--purposes"].split(","),
        "third_parties": line["--third-parties"],
        "days": int(line["--days"]),
    }


def document(line: "Line") -> int:
    """Show the document that the holder of a terminal is to be shown before a consent, and beside it its hash."""
    answer = line.ask("consent text", name=line["--text"], **_agreed(line))
    if answer is None:
        return 1
    if "--json" not in line:
        sys.stderr.write("oubli: once that is read: consent grant ... --document " + answer["text"] + "\n")
    return line.show(answer, answer["document"])


def grant(line: "Line") -> int:
    """Take a consent to the document that was shown; the recorder takes none to one that has changed since."""
    words = dict(categories=line["--categories"].split(","), text=line["--document"], **_agreed(line))
    answer = line.ask("consent grant", **words, **whose(line))
    if answer is None:
        return 1
    return line.show(answer, ["consent " + str(answer["number"]) + ", until " + date(answer["end"] // 86400)])


def change(line: "Line") -> int:
    """Withdraw, suspend or resume all consents of a terminal."""
    purpose = {"purpose": line["--purpose"]} if "--purpose" in line else {}
    answer = line.ask(line.verb.name, **purpose, **whose(line))
    if answer is None:
        return 1
    if "heard" in answer:  # a process without a role isn't told whether there was any
        return line.show(answer, ["suspended what there was"])
    word = {"consent withdraw": "withdrawn", "consent suspend": "suspended", "consent resume": "resumed"}[
        line.verb.name
    ]
    alone = " (" + line["--purpose"] + " alone)" if purpose else ""
    lines = [word + " " + counted(answer[word], "consent") + alone]
    if answer.get("destroyed"):
        lines.append("records made unreadable: " + str(answer["destroyed"]))
    line.show(answer, lines)
    if not answer.get("durable", True):
        sys.stderr.write("oubli: flash refuses: it holds until oubli restarts, and is tried again until then\n")
        return 1
    return 0


def objection(line: "Line") -> int:
    """Take a terminal's objection to being counted, or take it back."""
    answer = line.ask(line.verb.name, **whose(line))
    if answer is None:
        return 1
    if line.verb.name == "objection end":
        return line.show(answer, ["taken back" if answer["accepted"] else "there was none"])
    line.show(answer, ["not counted from now on" if answer["objected"] else "it objected before"])
    if not answer["durable"]:
        sys.stderr.write("oubli: flash refuses: it holds until oubli restarts, and is tried again until then\n")
        return 1
    return 0


def listed(line: "Line") -> int:
    """List consents, without whose they are."""
    found: "list[dict[str, Any]]" = []
    counts: "dict[str, int]" = {}
    answer = line.ask("consent list")
    while answer is not None:
        counts, page = answer["counts"], answer["consents"]
        found += page
        if not page or page[-1]["number"] == 1023:
            break
        answer = line.ask("consent list", **{"from": page[-1]["number"] + 1})
    if answer is None:
        return 1
    lines = [", ".join([str(counts[name]) + " " + name for name in ("active", "suspended", "withdrawn", "ended")])]
    for one in found:
        what = "+".join(one["purposes"]) + " " + one["state"] + ", ends " + date(one["end"] // 86400)
        lines.append(
            "  %d  %s, text %s, third parties: %s" % (one["number"], what, one["text"][:8], one["third_parties"])
        )
    return line.show({"counts": counts, "consents": found}, lines)


def emergency(line: "Line") -> int:
    """Open an emergency or ask once more, and wait for the radios' answers."""
    if line.verb.name == "emergency open":
        answer = line.ask("emergency open", incident=int(line["--incident"]), **whose(line))
    else:
        answer = line.ask("emergency where", again=1)
    tries = 0
    while answer is not None and not answer["answered"] and tries < _TRIES:
        time.sleep(_PAUSE)
        tries += 1
        answer = line.ask("emergency where")
    if answer is None:
        return 1
    where = ", ".join(answer["access_points"]) or "none of them"
    lines = [
        "now at: " + where,
        "asked: " + counted(answer["radios"], "access point") + "; this covers " + answer["covers"],
    ]
    left = answer["seconds_left"] // 60
    line.show(answer, lines + [f"open for {left} min more; then, or at `emergency close`, it is overwritten"])
    if not answer["answered"]:
        sys.stderr.write(
            "oubli: not all access points have answered; accepted: hostapd on ubus, with /usr/share/acl.d/oubli.json\n"
        )
        return 1
    return 0


def close(line: "Line") -> int:
    """Close the emergency."""
    answer = line.ask("emergency close")
    return 1 if answer is None else line.show(answer, ["closed" if answer["closed"] else "none was open"])


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.cli.command import Line
