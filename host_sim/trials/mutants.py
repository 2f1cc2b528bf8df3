# SPDX-License-Identifier: Apache-2.0
"""Agents broken on purpose, a row and a patch each, with the scenario that must find each out (`oubli-sim mutants`).

A check that has never failed proves nothing. A copy of the agent with a patch in it (host_sim.trials.patches) lives in
a small scenario to the end. `check` is the auditor's check that must find it; a row says `only` where no
other does, and each check has such a row. A patch that doesn't fit the agent any more is an error, not a mutant that
was caught.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from host_sim.driver.interpreters import command, environment
from host_sim.driver.scene import SimulationError
from host_sim.driver.simulation import Simulation
from host_sim.trials.patches import Patch, patched
from host_sim.trials.small_scenarios import SMALL_SCENARIOS
from host_sim.venue import scenario as scenarios

SEED = 3
CUTS = "power cuts"  # of whatever forgets to sync: host_sim.faults.cuts
# Of whatever spends what it doesn't have: host_sim.privacy.spending, which CPython alone lives
SPENDING = "power and time"
HISTORIES = 60  # at most
PINGS = "pings"  # of whatever pings at steady moments: host_sim.privacy.pings, which CPython alone plays
BLOCKS = 40
ROUNDS = 3


class Mutant(NamedTuple):
    """One broken agent."""

    name: str
    breaks: str
    scenario: str
    check: str
    only: bool
    patch: Patch


MUTANTS = (
    Mutant("key-kept-a-segment-too-long", "a segment lives an hour longer than its records may (EXP-1)", "noon",
        "expired", True,
        Patch("vault/ring.py", "Ring._begin", "slot.lifetime = A", "slot.lifetime = A + 3600")),
    Mutant("key-not-overwritten", "the slot is freed, its key stays in the ring (EXP-2)", "noon", "expired", True,
        Patch("vault/keys.py", "KeyRing.destroy", "self._sodium.zero(A, B)", "self._sodium.zero(A, 32)")),
    Mutant("deadline-from-arrival", "a record goes to the window in which it was told (EXP-1)", "noon", "expired",
        False, Patch("vault/ring.py", "Ring._append", "window, now = A, B", "window = now = B")),
    Mutant("ceiling-forgotten", "a lifetime above the ceiling isn't refused (L34-II-2)", "noon", "refused", True,
        Patch("law.py", "refuse_lifetime", "A > row.ceiling", "False")),
    Mutant("mac-in-health", "the health message has a hash of a terminal in it (ANON-4)", "noon", "shape", True,
        Patch("recorder/health.py", "Health.write", "recorder.clock.state",
            'recorder.clock.state + "%02x" % recorder.guests.holders.mac(1)[5]')),
    Mutant("drawn-again", "a slot's noise is drawn anew an hour later (ANON-5)", "noon", "cells", False,
        Patch("summary/day.py", "AgentDay.tick", "self._turned = A",
            "self._turned = A\nif terminals.day:\n    self.releases.publish(METRICS[0], passed // 3600 - 2)")),
    Mutant("slot-forgotten", "one slot of the day is never drawn (ANON-4)", "noon", "cells", True,
        Patch("summary/releases.py", "Releases.draw", "not self._terminals.drawn(A)",
            "slot != 10 and not self._terminals.drawn(A)")),
    Mutant("counted-before-clip", "a terminal counts in every slot that it used, not in two (ANON-2)", "crowd", "sums",
        False, Patch("summary/terminals.py", "Terminals.count", "A[:metric.l1]", "A")),
    Mutant("error-understated", "the half-width that is published is too small (ANON-3)", "noon", "sums", True,
        Patch("summary/metrics.py", "half_width", "-3", "-2")),
    Mutant("no-noise", "the truth is published (ANON-2)", "noon", "spread", True,
        Patch("summary/noise.py", "Sampler.laplace", "magnitude = A", "magnitude = 0")),
    Mutant("folder-not-synced", "a renamed file's folder isn't synced (EXP-6)", CUTS, "cuts", True,
        Patch("runtime/files.py", "write_atomic", "sync_folder(A)", "None")),
    Mutant("destination-port-kept", "where it went stands in the place of the public port (L34-VI-1)", "noon",
        "records", True,
        Patch("capture/connections.py", "_reply", "(_DESTINATION_PORT, A, B)", "(_SOURCE_PORT, A, B)")),
    Mutant("timeout-is-life", "the moment an entry timed out is taken for the end (EXP-1)", "noon", "records", False,
        Patch("capture/timeouts.py", "Timeouts._present", "seconds[state] = A", "seconds[state] = 0")),
    Mutant("dropped-uncounted", "what the kernel dropped is counted nowhere", "burst", "losses", True,
        Patch("recorder/streams.py", "Streams.lost", 'values["lost: overrun"] += A', 'values["overruns"] += A')),
    Mutant("connection-uncounted", "one in fifty is kept and not counted", "noon", "counted", True,
        Patch("recorder/fast_path.py", "FastPath._run", 'self._values["connections"] += A',
            'self._values["connections"] += A and at % 50 > 0')),
    Mutant("reboot-for-free", "a boot goes on with the day and spends nothing (ANON-5)", "reboots", "ledger", False,
        Patch("summary/ledger.py", "Ledger.start", 'values["spent"] += A', 'values["spent"] += 0')),
    Mutant("tokens-too-often", "a token every five hours (ANON-6)", "two days", "ledger", True,
        Patch("summary/ledger.py", "", "HOURS_A_TOKEN = A", "HOURS_A_TOKEN = A - 1")),
    Mutant("steady-pings", "PINGREQ comes at steady moments, which show the processor's load (ANON-4)", PINGS, "pings",
        True, Patch("outbox/jitter.py", "ping", "drawn(A, B)", "0")),
    Mutant("free-token", "each factory reset gives a token: no ledger is a new one (ANON-6)", SPENDING, "spending",
        True,
        Patch("summary/ledger.py", "Ledger.__init__",
            'values["version"], values["tokens"], values["high_water"] = A, B, C',
            'values["version"], values["tokens"], values["high_water"] = A, B if files.exists(path) else 1, C')),
    Mutant("old-ledger-believed", "a ledger from a backup is gone on with (ANON-5)", SPENDING, "spending", True,
        Patch("summary/ledger.py", "Ledger.__init__", "self._marks and A and B", "True")),
    Mutant("trust-at-once", "one confirmation of the time is enough (EXP-5)", "noon", "ledger", False,
        Patch("base/clock.py", "Clock.confirm", "self._first = A",
            "self.trusted, self._confirmed = True, wall - monotonic")),
    Mutant("trust-survives-a-step", "a step of more than a day is believed (EXP-5)", "steps", "cells", False,
        Patch("base/clock.py", "Clock.tick", "strayed = A", "strayed = False")),
    Mutant("spool-without-bound", "the spool is never trimmed", "outage", "bounded", True,
        Patch("outbox/spool.py", "Spool.trim", "total <= self._octets and A", "total")),
    Mutant("address-in-log", "the log says whom the recorder learned of (L34-II-5)", "noon", "private", True,
        Patch("capture/lan.py", "Lan.neighbour", "self._holders.learn(address, mac, A, quiet=quiet)",
            "[print(mac, file=__import__('sys').stderr), self._holders.learn(address, mac, A, quiet=quiet)]")),
    Mutant("message-edited", "the forwarder shortens what it sends (ANON-4)", "noon", "delivered", False,
        Patch("forwarder/forwarder.py", "Forwarder._publish", "client.publish(A, text)",
            "client.publish(A, text.rstrip())")),
    Mutant("removed-before-sent", "a message of the eleventh slot is removed and not sent", "noon", "delivered", True,
        Patch("forwarder/forwarder.py", "Forwarder._publish", "client.publish(A, text)",
            'name.endswith("-10") or client.publish(A, text)')),
    Mutant("slow-is-sent-again", "an acknowledgement that takes half a second is taken for none", "far", "delivered",
        True,
        Patch("forwarder/forwarder.py", "Forwarder._publish", "client.publish(A, text)",
            "[client.publish(A, text), self._source.monotonic() - monotonic > 500000000 and client.publish(A, text)]")),
    Mutant("network-socket", "the recorder holds a network socket (L34-VI-2)", "noon", "separation", True,
        Patch("recorder/recorder.py", "Recorder.__init__", "self.log = log",
            "import socket\nself.log, self.held = log, socket.socket(socket.AF_INET, socket.SOCK_STREAM)")),
    Mutant("line-without-its-former", "a line of the audit log doesn't cover the one before (L34-VI-3)", "noon", "acts",
        True, Patch("audit/chain.py", "seal", "head + text", "text")),
    Mutant("withdrawal-not-noted", "that somebody withdrew is left out of the audit log (L34-VI-3)", "guests", "acts",
        True,
        Patch("purposes/consent/consented.py", "Consented._withdraw", 'self._note("consent", "withdrawn", by)',
            "None")),
    Mutant("port-of-the-terminal", "`attribution` writes the port before translation (L34-III-2)", "guests",
        "attribution", True,
        Patch("purposes/attribution/attribution.py", "Attribution._part", "port, user = A, B",
            "port, user = connection.source_port, B")),
    Mutant("attributes-what-stays", "`attribution` records what never left the venue (L34-III-2)", "guests",
        "attribution", True,
        Patch("purposes/deferred_purposes.py", "DeferredPurposes._attribute",
            "public == source and A and is_private(source)", "False")),
    Mutant("more-than-its-fields", "`attribution` writes an octet more than its fields (L34-III-3)", "guests",
        "attribution", True, Patch("purposes/attribution/record.py", "pack", "return out", 'return out + b"\\0"')),
    Mutant("custodian-never-syncs", "what a custodian's store writes isn't synced (EXP-6)", "cuts", "attribution", True,
        Patch("purposes/custodian/flash_folder.py", "FlashFolder.sync", "files.sync(A)", "None")),
    Mutant("stepped-is-believed", "a clock that was set is believed before it is confirmed (L34-II-4)", "examiners",
        "answers", True, Patch("purposes/believed_time.py", "BelievedTime.tick", "trusted = trusted and A", "pass")),
    Mutant("user-and-mac", "`billing` joins user and MAC (L34-IV-2)", "guests", "billing", True,
        Patch("purposes/billing/billing.py", "Billing.session", "user[:size]",
            'user[:size] + (b" %d" % mac[5] if size else b"")')),
    Mutant("billed-twice", "a session is written twice (L34-IV-2)", "guests", "billing", True,
        Patch("purposes/billing/billing.py", "Billing._end", "self._append(A, B)",
            "(self._append(A, B), self._append(A, B))[1]")),
    Mutant("key-stays-on-the-device", "the key of a custodian's segment isn't overwritten (EXP-3)", "guests", "custody",
        True,
        Patch("purposes/custodian/segment_writer.py", "SegmentWriter._open", "self._sodium.zero(slot.key, A)", "None")),
    Mutant("readable-after-withdrawal", "a withdrawal leaves the keys of what was kept (L34-V-4)", "guests", "consents",
        True, Patch("purposes/consent/consent_ring.py", "ConsentRing.destroy", "self._keys.destroy(A)", "None")),
    Mutant("follows-who-suspended", "a suspended consent still allows (L34-V-4)", "guests", "consents", False,
        Patch("purposes/consent/consents.py", "Consents.active", "state == ACTIVE", "state in (ACTIVE, SUSPENDED)")),
    Mutant("back-fill", "what began before a consent is kept too (L34-V-4)", "guests", "consents", True,
        Patch("purposes/consent/by_consent.py", "ByConsent.connection", "connection.start <= A", "False")),
    Mutant("stay-from-before", "a stay begins before the terminal came (L34-V-1)", "guests", "stays", True,
        Patch("purposes/location/stays.py", "Stays.move", "struct.pack_into(A, B, C, 1, D, E, F, now)",
            "struct.pack_into(A, B, C, 1, D, E, F, now - 600)")),
    Mutant("no-bound-for-a-mac", "one terminal takes the places of the others' associations (L34-I-2)", "addresses",
        "records", True,
        Patch("capture/address_table.py", "AddressTable._may_have_another", "count < ADDRESSES", "True")),
    Mutant("known-from-before", "who holds an address now is named for what began before anybody listened (L34-I-2)",
        "crashes", "records", True,  # nor is a second the most
        Patch("capture/address_table.py", "AddressTable.find", "connection.start < self.begun",
              "globals().update(_NOTICE=_EVER)")),
    Mutant("younger-start", "a start's stamp is read as the younger of two that it may be (EXP-1)", "steps back",
        "expired", False,
        Patch("base/time_lines.py", "TimeLines.restate", "begun + present",
            "min(begun + self.doubt, oldest) + present")),
    Mutant("connections-remembered", "what the kernel told stays in the recorder's memory (EXP-1)", "looks",
        "forgotten", True,
        Patch("recorder/fast_path.py", "FastPath.one", "handed.take(buffer, length)",
            "(self.__dict__.setdefault('told', []).append(bytes(buffer[:length])), handed.take(buffer, length))[1]")),
    Mutant("rows-at-home", "what somebody looks at is read in the recorder's own memory (EXP-1)", "looks", "forgotten",
        True,
        Patch("recorder/right_of_access.py", "RightOfAccess.look", "self._lines(mac)",
            "iter([line for line in self._lines(mac) if __import__('json').dumps(line)])")),
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: the checks that found it, the simulated hours until the first did, real seconds."""

    mutant: Mutant
    caught_by: tuple[str, ...]
    hours: float
    wrong: str
    seconds: float

    @property
    def caught(self) -> bool:
        """Whether the check that must find it did, and no other where it says so."""
        return self.mutant.check in self.caught_by and (not self.mutant.only or self.caught_by == (self.mutant.check,))


