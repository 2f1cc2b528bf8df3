# SPDX-License-Identifier: Apache-2.0
"""`oubli who`: an operator looks, with her agreement, at what is held on a person's terminal (law 78-17, L34-1 VI)."""

from agent import law
from agent.base import canonical, dates
from agent.cli.command import UsageError


def _connection(row: "dict[str, Any]") -> str:
    flow = row["protocol"] + " " + row["service"] + ", from " + row["address"] + " port " + str(row["source_port"])
    flow += " (outside %s), %d bytes up, %d down" % (row["translated_port"], row["bytes_up"], row["bytes_down"])
    flow += ", " + str(row["packets_up"]) + " packets up, " + str(row["packets_down"]) + " down"
    return _times(row) + flow


def _times(row: "dict[str, Any]") -> str:
    parts = [dates.moment(row["start"]) + " UTC"] + ([str(row["seconds"]) + " s"] if "seconds" in row else [])
    return "  " + ", ".join(parts + (["going on"] if "going_on" in row else [])) + ", "


def written(row: "dict[str, Any]") -> str:
    """Return a record as a line of text."""
    if "service" in row:
        return _connection(row)
    names = [name for name in sorted(row) if name not in ("start", "seconds", "going_on", "purpose")]
    return _times(row) + ", ".join([name.replace("_", " ") + " " + str(row[name]) for name in names])


def show(line: "Line") -> int:
    """Show what is held on --mac, record by record as they come: there may be more of them than a small heap holds."""
    if "--agreed" not in line:
        raise UsageError(
            "who: --agreed is missing; accepted: who --mac MAC --agreed, "
            "where the person at the terminal has asked for it"
        )
    as_json = "--json" in line
    sealed: "list[dict[str, Any]]" = []
    held: "dict[str, Any]" = {}
    clock: "str | None" = None
    for answer in line.ask_for("access", terminal=line["--mac"], agreed=1):
        sealed, held = answer.get("sealed", sealed), answer.get("held", held)
        clock = answer.get("clock", clock)
        for row in answer.get("rows", ()):
            row["purpose"] = answer["purpose"]
            print(canonical.dumps(row) if as_json else answer["purpose"] + written(row))
        if "records" in answer:
            counts, consents = answer["records"], answer["consents"]
            told = {
                "clock": clock,
                "records": counts,
                "sealed": sealed,
                "consents": consents,
                "held": held,
                "objects": answer["objects"],
                "changes": answer["changes"],
                "on": answer["on"],
            }
            count = answer["changes"]
            changes = [f"asked today (to resume, to take an objection back): {count}"] if count else []
            agreed = _agreed(consents, answer["objects"], answer["on"])
            return line.show(told, _summary(counts, sealed, held) + agreed + changes)
    return 1


def _agreed(
    consents: "list[dict[str, Any]] | None", objects: "Sequence[int] | None", on: "Sequence[str]"
) -> "list[str]":
    """Return lines on this terminal's consents (L34-V-2) and its objection; None: flash refuses them.

    `on` names the purposes by consent that are on: of others nothing is applied.
    """
    if consents is None or objects is None:
        return ["consents and objections can't be read now: all consents are suspended"]
    out = ["objects to being counted since " + _when(objects[0])] if objects else []
    for one in consents:
        applied = " (applied while the time is confirmed and new)" if one["state"] == "active" else ""
        off = [name for name in one["purposes"] if name not in on]
        if applied and off:
            rest = "" if len(off) == len(one["purposes"]) else "; else applied while the time is confirmed and new"
            applied = " (" + ", ".join(off) + ": turned off, not applied" + rest + ")"
        what = f"{', '.join(one['purposes'])}: given {_when(one['given'])}, {one['state']}{applied} since "
        what += f"{_when(one['since'])}, ends {_when(one['end'])}"
        if one["withdrawn"]:
            what += f"; withdrawn: {', '.join(one['withdrawn'])} since {_when(one['withdrawn_since'])}"
        out.append("consent to " + what + "; third parties: " + one["third_parties"] + "; text " + one["text"])
    return out


def _when(second: int) -> str:
    """Return a time of a choice; one that no clock dated has none."""
    return dates.moment(second) + " UTC" if second else "a time that isn't known"


def _summary(counts: "dict[str, int]", sealed: "list[dict[str, Any]]", held: "dict[str, Any]") -> "list[str]":
    out = ["times are those of this gateway's clock, which may have been wrong"]
    out += [
        f"records under this MAC in {name} ({law.purpose(name).paragraph}): {counts[name]}" for name in sorted(counts)
    ]
    for store in sealed:
        name, ends = store["purpose"], law.duration(store["lifetime_seconds"])
        perhaps = "perhaps still kept; " if store["unseen"] else ""
        what = f"{name} ({law.purpose(name).paragraph}): {perhaps}once sealed, this device can't read it; "
        out.append(what + "each record")
        who = "nobody answers as long as its medium is away" if store["unseen"] else "the custodian answers for it"
        out.append(f"  goes {ends} after it ended at the latest, but for an injunction to preserve; {who}")
    return out + [name + ": " + canonical.dumps(held[name]) for name in sorted(held)]


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from agent.cli.command import Line
