# SPDX-License-Identifier: Apache-2.0
"""What is forged in a custodian's folders without his passphrase is counted nowhere (L34-II-4, L34-III-4)."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from nacl.public import PublicKey, SealedBox
from typer.testing import CliRunner

from agent.purposes.attribution import record as attribution
from tests.custodian.test_answers import (
    DAY,
    MIDNIGHT,
    OTHER_MAC,
    PUBLIC,
    SIGNED,
    TEN,
    Gateway,
    at,
    connection,
    gateway,
    give_keys,
    noon,
)
from tests.purposes.test_requests import AGENTS, COMMON, GATEWAY, document, freeze
from tools import clock
from tools.custodian import destruction, freezes, register, segments
from tools.custodian.__main__ import app
from tools.custodian.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

__all__ = ["gateway", "noon"]
PASSPHRASE = b"correct horse battery"
NUMBER = COMMON["number"]


class Office:
    """A custodian's key store that has a gateway's keys, and the commands as people run them."""

    def __init__(self, gateway: Gateway, folder: Path) -> None:
        self.gateway, self.folder, self.keys = gateway, folder, folder / "keys"
        (folder / "secret").write_bytes(PASSPHRASE + b"\n")
        (folder / "secret").chmod(0o600)
        (folder / "agents").write_text(AGENTS.file())
        Store.make(self.keys, PASSPHRASE, operations=1, octets=8192)
        give_keys(gateway, self.keys)
        gateway.keep(connection(20012, TEN + 60, TEN + 70, user=b"room 12"))

    def run(self, *words: object, status: int = 0) -> Result:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == status, done.output
        if status == 2:
            assert (len(done.stderr.splitlines()), done.stderr.count("; accepted: ")) == (1, 1)
        return done

    def hand(
        self, verb: str, handover: Path, out: str, *more: object, keys: Path | None = None, status: int = 0
    ) -> Result:
        """Run `answer` or `freeze` with a handover."""
        (self.folder / "gateways").write_text(
            "".join(f"{key.hex()} {name}\n" for key, name in self.gateway.gateways.items())
        )
        words = [
            "--store",
            keys or self.keys,
            "--agents",
            self.folder / "agents",
            "--gateways",
            self.folder / "gateways",
        ]
        return self.run(
            verb,
            handover,
            *words,
            "--out",
            self.folder / out,
            "--passphrase-file",
            self.folder / "secret",
            *more,
            status=status,
        )

    def verified(self, status: int) -> str:
        return self.run(
            "verify", "--store", self.keys, "--passphrase-file", self.folder / "secret", status=status
        ).output


@pytest.fixture
def office(gateway: Gateway, tmp_path: Path) -> Office:
    return Office(gateway, tmp_path)


def sealed(office: Office, head: dict[str, Any], record: attribution.Record) -> bytes:
    """Return what anybody can seal who knows an order's public key, which lies in the clear in the store."""
    public = json.loads((office.keys / f"keys/freeze/{head['keep_until']}.json").read_text())["public"]
    data, told = attribution.pack(record), json.dumps(head).encode()
    box = SealedBox(PublicKey(bytes.fromhex(public))).encrypt(bytes([len(data)]) + data)
    return freezes.MAGIC + len(told).to_bytes(4, "big") + told + box


def test_a_frozen_file_that_the_custodian_did_not_sign_names_nobody(office):
    """A box that is sealed to the order's key has no author; a head that was changed has none either."""
    office.hand("freeze", office.gateway.hand_over(AGENTS.sign(freeze(), 0, 1)), "frozen")
    data = (office.folder / "frozen").read_bytes()
    head = json.loads(data[12 : 12 + int.from_bytes(data[8:12], "big")])
    victim = attribution.Record(
        6, PUBLIC, 20012, 20012, bytes([192, 168, 1, 77]), OTHER_MAC, TEN + 100, TEN + 120, b"victim"
    )
    forged = sealed(office, head, victim)
    another = data.replace(GATEWAY.encode(), b"x" * len(GATEWAY), 1)
    handover = office.gateway.hand_over(AGENTS.sign(document(number="ab" * 16), 0, 1))
    for name, wrong in (
        ("box", forged),
        ("signed as another", forged + data[-64:]),
        ("head", another),
        ("cut", data[:-1]),
    ):
        path = office.folder / f"frozen {name}"
        path.write_bytes(wrong)
        assert (
            "not signed by this custodian"
            in office.hand("answer", handover, "answer", "--frozen", path, status=2).stderr
        )
        assert not (office.folder / "answer").exists()
    office.hand("answer", handover, "answer", "--frozen", office.folder / "frozen")
    assert "victim" not in (office.folder / "answer/answer.csv").read_text()


