# SPDX-License-Identifier: Apache-2.0
"""The verbs of `oubli` and their options, as the two tables that a command line is read with.

A daemon does without them (agent.cli.daemons).
"""

from agent.base.dates import day_of
from agent.cli.command import Option, Table, Verb
from agent.control.calls import terminal
from agent.summary.metrics import METRICS


def _head(value: str) -> None:
    number, _, head = value.partition(":")
    if (
        not number.isdigit()
        or len(number) > 9
        or int(number) == 0
        or len(head) != 64
        or any(letter not in "0123456789abcdef" for letter in head)
    ):
        raise ValueError("a checkpoint as health tells it, NUMBER:HASH, from 1 on, 64 hexadecimal digits")


def _language(value: str) -> None:
    if value not in ("fr", "en"):
        raise ValueError("fr, en")


def _among(*words: str) -> "Callable[[str], None]":
    def check(value: str) -> None:
        if any(word not in words for word in value.split(",")):
            raise ValueError(" or ".join(words) + ", or both with a comma")

    return check


def _whole(low: int, high: int) -> "Callable[[str], None]":
    def check(value: str) -> None:
        if not value.isdigit() or len(value) > 9 or not low <= int(value) <= high:
            raise ValueError("a whole number from " + str(low) + " to " + str(high))

    return check


