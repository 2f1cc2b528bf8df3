# SPDX-License-Identifier: Apache-2.0
"""/etc/config/oubli (UCI syntax) into one validated Config that can't be wrong afterwards (L34-II-2).

Everything that may be written is in the table OPTIONS; anything else is an error. Nothing is clamped or guessed. An
error is one line: file, line, option, what was wrong, the requirement or paragraph that refuses it, what is accepted.
Words are printable ASCII, so that both interpreters read them alike and an error shown on a terminal is only text;
comments are free, and names and documents are UTF-8.
"""

from agent import law
from agent.base import canonical
from agent.config import kinds, uci
from agent.runtime.files import read_bounded
from agent.runtime.libc import reason
from agent.runtime.sockets import packed
from agent.summary.metrics import METRICS, PROFILES, scales

EPSILON_LIMIT = 2000  # thousandths: the guarantee for an agent-day (ANON-5)


class ConfigError(Exception):
    """A configuration that can't be used; its text is the one line to show.

    `purpose`: in whose section the mistake is, "" for none.
    """

    purpose = ""


_SHARED = 7  # thousandths at least for the metrics whose epsilon isn't given: then none has less than one
_MOST = 999999999  # octets of a budget
_BUDGET = (kinds.between(262144, _MOST), 4194304)
_BLOCK = 64  # ports of the smallest block
OPTIONS: "dict[str, dict[str, tuple[Callable[[str], Any], Any]]]" = {
    "gateway": {
        "id": (kinds.identity, None),
        "duty": (kinds.choice(*law.DUTIES), "undeclared"),
        "lan": (kinds.text, ("lan",)),
        "wan": (kinds.text, ("wan",)),
        "hardware_clock": (kinds.flag, False),
    },
    "security": {
        "enabled": (kinds.flag, True),
        "lifetime": (kinds.lifetime, law.DAY),
        "destination": (kinds.choice("none"), "none"),
        "budget": _BUDGET,
    },
    "attribution": {
        "enabled": (kinds.flag, False),
        "ground": (kinds.ground, None),
        "reference": (kinds.person, None),
        "wording": (kinds.choice("repealed"), None),
        "lifetime": (kinds.lifetime, 365 * law.DAY),
        "mode": (kinds.choice("blocks", "connections"), "blocks"),
        "block_size": (kinds.between(_BLOCK, 4096), 512),
        "storage": (kinds.path, None),
        "upstream_nat": (kinds.choice("acknowledged"), None),
        "budget": _BUDGET,
    },
    "billing": {
        "enabled": (kinds.flag, False),
        "lifetime": (kinds.lifetime, None),
        "biller": (kinds.person, None),
        "budget": _BUDGET,
    },
    "services": {"enabled": (kinds.flag, False), "budget": _BUDGET},
    "location": {"enabled": (kinds.flag, False), "budget": (_BUDGET[0], 524288)},
    "summary": {
        "enabled": (kinds.flag, True),
        "profile": (kinds.choice(*sorted(PROFILES)), "medium"),
        "epsilon": (kinds.between(1, EPSILON_LIMIT), 1000),
        "epsilon_ceiling": (kinds.between(1, EPSILON_LIMIT), 2000),
        "rows": (kinds.between(64, 65536), 4096),
    },
    "vault": {"sync_minutes": (kinds.between(1, 1440), 15), "path": (kinds.path, None)},
    "notice": {
        "venue": (kinds.person, None),
        "controller": (kinds.person, None),
        "contact": (kinds.person, None),
        "dpo": (kinds.person, None),
        "custodian": (kinds.person, None),
        "services": (kinds.person, None),
        "location": (kinds.person, None),
        "page": (kinds.host, None),
    },
    "metric": {"enabled": (kinds.flag, True), "epsilon": (kinds.between(1, EPSILON_LIMIT), None)},
    "mqtt": {
        "host": (kinds.text, ()),
        "port": (kinds.between(1, 65535), 8883),
        "ca": (kinds.text, None),
        "certificate": (kinds.text, None),
        "key": (kinds.text, None),
        "username": (kinds.text, None),
        "password_file": (kinds.text, None),
        "insecure": (kinds.flag, False),
        "spread": (kinds.between(1, 3600), 60),
        "spool_days": (kinds.between(1, 365), 7),
        "spool_bytes": (kinds.between(65536, 67108864), 1048576),
    },
}
_LISTS = ("lan", "wan", "host")
_REQUIRED_BY = {
    "epsilon": "ANON-2",
    "profile": "ANON-2",
    "epsilon_ceiling": "ANON-5",
    "duty": "L34-II-3, L34-1 II",
    "ground": "L34-III-1, L34-1 III",
    "destination": "L34-VI-1, L34-1 VI",
}


