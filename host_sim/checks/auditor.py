# SPDX-License-Identifier: Apache-2.0
"""The auditor: after every step, what must never be false; at the end, what was published beside the truth.

It looks at the device as a thief, an operator and a broker would: the files, the logs, the messages, and the agent's own
counters, and holds them against the world's truth. Each thing that must hold is a row with how much was looked at; one that
looked at nothing fails. Requirements: EXP-1, EXP-2 (readable until, not after: `vault_auditor`), ANON-2 to ANON-6 (sums, shape,
one message for each cell, the ledger), L34-II-5 and L34-VI-2 (no terminal data outside the sealed store, none at the forwarder).
"""

import contextlib
import ipaddress
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path

import jsonschema

from host_sim.checks import log_auditor, process_memory
from host_sim.checks.canary import Needle, address_forms, mac_forms
from host_sim.checks.consent_auditor import ConsentAuditor
from host_sim.checks.sealed_auditor import SealedAuditor
from host_sim.checks.vault_auditor import Vault, keys_left
from host_sim.venue import portal
from host_sim.venue.device_clock import SECOND
from host_sim.venue.truth import AGENT_DAY_STARTS, DAY, HOUR
from host_sim.venue.world import World, clock_text
from tools.fleet.schemas import schema

SUM_B = (4, 1)  # ANON-2's table, arrivals: L1 = 1, epsilon = 0.25
DAILY_B = {"presence": (5, 1), "volume": (5, 1), "active": (40, 3), "classes": (10, 1)}  # the same table
CHANCE = 1e-5  # that a correct agent fails one of the checks of the noise
CERTAIN = 1e-10  # the same, of one figure, so that a run may stop at the first that is far off
TMPFS, FLASH = "var/run/oubli", "srv/oubli"
SPOOL, LIVE = "srv/oubli-spool", "var/run/oubli-live"
PURPOSE = "security"
MOST_FILES = 4000  # below a device's root, messages that wait for the broker included
MOST_OCTETS = 64 << 20  # of them, tmpfs and flash together
GROWTH = 48 << 20  # octets by which the recorder's resident memory may grow after its first hours
_RUNS = re.compile(rb"\0{16,}| {16,}")
_PIECE, _LONGEST = 512, 80  # octets of a text searched at once; of the longest form of an address
_BEGIN = 4  # octets of the shortest form
_CAME = 4  # terminals that the forwarder's memory is searched for
_WARM = 4  # full looks until the recorder has its size
_ACCOUNTS = ("ledger", "published")  # on flash beside the spool
_RECORDERS = ("vault", "keys", "terminals", "clock", "control")
_ROW, _ROW_OCTETS = re.compile(rb'"source_port": ?[0-9]{1,5}'), 24  # of a record, as it is told to who looks; octets of a match, at most
_KINDS = ("netlink", "unix", "tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet")
TOPICS = ("health", "state", "summary/arrivals", *(f"summary/{metric}" for metric in DAILY_B))


