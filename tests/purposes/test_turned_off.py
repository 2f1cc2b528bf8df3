# SPDX-License-Identifier: Apache-2.0
"""A sealed purpose that was turned off: requests reach what is left, nothing comes to it, all goes at its term."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from agent.purposes.deferred_purposes import DeferredPurposes
from tests.purposes.test_requests import AGENTS, COMMON, DISPUTE, GATEWAY, SCOPE, document
from tests.support.keyholder import TODAY, Custodian, at
from tools.custodian import answers, handovers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.interpreters import Interpreter, Remote

pytestmark = pytest.mark.needs("root")
SECOND, MINUTE, HOUR, DAY = 1_000_000_000, 60, 3600, 86400
NOON = TODAY * DAY + 12 * HOUR
LIFETIME = 30  # days
CONFIG = f"""config gateway
 option id '{GATEWAY}'
 option duty 'oubli'
config mqtt
 option host '127.0.0.1'
config summary
 option enabled '0'
 option rows '64'
config purpose 'attribution'
 option enabled '%(on)d'
 option ground '%(ground)s'
 option reference 'x'
 option budget '9000000'
 option lifetime '%(days)dd'
config purpose 'billing'
 option enabled '%(on)d'
 option lifetime '%(days)dd'
 option budget '9000000'