def _required_by(kind: str, name: str = "") -> str:
    """Return the requirement and the paragraph that an option stands under."""
    if name in _REQUIRED_BY:
        return _REQUIRED_BY[name]
    if kind == "notice":
        return "L34-VI-4"
    return "L34-II-2, " + law.purpose(kind).paragraph if kind in law.CONFIGURABLE else "L34-II-2"


class Section:
    """Validated options of one section as attributes; `line` is where it began, 0 where it isn't in the file."""

    def __init__(self, kind: str) -> None:
        self.line = 0
        self.given: "dict[str, str]" = {}  # option -> "option" or "list", as the file has it
        self.values: "dict[str, Any]" = {}
        for name in OPTIONS[kind]:
            self.values[name] = OPTIONS[kind][name][1]

    def __getattr__(self, name: str) -> "Any":
        values = self.__dict__["values"]
        if name not in values:
            raise AttributeError(name)
        return values[name]


class Config:
    """A configuration that passed every check.

    gateway, summary, mqtt, vault, notice    sections
    sections                  every section by its name, the disabled ones too
    purposes                  name -> section, the enabled ones only
    metrics                   name -> scale of its noise as a fraction, those that are published only
    canonical                 every validated value as one text, without a secret, for the digest in `state`
    refused                   why a later configuration is refused, "" where this is the present one
    plain                     messages go in plain text: to a broker on this machine, or because `mqtt.insecure` says so
    exposed                   they go in plain text to another machine (L34-VI-2)
    here                      each broker is on this machine
    """

    def __init__(self, path: str, sections: "dict[str, Section]", metrics: "dict[str, tuple[int, int]]") -> None:
        self.path = path
        self.refused = ""  # why the present file is refused, where this is the last one that was accepted
        self.gateway = sections["gateway"]
        self.summary = sections["summary"]
        self.mqtt = sections["mqtt"]
        self.vault = sections["vault"]
        self.notice = sections["notice"]
        self.sections = sections
        self.purposes = {}
        for name in law.CONFIGURABLE:
            if sections[name].enabled:
                self.purposes[name] = sections[name]
        self.metrics = metrics
        values = {}
        for name in sections:
            values[name] = sections[name].values
        self.canonical = canonical.dumps(values)
        self.here = all(_on_this_machine(host) for host in self.mqtt.host)
        self.plain = self.mqtt.insecure or (self.here and self.mqtt.ca is None)
        self.exposed = self.plain and not self.here

    def require_mqtt(self) -> None:
        """Check what only the forwarder needs; ConfigError with the one line to show."""
        if not self.mqtt.host:
            raise ConfigError(self.path + ": mqtt.host: missing (L34-II-2); accepted: a host name or address")
        if not self.plain and self.mqtt.ca is None:
            accepted = "a CA file, a broker on this machine, or insecure '1' for a lab"
            raise ConfigError(self.path + ": mqtt.ca: missing (L34-VI-2); accepted: " + accepted)


def _on_this_machine(host: str) -> bool:
    """Return True if a broker's host is loopback, by its name or as an address that is written out."""
    octets = packed(host.encode())
    return host == "localhost" or octets == bytes(15) + b"\1" or (len(octets) == 4 and octets[0] == 127)


