# SPDX-License-Identifier: Apache-2.0
"""A scenario: a TOML file that says when, who, which network, which gateway, and what happens to it.

Every key is a row of `host_sim.venue.keys`. The checks, the file that `oubli-sim new` writes and the list in the README
are all read off that table; nothing else passes. A mistake is told in one line, with the line of the file.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from host_sim.venue.keys import EVENTS, KEYS, WrongError
from host_sim.venue.people import Crowd

FOLDER = Path(__file__).parent.parent / "scenarios"
LIMIT = 65536  # octets of a scenario file

GROUND = "IIbis-3"  # of `attribution`, where a scenario turns it on
_SECTIONS = ("time", "people", "network", "clock", "gateway", "purposes")


class ScenarioError(Exception):
    """A scenario that can't be used; `args[0]` is the line to show: file, line, key, what was wrong, accepted."""


class Event(NamedTuple):
    """Something that happens: `at` and `every` in hours, `minutes`, `seconds` and `amount` as `EVENTS` says."""

    what: str
    at: float
    every: float
    minutes: float
    seconds: float
    amount: int


class Network(NamedTuple):
    """The section of that name; `latency` in ms each way, timeouts of the connection table in seconds."""

    addresses: int
    dual_stack: float
    table: int
    latency: float
    timeouts: dict[str, int]


class Clock(NamedTuple):
    """The section of that name; `shows` in ns since the epoch (None: right), `first` and `confirms` in minutes."""

    shows: int | None
    drift: int
    first: float
    confirms: float


class Options(NamedTuple):
    """The section `gateway`: `lifetime` in seconds, and as it is written; `rate` in events a second."""

    lifetime: int
    lifetime_text: str
    rows: int
    rate: float
    budget: int
    spool_bytes: int
    spool_days: int


class Purposes(NamedTuple):
    """What is kept beside `security`: the keys of the section; `sealed` in days."""

    attribution: bool = False
    billing: bool = False
    sealed: int = 30
    portal: float = 0
    consent: float = 0
    suspend: float = 0
    withdraw: float = 0

    @property
    def custodian(self) -> tuple[str, ...]:
        """Return the stores that only a custodian reads."""
        return ("attribution",) * self.attribution + ("billing",) * self.billing


NOTHING_MORE = Purposes()


@dataclass(frozen=True)
class Scenario:
    """A checked scenario; `start` in ns since the epoch, the rest as in the file."""

    name: str
    description: str
    start: int
    utc_offset: int
    days: float
    crowd: Crowd
    closes: float
    activity: float
    network: Network
    clock: Clock
    gateway: Options
    purposes: Purposes = NOTHING_MORE
    events: tuple[Event, ...] = ()


def names() -> list[str]:
    """Return the scenarios that come with oubli-sim."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str) -> Scenario:
    """Return a scenario by its name, or from a TOML file given by path; ScenarioError with the one line to show."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        raise ScenarioError(f"{name}: no such scenario; accepted: {', '.join(names())}, or a .toml file")
    return _Checker(path).scenario()


def template(description: str) -> str:
    """Return a commented scenario: every key with its default, those that a venue rarely changes behind a #."""
    often = {"description", "start", "utc_offset", "days", "visitors", "arrivals", "closes", "lifetime"}
    lines = [
        "# SPDX-License-Identifier: Apache-2.0",
        "# What isn't said is as written behind the #. Run it: oubli-sim run THIS-FILE",
        "",
    ]
    section = ""
    for key in KEYS:
        if key.section == "event":
            break
        if key.section != section:
            section = key.section
            lines += ["", ("# " if section == "network.timeouts" else "") + f"[{section}]"]
        value = f'"{description}"' if key.name == "description" else key.written or str(key.default)
        lines += [f"# {key.means}"] if len(value) > 40 else []
        note = "" if len(value) > 40 else f"  # {key.means}"
        lines.append(("" if key.name in often else "# ") + f"{key.name} = {value}{note}")
    lines += ["", "# [[event]]  # as many as you like"]
    lines += [f"# {key.name} = ...  # {key.means}" for key in KEYS if key.section == "event"]
    return "\n".join(lines) + "\n"