@dataclass
class Finding:
    """One thing that must hold: what was looked at (`seen` of it), and what was wrong, if anything."""

    name: str
    what: str
    seen: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether something was looked at and nothing was wrong."""
        return self.seen > 0 and not self.wrong


@dataclass(frozen=True)
class Slot:
    """One published sum beside both truths. `start` in ns since the epoch."""

    start: int
    value: int
    half_width: int
    defined: int
    real: int

    @property
    def inside(self) -> bool:
        """Whether the defined truth lies in the published band."""
        return abs(self.value - self.defined) <= self.half_width


@dataclass(frozen=True)
class Figures:
    """A published message of one agent-day beside the defined truth of each cell, (least, most). `day` is its start, ns."""

    metric: str
    day: int
    values: list[int]
    half_width: int
    truth: list[tuple[int, int]]

    def errors(self) -> list[int]:
        """Return how far each value is from what it may be, 0 where the noise could be any."""
        return [
            value - most if value > most else value - least if value < least else 0
            for value, (least, most) in zip(self.values, self.truth, strict=True)
        ]


def noise_bound(count: int, numerator: int, denominator: int, chance: float = CHANCE) -> int:
    """Return the least n for which `count` draws of a discrete Laplace with scale b all stay within n but for `chance`.

    P(|X| > n) = 2 p^(n+1) / (1 + p) with p = exp(-1/b) (Inusah and Kozubowski 2006); the union bound over `count` draws.
    """
    p = math.exp(-denominator / numerator)
    return max(0, math.ceil(math.log(chance * (1 + p) / (2 * max(count, 1))) / math.log(p)) - 1)


def spread_chance(total: int, count: int, numerator: int, denominator: int) -> float:
    """Return a bound on the chance that `count` draws' |X| add up to something as far out as `total`, on its side of the mean.

    Chernoff: P(S >= s) <= E[exp(t |X|)]^count exp(-t s) for each t > 0, P(S <= s) for each t < 0; the best of a row of t.
    """
    p = math.exp(-denominator / numerator)
    zero = (1 - p) / (1 + p)

    def log_bound(t: float) -> float:
        moment = zero + (1 - zero) * (1 - p) * math.exp(t) / (1 - p * math.exp(t))
        return count * math.log(moment) - t * total

    mean = count * 2 * p / (1 - p * p)
    largest = -math.log(p)
    row = (place / 100 * largest for place in range(1, 100)) if total >= mean else (-place / 20 for place in range(1, 200))
    return math.exp(min(0, *map(log_bound, row)))


class Auditor:
    """Collects findings along a run. `root` is the device's file system, all times true ns since the epoch."""

    def __init__(self, root: Path, world: World) -> None:
        self.root, self.world, self.truth = root, world, world.truth
        self.vault = Vault(root, world.scenario.lifetime, world.scenario.drift)
        self.spooled: dict[str, bytes] = {}  # every message that was ever seen in the spool, by its name
        self.spool = root / SPOOL
        self.dropped = 0  # messages that the agent says its spool couldn't hold
        self.records = Finding("records", "every record in the vault equals a connection, and every connection has one")
        self.expired = Finding("expired", "past its deadline nothing opens, whatever the clock is set to")
        self.counted = Finding("counted", "every connection that the kernel told of is kept, excluded or counted as lost")
        self.losses = Finding("losses", "nothing is lost but what the kernel dropped, and that is counted")
        self.ledger = Finding("ledger", "agent-days open and spend as ANON-5 and ANON-6 say, never more than the ceiling")
        self.cells = Finding("cells", "each cell is drawn at most once, and every cell that is due")
        self.delivered = Finding("delivered", "every message that was spooled arrived, exactly once")
        self.shape = Finding("shape", "every message has its kind's topic, shape and length")
        self.sums = Finding("sums", "every published sum is within its noise of the truth")
        self.spread = Finding("spread", "together the errors are as wide as the noise that is stated")
        self.private = Finding("private", "no address of a person, or of where they went, in spool, message, name or log")
        self.apart = Finding("apart", "the forwarder holds nothing of the vault and no netlink socket, the recorder no network socket")
        self.forgotten = Finding("forgotten", "nothing of a record that somebody looked at stays in the recorder's memory")
        self.bounded = Finding("bounded", "files and memory stay within their bounds")
        self.refused = Finding("refused", "what the law doesn't allow is refused by the configuration")
        self.acts = Finding("acts", "the audit log's chain is whole, and it says what was done")
        self.more = {
            "attribution": Finding("attribution", "who stood behind a public port is answered by its own terminal, and by no other"),
            "billing": Finding("billing", "each session is billed once, with its volumes, to a user or a MAC"),
            "custody": Finding("custody", "what only the custodian may read opens with his key, and the device holds none"),
            "consents": Finding("consents", "what is kept by consent is what was consented to, and nothing of who has withdrawn"),
            "stays": Finding("stays", "each stay at an access point is one that its terminal made under a consent"),
        }
        purposes, kinds = world.scenario.purposes, []
        self.sealed = SealedAuditor(root, purposes, world.start, world.end) if purposes.custodian else None
        self.consented = ConsentAuditor(root, world.portal) if purposes.consent and world.portal else None
        kinds += [*purposes.custodian, "custody"] if self.sealed else []
        kinds += ["consents", "stays"] if self.consented else []
        self.more = {name: self.more[name] for name in kinds}
        self._needles: dict[bytes, dict[bytes, str]] = {}  # by how they begin
        self._known: set[bytes] = set()
        self._searched: set[int] = set()  # hashes of pieces of text
        self._read: dict[Path, int] = {}  # logs: how far
        self._memory: list[int] = []
        self.full = False  # the ring has come near its budget: what no longer fits displaces the oldest
        self.sizes = (0, 0)  # the recorder's resident memory after its first hours, and at most
        self._spent = (0, 0)
        self._looked = 0  # how often somebody had looked, when memory was last searched
        self._trusted = False  # at the last look
        self._no_key = 0  # records that were lost before the time was known

    # After every step

    def step(self, now: int, status: dict, daemons: dict[str, int], logs: Iterable[Path], *, full: bool, search: bool) -> bool:
        """Look at everything at a true time; False where something is wrong. `daemons`: name to process id."""
        held = status["purposes"][PURPOSE]
        self.full = self.full or held["bytes"] > 0.9 * held["budget"]
        if status["summary"]["filled"]:
            self.truth.muddle()  # whoever comes to a full table counts nowhere (ANON-8)
        self._look_into_vault(now, status["counters"], full=full)
        self.look_at_counters(status["counters"])
        self.look_at_ledger()
        self.look_into_spool()
        if full:
            self._look_at_processes(daemons)
            self._look_into_memory(daemons["recorder"])
            self._look_at_bounds(now, daemons["recorder"])
        if search:
            self._look_for_people(logs)
            self.look_into_forwarder(daemons["forwarder"])
            self.look_at_log()
            self.look_at_purposes(now)
        return not any(finding.wrong for finding in self.report())

    def prepare(self) -> None:
        """Put on the device what an operator installs: the custodian's bundle, the text that is shown before a consent."""
        if self.sealed:
            self.sealed.custodian.install(self.root)
        if self.consented:
            texts = self.root / "usr/share/oubli"
            texts.mkdir(parents=True)
            (texts / portal.TEXT_NAME).write_text(portal.TEXT)

    def forget(self, now: int) -> None:
        """A cut of power."""
        self.vault.forget()
        self._trusted, self._no_key = False, 0
        if self.sealed:
            self.sealed.forget(now)
        if self.consented:
            self.consented.forget()

    def look_at_purposes(self, now: int, *, ended: bool = False) -> None:
        """Look into the stores of the purposes that are off by default; `ended`: the recorder has closed them."""
        if self.sealed:
            self.sealed.disturbed = self.sealed.disturbed or self.world.disturbed
            # A row ends where the clock is set back: nobody is named for times that it showed twice, or that it skipped.
            self.sealed.stepped = self.sealed.stepped or self.world.clock.stepped
            self.sealed.look(now, self.world.clock.wall(now), trusted=self.world.days.trusted, ended=ended)
            self._found(self.sealed)
        if self.consented and not ended:
            self.consented.disturbed = self.consented.disturbed or self.world.disturbed
            self.consented.stepped = self.consented.stepped or self.world.clock.stepped
            self.consented.look()
            self._found(self.consented)

    def _found(self, room: SealedAuditor | ConsentAuditor) -> None:
        for name, count in room.seen.items():
            self.more[name].seen += count
        room.seen.clear()
        for name, what in room.wrong:
            (self.expired if name == "expired" else self.more[name]).wrong.append(what)

    def look_at_log(self) -> None:
        """Hold the audit log together."""
        self.acts.seen += 1
        self.acts.wrong += log_auditor.look(self.root / FLASH / "audit", self.world, self.world.days.hours)

    def _look_into_vault(self, now: int, counters: dict[str, int], *, full: bool) -> None:
        self.vault.tell(self.truth.kept)
        if self.sealed:
            self.sealed.tell(self.truth.kept, trusted=self._trusted)
        if self.consented:
            self.consented.tell(self.truth.kept)
        self.truth.kept.clear()
        lost = sum(count for name, count in counters.items() if name.startswith("lost: ") and name != "lost: overrun")
        lost += counters["erased"] + counters["due on arrival"] + counters["no purpose"]
        lost += sum(count for name, count in counters.items() if name.startswith("excluded: "))
        before = self.vault.seen
        self.vault.look(now, full=full, stepped=self.world.clock.stepped, lost=lost)
        nobody = not self.world.scenario.crowd.visitors and not self.world.truth.connections
        self.records.seen += self.vault.seen - before + nobody  # that nothing is there is something too
        self.records.wrong += self.vault.wrong
        self.expired.seen += 1
        self.expired.wrong += self.vault.expired

    def look_at_counters(self, counters: dict[str, int]) -> None:
        """Every connection has one fate, and no loss goes uncounted or is made up."""
        told, heard = self.world.told_since_boot - self.world.dropped_since_boot, counters["connections"]
        self.counted.seen += 1
        if told != heard:
            self.counted.wrong.append(f"the kernel told of {told} connections, the agent counts {heard}")
        kept = counters["kept"] + counters["due on arrival"] + counters["no purpose"]
        kept += sum(count for name, count in counters.items() if name.startswith("excluded: "))
        lost = {name: count for name, count in counters.items() if name.startswith("lost: ") and count}
        of_these = sum(count for name, count in lost.items() if name != "lost: overrun")
        # what a custodian's store finds due on arrival counts there too: exact is then what `records` says of the vault
        if not (0 if self.sealed is None else -counters["due on arrival"]) <= heard - kept <= of_these:
            self.counted.wrong.append(f"of {heard} connections {kept} are kept or excluded, {of_these} lost")
        self.losses.seen += 1
        if counters["lost: overrun"] != self.world.dropped_since_boot:
            self.losses.wrong.append(f"the kernel dropped {self.world.dropped_since_boot}, the agent counts {counters['lost: overrun']}")
        allowed = {"lost: overrun"} | ({"lost: clock"} if self.world.clock.stepped else set())
        allowed |= {"lost: ring full"} if self.full else set()
        if self.sealed and (self.world.clock.stepped or not self._trusted):
            self._no_key = counters["lost: no key"]  # of a day that isn't known, or isn't the right one, it need not have a key
        self._trusted = self.world.days.trusted
        allowed |= {"lost: no key"} if counters["lost: no key"] == self._no_key else set()
        others = ("malformed", "neighbour overruns", "messages lost")
        self.losses.wrong += [f"{name}: {count}" for name, count in lost.items() if name not in allowed]
        self.losses.wrong += [f"{name}: {counters[name]}" for name in others if counters[name]]
        if counters["gaps"] != self.world.crashes:
            self.losses.wrong.append(f"nobody listened {self.world.crashes} times, the agent counts {counters['gaps']} gaps")
        if counters["messages dropped"] and not self.world.outages:
            self.losses.wrong.append(f"messages dropped: {counters['messages dropped']}")

    def look_at_ledger(self) -> None:
        """What the ledger says is what the agent-days that were opened cost."""
        days, values = self.world.days, json.loads((self.root / FLASH / "ledger").read_text())
        self.ledger.seen += 1
        said = (values["day"], values["spent"], values["tokens"], values["hours"])
        due = ((days.ledger_day - AGENT_DAY_STARTS) // DAY if days.ledger_day else 0, days.spent, days.tokens, days.hours)
        if said != due:
            self.ledger.wrong.append(f"the ledger says (day, spent, tokens, hours) {said}, by ANON-5 and ANON-6 it is {due}")
        if values["spent"] > 2000 or (values["day"], values["spent"]) < self._spent:
            self.ledger.wrong.append("more is spent than the ceiling, or something is given back")
        self._spent = (values["day"], values["spent"])

    def look_into_spool(self) -> None:
        """Keep what is new; a name that is drawn again with other figures gives the truth away."""
        for path in (self.root / SPOOL).glob("[0-9]*"):
            try:
                payload = path.read_bytes()
            except FileNotFoundError:  # the forwarder has just removed what it delivered
                continue
            former = self.spooled.get(path.name)
            self.cells.seen += former is None
            if former is None:
                self.spooled[path.name] = payload
                self._look_at_one(path.name.split("-")[1], payload)
            elif former != payload:
                self.cells.wrong.append(f"a message of {path.name.split('-')[1]} is there again with other figures")

    def _look_at_one(self, metric: str, payload: bytes) -> None:
        """One message as soon as it is there: an error that no noise explains."""
        message = json.loads(payload)
        end = message["end"] * SECOND
        day = _agent_day(end - 1)
        if day in self.truth.muddled:
            return
        if metric == "arrivals":
            value, truth = message["values"][0], self.truth.learned[end - HOUR]
            errors, b = [value - truth], SUM_B
        else:
            truths = self.truth.daily.get(day, {}).get(metric, [])
            values = message["values"][: len(truths)]
            errors, b = Figures(metric, day, values, 0, truths[: len(values)]).errors(), DAILY_B[metric]
        bound = noise_bound(1, *b, chance=CERTAIN)
        self.sums.wrong += [f"{metric}: an error of {error:+d}, where {bound} is the most" for error in errors if abs(error) > bound]

    def _look_at_processes(self, daemons: dict[str, int]) -> None:
        """Who holds what: the forwarder nothing of the recorder's, neither what isn't its own (L34-VI-2)."""
        for name, pid in daemons.items():
            held = _held(pid)
            self.apart.seen += len(held)
            if name == "forwarder" and any(f"{TMPFS}/{part}" in one for one in held for part in _RECORDERS):
                self.apart.wrong.append("the forwarder has a file of the recorder open")
            families = _families(held)
            if name == "forwarder" and "netlink" in families:
                self.apart.wrong.append("the forwarder has a netlink socket")
            if name == "recorder" and families - {"netlink", "unix"}:
                self.apart.wrong.append("the recorder has a network socket")

    def _look_into_memory(self, recorder: int) -> None:
        """A row of what somebody was shown (EXP-1): it says where a port stood, and the program itself never does."""
        self.forgotten.seen += 1
        if self.world.looks != self._looked:
            self._looked = self.world.looks
            rows = process_memory.found(recorder, _ROW, _ROW_OCTETS)
            self.forgotten.wrong += [f"{len(rows)} rows of what was looked at"] if rows else []

    def look_into_forwarder(self, pid: int) -> None:
        """Nothing of a terminal is in the forwarder's memory (L34-VI-2): of the last that came, the MAC raw and as text, IPv6 raw."""
        needles = []
        for mac in list(self.truth.terminals)[-_CAME:]:
            addresses = [address for address in self.truth.terminals[mac] if len(address) == 16]  # four octets may be there by chance
            needles += [mac, mac.hex(":").encode(), *addresses[:_CAME]]
        self.apart.seen += len(needles)
        if needles and process_memory.holds(pid, needles):
            self.apart.wrong.append("the forwarder's memory has a terminal's address")

    def _look_at_bounds(self, now: int, recorder: int) -> None:
        files = octets = waiting = 0
        for path in self.root.rglob("*"):
            try:
                size = path.stat().st_size if path.is_file() else 0
            except FileNotFoundError:
                continue
            files += 1
            octets += size
            waiting += size if path.parent.name == "oubli-spool" else 0
        oldest = min((int(name[:12]) for name in _names(self.root / SPOOL)), default=now // SECOND)
        if now // SECOND - oldest > self.world.scenario.spool_days * 86400 + 3700 and self.world.days.trusted:
            self.bounded.wrong.append("a message waits for longer than it may")
        self.bounded.seen += files
        if files > MOST_FILES or octets > MOST_OCTETS:
            self.bounded.wrong.append(f"{files} files of {octets} octets")
        # the recorder trims on the hour: what an agent-day's end adds within one is allowed
        if waiting > self.world.scenario.spool_bytes + 28 * 320:
            self.bounded.wrong.append(f"{waiting} octets wait in the spool, {self.world.scenario.spool_bytes} are allowed")
        resident = int(Path(f"/proc/{recorder}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        if len(self._memory) < _WARM:
            self._memory.append(resident)
        elif resident > max(self._memory) + GROWTH:
            self.bounded.wrong.append(f"the recorder grew by {(resident - max(self._memory)) >> 20} MiB")
        self.sizes = (max(self._memory), max(self.sizes[1], resident))

    def vault_files(self) -> list[Path]:
        """Return the vault's segment files (the pages that wait to be sealed are a fixed area beside them)."""
        return list((self.root / TMPFS / "vault").glob("*/" + "[0-9a-f]" * 8))

    def look_after_expiry(self) -> None:
        """When every deadline has passed: no segment file is left, and no octet of a key or of a page that waited."""
        self.expired.seen += 1
        if files := self.vault_files():
            self.expired.wrong.append(f"{len(files)} segment files are left")
        if keys_left(str(self.root / TMPFS / "keys")):
            self.expired.wrong.append("octets of keys are left")
        if any((self.root / TMPFS / "vault" / PURPOSE / "chunks").read_bytes()):
            self.expired.wrong.append("octets of records are left in the pages")

    def _look_for_people(self, logs: Iterable[Path]) -> None:
        """Search what is new of all that may be seen outside the sealed stores."""
        texts = []
        for path in logs:
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                texts.append(file.read())
                self._read[path] = file.tell()
        self.look_for_people(texts)

    def look_for_people(self, texts: Iterable[bytes]) -> None:
        """Search texts, what lies open on the device, and its files' names for everybody's addresses and where they went, in all forms."""
        places = [self.root / FLASH / name for name in _ACCOUNTS]
        places += [path for path in (self.root / SPOOL).rglob("*") if path.is_file()]
        places += [path for path in (self.root / LIVE).rglob("*") if path.is_file()]
        found = list(texts)
        for path in places:
            try:
                found.append(path.name.encode() + b" " + path.read_bytes())
            except FileNotFoundError:  # the forwarder unlinks what it has delivered
                continue
        found += [str(path.relative_to(self.root)).encode() for path in self.root.rglob("*")]
        self.private.seen += len(found)
        new = b"\n".join(piece for text in found for piece in self._unseen(text))
        self.private.wrong += sorted(self._people_in(new))

    def _unseen(self, text: bytes) -> Iterator[bytes]:
        """Yield the pieces of a text that were not searched before, each a little into the next one; most of what lies about stays."""
        text = _RUNS.sub(bytes(1), text)
        for at in range(0, len(text), _PIECE):
            piece = text[at : at + _PIECE + _LONGEST]
            if hash(piece) not in self._searched:
                self._searched.add(hash(piece))
                yield piece

    def _people_in(self, text: bytes) -> set[str]:
        """Return the kinds of canaries that stand in a text: only those are looked for of which the first four octets are there."""
        canaries = self.truth.places.union(self.truth.terminals, *self.truth.terminals.values())
        for canary in canaries - self._known:
            for needle in _forms(canary):
                kind = f"{needle.kind}, {'as text' if needle.text else 'raw'}"
                self._needles.setdefault(needle.data[:_BEGIN], {})[needle.data] = kind
        self._known |= canaries
        found = set()
        for version in {text, text.lower()}:
            begins = {version[at : at + _BEGIN] for at in range(len(version) - _BEGIN + 1)}
            for begin in begins & self._needles.keys():
                found |= {kind for needle, kind in self._needles[begin].items() if needle in version}
        return found

    # At the end

    def look_at_delivery(self, messages: list[tuple[str, bytes]]) -> None:
        """What the broker gave out is what was spooled; where the way was cut, a message may come twice, the very same."""
        arrived = Counter((topic.rsplit("/", 1)[-1], payload) for topic, payload in messages if "/summary/" in topic)
        wanted = Counter((name.split("-")[1], payload) for name, payload in self.spooled.items())
        self.delivered.seen += arrived.total()
        if (never := (wanted - arrived).total()) > self.dropped:
            self.delivered.wrong.append(f"{never} of {wanted.total()} never arrived, {self.dropped} are said to have been dropped")
        if strange := len(arrived.keys() - wanted.keys()):
            self.delivered.wrong.append(f"{strange} that nobody spooled")
        if not self.world.outages and (more := (arrived - wanted).total()):
            self.delivered.wrong.append(f"{more} came twice")

    def history(self, now: int) -> list[str]:
        """Return the history of the connection that the vault's first finding is about, in a few lines; none where it is about none."""
        one = self.vault.suspect
        if one is None:
            return []
        lines = [
            (one.start, f"a connection of protocol {one.protocol} to port {one.port} begins, by the gateway's clock"),
            (one.ended, "its last packet"),
            (one.arrived, f"the kernel tells the recorder of its end; datagram {one.number}"),
            (one.ended + self.vault.lifetime, "its record must be gone"),
            (now, "this step"),
        ]
        return list(self.world.story)[-5:] + [f"{clock_text(at)} {what}" for at, what in sorted(lines)]

    def messages(self) -> list[tuple[str, bytes]]:
        """Return every message that was spooled, as (metric's topic, payload), in order of its name."""
        return [("summary/" + name.split("-")[1], payload) for name, payload in sorted(self.spooled.items())]

    def look_at_days(self, messages: list[tuple[str, bytes]], expected: Iterable[int]) -> list[Figures]:
        """Compare what is published once an agent-day with the truth; `expected` are the starts of the days that are over.

        To be called after `look_at_messages`.
        """
        figures, shapes = [], set()
        for topic, payload in messages:
            metric = topic.rsplit("/", 1)[-1]
            if metric in DAILY_B:
                message = json.loads(payload)
                end = message["end"] * SECOND
                if not 0 < message["end"] - message["start"] <= DAY // SECOND or (end - AGENT_DAY_STARTS) % DAY or message["slot"]:
                    self.shape.wrong.append(f"{metric} has other times than an agent-day's")
                shapes.add((metric, tuple(message), message["unit"], len(message["values"]), message["gateway"], message["schema"]))
                if (tuple(message["b"]), message["half_width"]) != (DAILY_B[metric], math.ceil(3 * Fraction(*DAILY_B[metric]))):
                    self.sums.wrong.append(f"{metric}: b isn't ANON-2's, or half_width isn't ceil(3b)")
                truth = self.truth.daily.get(end - DAY, {}).get(metric, [])
                if len(truth) == len(message["values"]):
                    figures.append(Figures(metric, end - DAY, message["values"], message["half_width"], truth))
                else:
                    self.shape.wrong.append(f"{metric} has {len(message['values'])} values")
        if len(shapes) > len({shape[0] for shape in shapes}):
            self.shape.wrong.append("shapes of a daily summary change")
        wanted = Counter((metric, day) for metric in DAILY_B for day in expected)
        arrived = Counter((one.metric, one.day) for one in figures)
        if never := (wanted - arrived).total():
            self.cells.wrong.append(f"{never} of {wanted.total()} daily messages never came")
        if more := (arrived - wanted).total():
            self.cells.wrong.append(f"{more} daily messages came twice or weren't due")
        self.cells.seen += len(figures)
        self.sums.seen += len(figures)
        for metric, b in DAILY_B.items():
            clear = [one for one in figures if one.metric == metric and one.day not in self.truth.muddled]
            errors = [error for one in clear for error in one.errors()]
            self._look_at_noise(errors, b, spread=metric != "classes")
        return sorted(figures, key=lambda one: (one.day, TOPICS.index(f"summary/{one.metric}")))

    def look_at_messages(self, messages: list[tuple[str, bytes]], expected: Iterable[int]) -> list[Slot]:
        """Compare what was published with the truth. `expected` are the starts of the slots that must have been published."""
        summaries = [json.loads(payload) for topic, payload in messages if topic.endswith(TOPICS[2])]
        slots = []
        for message in summaries:
            start = message["end"] * SECOND - HOUR
            if (message["end"] - message["start"], message["slot"]) != (3600, (start - AGENT_DAY_STARTS) % DAY // HOUR):
                self.shape.wrong.append(f"slot {message['slot']} has other times than its number says")
            slots.append(Slot(start, message["values"][0], message["half_width"], self.truth.learned[start], self.truth.arrived[start]))
        arrived, wanted = Counter(slot.start for slot in slots), Counter(expected)
        if never := (wanted - arrived).total():
            self.cells.wrong.append(f"{never} of {wanted.total()} that are due never came")
        if more := (arrived - wanted).total():
            self.cells.wrong.append(f"{more} came twice or weren't due")
        shapes = {(tuple(m), m["unit"], tuple(m["b"]), m["half_width"], m["gateway"], m["schema"]) for m in summaries}
        if len(shapes) > 1:
            self.shape.wrong.append(f"{len(shapes)} shapes of summaries")
        if any((tuple(m["b"]), m["half_width"]) != (SUM_B, math.ceil(3 * SUM_B[0] / SUM_B[1])) for m in summaries):
            self.sums.wrong.append("b isn't ANON-2's, or half_width isn't ceil(3b)")
        self.cells.seen += len(slots)
        self.sums.seen = self.spread.seen = len(slots)
        clear = [slot for slot in slots if _agent_day(slot.start) not in self.truth.muddled]
        self._look_at_noise([slot.value - slot.defined for slot in clear], SUM_B)
        return sorted(slots, key=lambda slot: slot.start)

    def look_at_schemas(self, messages: list[tuple[str, bytes]]) -> None:
        """ANON-4: every message is one of its kind's schema, which knows each key and each word of a closed list."""
        for topic, payload in messages:
            kind = topic.rsplit("/", 1)[-1]
            if f"summary/{kind}" in TOPICS or kind in TOPICS:
                try:
                    _validator(kind).validate(json.loads(payload))
                except (ValueError, jsonschema.ValidationError) as failure:
                    self.shape.wrong.append(f"{kind}: {getattr(failure, 'message', 'not JSON')}"[:120])

    def look_at_refusals(self, accepted: dict[str, str]) -> None:
        """What the law forbids, and whether the agent took it all the same."""
        self.refused.seen += len(accepted)
        self.refused.wrong += [f"{what} is accepted" for what, said in accepted.items() if said == "accepted"]

    def look_at_lengths(self, messages: list[tuple[str, bytes]]) -> None:
        """ANON-4: no other door than the three topics, and one length each (`state` tells what it is by its length)."""
        self.shape.seen += len(messages)
        lengths: dict[str, set[int]] = {}
        for topic, payload in messages:
            kind = topic.split("/", 3)[-1]
            if kind not in TOPICS:
                self.shape.wrong.append("a topic that no message has")
            elif kind != "state":
                lengths.setdefault(kind, set()).add(len(payload))
        self.shape.wrong += [f"{len(seen)} lengths of {kind}" for kind, seen in lengths.items() if len(seen) > 1]

    def _look_at_noise(self, errors: list[int], b: tuple[int, int], *, spread: bool = True) -> None:
        bound = noise_bound(len(errors), *b)
        self.sums.wrong += [f"an error of {error:+d}, where {bound} is the most" for error in errors if abs(error) > bound]
        total = sum(map(abs, errors))
        if errors and spread and spread_chance(total, len(errors), *b) < CHANCE:
            self.spread.wrong.append(f"errors add up to {total} over {len(errors)} sums")

    def report(self) -> list[Finding]:
        """Return every finding."""
        return [
            self.records, self.expired, self.counted, self.losses, self.ledger, self.cells, self.delivered, self.shape, self.sums,
            self.spread, self.private, self.apart, self.forgotten, self.bounded, self.refused, self.acts, *self.more.values(),
        ]  # fmt: skip


@cache
def _validator(kind: str) -> jsonschema.protocols.Validator:
    """Return what holds a message against its kind's schema, made once."""
    return jsonschema.validators.validator_for(schema(kind))(schema(kind))


def _agent_day(time: int) -> int:
    return (time - AGENT_DAY_STARTS) // DAY * DAY + AGENT_DAY_STARTS


def _names(spool: Path) -> Iterator[str]:
    """Yield the names of messages that wait."""
    return (path.name for path in spool.glob("[0-9]*-*-*"))


def _held(pid: int) -> list[str]:
    """Return what a process has open."""
    held = []
    for handle in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            held.append(str(handle.readlink()))
    return held


def _families(held: list[str]) -> set[str]:
    """Return the families of the sockets among what a process has open; one that is neither bound nor connected is "other"."""
    inodes = {one[8:-1] for one in held if one.startswith("socket:[")}
    found = set()
    for kind in _KINDS if inodes else ():
        with contextlib.suppress(OSError):
            for row in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
                if known := inodes.intersection(row.split()):
                    found.add(kind)
                    inodes -= known
    return found | {"other" for _ in inodes}


def _forms(canary: bytes) -> list[Needle]:
    """Return the forms in which a MAC (6 octets) or an IP address would be told."""
    return mac_forms("a MAC", canary) if len(canary) == 6 else address_forms("an address", str(ipaddress.ip_address(canary)))