class _Reader:
    """Reads one file into sections; every error names file and line."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.line = 0
        self.sections = {}
        for kind in OPTIONS:
            if kind != "metric":
                self.sections[kind] = Section(kind)
        for metric in METRICS:
            self.sections["metric " + metric.name] = Section("metric")

    def fail(self, subject: str, wrong: str, accepted: str, requirement: str = "L34-II-2") -> "NoReturn":
        """Raise the one line."""
        place = self.path + (":" + str(self.line) if self.line else "")
        failure = ConfigError(place + ": " + subject + ": " + wrong + " (" + requirement + "); accepted: " + accepted)
        name = subject.partition(".")[0]
        failure.purpose = name if name in law.CONFIGURABLE else ""
        raise failure

    def text(self) -> str:
        """Return the file's text, each octet as one character."""
        try:
            data = read_bounded(self.path, uci.LIMIT)
        except OSError as failure:
            self.fail(
                "file", "can't be read" + reason(failure.errno), "a UCI file of at most " + str(uci.LIMIT) + " bytes"
            )
        for at, octet in enumerate(data):
            if octet < 32 and octet not in b"\t\r\n":
                self.line = data[:at].count(b"\n") + 1
                self.fail("byte " + str(at), "a control character", "text")
        return "".join(chr(octet) for octet in data)

    def read(self) -> "dict[str, Section]":
        """Parse the whole file."""
        kind, section = "", None
        for line in self.text().split("\n"):
            self.line += 1
            try:
                words = uci.split(line)
            except ValueError as failure:
                self.fail("line", failure.args[0], failure.args[1])
            if not words:
                continue
            known = OPTIONS.get(kind, {}).get(words[1]) if len(words) == 3 else None
            ascii_only = words[:2] if known and known[0] is kinds.person else words[:3]
            if any(not " " <= letter <= "~" for word in ascii_only for letter in word):
                self.fail(
                    "line",
                    "a character that isn't printable ASCII",
                    "letters, digits and signs; comments and names may hold others",
                )
            if words[0] == "config" and len(words) in (2, 3):
                kind, section = self._section(words[1], words[2] if len(words) == 3 else words[1])
            elif words[0] in ("option", "list") and len(words) == 3 and section is not None:
                self._option(kind, section, words[0], words[1], words[2])
            else:
                self.fail("line", "not UCI", "config TYPE 'NAME', option NAME 'VALUE', list NAME 'VALUE'")
        self.line = 0
        return self.sections

    def _section(self, kind: str, name: str) -> "tuple[str, Section]":
        if kind == "purpose":
            if name not in law.CONFIGURABLE:
                self.fail(
                    "purpose '" + name + "'", "unknown purpose", ", ".join(law.CONFIGURABLE), "L34-II-2, L34-1 II"
                )
            kind = key = name
        elif kind == "metric":
            key = "metric " + name
            if key not in self.sections:
                self.fail("metric '" + name + "'", "unknown metric", ", ".join(metric.name for metric in METRICS))
        elif kind in ("gateway", "summary", "mqtt", "vault", "notice"):
            key = kind
        else:
            self.fail("section '" + kind + "'", "unknown", "gateway, purpose, summary, metric, mqtt, vault, notice")
        section = self.sections[key]
        if section.line:
            self.fail(key, "a second section of this name (the first is in line " + str(section.line) + ")", "one")
        section.line = self.line
        return kind, section

    def _option(self, kind: str, section: Section, form: str, name: str, value: str) -> None:
        table = OPTIONS[kind]
        subject = kind + "." + name
        if name not in table:
            self.fail(subject, "unknown option", ", ".join(sorted(table)), _required_by(kind, name))
        try:
            parsed = table[name][0](value)
        except ValueError as failure:
            shown = "this" if table[name][0] is kinds.person else "'" + value + "'"
            self.fail(subject, shown + " isn't accepted", failure.args[0], _required_by(kind, name))
        former = section.given.get(name)
        if form == "list" and name not in _LISTS:
            self.fail(subject, "not a list", "option " + name + " 'VALUE'")
        if former is not None and (form, former) != ("list", "list"):
            self.fail(subject, "given twice", "one" + (", or lines of list " + name if name in _LISTS else ""))
        section.given[name] = form
        if name in _LISTS:
            section.values[name] = (section.values[name] if former else ()) + (parsed,)
        else:
            section.values[name] = parsed
        if name == "lifetime":
            row = law.purpose(kind)
            wrong = law.refuse_lifetime(row, parsed)
            if wrong:
                accepted = law.duration(law.floor(row)) + " to " + law.duration(row.ceiling)
                self.fail(subject, "'" + value + "' is " + wrong, accepted, _required_by(kind))


def load(path: str, without: "list[str] | None" = None) -> Config:
    """Read and check a configuration file; ConfigError with the one line to show.

    `without` is told the purposes that can't be here, for want of their package or of what a consent must
    say; without such a list that is refused.
    """
    reader = _Reader(path)
    sections = reader.read()
    for name in law.CONFIGURABLE:
        row = law.purpose(name)
        for need in row.needs if sections[name].enabled else ():
            if need in OPTIONS[name] and sections[name].values[need] is None:
                reader.line = sections[name].line
                forms = {
                    "ground": ", ".join(row.grounds),
                    "reference": "a text",
                    "lifetime": "at most " + law.duration(row.ceiling),
                }
                reader.fail(name + "." + need, "missing", forms[need], _required_by(name, need))
    if sections["gateway"].id is None:
        reader.fail("gateway.id", "missing", "16 characters of a-z and 2-7, made at first boot")
    config = Config(path, sections, _scales(reader))
    for name in config.purposes:
        if name != "security":
            _installed(reader, name, without)
        if "consent" in law.purpose(name).needs:
            _informed(reader, name, config, without)
        if law.purpose(name).custody == law.CUSTODIAN:
            _budget(reader, name, config)
    summary = config.summary
    reader.line = summary.line
    if summary.epsilon > summary.epsilon_ceiling:
        reader.fail(
            "summary.epsilon", "above summary.epsilon_ceiling", "at most " + str(summary.epsilon_ceiling), "ANON-5"
        )
    return config


