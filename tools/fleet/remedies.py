# SPDX-License-Identifier: Apache-2.0
"""What to do about a finding, a sentence or two each, beside its text wherever that is shown.

French stands in tools/fleet/texts/verdicts.py.

What the gateway's own doctor found has the remedies of its catalogue, in the words of `oubli doctor`; their French is
that of LuCI's pages.
"""

from functools import cache

from agent.doctor.catalogue import CATALOGUE
from agent.purposes.checks import ROWS
from tools.fleet.judgement import Finding
from tools.package import lmo

REMEDIES = {
    "late": (
        "Run “oubli doctor” there; if the recorder stands still, "
        "“/etc/init.d/oubli restart” destroys what is due at once."
    ),
    "cut": (
        "Compare “oubli log --verify” there with “oubli-fleet verify”. "
        "Without a factory reset somebody removed lines: find out who."
    ),
    "rewritten": (
        "Somebody changed lines: keep the gateway's /etc/oubli as evidence, find out who, then press “Settled”."
    ),
    "forked": "Two copies of one gateway go on, as after a restored backup: keep one of them, enrol the other anew.",
    "silent": "Look whether it has power and Internet; then “oubli doctor” there says why nothing leaves it.",
    "stopped": "“/etc/init.d/oubli restart” there; “logread -e oubli” says why it ended.",
    "keys": "Make a bundle with “oubli-custodian bundle” at once, and bring it there by “oubli bundle install”.",
    "duplicate": "A copied card or backup: run “oubli-fleet enrol” for the second gateway, and “oubli join” there.",
    "keys_soon": "Make another bundle with “oubli-custodian bundle”, and bring it there by “oubli bundle install”.",
    "drift": (
        "If the change is yours, press “Accept this configuration”; if not, "
        "compare /etc/config/oubli with what you wrote."
    ),
    "misconfigured": (
        "“oubli doctor” there names the line of /etc/config/oubli; the last accepted configuration goes on meanwhile."
    ),
    "no-lan": (
        "Let gateway.lan in /etc/config/oubli name the guests' networks as /etc/config/network does, and bring them up."
    ),
    "flash": "Free space below /srv there, or mount it writable; then “/etc/init.d/oubli restart”.",
    "clock": "Let ntpd reach a time server; “oubli doctor” there says whether it does.",
    "undeclared": "Set gateway.duty there to who answers: portal, radius, nat-log, oubli or none.",
    "plain": (
        "Set mqtt.ca and mqtt.port to the broker's TLS, or run “oubli join” with an archive of “oubli-fleet enrol”."
    ),
    "conflict": (
        "Two devices may send as this gateway, or its store was put back: look at both; the first figure stays."
    ),
    "refused": "The reasons stand on the gateway's page. Another version, or another program, writes to its topics.",
    "never": "Bring it its archive and run “oubli join”; “oubli doctor” there says what is still missing.",
    "retired": "If it is in use again, press “Take back”; if not, switch it off.",
    "offline": "It comes back by itself. If not: its Internet, then “oubli doctor” there.",
    "newer": "Upgrade this collector: the server first, then the gateways.",
}


def remedy(kind: str) -> str:
    """Return what to do about a kind of finding, in English; nothing where its own catalogue says it."""
    return REMEDIES.get(kind, "")


def of_doctor(one: Finding, language: str) -> list[tuple[str, str]]:
    """Return what the doctor's catalogue says of each name of a finding: (name, what to do), in `en` or `fr`.

    What is unknown stays alone.
    """
    if one.kind != "doctor":
        return []
    rows, spoken = CATALOGUE | ROWS, _french() if language == "fr" else {}
    said = {name: rows[name][2] if name in rows else "" for name in one.words["names"].split(", ")}
    return [(name, spoken.get(text, text)) for name, text in said.items()]


@cache
def _french() -> dict[str, str]:
    messages = lmo.messages((lmo.PO / "fr/oubli.po").read_text(encoding="utf-8"))
    return {one["msgid"]: one["msgstr"] for one in messages if one["msgid"] and "msgstr" in one}
