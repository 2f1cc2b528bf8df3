# SPDX-License-Identifier: Apache-2.0
"""A scenario: a TOML file that says when, who, which network, which gateway. Everything is in one table; nothing else passes."""

import tomllib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from host_sim.people import Crowd

FOLDER = Path(__file__).parent / "scenarios"
LIMIT = 65536  # octets of a scenario file

# Seconds. The kernel's own defaults (nf_conntrack-sysctl documentation); a scenario names those that its router changes.
TIMEOUTS = {
    "tcp_timeout_syn_sent": 120,
    "tcp_timeout_established": 432000,
    "tcp_timeout_time_wait": 120,
    "tcp_timeout_close": 10,
    "udp_timeout": 30,
    "udp_timeout_stream": 120,
    "icmp_timeout": 30,
}

# section: {key: (lowest, highest)} for numbers; other types have their own check
_NUMBERS: dict[str, dict[str, tuple[float, float]]] = {
    "time": {"utc_offset": (-12, 14), "days": (0.01, 400)},
    "people": {"visitors": (0, 100_000), "closes": (1, 24), "ipv6": (0, 1), "activity": (0, 100)},
    "network": {"addresses": (2, 60_000), "dual_stack": (0, 1)},
    "network.timeouts": dict.fromkeys(TIMEOUTS, (1, 500_000)),
}
_OTHERS = {"": ("description",), "time": ("start",), "people": ("arrivals",), "network": ("timeouts",), "gateway": ("lifetime",)}
_WHOLE = ("utc_offset", "addresses")
_UNITS = {"m": 60, "h": 3600, "d": 86400}


class ScenarioError(Exception):
    """A scenario that can't be used; `args[0]` is the one line to show: file, line, key, what was wrong, what is accepted."""


@dataclass(frozen=True)
class Scenario:
    """A checked scenario. `start` is ns since the epoch; lifetimes are seconds; the rest as in the file."""

    name: str
    description: str
    start: int
    utc_offset: int
    days: float
    crowd: Crowd
    closes: float
    activity: float
    addresses: int
    dual_stack: float
    timeouts: dict[str, int]
    lifetime_text: str
    lifetime: int


def names() -> list[str]:
    """Return the scenarios that come with oubli-sim."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str) -> Scenario:
    """Return a scenario by its name, or from a TOML file given by path; ScenarioError with the one line to show."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        raise ScenarioError(f"{name}: no such scenario; accepted: {', '.join(names())}, or a .toml file")
    return _Checker(path).scenario()


class _Checker:
    def __init__(self, path: Path) -> None:
        self.path = path
        if path.stat().st_size > LIMIT:
            self.fail("", "file", f"too large; accepted: at most {LIMIT} bytes")
        try:
            self.text = path.read_bytes().decode()
            self.data = tomllib.loads(self.text)
        except UnicodeDecodeError:
            self.text = ""
            self.fail("", "file", "not UTF-8; accepted: text")
        except tomllib.TOMLDecodeError as failure:
            self.fail("", "file", f"not TOML ({failure}); accepted: TOML")

    def fail(self, section: str, key: str, wrong: str) -> NoReturn:
        line = self._line(section, key) if key != "file" else 0
        place = f"{self.path}:{line}" if line else f"{self.path}"
        raise ScenarioError(f"{place}: {section + '.' if section else ''}{key}: {wrong}")

    def _line(self, section: str, key: str) -> int:
        """Return the line of a key within its section, 0 where it isn't written as `key = `."""
        current = ""
        for number, line in enumerate(self.text.splitlines(), 1):
            stripped = line.split("#")[0].strip()
            if stripped.startswith("["):
                current = stripped.strip("[] ")
                if current == f"{section}.{key}".strip("."):
                    return number
            elif current == section and stripped.split("=")[0].strip() == key:
                return number
        return 0

    def _keys(self, section: str, table: object, nested: tuple[str, ...] = ()) -> dict[str, Any]:
        if not isinstance(table, dict):
            self.fail("", section, "accepted: a section")
        accepted = (*_NUMBERS.get(section, {}), *_OTHERS.get(section, ()), *nested)
        for key in table:
            if key not in accepted:
                self.fail(section, key, f"unknown; accepted: {', '.join(accepted)}")
        for key in accepted:
            if key not in table and section != "network.timeouts" and key != "timeouts":
                self.fail(section, key, f"missing; accepted: every one of {', '.join(accepted)}")
        for key, (low, high) in _NUMBERS.get(section, {}).items():
            value = table.get(key, low)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not low <= value <= high:
                self.fail(section, key, f"{value!r} isn't accepted; accepted: a number from {low} to {high}")
            if isinstance(value, float) and (section == "network.timeouts" or key in _WHOLE):
                self.fail(section, key, f"{value!r} isn't accepted; accepted: a whole number")
        return table

    def scenario(self) -> Scenario:
        top = self._keys("", self.data, ("time", "people", "network", "gateway"))
        time, people = self._keys("time", top["time"]), self._keys("people", top["people"])
        network, gateway = self._keys("network", top["network"]), self._keys("gateway", top["gateway"])
        timeouts = self._keys("network.timeouts", network.get("timeouts", {}))
        start, arrivals, lifetime = time["start"], people["arrivals"], str(gateway["lifetime"])
        if not isinstance(start, datetime) or start.tzinfo is None:
            self.fail("time", "start", "accepted: a date and time with its zone, such as 2026-11-25T03:00:00Z")
        numbers = isinstance(arrivals, list) and all(isinstance(w, int | float) and 0 <= w < 1e6 for w in arrivals)
        if not numbers or len(arrivals) != 24 or not sum(arrivals):
            self.fail("people", "arrivals", "accepted: 24 weights, one for each local hour, not all of them 0")
        if not lifetime[:-1].isdigit() or lifetime[-1:] not in _UNITS:
            self.fail("gateway", "lifetime", f"{lifetime!r} isn't accepted; accepted: a number and m, h or d, such as 24h")
        return Scenario(
            name=self.path.stem,
            description=str(top["description"]),
            start=int(start.timestamp()) * 1_000_000_000,
            utc_offset=time["utc_offset"],
            days=time["days"],
            crowd=Crowd(people["visitors"], tuple(float(weight) for weight in arrivals), people["ipv6"]),
            closes=people["closes"],
            activity=people["activity"],
            addresses=network["addresses"],
            dual_stack=network["dual_stack"],
            timeouts={**TIMEOUTS, **timeouts},
            lifetime_text=lifetime,
            lifetime=int(lifetime[:-1]) * _UNITS[lifetime[-1:]],
        )