@pytest.mark.parametrize("gone", [True, False], ids=["destroyed", "due"])
def test_a_store_whose_own_key_is_destroyed_says_nothing_of_another_s(office, monkeypatch, gone):
    """EXP-3: the segment says that its key lives for a month.

    A store that has destroyed its own of that day is the wrong one.
    """
    wrong, begun = office.folder / "wrong", datetime.fromtimestamp(MIDNIGHT - DAY, UTC)
    Store.make(wrong, PASSPHRASE, operations=1, octets=8192, now=begun)
    Store(wrong, PASSPHRASE, begun).bundle(at(MIDNIGHT // DAY - 1), 4, {"attribution": 1})
    handover = office.gateway.hand_over(SIGNED)
    later = datetime.fromtimestamp(MIDNIGHT + DAY + 7200, UTC)
    if gone:
        destruction.destroy_due(Store(wrong, None, later))
    monkeypatch.setattr(clock, "now", lambda: later)
    alive = segments.read(next(iter(office.gateway.read(handover).segments.values()))).destroy
    assert alive > later.date()
    said = office.hand("answer", handover, "answer", keys=wrong, status=2).stderr
    assert f"this was sealed to a key of {alive}" in said
    assert not (office.folder / "answer").exists()
    assert not (wrong / register.NAME).read_text()
    name = f"{at(MIDNIGHT // DAY)}-0001"
    path = next(office.folder.glob(f"flash/attribution/{name}"))
    opened = office.run("open", path, "--store", wrong, "--passphrase-file", office.folder / "secret", status=1).stdout
    assert "destroyed here" in opened


def test_a_log_that_lines_were_taken_out_of_answers_nothing_twice(office):
    """Its beginning and its end are whole, and the register was cut alike: the hole shows."""
    office.hand("answer", office.gateway.hand_over(SIGNED), "one")
    office.run("destroy-due", "--store", office.keys)
    log, book = office.keys / "log", office.keys / register.NAME
    log.write_text(
        "".join(
            line
            for line in log.read_text().splitlines(keepends=True)
            if json.loads(line)["act"] not in ("answer", "entered")
        )
    )
    book.write_text("")
    office.gateway.keep(connection(20012, TEN + 80, TEN + 90, OTHER_MAC, user=b"somebody else"))
    said = office.hand("answer", office.gateway.hand_over(SIGNED), "two", status=2).stderr
    assert f"{log}: log line 2: doesn't follow the line before" in said
    assert not (office.folder / "two").exists()
    for verb in (("register",), ("compensation", "--from", "2027-01-01", "--to", "2027-12-31")):
        office.run(*verb, "--store", office.keys, status=2)
    assert "doesn't follow" in office.verified(1)


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("first", [False, True])
def test_lines_that_the_store_s_log_has_not_are_not_counted(office, count, first):
    """They are chained rightly, which anybody can do; the State would be billed for them."""
    if first:
        office.hand("answer", office.gateway.hand_over(SIGNED), "one")
    book = office.keys / register.NAME
    lines = book.read_text().splitlines() if first else []
    for number in range(count):
        row: dict[str, Any] = dict.fromkeys(register.COLUMNS, "x") | {
            "day": "2027-01-16",
            "kind": "answer",
            "authority_kind": "judicial",
            "result": "held",
        }
        row |= {
            "records": 1,
            "number": f"{number:032x}",
            "previous": hashlib.sha256(lines[-1].encode()).hexdigest() if lines else "",
        }
        lines.append(json.dumps(row))
    book.write_text("".join(f"{line}\n" for line in lines))
    for verb in (("register",), ("compensation", "--from", "2027-01-01", "--to", "2027-12-31")):
        assert (
            f"line {1 + first} isn't in the store's log" in office.run(*verb, "--store", office.keys, status=2).stderr
        )
    office.hand("answer", office.gateway.hand_over(AGENTS.sign(document(number="ab" * 16), 0, 1)), "two", status=2)
    assert len(book.read_text().splitlines()) == count + first
    assert "isn't in the store's log" in office.verified(1)


def test_a_line_that_comes_while_a_request_is_answered_is_not_entered(office, monkeypatch):
    """Between the check and the lock: only what the log announced is taken for the work of a loss of power."""
    book, checked = office.keys / register.NAME, register.entries

    def slow(store: Store) -> list[dict[str, Any]]:
        found = checked(store)
        if not book.exists():
            book.write_text(json.dumps(dict.fromkeys(register.COLUMNS, "x") | {"previous": ""}) + "\n")
        return found

    monkeypatch.setattr(register, "entries", slow)
    said = office.hand("answer", office.gateway.hand_over(SIGNED), "one", status=2).stderr
    assert "line 1 isn't in the store's log" in said
    assert "entered" not in (office.keys / "log").read_text()


def test_a_line_that_power_was_lost_behind_is_the_log_s(office):
    """The log said what was about to be written, so it is counted and entered.

    A line of the same place that isn't that one is neither.
    """
    office.hand("answer", office.gateway.hand_over(SIGNED), "one")
    log, book = office.keys / "log", office.keys / register.NAME
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))
    assert json.loads(log.read_text().splitlines()[-1])["act"] == "answer"
    assert len(register.entries(Store(office.keys, None))) == 1
    whole = book.read_text()
    book.write_text(whole.replace(NUMBER, "cd" * 16))
    assert "line 1 isn't in the store's log" in office.run("register", "--store", office.keys, status=2).stderr
    book.write_text(whole)
    office.hand("answer", office.gateway.hand_over(SIGNED), "two")
    assert json.loads(log.read_text().splitlines()[-2])["act"] == "entered"
    office.verified(0)