class _Checker:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = ""
        try:
            if path.stat().st_size > LIMIT:
                self.fail("", "file", f"too large; accepted: at most {LIMIT} bytes")
            self.text = path.read_bytes().decode()
            self.data = tomllib.loads(self.text)
        except OSError as failure:
            self.fail("", "file", f"can't be read ({failure.strerror}); accepted: a file of TOML")
        except UnicodeDecodeError:
            self.fail("", "file", "not UTF-8; accepted: text")
        except (tomllib.TOMLDecodeError, RecursionError) as failure:
            self.fail("", "file", f"not TOML ({str(failure)[:150]}); accepted: TOML")

    def fail(self, section: str, key: str, wrong: str, index: int = 0) -> NoReturn:
        line = self._line(section, key, index) if key != "file" else 0
        place = f"{self.path}:{line}" if line else f"{self.path}"
        raise ScenarioError(f"{place}: {section + '.' if section else ''}{key}: {wrong}")

    def _line(self, section: str, key: str, index: int) -> int:
        """Return the line of a key in its section (the `index`-th of that name), or the section's where it has none."""
        current, seen, head = "", -1, 0
        for number, line in enumerate(self.text.splitlines(), 1):
            stripped = line.split("#")[0].strip()
            if stripped.startswith("[") and "=" not in stripped:
                current = stripped.strip("[] ")
                seen += current == section
                if current == f"{section}.{key}".strip("."):
                    return number
                if current == section and seen == index:
                    head = number
            elif current == section and max(seen, 0) == index and stripped.split("=")[0].strip() == key:
                return number
        return head

    def _section(self, section: str, table: object, nested: tuple[str, ...] = (), index: int = 0) -> dict[str, Any]:
        """Return every key of a section, checked, defaults filled in."""
        if not isinstance(table, dict):
            self.fail("", section, "accepted: a section")
        keys = {key.name: key for key in KEYS if key.section == section}
        values = {}
        for name in table:
            if name not in keys and name not in nested:
                self.fail(section, name, f"unknown; accepted: {', '.join((*keys, *nested))}", index)
        for name, key in keys.items():
            if name not in table and key.default is None:
                self.fail(section, name, f"missing; accepted: {key.means}", index)
            try:
                values[name] = key.check(table.get(name, key.default))
            except WrongError as wrong:
                self.fail(section, name, f"{repr(table[name])[:80]} isn't accepted; accepted: {wrong}", index)
        return values

    def _event(self, table: object, index: int) -> Event:
        values = self._section("event", table, index=index)
        needed = EVENTS.get(values["what"])
        if needed is None:
            self.fail("event", "what", f"{values['what']!r} isn't accepted; accepted: {', '.join(EVENTS)}", index)
        for name in ("minutes", "seconds", "amount"):
            if (name in needed) != bool(values[name]):
                wrong = (
                    "missing or 0; accepted: more"
                    if name in needed
                    else f"isn't a key of {values['what']!r}; accepted: no such key"
                )
                self.fail("event", name, wrong, index)
        if values["every"] and values["every"] * 60 <= values["minutes"]:
            self.fail("event", "every", "it comes again before it is over; accepted: more than its minutes", index)
        return Event(**values)

    def scenario(self) -> Scenario:
        top = self._section("", self.data, (*_SECTIONS, "event"))
        tables = {name: self.data.get(name, {}) for name in _SECTIONS}
        nested = {"network": ("timeouts",)}
        time, people, network, clock, gateway, purposes = (
            self._section(name, tables[name], nested.get(name, ())) for name in _SECTIONS
        )
        timeouts = self._section("network.timeouts", tables["network"].get("timeouts", {}))
        events = self.data.get("event", [])
        if not isinstance(events, list):
            self.fail("", "event", "accepted: as many [[event]] as you like")
        shows = clock["shows"]
        clock["shows"] = None if isinstance(shows, str) else int(shows.timestamp()) * 1_000_000_000
        return Scenario(
            name=self.path.stem,
            description=top["description"],
            start=int(time["start"].timestamp()) * 1_000_000_000,
            utc_offset=time["utc_offset"],
            days=time["days"],
            crowd=Crowd(
                people["visitors"], people["arrivals"], people["ipv6"], people["weekdays"],
                people["stay"], people["sleep"], people["rotate"], people["roams"], people["kinds"],
            ),
            closes=people["closes"],
            activity=people["activity"],
            network=Network(**network, timeouts=timeouts),
            clock=Clock(**clock),
            gateway=Options(**gateway, lifetime_text=tables["gateway"].get("lifetime", "24h")),
            purposes=Purposes(**purposes),
            events=tuple(self._event(event, index) for index, event in enumerate(events)),
        )  # fmt: skip
