# SPDX-License-Identifier: Apache-2.0
"""/etc/config/oubli (UCI syntax) into one validated Config that can't be wrong afterwards (L34-II-2).

Everything that may be written is in the table OPTIONS; anything else is an error. Nothing is clamped or guessed. An error
is one line: file, line, option, what was wrong, the requirement or paragraph that refuses it, what is accepted. Words are
printable ASCII, so that both interpreters read them alike and an error shown on a terminal is only text; comments are free, and what
guests read of the venue is UTF-8.
"""

from agent import law
from agent.base import canonical
from agent.runtime.files import read_bounded
from agent.runtime.libc import reason
from agent.runtime.sockets import packed
from agent.summary.metrics import METRICS

LIMIT = 65536  # octets of a configuration file
EPSILON_LIMIT = 2000  # thousandths: the guarantee for an agent-day (ANON-5)
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_HOST = "abcdefghijklmnopqrstuvwxyz0123456789-."
_PERSON = 120  # characters of a name in the notice
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": law.DAY}


class ConfigError(Exception):
    """A configuration that can't be used; its text is the one line to show. `purpose`: in whose section the mistake is, "" for none."""

    purpose = ""


def _text(value: str) -> str:
    if not value:
        raise ValueError("a text that isn't empty")
    return value


def _path(value: str) -> str:
    if value.startswith("/") and not value.endswith("/") and "//" not in value:
        return value
    raise ValueError("an absolute path without a slash at its end")


def _flag(value: str) -> bool:
    if value in ("1", "yes", "on", "true"):
        return True
    if value in ("0", "no", "off", "false"):
        return False
    raise ValueError("0 or 1")


def _between(low: int, high: int) -> "Callable[[str], int]":
    def parse(value: str) -> int:
        if value.isdigit() and len(value) < 10 and low <= int(value) <= high:
            return int(value)
        raise ValueError("a whole number from " + str(low) + " to " + str(high))

    return parse


def _choice(*words: str) -> "Callable[[str], str]":
    def parse(value: str) -> str:
        if value not in words:
            raise ValueError(", ".join(words))
        return value

    return parse


def _lifetime(value: str) -> int:
    digits, unit = value[:-1], value[-1:]
    if not digits.isdigit() or len(digits) > 9 or unit not in _UNITS:
        raise ValueError("a number and s, m, h or d, such as 24h")
    return int(digits) * _UNITS[unit]


def _identity(value: str) -> str:
    if len(value) != 16 or any(letter not in _BASE32 for letter in value):
        raise ValueError("16 characters of a-z and 2-7")
    return value


def _ground(value: str) -> str:
    accepted = law.refuse_ground(law.purpose("attribution"), value)
    if accepted:
        raise ValueError(accepted)
    return value


def _person(value: str) -> str:
    """Accept a name or address that guests read, in UTF-8; each character of `value` is one octet."""
    try:
        text = bytes([ord(letter) for letter in value]).decode()
    except (ValueError, UnicodeError):
        text = ""
    if not 0 < len(text) <= _PERSON or any("\x7e" < letter < "\xa0" for letter in text):
        raise ValueError("a text in UTF-8 of at most " + str(_PERSON) + " characters")
    return text


def _host(value: str) -> str:
    if not 0 < len(value) < 64 or any(letter not in _HOST for letter in value.lower()):
        raise ValueError("a host name or address without a port, such as 192.168.1.1 or wifi.example.org")
    return value.lower()


_MOST = 999999999  # octets of a budget
_BUDGET = (_between(262144, _MOST), 4194304)
_BLOCK = 64  # ports of the smallest block
OPTIONS: "dict[str, dict[str, tuple[Callable[[str], Any], Any]]]" = {
    "gateway": {
        "id": (_identity, None),
        "duty": (_choice(*law.DUTIES), "undeclared"),
        "lan": (_text, ("lan",)),
        "wan": (_text, ("wan",)),
        "hardware_clock": (_flag, False),
    },
    "security": {
        "enabled": (_flag, True),
        "lifetime": (_lifetime, law.DAY),
        "destination": (_choice("none"), "none"),
        "budget": _BUDGET,
    },
    "attribution": {
        "enabled": (_flag, False),
        "ground": (_ground, None),
        "reference": (_text, None),
        "wording": (_choice("repealed"), None),
        "lifetime": (_lifetime, 365 * law.DAY),
        "mode": (_choice("blocks", "connections"), "blocks"),
        "block_size": (_between(_BLOCK, 4096), 512),
        "storage": (_path, None),
        "upstream_nat": (_choice("acknowledged"), None),
        "budget": _BUDGET,
    },
    "billing": {"enabled": (_flag, False), "lifetime": (_lifetime, None), "budget": _BUDGET},
    "services": {"enabled": (_flag, False), "budget": _BUDGET},
    "location": {"enabled": (_flag, False), "budget": (_BUDGET[0], 524288)},
    "summary": {
        "enabled": (_flag, True),
        "epsilon": (_between(1, EPSILON_LIMIT), 1000),
        "epsilon_ceiling": (_between(1, EPSILON_LIMIT), 2000),
        "rows": (_between(64, 65536), 4096),
    },
    "vault": {"sync_minutes": (_between(1, 1440), 15), "path": (_path, None)},
    "notice": {
        "venue": (_person, None),
        "controller": (_person, None),
        "contact": (_person, None),
        "dpo": (_person, None),
        "page": (_host, None),
    },
    "metric": {"enabled": (_flag, True), "epsilon": (_between(1, EPSILON_LIMIT), None)},
    "mqtt": {
        "host": (_text, ()),
        "port": (_between(1, 65535), 8883),
        "ca": (_text, None),
        "certificate": (_text, None),
        "key": (_text, None),
        "username": (_text, None),
        "password_file": (_text, None),
        "insecure": (_flag, False),
        "spread": (_between(1, 3600), 60),
        "spool_days": (_between(1, 365), 7),
        "spool_bytes": (_between(65536, 67108864), 1048576),
    },
}
_LISTS = ("lan", "wan", "host")
_REQUIRED_BY = {
    "epsilon": "ANON-2",
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
    metrics                   name -> epsilon in thousandths, the enabled ones only
    canonical                 every validated value as one text, without a secret, for the digest in `state`
    refused                   why a later configuration is refused, "" where this is the present one
    plain                     messages go in plain text: to a broker on this machine, or because `mqtt.insecure` says so
    exposed                   they go in plain text to another machine (L34-VI-2)
    here                      each broker is on this machine
    """

    def __init__(self, path: str, sections: "dict[str, Section]") -> None:
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
        self.metrics = {}
        for metric in METRICS:
            section = sections["metric " + metric.name]
            if self.summary.enabled and section.enabled:
                self.metrics[metric.name] = section.epsilon or metric.epsilon
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


def _words(line: str) -> "list[str]":
    """Split one line as uci does: words, single or double quotes, a backslash outside single ones, # begins a comment.

    ValueError with what was wrong and what is accepted: what would go on in another line, or begin another command, is refused.
    """
    words, word, quote, open_word, escaped = [], "", "", False, False
    for letter in line:
        if escaped:
            word += letter
            escaped = False
        elif letter == "\\" and quote != "'":
            escaped = open_word = True
        elif quote:
            if letter == quote:
                quote = ""
            else:
                word += letter
        elif letter in "'\"":
            quote, open_word = letter, True
        elif letter in " \t\r":
            if open_word:
                words.append(word)
            word, open_word = "", False
        elif letter == "#":
            break
        elif letter == ";":
            raise ValueError("a ; outside quotes", "one command a line")
        else:
            word += letter
            open_word = True
    if quote:
        raise ValueError("a quote left open", "a closing quote")
    if escaped:
        raise ValueError("a backslash at the end", "a line that ends where it is")
    if open_word:
        words.append(word)
    return words


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
            data = read_bounded(self.path, LIMIT)
        except OSError as failure:
            self.fail("file", "can't be read" + reason(failure.errno), "a UCI file of at most " + str(LIMIT) + " bytes")
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
                words = _words(line)
            except ValueError as failure:
                self.fail("line", failure.args[0], failure.args[1])
            if not words:
                continue
            free = kind == "notice" and words[0] == "option"
            if any(not " " <= letter <= "~" for word in words[: 2 if free else 3] for letter in word):
                self.fail(
                    "line", "a character that isn't printable ASCII", "letters, digits and signs; comments and `notice` may hold others"
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
                self.fail("purpose '" + name + "'", "unknown purpose", ", ".join(law.CONFIGURABLE), "L34-II-2, L34-1 II")
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
            shown = "this" if kind == "notice" else "'" + value + "'"
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

    `without` is told the purposes whose package isn't on this device; without such a list that is refused.
    """
    reader = _Reader(path)
    sections = reader.read()
    for name in law.CONFIGURABLE:
        row = law.purpose(name)
        for need in row.needs if sections[name].enabled else ():
            if need in OPTIONS[name] and sections[name].values[need] is None:
                reader.line = sections[name].line
                forms = {"ground": ", ".join(row.grounds), "reference": "a text", "lifetime": "at most " + law.duration(row.ceiling)}
                reader.fail(name + "." + need, "missing", forms[need], _required_by(name, need))
    if sections["gateway"].id is None:
        reader.fail("gateway.id", "missing", "16 characters of a-z and 2-7, made at first boot")
    config = Config(path, sections)
    for name in config.purposes:
        if name != "security":
            _installed(reader, name, without)
        if law.purpose(name).custody == law.CUSTODIAN:
            _budget(reader, name, config)
    summary = config.summary
    reader.line = summary.line
    if summary.epsilon > summary.epsilon_ceiling:
        reader.fail("summary.epsilon", "above summary.epsilon_ceiling", "at most " + str(summary.epsilon_ceiling), "ANON-5")
    total = sum(config.metrics.values())
    if total > summary.epsilon:
        accepted = "metrics whose epsilons sum to at most " + str(summary.epsilon)
        reader.fail("summary.epsilon", "metrics need " + str(total) + " thousandths", accepted, "ANON-2")
    return config


def in_force(path: str, accepted: str) -> Config:
    """Return the configuration at `path`, or where that is refused the last one that was accepted; ConfigError where neither can be used.

    So a mistake in one line stops nothing that was lawful before it. A purpose other than `security` in whose own section the mistake
    is doesn't go on: what it rests on, its ground or its lifetime, is just what is in doubt (L34-II-2). Nor does one whose package is gone.
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


def _installed(reader: _Reader, name: str, without: "list[str] | None") -> None:
    """Refuse a purpose whose modules aren't on this device, or tell it."""
    from agent.vault import stores

    if stores.installed(name):
        return
    if without is not None:
        without.append(name)
    else:
        reader.line = reader.sections[name].line
        reader.fail(name + ".enabled", stores.PACKAGE + " isn't installed", "'0', or '1' once it is", _required_by(name))


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
        reader.fail(name + ".budget", str(section.budget) + " bytes are too few: " + need.text, accepted, _required_by(name, "budget"))


def _sections(path: str) -> "Iterator[tuple[str, str, list[str]]]":
    """Yield type and name of the section, and the words, of each line of another package's UCI file; nothing where it can't be read."""
    try:
        text = read_bounded(path, LIMIT).decode()
    except (OSError, UnicodeError):
        return
    kind = name = ""
    for line in text.split("\n"):
        try:
            words = _words(line)
        except ValueError:
            continue
        if words[:1] == ["config"]:
            kind, name = (words[1:] + ["", ""])[:2]
        else:
            yield kind, name, words


def devices(names: "Sequence[str]", path: str) -> "list[str]":
    """Return the interfaces that names stand for; a name is an OpenWrt network of the file at `path`, else an interface."""
    known = {}
    for kind, section, words in _sections(path):
        if kind == "interface" and section and len(words) == 3 and words[0] == "option" and words[1] in ("device", "ifname"):
            known[section] = words[2].split()
    return [device for name in names for device in known.get(name, [name])]


def agreeing_clock(path: str) -> bool:
    """Return True if root's word at `path` is that the clock with a battery and the system's agree (etc/init.d/oubli)."""
    return any(kind == "clock" and words == ["option", "agrees", "1"] for kind, _, words in _sections(path))


def lease_files(path: str) -> "list[str]":
    """Return the absolute paths of the lease files that the DHCP servers' file at `path` names, and of the usual ones."""
    found = ["/tmp/dhcp.leases", "/tmp/hosts/odhcpd"]  # noqa: S108 (OpenWrt's places, which only root writes)
    for kind, _, words in _sections(path):
        if kind in ("dnsmasq", "odhcpd") and words[:2] == ["option", "leasefile"] and words[2:3] and words[2].startswith("/"):
            found.append(words[2])
    return sorted(set(found))


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, NoReturn, Sequence