@pytest.mark.parametrize("what", ["a folder", "a file", "a link", "one more file"])
def test_what_somebody_put_beside_the_place_is_not_given_the_answer_s_name(office, what):
    """The answer was given; where it would wait for its name after a loss of power lies something else."""
    handover = office.gateway.hand_over(SIGNED)
    office.hand("answer", handover, "one")
    beside, place = office.folder / f".two.{NUMBER}", office.folder / "two"
    if what == "a file":
        beside.write_text("victim\n")
    elif what == "a link":
        beside.symlink_to(office.folder / "one")
    else:
        beside.mkdir()
        for path in (office.folder / "one").iterdir():
            (beside / path.name).write_bytes(path.read_bytes())
        (beside / ("answer.csv" if what == "a folder" else "more")).write_text("victim\n")
    assert "isn't what was made and entered" in office.hand("answer", handover, "two", status=2).stderr
    assert not place.exists()


@pytest.mark.parametrize("verb", ["answer", "freeze"])
def test_what_waits_for_its_name_gets_it_where_it_is_what_was_made(office, verb):
    """Power was lost behind the entry; and what waits for it isn't taken for it where an octet was changed."""
    handover = office.gateway.hand_over(SIGNED if verb == "answer" else AGENTS.sign(freeze(), 0, 1))
    office.hand(verb, handover, "one")
    place, beside = office.folder / "one", office.folder / f".one.{NUMBER}"
    place.rename(beside)
    changed = beside / "answer.csv" if verb == "answer" else beside
    whole = changed.read_bytes()
    changed.write_bytes(whole + b"x")
    assert "isn't what was made and entered" in office.hand(verb, handover, "one", status=2).stderr
    changed.write_bytes(whole)
    assert "is there now" in office.hand(verb, handover, "one").stdout
    assert (place / "answer.csv" if verb == "answer" else place).read_bytes() == whole