"""
CLIENTS = """{
"client_list_length":"1",
"clients":{
"02:00:00:00:00:01":{
"mac":"02:00:00:00:00:01",
"state":"Authenticated",
"custom":"Wm/DqQ==",
}
}
"""  # openNDS's list; its user is Zoé
PORT, MAC = 20012, "020000000001"


class Gateway:
    """A recorder of an interpreter, at `now` s since the epoch, whose custodian has keys for sixty days."""

    def __init__(self, stage: Remote, root: Path) -> None:
        self.stage, self.root, self.custodian = stage, root, Custodian()
        self.now, self.boots, self.number, self.ahead = NOON, 0, 0, 0
        (root / "etc/oubli").mkdir(parents=True)
        (root / "etc/oubli/agents").write_text(AGENTS.file(0, 1))
        (root / "etc/oubli/custodian.pub").write_text(self.custodian.anchor)
        for path in (root / "etc", root / "etc/oubli", root / "etc/oubli/agents", root / "etc/oubli/custodian.pub"):
            path.chmod(path.stat().st_mode & 0o755)
        rows = self.custodian.rows(TODAY - 1, 35, LIFETIME) + self.custodian.rows(TODAY - 1, 35, LIFETIME, "billing")
        (root / "srv/oubli/bundles").mkdir(parents=True)
        (root / "srv/oubli/bundles/1").write_bytes(self.custodian.sign(TODAY, rows))
        (root / "srv/oubli-root").mkdir()
        (root / "srv/oubli-root/store-attribution").write_text("\nIIbis-3\n")  # as the service does while it is on
        self.configure()
        self.boot()

    def configure(self, *, on: bool = True, ground: str = "IIbis-3", days: int = LIFETIME) -> None:
        """Write a configuration, in force from the next start on."""
        (self.root / "oubli").write_text(CONFIG % {"on": on, "ground": ground, "days": days})

    def boot(self) -> None:
        """Switch the gateway on: nothing but flash is left."""
        shutil.rmtree(self.root / "var", ignore_errors=True)
        self.boots += 1
        self.since = self.now - MINUTE
        self.start()

    def start(self) -> None:
        """Start the recorder in this boot; after ten minutes its clock is believed."""
        times = (self.now + self.ahead) * SECOND, (self.now - self.since) * SECOND
        self.stage("recorder_open", str(self.root / "oubli"), str(self.root), f"{self.boots:032x}", *times, "")
        self.do(["listed"])
        self.believe()

    def believe(self) -> None:
        """Let the time service confirm the clock twice."""
        self.do(["confirm"])
        self.pass_by(11 * MINUTE)
        self.do(["confirm"])

    def do(self, *steps: list[Any]) -> dict[str, Any]:
        return self.stage("recorder", [*steps])["status"]

    def pass_by(self, seconds: int) -> None:
        """Let time pass; the recorder looks at it each hour."""
        while seconds > 0:
            self.now += min(seconds, HOUR)
            seconds -= HOUR
            self.do(["time", (self.now + self.ahead) * SECOND, (self.now - self.since) * SECOND])

    def turn(self, *, on: bool, **more: Any) -> None:
        """Turn both purposes on or off, and start the recorder with that."""
        self.stage("recorder_close")
        self.configure(on=on, **more)
        self.now += 5
        self.start()

    def connect(self) -> int:
        """Let a connection of a minute be kept, with marks around it; returns when it began."""
        self.pass_by(MINUTE)
        start = self.now + self.ahead
        self.pass_by(2 * MINUTE)
        row = [6, "cb007102", PORT, PORT, "c0a8010a", MAC, b"Zo\xc3\xa9".hex(), start, start + MINUTE, True]
        assert self.stage("keep", [row]) == ["kept"]
        self.stage("vouch")
        return start

    def ask(self, start: int, **fields: str) -> dict[str, Any]:
        """Run a request about half a minute from `start`; returns what the recorder says."""
        self.number += 1
        now = self.now + self.ahead
        times = start, start + 30, now, now + DAY
        shown = [datetime.fromtimestamp(one, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for one in times]
        made = COMMON | SCOPE | dict(zip(("from", "until", "issued", "expires"), shown, strict=True)) | fields
        if "subject" in made:
            made = {name: made[name] for name in made if name not in SCOPE}
        number = made["number"] = f"{self.number:032x}"
        said: dict[str, Any] = self.stage("run", AGENTS.sign(document(made), 0, 1), number)
        return said

    def answer(self, start: int, **fields: str) -> answers.Answer:
        """Run a request, and let the custodian answer it."""
        said = self.ask(start, **fields)
        assert "error" not in said, said
        key = bytes.fromhex(self.stage("ask", "request identity", {})["key"])
        read = handovers.read(Path(said["export"]), AGENTS.of_all(), {key: GATEWAY})
        return answers.answer(read, self.key)

    def key(self, _store: str, day: date, destroy: date) -> Any:
        return self.custodian.keys[(day - at(0)).days] if at(self.now // DAY) < destroy else None

    def there(self, store: str = "attribution") -> list[str]:
        return self.stage("held", store)


@pytest.fixture
def gateway(interpreter: Interpreter, remotes: Callable[..., Remote], tmp_path: Path) -> Gateway:
    """Give one that is on, and its interpreter."""
    return Gateway(remotes(interpreter.name, "tests.support.turned_off_stage"), tmp_path)


def test_a_request_reaches_what_was_kept_before_it_was_turned_off(gateway: Gateway) -> None:
    """L34-II-4, GDPR art. 15: an authority's and the person's; of the time before, and of that alone."""
    start = gateway.connect()
    gateway.turn(on=False)
    made = gateway.answer(start)
    assert (made.result, [row["terminal_mac"] for row in made.rows]) == (answers.HELD, ["02:00:00:00:00:01"])
    person = {"purpose": "access", "ground": "RGPD", "authority_kind": "person", "basis": "RGPD 15"}
    assert gateway.answer(start, **person, subject="user:Zoé").rows[0]["portal_user"] == "Zoé"
    assert gateway.ask(start, ground="L336-3", authority_kind="arcom", basis="CPI L331-12")["error"].endswith("IIbis-3")
    gateway.pass_by(DAY)
    off = gateway.answer(gateway.now - HOUR)  # while it was off: not known, and no "nothing held"
    assert (off.result, off.rows) == (answers.NOT_KNOWN, [])
    assert gateway.answer(start).rows == made.rows
    dispute = {"purpose": "billing", "subject": "user:Zoé", **DISPUTE}
    assert "export" in gateway.ask(start, **dispute)
    shown = gateway.do()["requests"]  # the operator sees by number what was handed over, of what is off, too
    assert {row["purpose"] for row in shown} == {"attribution", "billing"}
    assert {*shown[0]} == {"number", "purpose", "since", "until"}
    gateway.stage("recorder_close")


ANSSI = {"ground": "STAD", "authority_kind": "anssi", "basis": "CDef L2321-1"}


def test_a_request_is_run_on_the_ground_that_root_noted(gateway: Gateway) -> None:
    """L34-III-1: the section is gone, or says another ground since; a note that can't be read accepts none."""
    start = gateway.connect()
    path, note = gateway.root / "oubli", gateway.root / "srv/oubli-root/store-attribution"
    changed = CONFIG % {"on": False, "ground": "IIbis-3", "days": LIFETIME}
    tomorrow = at(TODAY + 1)
    for config, text, accepted in (
        ("", "\nSTAD\n", "STAD"), (changed, "\nSTAD\n", "STAD"), ("", "\nIIbis-3\n", "IIbis-3"),
        ("", "", ""), ("", None, ""), (changed, None, ""),
        ("", f"\n{at(TODAY)} STAD\nIIbis-3\n", "IIbis-3"), ("", f"\n{tomorrow} STAD\nIIbis-3\n", "STAD"),
        (CONFIG % {"on": True, "ground": "IIbis-3", "days": LIFETIME}, f"\n{tomorrow} STAD\nIIbis-3\n", "STAD"),
    ):  # fmt: skip
        gateway.stage("recorder_close")
        path.write_text(config or CONFIG.partition("config purpose")[0] % ())
        note.unlink(missing_ok=True)
        if text is not None:
            note.write_text(text)
        gateway.now += 5
        gateway.start()
        for own in ({}, ANSSI):
            said = gateway.ask(start, **own)
            assert ("error" not in said) == (own.get("ground", "IIbis-3") == accepted)
            assert accepted in said.get("error", accepted)
            assert accepted or said["error"].endswith("accepted: what root notes of it")
        person = {"purpose": "access", "ground": "RGPD", "authority_kind": "person", "basis": "RGPD 15"}
        assert "export" in gateway.ask(start, **person, subject="user:Zoé")
    gateway.stage("recorder_close")


def test_nothing_comes_to_it_and_all_of_it_goes_at_its_term(gateway: Gateway) -> None:
    """L34-II-1, EXP-1: no connection, no portal's word, no mark; a lifetime that was shortened holds for it too."""
    start = gateway.connect()
    (portal := gateway.root / "var/run/oubli-portal/clients").parent.mkdir(exist_ok=True)
    for on in (True, False):
        if not on:
            gateway.turn(on=False)
        portal.write_text(CLIENTS + "\n" * on)  # another size: another list
        for _ in range(9):
            gateway.pass_by(1)
        assert gateway.stage("told") == [int(on), int(on)]
    assert "is on" in gateway.stage("ask", "session", {"terminal": "02:00:00:00:00:01", "user": "Zoé"})["error"]
    before = gateway.there()
    assert before
    gateway.stage("vouch")
    gateway.pass_by(2 * DAY)
    assert gateway.there() == before
    handed = Path(gateway.ask(start)["export"])
    assert handed.exists()
    gateway.turn(on=False, days=4)
    assert "error" not in gateway.ask(start)
    gateway.pass_by(DAY)
    assert gateway.there() == before
    gateway.pass_by(DAY)
    assert gateway.there() == []
    assert not handed.exists()  # its request has expired
    assert gateway.answer(start).result == answers.NOT_KNOWN
    gateway.stage("recorder_close")


def test_what_waits_for_a_medium_that_is_away_goes_at_the_start_that_finds_it_off(gateway: Gateway) -> None:
    """EXP-1, EXP-6: no store has it then, so no deadline would end it, and no paper tells of it."""
    gateway.stage("recorder_close")
    (gateway.root / "srv/oubli-root/store-attribution").write_text("/mnt/usb\nIIbis-3\n")
    (gateway.root / "mnt").mkdir()  # nothing is mounted there
    for on in (True, False):
        gateway.configure(on=on)
        file = gateway.root / "oubli"
        file.write_text(file.read_text().replace("option ground", "option storage '/mnt/usb'\n option ground"))
        gateway.start()
        if on:
            gateway.connect()
            waits = gateway.root / "var/run/oubli/vault/attribution/chunks"
            assert bytes.fromhex(MAC) in waits.read_bytes()
            gateway.stage("recorder_close")
    assert not waits.exists()


def test_on_and_off_again_leaves_what_was_kept_each_time(gateway: Gateway) -> None:
    """L34-II-4: an hour off lies between two that are on; over a boot as well."""
    first = gateway.connect()
    gateway.turn(on=False)
    gateway.pass_by(HOUR)
    between = gateway.now - HOUR // 2
    gateway.turn(on=True)
    second = gateway.connect()
    gateway.turn(on=False)
    gateway.boot()
    assert [len(gateway.answer(start).rows) for start in (first, second)] == [1, 1]
    made = gateway.answer(between)
    assert (made.result, made.rows) == (answers.NOT_KNOWN, [])
    gateway.stage("recorder_close")


@pytest.mark.parametrize(("ahead", "boots"), [(20 * MINUTE, False), (3 * HOUR, True)])
def test_a_time_that_is_contradicted_while_it_is_off_names_nobody(gateway: Gateway, ahead: int, boots: bool) -> None:
    """L34-II-4: the clock that dated a record ran ahead; that shows only after the purpose was turned off.

    Nothing is kept of it beyond the record's own day.
    """
    gateway.stage("recorder_close")
    gateway.ahead = ahead
    gateway.boot()
    gateway.pass_by(2 * HOUR)
    start = gateway.connect()
    days = {name[:10] for name in gateway.there()}
    assert days == {str(at(TODAY))}
    gateway.stage("recorder_close")
    gateway.configure(on=False)
    gateway.ahead = 0
    if boots:
        shutil.rmtree(gateway.root / "var")
        gateway.boots += 1
        gateway.since = gateway.now - MINUTE
    gateway.start()
    gateway.pass_by(4 * HOUR)
    gateway.believe()
    made = gateway.answer(start)
    assert (made.result, made.rows) == (answers.NOT_KNOWN, [])
    assert {name[:10] for name in gateway.there()} == days
    gateway.stage("recorder_close")


def test_a_clock_that_is_set_back_day_after_day_makes_it_last_no_longer(gateway: Gateway) -> None:
    """L34-VI-4: what is written while it is off stands in a day that has something, and goes with that."""
    gateway.connect()
    before = {name[:10] for name in gateway.there()}
    gateway.turn(on=False)
    for _ in range(3):
        gateway.pass_by(DAY)
        gateway.ahead -= 3
        gateway.pass_by(MINUTE)
        gateway.believe()
        gateway.pass_by(HOUR)
    assert {name[:10] for name in gateway.there()} == before
    gateway.stage("recorder_close")


def test_below_a_second_nat_the_recorder_starts_where_it_is_off() -> None:
    """L34-II-4: what would be kept there may be somebody else's, and nothing is."""
    made: Any = object.__new__(DeferredPurposes)
    made._lan = SimpleNamespace(behind=True)
    for section, refused in ((None, False), (SimpleNamespace(upstream_nat=""), True)):
        made._section = section
        assert (made.suspended, bool(made.refusal())) == (True, refused)


def test_an_order_erases_it_by_its_name(gateway: Gateway) -> None:
    """L34-II: what is off and still there, its handovers too; nothing else."""
    start = gateway.connect()
    gateway.turn(on=False)
    handed = Path(gateway.ask(start)["export"])
    assert gateway.stage("ask", "erase", {"purpose": "location"})["error"] == (
        "purpose isn't kept; accepted: all, attribution, billing, security"
    )
    assert gateway.stage("ask", "erase", {"purpose": "attribution"})["erased"] > 0
    assert gateway.there() == []
    assert not handed.exists()
    gateway.stage("recorder_close")