OPTIONS = {
    "--config": Option("FILE", "configuration (default: /etc/config/oubli below the root)"),
    "--root": Option("DIR", "folder below which every path lies (default: /)"),
    "--json": Option("", "machine-readable output"),
    "--day": Option("D", "agent-day, as 2026-11-25 (default: the newest)", day_of),
    "--fix": Option("", "set right what can do no harm, and say what was done"),
    "--purpose": Option("NAME", "one purpose"),
    "--terminal": Option("T", "a terminal's MAC, or an address that it holds now; - reads it from standard input"),
    "--purposes": Option("P", "services, location or both, with a comma", _among("services", "location")),
    "--categories": Option("C", "what these keep: connections, access-point", _among("connections", "access-point")),
    "--third-parties": Option("N", "whom it is passed on to, by name, or none"),
    "--days": Option("D", "for how long: services at most 365, location at most 30", _whole(1, 365)),
    "--text": Option("TEXT", "the text in it, as 3.fr for /usr/share/oubli/consent-3.fr.txt"),
    "--document": Option("HASH", "of the document that the holder was shown: `consent text` says it"),
    "--incident": Option("I", "the incident's number", _whole(1, 999999)),
    "--all": Option("", "every purpose"),
    "--mac": Option("MAC", "a terminal, as 02:00:00:00:00:01", terminal),
    "--port": Option("PORT", "a public source port; - reads it from standard input"),
    "--protocol": Option("P", "tcp, udp, icmp, icmp6"),
    "--public-address": Option("A", "a public address"),
    "--at": Option("TIME", "such as 2026-11-25T10:00:00Z"),
    "--until": Option("TIME", "at most 24 h later"),
    "--reason": Option("R", "abuse, attack, malware, fault"),
    "--report": Option("N", "its number", _whole(1, 999999)),
    "--agreed": Option("", "the person at the terminal has asked for it, or agreed"),
    "--notice": Option("fr|en", "the notice for the guests, from this configuration", _language),
    "--register": Option("fr|en", "the entry for the controller's register of processing (GDPR art. 30)", _language),
    "--dpia": Option("fr|en", "the skeleton of an impact analysis (GDPR art. 35)", _language),
    "--duties": Option("fr|en", "who owes what by L34-1 in force, and who does it here", _language),
    "--verify": Option("", "don't show the acts, only whether the log holds together"),
    "--head": Option(
        "NUMBER:HASH", "a checkpoint that was seen in a health message: is the log still the one it was made of?", _head
    ),
}
VERBS = (
    Verb("recorder", "cli.daemons.recorder", "the daemon that reads connection tracking and keeps the buffer"),
    Verb("forwarder", "cli.daemons.forwarder", "the daemon that sends finished messages to the MQTT broker"),
    Verb("status", "cli.verbs.status", "what is kept, for how long, what was lost, what was published", ("--json",)),
    Verb(
        "summary",
        "cli.verbs.summary",
        "the sums that were published of a day, as they were: with their noise",
        ("--day", "--json"),
    ),
    Verb(
        "explain",
        "cli.verbs.explain",
        "what a published figure means, what it hides and how sure it is (in French where LANG is)",
        word="METRIC",
        choices=[metric.name for metric in METRICS],
    ),
    Verb(
        "doctor",
        "cli.verbs.doctor",
        "what on this gateway makes records wrong, late or unlawful (run as root)",
        ("--fix", "--json"),
    ),
    Verb(
        "join",
        "cli.join.run",
        "take the archive that oubli-fleet enrol made for this gateway, and remove it (root)",
        ("--json",),
        word="ARCHIVE",
    ),
    Verb(
        "erase",
        "cli.verbs.erase",
        "destroy records, now; consents and refusals stay, but --mac ends its own consents",
        ("--json",),
        one_of=("--purpose", "--all", "--mac"),
    ),
    Verb(
        "expire",
        "cli.verbs.expire",
        "destroy what is due, where no recorder runs that would (oubli-watch calls this)",
        ("--json",),
    ),
    Verb(
        "forget",
        "cli.verbs.forget",
        "destroy what is kept, and its files: when a package is removed (its script calls this)",
        word="WHAT",
        choices=("everything", "purposes"),
    ),
    Verb(
        "who",
        "cli.who_verb.show",
        "right of access: what is held on a terminal, with consent",
        ("--agreed", "--json"),
        needs=("--mac",),
    ),
    Verb(
        "lookup",
        "purposes.lookup_verb.show",
        "which terminal a report of abuse is about",
        ("--until", "--protocol", "--public-address", "--report", "--json"),
        needs=("--at", "--reason"),
        one_of=("--port", "--terminal"),
    ),
    Verb(
        "law",
        "cli.verbs.law",
        "the table of purposes, the article's words, and what is on here",
        ("--notice", "--register", "--dpia", "--duties", "--json"),
    ),
    Verb(
        "consent text",
        "purposes.consent.verbs.document",
        "the document to be shown before a consent",
        ("--json",),
        needs=("--purposes", "--third-parties", "--days", "--text"),
    ),
    Verb(
        "consent grant",
        "purposes.consent.verbs.grant",
        "take the consent of a terminal, whose holder was shown it",
        ("--json",),
        needs=("--terminal", "--purposes", "--categories", "--third-parties", "--days", "--document"),
    ),
    Verb(
        "consent withdraw",
        "purposes.consent.verbs.change",
        "end a terminal's consents, and make unreadable what they kept",
        ("--purpose", "--json"),
        needs=("--terminal",),
    ),
    Verb(
        "consent suspend",
        "purposes.consent.verbs.change",
        "suspend a terminal's consents, until they are resumed",
        ("--json",),
        needs=("--terminal",),
    ),
    Verb(
        "consent resume",
        "purposes.consent.verbs.change",
        "resume what was suspended",
        ("--json",),
        needs=("--terminal",),
    ),
    Verb(
        "consent list",
        "purposes.consent.verbs.listed",
        "how many consents there are, to what, until when; never whose",
        ("--json",),
    ),
    Verb(
        "objection",
        "purposes.consent.verbs.objection",
        "count a terminal no more, for 13 months",
        ("--json",),
        needs=("--terminal",),
    ),
    Verb("objection end", "purposes.consent.verbs.objection", "take that back", ("--json",), needs=("--terminal",)),
    Verb(
        "emergency open",
        "purposes.consent.verbs.emergency",
        "ask this gateway's access points where one terminal is now, for a rescue",
        ("--json",),
        needs=("--terminal", "--incident"),
    ),
    Verb("emergency where", "purposes.consent.verbs.emergency", "ask once more", ("--json",)),
    Verb(
        "emergency close",
        "purposes.consent.verbs.close",
        "overwrite the answer; after four hours that happens by itself",
        ("--json",),
    ),
    Verb(
        "page",
        "purposes.consent.page_server.run",
        "the daemon that shows a guest what is held on his device, on which he suspends, withdraws or has it erased",
    ),
    Verb(
        "log",
        "cli.verbs.log",
        "the audit log, and whether it was cut or rewritten (run as root)",
        ("--verify", "--head", "--json"),
    ),
    Verb(
        "bundle install",
        "purposes.requests.verbs.bundle_install",
        "take the custodian's next signed keys: checked against /etc/oubli/custodian.pub, swapped at once",
        word="FILE",
    ),
    Verb(
        "request enrol",
        "purposes.requests.verbs.enrol",
        "enrol an agent who may sign requests (root)",
        ("--json",),
        word="KEY",
    ),
    Verb(
        "request run",
        "purposes.requests.verbs.run",
        "hand over the sealed segments that a signed request covers",
        ("--json",),
        word="FILE",
    ),
    Verb(
        "request identity",
        "purposes.requests.verbs.identity",
        "the key this gateway signs handovers with, for the custodian",
        ("--json",),
    ),
    Verb(
        "new-device",
        "cli.verbs.new_device",
        "say that this gateway never counted anybody: its sums begin now, not in 24 hours (root)",
        ("--json",),
    ),
    Verb(
        "ntp",
        "cli.verbs.ntp",
        "tell the recorder that the time service has just confirmed the time (its hook calls this)",
        ("--json",),
    ),
)
TABLE = Table(
    VERBS, OPTIONS, "exit codes: 0 fine, 1 can't go on (doctor: something was found), 2 bad use or bad configuration"
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable
