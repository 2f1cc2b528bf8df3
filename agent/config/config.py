# SPDX-License-Identifier: Apache-2.0
"""/etc/config/oubli (UCI syntax) into one validated Config that can't be wrong afterwards (L34-II-2).

Everything that may be written is in the table OPTIONS; anything else is an error. Nothing is clamped or guessed. An
error is one line: file, line, option, what was wrong, the requirement or paragraph that refuses it, what is accepted.
"""

import sys

from agent import law
from agent.base import canonical
from agent.config.options import BLOCK, MOST, OPTIONS, required_by
from agent.config.reader import ConfigError, Reader
from agent.runtime.sockets import packed
from agent.summary.metrics import METRICS, PROFILES, scales

_SHARED = 7  # thousandths at least for the metrics whose epsilon isn't given: then none has less than one


def installed(name: str) -> bool:
    """Return True if the modules of a purpose other than `security` are on this device, by its packer."""
    try:
        __import__("agent.purposes." + name + ".record")
    except ImportError:
        return False
    return True


class Config:
    """A configuration that passed every check.

    gateway, summary, mqtt, vault, notice    sections
    sections                  every section by its name, the disabled ones too
    purposes                  name -> section, the enabled ones only
    notes, unseen             root's notes of stores; those that can't be read (agent.purposes.also_held.remembered)
    metrics                   name -> scale of its noise as a fraction, those that are published only
    canonical                 every validated value as one text, without a secret, for the digest in `state`
    refused                   why a later configuration is refused, "" where this is the present one
    plain                     messages go in plain text: to a broker on this machine, or because `mqtt.insecure` says so
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
        self.notes: "dict[str, tuple[str, list[tuple[int, str]]] | None]" = {}
        self.unseen: "list[str]" = []
        values = {}
        for name in sections:
            values[name] = sections[name].values
        self.canonical = canonical.dumps(values)
        self.here = all(_on_this_machine(host) for host in self.mqtt.host)
        self.plain = self.mqtt.insecure or (self.here and self.mqtt.ca is None)

    @property
    def exposed(self) -> bool:
        """Return True if messages go in plain text to another machine (L34-VI-2)."""
        return self.plain and not self.here

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


def load(path: str, without: "list[str] | None" = None) -> Config:
    """Read and check a configuration file; ConfigError with the one line to show.

    `without` gets the purposes that can't be here, for want of their package or of what a consent must say. Without
    such a list that is refused.
    """
    reader = Reader(path)
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
                reader.fail(name + "." + need, "missing", forms[need], required_by(name, need))
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


def running(path: str, paths: "Paths", *, starts: bool = False) -> Config:
    """Return the configuration that runs, and say so where that is the last accepted one, or may be; ConfigError.

    A file that isn't the gateway's own is that file. `starts`: a daemon asks, which runs with it from now on.
    """
    if path != paths.etc.config:
        return load(path)
    config = in_force(path, paths.etc.accepted)
    if config.refused:
        sys.stderr.write(
            "oubli: the last accepted configuration goes on, for this one is refused: " + config.refused + "\n"
        )
        return config
    try:
        waits = not starts and load(paths.etc.accepted).canonical != config.canonical
    except ConfigError:
        waits = False  # nothing was started yet, or what it was started with isn't known any more
    if waits:
        sys.stderr.write("oubli: the configuration has changed: as long as oubli isn't restarted the former may run\n")
    return config


def _scales(reader: Reader) -> "dict[str, tuple[int, int]]":
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


def _installed(reader: Reader, name: str, without: "list[str] | None") -> None:
    """Refuse a purpose whose modules aren't on this device, or tell it."""
    if installed(name):
        return
    if without is not None:
        without.append(name)
    else:
        reader.line = reader.sections[name].line
        reader.fail(name + ".enabled", law.PACKAGE + " isn't installed", "'0', or '1' once it is", required_by(name))


def _informed(reader: Reader, name: str, config: Config, without: "list[str] | None") -> None:
    """Refuse a purpose by consent where nothing says who asks, how he is reached, what for, and where it is withdrawn.

    With `without`: tell it there.

    A consent to that is none (GDPR 4.11, 7.3).
    """
    for option in ("controller", "contact", "page", name):
        if config.notice.values[option] is not None:
            continue
        if without is not None:
            without.append(name)
        else:
            reader.line = reader.sections[name].line
            by = "L34-V-2, " + law.purpose(name).paragraph
            reader.fail(name + ".enabled", "notice." + option + " isn't set", "'0', or '1' with it set", by)


def _budget(reader: Reader, name: str, config: Config) -> None:
    """Refuse a store on flash that can't hold its declared lifetime, with the sum."""
    from agent.purposes.custodian import budget

    section = config.purposes[name]
    reader.line = section.line
    refused = budget.refused(section, config.gateway.duty) if name == "attribution" else None
    if refused:
        reader.fail(name + "." + refused[0], refused[1], refused[2], required_by(name, refused[0]))
    need = budget.needed(name, section, config.summary.rows, config.vault.sync_minutes)
    if need.octets > section.budget:
        accepted = budget.remedies(name, section, config.summary.rows, config.vault.sync_minutes, MOST, BLOCK)
        reader.fail(
            name + ".budget",
            str(section.budget) + " bytes are too few: " + need.text,
            accepted,
            required_by(name, "budget"),
        )


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.base.paths import Paths
    from agent.config.reader import Section