def in_force(path: str, accepted: str) -> Config:
    """Return the configuration at `path`, or the last one accepted where it is refused; ConfigError without either.

    So a mistake in one line stops nothing that was lawful before it. A purpose other than `security` in whose own
    section the mistake is doesn't go on: what it rests on, its ground or its lifetime, is just what is in doubt
    (L34-II-2). Nor does one whose package is gone.
    """
    try:
        return load(path)
    except ConfigError as failure:
        out = [failure.purpose]
        try:
            config = load(accepted, out)
        except ConfigError:
            raise failure
        config.refused = str(failure)
        for name in out:
            if name != "security":
                config.purposes.pop(name, None)
        return config


def _scales(reader: _Reader) -> "dict[str, tuple[int, int]]":
    """Return the scale of each published metric's noise; the others have the epsilon of what isn't (ANON-2)."""
    summary, profile = reader.sections["summary"], PROFILES[reader.sections["summary"].profile]
    names, own = [], {}
    for metric in METRICS:
        section = reader.sections["metric " + metric.name]
        if metric.name not in profile:
            reader.line = section.line
            if section.given and section.enabled:
                reader.fail(
                    "metric '" + metric.name + "'",
                    "not in profile '" + summary.profile + "'",
                    ", ".join(profile),
                    "ANON-2",
                )
        elif summary.enabled and section.enabled:
            names.append(metric.name)
            if section.epsilon:
                own[metric.name] = section.epsilon
    need = sum(own.values()) + (_SHARED if len(own) < len(names) else 0)
    if need > summary.epsilon:
        reader.line = summary.line
        accepted = "metrics whose epsilons sum to at most " + str(summary.epsilon)
        reader.fail("summary.epsilon", "metrics need " + str(need) + " thousandths", accepted, "ANON-2")
    return scales(names, summary.epsilon, own)


def _installed(reader: _Reader, name: str, without: "list[str] | None") -> None:
    """Refuse a purpose whose modules aren't on this device, or tell it."""
    from agent.vault import stores

    if stores.installed(name):
        return
    if without is not None:
        without.append(name)
    else:
        reader.line = reader.sections[name].line
        reader.fail(
            name + ".enabled", stores.PACKAGE + " isn't installed", "'0', or '1' once it is", _required_by(name)
        )


def _informed(reader: _Reader, name: str, config: Config, without: "list[str] | None") -> None:
    """Refuse a purpose by consent where nothing says who asks, what for, and where it is withdrawn, or tell it.

    A consent to that is none (GDPR 4.11, 7.3).
    """
    for option in ("controller", "page", name):
        if config.notice.values[option] is not None:
            continue
        if without is not None:
            without.append(name)
        else:
            reader.line = reader.sections[name].line
            by = "L34-V-2, " + law.purpose(name).paragraph
            reader.fail(name + ".enabled", "notice." + option + " isn't set", "'0', or '1' with it set", by)


def _budget(reader: _Reader, name: str, config: Config) -> None:
    """Refuse a store on flash that can't hold its declared lifetime, with the sum."""
    from agent.purposes.custodian import budget

    section = config.purposes[name]
    reader.line = section.line
    refused = budget.refused(section, config.gateway.duty) if name == "attribution" else None
    if refused:
        reader.fail(name + "." + refused[0], refused[1], refused[2], _required_by(name, refused[0]))
    need = budget.needed(name, section, config.summary.rows, config.vault.sync_minutes)
    if need.octets > section.budget:
        accepted = budget.remedies(name, section, config.summary.rows, config.vault.sync_minutes, _MOST, _BLOCK)
        reader.fail(
            name + ".budget",
            str(section.budget) + " bytes are too few: " + need.text,
            accepted,
            _required_by(name, "budget"),
        )


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, NoReturn