def small_scenario(name: str, folder: Path) -> scenarios.Scenario:
    """Return a small scenario by its name; its file goes to `folder`."""
    path = folder / f"{name.replace(' ', '-')}.toml"
    path.write_text(SMALL_SCENARIOS[name])
    return scenarios.load(str(path))


def judge(
    mutant: Mutant | None, interpreter: str, name: str = "", seed: int = SEED, halt: threading.Event | None = None
) -> Verdict | tuple[str, ...]:
    """Let a mutant live in its scenario; without one, the agent as it is, of which the failing checks are returned.

    `halt` ends it.
    """
    began = time.monotonic()

    def look(_wall: int, _connections: int) -> None:
        if halt and halt.is_set():
            raise SimulationError("ended")

    with tempfile.TemporaryDirectory(prefix="oubli-sim-mutant-") as temporary:
        folder = Path(temporary)
        if mutant:
            patched(mutant.patch, folder)
        if mutant and mutant.scenario == CUTS:
            return Verdict(mutant, *_cut(folder, interpreter), time.monotonic() - began)
        if mutant and mutant.scenario == SPENDING:
            return Verdict(mutant, *_found(folder, "spending", HISTORIES), time.monotonic() - began)
        if mutant and mutant.scenario == PINGS:
            return Verdict(mutant, *_found(folder, "pings", BLOCKS), time.monotonic() - began)
        scene = small_scenario(mutant.scenario if mutant else name, folder)
        try:
            outcome = Simulation(
                scene, seed, interpreter, None, look, agent=folder if mutant else None, stop=False
            ).run()
        except SimulationError as failure:
            if mutant is None:
                raise
            return Verdict(mutant, ("ended",), 0.0, str(failure), time.monotonic() - began)
    found = tuple(finding.name for finding in outcome.findings if not finding.holds)
    if mutant is None:
        return found
    first = outcome.violation
    hours = (first.wall - scene.start) / 3.6e12 if first else 0.0
    return Verdict(mutant, found, hours, first.wrong if first else "", time.monotonic() - began)


