# SPDX-License-Identifier: Apache-2.0
"""`oubli status`: what the person at the gateway sees. Local only; nothing of it goes over the wire."""

from agent import law
from agent.cli.command import counted
from agent.runtime.libc import reason
from agent.summary.published import shown

WARNING = 10  # days of keys left
_GAPS = "gaps", "gap seconds"
_TROUBLE = {
    "drop": "packets dropped because no entry could be made for them",
    "early_drop": "entries that gave way to new ones in a full table",
    "insert_failed": "packets dropped because their entry was there already",
}


def _delivery(forwarder: "dict[str, Any]", *, tls: bool) -> "list[str]":
    """Return how messages leave."""
    out = []
    if "unknown" in forwarder:
        out.append("forwarder: has not reported")
    else:
        state = "connected" if forwarder["connected"] else "not connected"
        aside = ", set aside " + str(forwarder["unsendable"]) + " that can't be read" if forwarder["unsendable"] else ""
        out.append("forwarder " + state + ", published " + str(forwarder["published"]) + aside)
    if not tls:
        out.append("!! NO TLS: mqtt.insecure is 1, whoever is on the way reads and forges what is sent (L34-VI-2)")
    return out


def _spent(summary: "dict[str, Any]") -> "list[str]":
    spent = str(summary["spent"]) + " of " + str(summary["ceiling"]) + " thousandths of epsilon"
    out = ["summary day " + (summary["day"] or "none open") + ", spent " + spent]
    if summary["tokens"] < 1 and not summary["day"]:
        hours = counted(summary["silent_hours"], "more powered-on hour")
        why = "no token is left, or what was spent isn't known (ANON-6)"
        out.append(f"  silent for {hours} at most: {why}")
    if summary["filled"]:
        out.append("  the terminal table filled today: the day's bound is doubled (ANON-8)")
    return out


def _warnings(status: "dict[str, Any]") -> "list[str]":
    """Return what the operator must set right, loudly."""
    out = []
    if status["duty"] == "undeclared":
        out.append("!! DUTY UNDECLARED: set gateway.duty to say who answers authority requests (L34-II-3)")
    if status["refused"]:
        out.append("!! CONFIGURATION REFUSED, the last accepted one goes on: " + status["refused"])
    if status["capture"] == "misconfigured":
        out.append("!! CAPTURE MISCONFIGURED: nf_conntrack_events, _acct and _timestamp must be 1")
    if status["missing"]:
        missing = ", ".join(status["missing"])
        out.append(f"!! NO LAN: gateway.lan leads to no interface {missing}: nothing behind it is recorded")
    if status["refusing"]:
        out.append("!! FLASH REFUSES: ledger and messages can't be written")
    if status["deaf"]:
        out.append("!! NO CONNECTION has ended for a day although the kernel has some: oubli doctor says more")
    return out


def lines(status: "dict[str, Any]") -> "list[str]":
    """Return the status as lines of text."""
    summary, forwarder = status["summary"], status["forwarder"]
    out = ["gateway " + status["gateway"] + ", clock " + status["clock"] + ", capture " + status["capture"]]
    out += _warnings(status)
    table = status["table"]
    mode = "on" if table["loss_free"] else "off: what the kernel must drop is counted as lost"
    out.append("connection table " + str(table["fill"]) + " % full, loss-free mode " + mode)
    for name in sorted(status["purposes"]):
        row = status["purposes"][name]
        out.append("purpose " + name + " (" + row["paragraph"] + ")")
        if "wording" in row:
            out.append("  " + row["wording"] + " (L34-III-1)")
        fill = str(row["bytes"]) + " of " + str(row["budget"]) + " bytes in " + counted(row["segments"], "segment")
        out.append("  holds " + counted(row["records"], "record") + ", " + fill)
        limit = law.duration(row["lifetime_seconds"])
        # A window is known, not when in it the oldest record's connection ended.
        most, least = row["oldest_seconds"], max(row["oldest_seconds"] - row.get("window_seconds", 0), 0)
        age = str(most) if most == least or not row["records"] else str(least) + " to " + str(most)
        out.append("  oldest " + age + " s of at most " + limit)
        if "key_days" in row:
            out += _sealed(row)
        out.extend("  " + note for note in row.get("notes", ()))
    consents = status["consents"]
    if consents is not None and "errno" in consents:
        out.append(
            "!! CONSENTS SUSPENDED: flash refuses them" + reason(consents["errno"]) + ": nobody is followed (L34-V-2)"
        )
    elif consents is not None:
        states = [f"{consents[name]} {name}" for name in ("active", "suspended", "withdrawn", "ended")]
        out.append("consents, applied where their purpose is on and the time confirmed and new: " + ", ".join(states))
    if status["requests"]:
        out.append("open requests: " + str(len(status["requests"])))
    if status["objections"]:
        out.append("objections: " + str(status["objections"]))
    if not status["purposes"]:
        out.append("no purpose is on: no record is written (L34-II-1)")
    counters = status["counters"]
    told = [
        name for name in sorted(counters) if name not in _GAPS and (counters[name] or name in ("connections", "kept"))
    ]
    out.extend("  " + name + ": " + str(counters[name]) for name in told)
    if counters["gaps"]:
        which, there = ("gap", "in it") if counters["gaps"] == 1 else (str(counters["gaps"]) + " gaps", "in them")
        seconds = which + " of " + str(counters["gap seconds"]) + " s"
        out.append("  " + seconds + ": how many connections ended " + there + " can't be known")
    network = status["network"]
    if network is None:
        out.append("network trouble: this kernel doesn't say")
    elif any(network.values()):
        out.append("network trouble since it came up; none of it is a record lost:")
        out.extend("  " + _TROUBLE[name] + ": " + str(network[name]) for name in sorted(network) if network[name])
    out.extend(_spent(summary))
    out.extend(_figure(figure) for figure in summary["published"])
    out.append("  waiting in the spool: " + str(summary["spooled"]))
    out.extend(_delivery(forwarder, tls=status["tls"]))
    return out


def _figure(figure: "dict[str, Any]") -> str:
    """Return the line of what was published last of a metric."""
    cells = [label + ": " + shown(value, figure["below"]) for label, value in zip(figure["cells"], figure["values"])]
    text = f"  last {figure['metric']}, {figure['day']} slot {figure['slot']}, {', '.join(cells)}"
    return text + " (each ± " + str(figure["half_width"]) + " with 95 %)"


def _sealed(row: "dict[str, Any]") -> "list[str]":
    """Say what only a store on flash has."""
    days = row["key_days"]
    syncs = counted(row["syncs_a_day"], "sync")
    out = ["  " + syncs + " a day; keys of the custodian for " + counted(days, "day")]
    if not days:
        out.append("!! NOT KEPT: no key of the custodian for today: install a bundle (oubli bundle install)")
    elif days <= WARNING:
        out.append("!! install the next bundle of the custodian's keys (oubli bundle install)")
    if row["trouble"]:
        out.append("!! FLASH REFUSES: " + row["trouble"] + "; what doesn't fit into memory is lost and counted")
    return out


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