def _cut(folder: Path, interpreter: str) -> tuple[tuple[str, ...], float, str]:
    words = [*command(interpreter), "-m", "host_sim.faults.cuts", str(SEED), str(ROUNDS)]
    done = subprocess.run(words, cwd=folder, env=environment(folder), capture_output=True, text=True, check=True)
    said = dict(json.loads(done.stdout))
    wrong = [kind for kind in said if kind not in {"cuts", "operations", "programmed", "syncs"}]
    return (("cuts",) if wrong else ()), 0.0, wrong[0] if wrong else ""


def _found(folder: Path, module: str, count: int) -> tuple[tuple[str, ...], float, str]:
    """Let one of the simulator's modules look for what it is made to find."""
    words = [sys.executable, "-m", f"host_sim.privacy.{module}", str(SEED), str(count)]
    done = subprocess.run(words, cwd=folder, env=environment(folder), capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return ((module,) if found else ()), 0.0, str(found) if found else ""


def trial(mutants: Iterable[Mutant], interpreter: str, workers: int) -> Iterator[Verdict]:
    """Judge mutants, some at once; yields in their order."""
    halt = threading.Event()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for verdict in pool.map(lambda one: judge(one, interpreter, halt=halt), mutants):
                if isinstance(verdict, Verdict):
                    yield verdict
        except BaseException:  # whatever it is, those that run are ended, and what they made is removed
            halt.set()
            pool.shutdown(cancel_futures=True)
            raise
