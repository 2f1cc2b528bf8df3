# SPDX-License-Identifier: Apache-2.0
"""`oubli-custodian`: answers, negatives, freezes, register, from a real store's segments (L34-II-4, L34-III-4)."""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import json
import re
import secrets
import tarfile
from datetime import UTC, date, datetime, time, timedelta
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nacl.public import PrivateKey, SealedBox
from nacl.pwhash import argon2id
from nacl.signing import SigningKey, VerifyKey
from typer.testing import CliRunner

from agent.purposes import words
from agent.purposes.attribution import record as attribution
from agent.purposes.billing import record as billing
from agent.purposes.custodian.bundle import Bundle
from agent.purposes.custodian.custodian import Custodian
from agent.purposes.device_key import Signer
from agent.purposes.requests import executor, requests
from agent.purposes.requests.archive import Archive
from agent.purposes.requests.requests import Request
from agent.runtime import files
from agent.runtime.sodium import Sodium
from agent.vault.keys import KeyRing
from agent.vault.stores import parse_name
from tests.purposes.test_requests import AGENTS, COMMON, DISPUTE, GATEWAY, SCOPE, document, freeze
from tests.purposes.test_requests import billing as billing_document
from tools import clock
from tools.custodian import agents, answers, bundles, cover, destruction, freezes, handovers, matching, register
from tools.custodian import times as written_times
from tools.custodian.__main__ import app as custodian_app
from tools.custodian.handovers import HandoverError
from tools.custodian.own_keys import AgentError
from tools.custodian.staged import Staged
from tools.custodian.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = 86400
MIDNIGHT = 1_800_057_600  # 2027-01-16T00:00:00Z
TEN = MIDNIGHT + 36000  # the window's beginning: ten minutes long
PUBLIC = bytes([203, 0, 113, 2])
MAC, OTHER_MAC = bytes([2, 0, 0, 0, 0, 10]), bytes([2, 0, 0, 0, 0, 11])
EPOCH = date(1970, 1, 1)


@pytest.fixture(autouse=True)
def noon(monkeypatch):
    """Let it be noon of the day that is asked about."""
    monkeypatch.setattr(clock, "now", lambda: datetime.fromtimestamp(MIDNIGHT + DAY / 2, UTC))


def at(day: int) -> date:
    return EPOCH + timedelta(days=day)


class Gateway:
    """A gateway's two stores, real ones, and the custodian who holds their keys."""

    def __init__(self, root: Path, back: int = 3, lifetime: int = 30) -> None:
        self.root = root
        self.signing = SigningKey.generate()
        self.keys: dict[tuple[str, date], PrivateKey] = {}
        rows = []
        for purpose in ("attribution", "billing"):
            for day in range(MIDNIGHT // DAY - back, MIDNIGHT // DAY + 3):
                key = self.keys[purpose, at(day)] = PrivateKey.generate()
                rows.append(bundles.Row(purpose, at(day), bytes(key.public_key), at(day + lifetime)))
        (root / "bundles").mkdir()
        for first in range(MIDNIGHT // DAY - back, MIDNIGHT // DAY + 3, 30):
            some = [row for row in rows if at(first) <= row.day < at(first + 30)]
            (root / f"bundles/{first}").write_bytes(bundles.write(at(first), some, self.signing))
        (root / "custodian.pub").write_text(bytes(self.signing.verify_key).hex() + "\n")
        self.sodium = Sodium()
        files.make_folder(str(root / "run"), 0o700)
        self.ring = KeyRing(str(root / "run/keys"), 16, "a1" * 16, self.sodium)
        bundle = Bundle(str(root / "bundles"), str(root / "custodian.pub"), self.sodium)
        self.lost: list[tuple[str, int]] = []
        self.stores = {
            name: Custodian(
                name, str(root / "flash" / name), str(root / "run" / name), self.ring,
                self.sodium, bundle, lifetime * DAY, 1 << 20, 900, "a1" * 16, lambda: 25,
                lambda: MIDNIGHT, lambda cause, count: self.lost.append((cause, count)),
            )
            for name in ("attribution", "billing")
        }  # fmt: skip
        for store in self.stores.values():
            store.tick((TEN + 7200) * 10**9, 2 * DAY * 10**9, trusted=True)

    def keep(self, *records: attribution.Record | billing.Record) -> None:
        for record in records:
            if isinstance(record, attribution.Record):
                assert self.stores["attribution"].append(record.start, attribution.pack(record)) == "kept"
            else:
                assert self.stores["billing"].append(record.end, billing.pack(record)) == "kept"

    def hand_over(
        self, text: str, *, second_nat: bool = False, made: int = TEN + 7200, alive: int = 0, damage: int | None = None,
        unbroken: int = TEN + 7200,
    ) -> Path:  # fmt: skip
        """Write the tar file that the gateway's executor writes, with an octet of the segments damaged before."""
        path = self.root / f"handover{len(list(self.root.glob('*.tar')))}.tar"
        signer = Signer(str(self.root / "device.key"), self.sodium)
        self.gateways = {signer.public: GATEWAY}
        archive = Archive(str(path), made, signer)
        archive.add("request.toml", text.encode())
        statement = {"gateway": GATEWAY, "made": made, "second_nat": second_nat, "alive": alive, "unbroken": unbroken}
        statement["listed"] = made - 60
        archive.add("gateway.json", json.dumps(statement).encode())
        store = Request(text).store
        assert self.stores[store].seal()
        for segment in self.stores[store].held(*executor.days(Request(text))):
            if damage is not None:
                data = bytearray(Path(segment).read_bytes())
                data[damage] ^= 1
                Path(segment).write_bytes(data)
            for _ in archive.copy(f"{store}/{segment.rsplit('/', 1)[1]}", segment):
                pass
        archive.sign()
        archive.close()
        signer.close()
        return path

    def key(self, purpose: str, day: date, _destroy: date | None = None) -> PrivateKey | None:
        return self.keys.get((purpose, day))

    def answer(self, text: str, **facts) -> answers.Answer:
        return answers.answer(self.read(self.hand_over(text, **facts)), self.key)

    def read(self, path: Path) -> handovers.Handover:
        return handovers.read(path, AGENTS.of_all(), self.gateways)

    def close(self) -> None:
        for store in self.stores.values():
            store.close()
        self.ring.close()
        assert self.lost == []


@pytest.fixture
def gateway(tmp_path) -> Iterator[Gateway]:
    made = Gateway(tmp_path)
    yield made
    made.close()


def give_keys(gateway: Gateway, store: Path, passphrase: bytes = b"correct horse battery") -> None:
    """Put the private keys that the gateway's stores are sealed to into a custodian's key store."""
    custodian = Store(store, passphrase)
    for (purpose, day), key in gateway.keys.items():
        path = store / f"keys/{purpose}/{day}.json"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = {
            "public": bytes(key.public_key).hex(),
            "destroy": str(day + timedelta(days=30)),
            "sealed": custodian._box.encrypt(bytes(key)).hex(),
        }
        path.write_text(json.dumps(facts))


def connection(
    port: int, start: int, end: int, mac: bytes = MAC, protocol: int = 6, user: bytes = b""
) -> attribution.Record:
    return attribution.Record(protocol, PUBLIC, port, port, bytes([192, 168, 1, 10]), mac, start, end, user)


def holding(
    first: int, start: int, end: int | None, mac: bytes = MAC, user: bytes = b"", public: bytes = PUBLIC
) -> attribution.Record:
    return attribution.Record(None, public, first, first + 511, bytes([192, 168, 1, 10]), mac, start, end, user)


def mark(start: int, end: int) -> attribution.Record:
    """Return the record by which the recorder vouches that it heard and kept every connection."""
    return attribution.Record(None, bytes(4), 0, 0, bytes(4), bytes(6), start, end)


SIGNED = AGENTS.sign(document(), 0, 1)
UNPROVEN = (
    "from 2027-01-16T10:00:00Z to 2027-01-16T12:00:00Z nothing shows that the gateway heard and kept every connection: "
    "one of the window that went on then may be missing"
)


def test_one_port_at_a_time_is_answered_with_one_terminal(gateway):
    """L34-II-4: only what the scope covers, cut to its window.

    Other ports, protocols, addresses and times stay unread by anybody.
    """
    gateway.keep(
        connection(20012, TEN + 60, TEN + 70, user=b"room 12"),
        connection(20013, TEN + 60, TEN + 70, OTHER_MAC),
        connection(20012, TEN + 60, TEN + 70, OTHER_MAC, protocol=17),
        connection(20012, TEN - 7200, TEN - 1, OTHER_MAC),
        connection(20012, TEN + 601, TEN + 700, OTHER_MAC),
        attribution.Record(
            6, bytes([203, 0, 113, 3]), 20012, 20012, bytes([192, 168, 1, 11]), OTHER_MAC, TEN, TEN + 60
        ),
    )
    made = gateway.answer(SIGNED)
    assert made.result == "held"
    assert made.rows == [
        {
            "from": "2027-01-16T10:01:00Z", "until": "2027-01-16T10:01:10Z", "from_paris": "2027-01-16T11:01:00+01:00",
            "until_paris": "2027-01-16T11:01:10+01:00", "end": "recorded", "protocol": 6,
            "public_address": "203.0.113.2", "public_ports": "20012", "terminal_address": "192.168.1.10",
            "terminal_mac": "02:00:00:00:00:0a", "portal_user": "room 12", "clock_confirmed": True,
        }
    ]  # fmt: skip
    assert made.notes == ["2027-01-15: the gateway held no segment of that day", UNPROVEN]


def test_block_answers_for_its_ports_and_its_time(gateway):
    """RFC 7422: begun and ended are one holding, the login makes another; times outside the window aren't told."""
    gateway.keep(
        holding(19968, TEN - 3600, None), holding(19968, TEN - 3600, TEN + 300),
        holding(19968, TEN + 300, None, user=b"room 12"),
        holding(19968, TEN + 300, TEN + 4000, user=b"room 12"), holding(20480, TEN, None, OTHER_MAC),
    )  # fmt: skip
    made = gateway.answer(SIGNED)
    told = [
        [row["from"], row["until"], row["public_ports"], row["terminal_mac"], row["portal_user"]] for row in made.rows
    ]
    assert told == [
        ["2027-01-16T10:00:00Z", "2027-01-16T10:05:00Z", "19968-20479", "02:00:00:00:00:0a", ""],
        ["2027-01-16T10:05:00Z", "2027-01-16T10:10:00Z", "19968-20479", "02:00:00:00:00:0a", "room 12"],
    ]


def times(made: answers.Answer) -> list[tuple[str, str, str]]:
    """Return what the rows say of their times, without the date."""
    return [(row["from"][11:16], row["until"][11:16], row["end"].replace("2027-01-16T", "")[:-4]) for row in made.rows]


POWER_CUT = (
    "not known from 2027-01-16T10:{}:00Z to 2027-01-16T10:10:00Z: "
    "a holding of this port began at 2027-01-16T00:00:10Z, and its end isn't recorded"
)


@pytest.mark.parametrize(
    ("last", "result", "told", "since"),
    [
        (-600, "not known", [], "00"),
        (240, "held", [("10:00", "10:04", "not recorded, held at least until 10:04")], "04"),
    ],
)
def test_nobody_is_named_for_a_time_at_which_a_holding_is_not_certain(gateway, last, result, told, since):
    """L34-II-4: power was lost.

    It is certain until the last mark of the process that wrote it; after that the answer is `not known`.
    """
    gateway.keep(holding(19968, MIDNIGHT + 10, None), mark(MIDNIGHT, TEN + last))
    made = gateway.answer(SIGNED)
    assert (made.manifest["result"], times(made), made.notes[0]) == (result, told, POWER_CUT.format(since))
    # Of another process: it tells nothing
    gateway.keep(mark(TEN + last + 1, TEN + 900), connection(40000, TEN, TEN + 900))
    assert times(gateway.answer(SIGNED)) == told


def test_holding_without_an_end_is_over_with_its_day_or_its_block_is_another_s(gateway):
    """L34-III-2: each row stands for its own UTC day only."""
    gateway.keep(
        holding(19968, MIDNIGHT - 7200, None, OTHER_MAC),
        holding(19968, TEN - 60, None),
        mark(MIDNIGHT - 7200, TEN + 900),
    )
    assert [row["terminal_mac"] for row in gateway.answer(SIGNED).rows] == ["02:00:00:00:00:0a"]


def test_a_block_that_is_another_s_is_no_longer_the_former_s(gateway):
    """Whose end was lost, of the same day: one port at a time is one terminal."""
    gateway.keep(
        holding(19968, TEN - 3600, None, OTHER_MAC), holding(19968, TEN - 60, None), mark(TEN - 3600, TEN + 900)
    )
    assert [row["terminal_mac"] for row in gateway.answer(SIGNED).rows] == ["02:00:00:00:00:0a"]
    made = gateway.answer(AGENTS.sign(document(COMMON | SCOPE | {"from": "2027-01-16T09:55:00Z"}), 0, 1))
    assert [time[:2] for time in times(made)] == [("09:55", "09:59"), ("09:59", "10:10")]


def test_another_process_proves_nothing(gateway):
    """After a kill the next one goes on in the same segment.

    What it tells is no sign that a holding of the former one went on.
    """
    gateway.keep(mark(TEN - 7200, TEN - 1800), holding(19968, TEN - 3600, None))
    gateway.keep(mark(TEN - 1799, TEN + 900), connection(40000, TEN - 1800, TEN + 900))
    assert gateway.answer(SIGNED).result == "not known"


def test_a_holding_goes_on_where_the_gateway_has_run_since_before_it_began(gateway):
    """Same day: the gateway says since when it has run, and the answer reaches to the handover and no further."""
    gateway.keep(holding(19968, TEN - 3600, None))
    assert gateway.answer(SIGNED).result == "not known"
    assert gateway.answer(SIGNED, unbroken=TEN - 3599).result == "not known"
    made = gateway.answer(SIGNED, unbroken=TEN - 3600)
    assert (made.result, times(made)) == ("held", [("10:00", "10:10", "not recorded, held at least until 12:00")])
    assert made.notes == ["2027-01-15: the gateway held no segment of that day", UNPROVEN]


def test_a_clock_that_was_not_confirmed_makes_nothing_certain(gateway):
    record = holding(19968, TEN - 3600, None)
    record.confirmed = False
    gateway.keep(record, connection(40000, TEN, TEN + 900))
    assert gateway.answer(SIGNED, unbroken=TEN - 3600).result == "not known"


def test_a_window_that_was_not_over_at_the_handover_is_not_answered(gateway):
    """L34-II-4: nobody is accused of the future."""
    gateway.keep(holding(19968, TEN - 3600, None))
    with pytest.raises(HandoverError, match=r"request.until: after 2027-01-16T10:09:59Z.*; accepted: "):
        gateway.answer(SIGNED, made=TEN + 599, unbroken=TEN - 3600)


def test_port_that_nobody_used_is_answered_too(gateway):
    """L34-II-4: "nothing held" is an answer, signed like any other, and names what was not yet written."""
    gateway.keep(connection(20013, TEN, TEN + 1))
    unproven = gateway.answer(SIGNED)
    assert (unproven.result, unproven.rows) == ("not known", [])
    assert unproven.notes == ["2027-01-15: the gateway held no segment of that day", UNPROVEN]
    gateway.keep(mark(TEN, TEN + 7200))
    made = gateway.answer(SIGNED)
    assert (made.result, made.rows) == ("nothing held", [])
    assert made.notes == ["2027-01-15: the gateway held no segment of that day"]
    alive = gateway.answer(SIGNED, alive=7)
    assert alive.result == "not known"
    assert alive.notes[1:] == [
        "7 connections had not ended when it handed over: what no holding covers is in no record yet"
    ]
    (one,) = gateway.answer(SIGNED, alive=1).notes[1:]
    assert one.startswith("1 connection had not ended")
    assert one.french.startswith("1 connexion n'était pas terminée")


def test_a_day_of_which_nothing_was_handed_over_is_not_known(gateway):
    """L34-II-4: no power, no key, no room: whether anybody held the port isn't said.

    The day before the window's only counts as a note.
    """
    gateway.keep(connection(20013, TEN - DAY, TEN - DAY + 1))
    made = gateway.answer(SIGNED)
    assert (made.result, made.notes) == ("not known", ["2027-01-16: the gateway held no segment of that day", UNPROVEN])


def test_a_segment_that_gave_way_leaves_no_certainty(gateway):
    """L34-II-4: flash was full and the oldest segment went, with a record in it.

    A mark of a later one tells of that time as well.
    """
    gateway.keep(connection(20012, TEN + 60, TEN + 70))
    assert gateway.stores["attribution"].seal()
    gateway.keep(connection(20013, TEN, TEN + 1), mark(TEN, TEN + 7200))
    assert gateway.answer(SIGNED).result == "held"
    (oldest, _) = gateway.stores["attribution"].held(0, MIDNIGHT)
    Path(oldest).unlink()
    read = gateway.read(gateway.root / "handover0.tar")
    read.segments.pop(Path(oldest).name)
    made = answers.answer(read, gateway.key)
    assert (made.result, made.rows) == ("not known", [])
    assert "2027-01-16: 1 segments of that day are missing, by their numbers: what they held isn't known" in made.notes


@pytest.mark.parametrize("back", [1, 25, 60, 364])
@pytest.mark.long
def test_a_window_may_lie_anywhere_in_what_is_kept(tmp_path, back):
    """L34-II-4: a year of attribution.

    A request that is issued today for a window of long ago is answered from its day.
    """
    year = Gateway(tmp_path, 365, 365)
    for day in range(0, 365, 5):
        for start in {TEN - day * DAY, TEN - back * DAY}:
            year.keep(
                connection(
                    20012 + (start != TEN - back * DAY),
                    start + 60,
                    start + 70,
                    MAC if start == TEN - back * DAY else OTHER_MAC,
                )
            )
    window = {
        name: f"{datetime.fromtimestamp(TEN - back * DAY + more, UTC):%Y-%m-%dT%H:%M:%SZ}"
        for name, more in (("from", 0), ("until", 600))
    }
    made = year.answer(AGENTS.sign(document(COMMON | SCOPE | window), 0, 1))
    assert {row["terminal_mac"] for row in made.rows} == {"02:00:00:00:00:0a"}
    year.close()


def test_second_nat_is_never_called_nothing_held(gateway):
    """L34-II-4: behind an ISP's box the answer says so, whatever is held."""
    gateway.keep(connection(20012, TEN, TEN + 1))
    made = gateway.answer(SIGNED, second_nat=True)
    assert made.rows == []
    assert made.manifest["result"] == "a second NAT lies between: public ports can't be matched here"
    assert "nothing held" not in json.dumps(made.manifest)


def test_day_whose_key_is_destroyed_stays_closed(gateway):
    """EXP-3: no record of it comes back, and the answer says why."""
    gateway.keep(connection(20012, TEN, TEN + 1))
    del gateway.keys["attribution", date(2027, 1, 16)]
    made = gateway.answer(SIGNED)
    assert made.result == "not known"
    assert (
        made.notes[0]
        == "2027-01-16-0001: the key of that day is destroyed, or due to be; nothing of it can be read any more"
    )


def test_bill_is_answered_by_user_or_by_terminal(gateway):
    """L34-IV-2, L34-III-3: one session with its volume; the other store isn't asked."""
    gateway.keep(
        billing.Record(b"room 12", b"", TEN - 60, TEN + 60, 1000, 2000),
        billing.Record(b"room 13", b"", TEN, TEN + 60, 1, 2), billing.Record(b"", MAC, TEN, TEN + 60, 5, 6),
        billing.Record(b"room 12", b"", TEN - 7200, TEN - 3600, 1, 1),
    )  # fmt: skip
    made = gateway.answer(AGENTS.sign(billing_document(), 0, 1))
    assert [(row["portal_user"], row["terminal_mac"], row["bytes_up"], row["bytes_down"]) for row in made.rows] == [
        ("room 12", "", 1000, 2000)
    ]
    made = gateway.answer(AGENTS.sign(billing_document(subject="mac:02:00:00:00:00:0a"), 0, 1))
    assert [(row["terminal_mac"], row["bytes_up"]) for row in made.rows] == [("02:00:00:00:00:0a", 5)]


@pytest.mark.parametrize("subject", ["user:room 12", "mac:02:00:00:00:00:0a"])
def test_billing_never_says_that_nothing_was(gateway, subject):
    """L34-II-4: it has no marks. What goes on, a power cut, a wrong clock or a portal user leave no record of one."""
    gateway.keep(*[billing.Record(b"room 13", b"", start, start + 60, 1, 2) for start in (TEN, TEN - DAY)])
    made = gateway.answer(AGENTS.sign(billing_document(subject=subject), 0, 1))
    notes = [answers.BILLING, *[answers.NAMED] * subject.startswith("user:")]
    assert (made.manifest["result"], made.rows, made.manifest["notes"]) == ("not known", [], notes)
    page = unescape(made.cover())
    asked = "cet identifiant" if subject.startswith("user:") else "cette adresse MAC"
    assert f"Ce que ce registre conserve sous {asked} ne permet pas de répondre" in page
    assert "Personne n'est désigné" not in page
    assert answers.BILLING.french in page
    assert "Rien n'est conservé" not in page
    held = gateway.answer(AGENTS.sign(billing_document(subject="user:room 13"), 0, 1))
    assert "registre des connexions" not in held.cover()
    assert (held.result, held.manifest["notes"]) == ("held", [answers.BILLING, answers.NAMED])
    assert cover.INFORMED not in unescape(held.cover())
    party = billing_document(subject="user:room 13", authority_kind="party", basis="CPCE L34-1")
    assert cover.INFORMED in unescape(gateway.answer(AGENTS.sign(party, 0, 1)).cover())
    assert "destinataires, transferts, durées" in cover.INFORMED  # 15.2, too


@pytest.mark.parametrize("name", ["one signature", "twice the same", "an octet", "another gateway", "unknown agent"])
def test_custodian_verifies_again(gateway, name):
    """L34-II-4: what the device should have refused is refused here, too; nothing is opened."""
    changed = {
        "one signature": AGENTS.sign(document(), 0),
        "twice the same": AGENTS.sign(document(), 0, 0),
        "an octet": SIGNED.replace("20012", "20013"),
        "another gateway": AGENTS.sign(document(gateway="zzzzzzzz23456777"), 0, 1),
        "unknown agent": AGENTS.sign(document(), 0, 2),
    }[name]
    known = AGENTS.of_all()
    del known[bytes(AGENTS.keys[2].verify_key)]
    with pytest.raises(HandoverError, match="accepted: "):
        handovers.read(gateway.hand_over(changed), known, gateway.gateways)


def test_hostile_handover_is_refused(gateway, tmp_path):
    """A file from a venue's stick: no tar, a link, a member more, another store's segment, a cut, a damaged segment."""
    gateway.keep(connection(20012, TEN, TEN + 1))
    good = gateway.hand_over(SIGNED)
    (tmp_path / "none.tar").write_bytes(b"hello" * 500)
    for change in ("link", "more"):
        with tarfile.open(good) as tar, tarfile.open(tmp_path / f"{change}.tar", "w") as other:
            for one in tar:
                other.addfile(one, tar.extractfile(one))
            extra = tarfile.TarInfo("attribution/x" if change == "link" else "other/2027-01-16-0001")
            if change == "link":
                extra.type, extra.linkname = tarfile.SYMTYPE, "/etc/passwd"
            other.addfile(extra, io.BytesIO(b""))
    for name in ("none", "link", "more", "absent"):
        with pytest.raises(HandoverError, match="; accepted: "):
            gateway.read(tmp_path / f"{name}.tar")


@pytest.mark.parametrize("name", ["attribution/2027-01-16-0001", "gateway.sig"])
def test_a_small_file_that_claims_gigabytes_is_refused_before_it_is_read(tmp_path, name):
    """A sparse member: 10 kB on the stick, 2 GiB once read, before any signature is looked at."""
    path = tmp_path / "sparse.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for member in (name, "gateway.sig"):
            one = tarfile.TarInfo(member)
            one.size = 512
            sparse = {
                "GNU.sparse.major": "1",
                "GNU.sparse.minor": "0",
                "GNU.sparse.name": member,
                "GNU.sparse.realsize": str(1 << 31),
            }
            one.pax_headers = sparse if member == name else {}
            tar.addfile(one, io.BytesIO(b"0\n".ljust(512, b"\0")))
    with pytest.raises(HandoverError, match="not a tar file of plain members; accepted: "):
        handovers.read(path, AGENTS.of_all(), {})
    assert path.stat().st_size <= 10240


def test_handover_that_its_gateway_did_not_sign_is_refused(gateway, tmp_path):
    """A handover that is forged, changed by an octet, cut, or of another's key is refused (L34-II-4).

    Forged by who has the public keys and two agents' request.
    """
    gateway.keep(connection(20012, TEN + 60, TEN + 70))
    good = gateway.hand_over(SIGNED)
    assert gateway.read(good).segments
    data = good.read_bytes()
    bad = tmp_path / "changed.tar"
    places = [
        data.index(word) for word in (b"request.toml", b"agent_1", b"second_nat", b"attribution/2", b"gateway.sig")
    ]
    places += [
        data.index(b"OUBL") + 175,
        data.index(b"gateway.sig") + 512,
        *(secrets.randbelow(len(data) - 1024) for _ in range(100)),
    ]
    for place in places:
        bad.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        try:
            read = gateway.read(bad)
        except HandoverError as refusal:
            assert "; accepted: " in str(refusal)  # noqa: PT017 (a change of padding behind the signature is none)
        else:
            # The padding of the signature's own header and behind it
            assert place > data.index(b"gateway.sig") + len("gateway.sig")
            assert read.segments == gateway.read(good).segments
    with tarfile.open(good) as tar, tarfile.open(bad, "w") as other:
        for one in tar.getmembers()[:-1]:
            other.addfile(one, tar.extractfile(one))
    with pytest.raises(HandoverError, match="hasn't signed it"):
        gateway.read(bad)
    for others in (
        {},
        dict.fromkeys(gateway.gateways, "zzzzzzzz23456777"),
        {bytes(SigningKey.generate().verify_key): GATEWAY},
    ):
        with pytest.raises(HandoverError, match="not signed by abcdefgh23456777, or changed since"):
            handovers.read(good, AGENTS.of_all(), others)
    bad.write_bytes(data[: data.index(b"gateway.sig")])
    with pytest.raises(HandoverError, match="hasn't signed it"):
        gateway.read(bad)


def test_segment_that_was_damaged_on_flash_is_told_of(gateway):
    """EXP-6: what the gateway signed as it was, but can't be opened any more."""
    gateway.keep(connection(20012, TEN, TEN + 1))
    made = gateway.answer(SIGNED, damage=175)
    assert made.result == "not known"
    assert any("byte " in note for note in made.notes)


def test_answer_is_signed_and_sealed_to_who_asked(gateway, tmp_path):
    """An answer is CSV and JSON, and a manifest with their sums that only the custodian can have signed (L34-II-4).

    Only the requester opens the file.
    """
    gateway.keep(connection(20012, TEN + 60, TEN + 70, user=b"=cmd|' /C calc'!A0"))
    made = gateway.answer(SIGNED)

    def staged(name: str) -> Staged:
        return Staged(tmp_path / name, made.handover.request)

    answers.write(made, gateway.signing, staged("answer"), None)
    staged("answer").publish()
    folder = tmp_path / "answer"
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(content) == {"answer.csv", "answer.json", "couverture.html", "manifest.json", "manifest.sig"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in (folder, *folder.iterdir()))
    signature = bytes.fromhex(content["manifest.sig"].decode())
    VerifyKey(bytes(gateway.signing.verify_key)).verify(content["manifest.json"], signature)
    manifest = json.loads(content["manifest.json"])
    assert manifest["sha256"] == {
        name: hashlib.sha256(content[name]).hexdigest() for name in ("answer.csv", "couverture.html", "answer.json")
    }
    assert (manifest["agents"], manifest["records"], manifest["authority"]) == (
        ["A. Martin", "B. Durand"],
        1,
        COMMON["authority"],
    )
    rows = list(csv.DictReader(content["answer.csv"].decode().splitlines()))
    assert rows[0]["terminal_mac"] == "02:00:00:00:00:0a"
    assert rows[0]["portal_user"].startswith("'=")  # a spreadsheet doesn't run it
    assert json.loads(content["answer.json"])["rows"] == made.rows
    requester = PrivateKey.generate()
    answers.write(made, gateway.signing, staged("other"), requester.public_key)
    sealed = staged("other").beside
    assert b"02:00:00" not in sealed.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(SealedBox(requester).decrypt(sealed.read_bytes()))) as tar:
        assert {one.name for one in tar} == set(content)
    with pytest.raises(AgentError, match="answer: it is there already"):
        staged("answer").publish()
    with pytest.raises(AgentError, match="answer: can't be made"):
        answers.write(made, gateway.signing, staged("absent/answer"), None)


def test_register_names_requests_and_no_terminal(gateway, tmp_path):
    """L34-II-4: what the CNIL is shown.

    A number is answered once for each key store, so a handover that comes again is refused.
    """
    Store.make(tmp_path / "keys", b"correct horse battery", operations=1, octets=8192)
    store, path = Store(tmp_path / "keys", None), tmp_path / "keys" / register.NAME
    gateway.keep(connection(20012, TEN + 60, TEN + 70, user=b"room 12"))
    made = gateway.answer(SIGNED)
    request = made.handover.request
    with (
        pytest.raises(HandoverError, match="window"),
        register.once(store, request),
        register.refusals(store, "answer", request),
    ):
        raise HandoverError("too early", "the window isn't over")
    with register.once(store, request):
        with pytest.raises(HandoverError, match="another command"):  # it would find no entry either
            register.once(store, request).__enter__()
        register.enter(store, register.entry(store, "answer", request, made.result, len(made.rows)))
    with pytest.raises(HandoverError, match="answered before"):
        register.once(store, request).__enter__()
    told = {
        "day": "2027-01-16", "kind": "answer", "gateway": GATEWAY, "result": "held", "records": 1,
        **{name: COMMON[name] for name in (
            "purpose", "ground", "authority_kind", "basis", "authority", "reference", "number",
        )},
    }  # fmt: skip
    assert register.entries(store) == [told | {"result": "refused", "records": 0}, told]
    text = path.read_text()
    for secret in ("02:00:00", "192.168", "room 12", *SCOPE.values()):
        assert secret not in text
    path.write_text(text + "{}\n")
    with pytest.raises(HandoverError, match="line 3"):
        register.entries(store)


@pytest.mark.parametrize("change", ["cut", "first", "changed", "made anew", "gone"])
def test_a_register_that_was_cut_changed_or_replaced_shows(gateway, tmp_path, change):
    """L34-II-4: chained, and each entry's digest is on the store's log; nothing is answered then."""
    Store.make(tmp_path / "keys", b"correct horse battery", operations=1, octets=8192)
    store, path = Store(tmp_path / "keys", None), tmp_path / "keys" / register.NAME
    request = gateway.read(gateway.hand_over(SIGNED)).request
    for count in range(3):
        register.enter(store, register.entry(store, "answer", request, "held", count))
    assert len(register.entries(store)) == 3
    lines = path.read_text().splitlines(keepends=True)
    if change == "made anew":
        path.unlink()
        for count in (1, 2, 3):
            with path.open("a") as file:
                file.write(register.entry(store, "answer", request, "nothing held", count) + "\n")
    else:
        kept = {
            "cut": lines[:2],
            "first": lines[1:],
            "changed": [lines[0].replace("held", "nothing held"), *lines[1:]],
            "gone": [],
        }[change]
        path.write_text("".join(kept))
    with pytest.raises(HandoverError, match=r"doesn't follow|that the store's log has are missing"):
        register.once(store, request).__enter__()
    assert len(register.wrong(store)) == 1
    assert len(Store(tmp_path / "keys", b"correct horse battery").verify()) == 0  # the log itself is whole


def test_order_to_preserve_keeps_what_is_held_and_nothing_more(gateway, tmp_path):
    """L34-III-4: a copy under a key of its own, whose destroy date is the order's end.

    The original's keys go as ever.
    """
    keep_until = clock.today() + timedelta(days=100)
    later = clock.today() + timedelta(days=20)
    gateway.keep(
        connection(20012, TEN + 60, TEN + 70),
        connection(20013, TEN + 60, TEN + 70, OTHER_MAC),
        holding(19968, TEN, TEN + 500),
    )
    text = AGENTS.sign(freeze(keep_until="2027-06-01"), 0, 1)
    read = gateway.read(gateway.hand_over(text))
    made = answers.answer(read, gateway.key)
    parts = [*answers.opened(read, gateway.key)[0].values()]
    del gateway.keys["attribution", date(2027, 1, 16)]
    read.request.keep_until = (keep_until - EPOCH).days
    Store.make(tmp_path / "keys", b"correct horse", operations=1, octets=8192)
    store = Store(tmp_path / "keys", b"correct horse")
    assert freezes.freeze(made, parts, store, Staged(tmp_path / "frozen", read.request)) == 2
    Staged(tmp_path / "frozen", read.request).publish()
    told, kept = freezes.read(tmp_path / "frozen", store)
    assert told["keep_until"] == str(keep_until)
    assert sorted(kept) == sorted(
        attribution.pack(one) for one in (connection(20012, TEN + 60, TEN + 70), holding(19968, TEN, TEN + 500))
    )
    assert len(matching.rows(read.request, [kept])[0]) == 2
    for day, gone in ((later, []), (keep_until, [("freeze", keep_until)])):
        then = datetime.combine(day, time(12), UTC)
        Store.confirm(tmp_path / "keys", day, then)
        assert destruction.destroy_due(Store(tmp_path / "keys", None, then)).keys == gone
    assert store.key("freeze", keep_until) is None
    # Another request, later: what the order has kept is answered from, once, and only in its scope.
    for number, found in ((20012, 2), (20013, 1), (30000, 0)):
        again = gateway.read(gateway.hand_over(AGENTS.sign(document(number="a" * 32, port=str(number)), 0, 1)))
        settled = [(one, True) for one in kept]
        assert len(answers.answer(again, lambda *_: None, settled).rows) == found
        assert len(answers.answer(again, gateway.key, settled).rows) == found
    with pytest.raises(HandoverError, match="its key is destroyed"):
        freezes.read(tmp_path / "frozen", Store(tmp_path / "keys", b"correct horse", then))
    (tmp_path / "nothing").write_bytes(store.signing.sign(b"OUBLIFRZ\0\0\0\2{}"))
    for path, why in ((tmp_path / "frozen", "its key is destroyed"), (tmp_path / "nothing", "not a frozen file")):
        with pytest.raises(HandoverError, match=why):
            freezes.kept(Store(tmp_path / "keys", b"correct horse", then), path, again.request)
    for wrong in (clock.today(), clock.today() + timedelta(days=366)):
        read.request.keep_until = (wrong - EPOCH).days
        with pytest.raises(HandoverError, match="keep_until"):
            freezes.key_for(store, read.request)


def test_an_order_s_copy_claims_no_end_that_nobody_recorded(gateway, tmp_path):
    """L34-II-4, L34-III-4: power was lost.

    A copy ends the holding where it was certain, and its answer says no more than before.
    """
    gateway.keep(holding(19968, TEN - 60, None), mark(TEN - 60, TEN + 240))
    read = gateway.read(gateway.hand_over(AGENTS.sign(freeze(keep_until="2027-06-01"), 0, 1)))
    Store.make(tmp_path / "keys", b"correct horse", operations=1, octets=8192)
    store, staged = Store(tmp_path / "keys", b"correct horse"), Staged(tmp_path / "frozen", read.request)
    read.statement["made"] += freezes.SETTLED + DAY  # nothing denies its time any more
    first = answers.answer(read, gateway.key)
    freezes.freeze(first, [*answers.opened(read, gateway.key)[0].values()], store, staged)
    staged.publish()
    again = gateway.read(gateway.hand_over(AGENTS.sign(document(number="b" * 32), 0, 1)))
    kept = freezes.kept(store, tmp_path / "frozen", again.request)
    assert times(first) == [("10:00", "10:04", "not recorded, held at least until 10:04")]
    late = answers.answer(again, lambda *_: None, kept)
    assert late.rows == first.rows
    assert "<dt>Copie préservée sur injonction (III bis)</dt><dd>1 enregistrement(s)" in late.cover()
    assert "Copie préservée" not in first.cover()


def denial(start: int, end: int) -> attribution.Record:
    """Return the record by which the time service denies a time."""
    return attribution.Record(None, bytes(4), 1, 1, bytes(4), bytes(6), start, end, confirmed=False)


@pytest.mark.parametrize("later", [0, freezes.SETTLED - 10, freezes.SETTLED + 7200])
def test_a_copy_names_nobody_where_its_time_may_have_been_denied_since(gateway, tmp_path, later):
    """L34-II-4, L34-III-4: it holds no denial of afterwards.

    Names need a segment of that day that says nothing of one, or a copy so late that none comes any more.
    """
    gateway.keep(connection(20012, TEN + 60, TEN + 70))
    read = gateway.read(gateway.hand_over(AGENTS.sign(freeze(keep_until="2027-06-01"), 0, 1)))
    Store.make(tmp_path / "keys", b"correct horse", operations=1, octets=8192)
    store, staged = Store(tmp_path / "keys", b"correct horse"), Staged(tmp_path / "frozen", read.request)
    read.statement["made"] = max(TEN + 70 + later, read.request.end)
    order = answers.answer(read, gateway.key)
    assert (
        freezes.freeze(order, [*answers.opened(read, gateway.key)[0].values()], store, staged) == len(order.rows) == 1
    )
    staged.publish()
    again = gateway.read(gateway.hand_over(AGENTS.sign(document(number="b" * 32), 0, 1)))
    kept = freezes.kept(store, tmp_path / "frozen", again.request)
    settled = later > freezes.SETTLED
    assert len(answers.answer(again, gateway.key, kept).rows) == 1
    made = answers.answer(again, lambda *_: None, kept)
    assert (made.result, len(made.rows)) == (("held", 1) if settled else ("not known", 0))
    assert any("order's copy that was made within nine days" in note for note in made.notes) != settled
    gateway.keep(denial(TEN, TEN + 600))
    again = gateway.read(gateway.hand_over(AGENTS.sign(document(number="c" * 32), 0, 1)))
    assert answers.answer(again, gateway.key, kept).rows == []


def test_a_day_of_which_a_part_is_missing_or_damaged_names_nobody(gateway):
    """L34-II-4: a denial may have stood in it. The days around it name as ever."""
    gateway.keep(connection(20012, TEN + 60, TEN + 70))
    assert gateway.stores["attribution"].seal()
    gateway.keep(denial(TEN, TEN + 600))
    assert gateway.stores["attribution"].seal()
    gateway.keep(connection(20013, TEN + 60, TEN + 70), connection(20012, TEN - DAY + 60, TEN - DAY + 70))
    read = gateway.read(gateway.hand_over(SIGNED))
    assert answers.answer(read, gateway.key).rows == []
    (second,) = [name for name in read.segments if parse_name(name) == (TEN // DAY, 2)]
    whole = read.segments.pop(second)
    for octets in (None, whole[:175] + bytes([whole[175] ^ 1]) + whole[176:]):
        if octets is not None:
            read.segments[second] = octets
        made = answers.answer(read, gateway.key)
        assert (made.result, made.rows) == ("not known", [])
        assert any("a part can't be read" in note for note in made.notes)
        read.request.start, read.request.end = read.request.start - DAY, read.request.end - DAY
        assert len(answers.answer(read, gateway.key).rows) == 1
        read.request.start, read.request.end = read.request.start + DAY, read.request.end + DAY


@pytest.mark.parametrize(
    ("purpose", "subject", "kept", "later"),
    [
        ("freeze-subject", "mac:02:00:00:00:00:0a", 2, document(number="a" * 32)),
        ("freeze-subject", "user:room 12", 1, document(number="a" * 32)),
        ("freeze-billing", "user:room 12", 1, billing_document(number="a" * 32)),
        (
            "freeze-billing",
            "mac:02:00:00:00:00:0b",
            1,
            billing_document(number="a" * 32, subject="mac:02:00:00:00:00:0b"),
        ),
    ],
)
def test_order_keeps_one_terminal_s_records_or_bills(gateway, tmp_path, purpose, subject, kept, later):
    """L34-III-4: of a user or terminal, in one store.

    Answered from that once the original's keys are gone, in that store alone.
    """
    room, session = (b"room 12", b""), billing.Record(b"room 12", b"", TEN + 60, TEN + 300, 10, 20)
    gateway.keep(connection(20012, TEN + 60, TEN + 70, user=room[0]), connection(20013, TEN + 60, TEN + 70, OTHER_MAC))
    # The last is before the window
    gateway.keep(connection(30000, TEN + 60, TEN + 70), connection(30000, TEN - 7200, TEN - 7000))
    gateway.keep(
        session,
        billing.Record(b"", OTHER_MAC, TEN + 60, TEN + 90, 1, 2),
        billing.Record(b"room 12", b"", TEN - 7200, TEN - 60, 9, 9),
    )
    fields = {name: value for name, value in COMMON.items() if name != "purpose"} | {"ground": "IIIbis"}
    fields = {
        "format": fields.pop("format"),
        "number": fields.pop("number"),
        "gateway": fields.pop("gateway"),
        "purpose": purpose,
    } | fields
    read = gateway.read(
        gateway.hand_over(AGENTS.sign(document(fields | {"subject": subject, "keep_until": "2027-06-01"}), 0, 1))
    )
    Store.make(tmp_path / "keys", b"correct horse", operations=1, octets=8192)
    store = Store(tmp_path / "keys", b"correct horse")
    read.statement["made"] += freezes.SETTLED + DAY  # nothing denies its time any more
    made = answers.answer(read, gateway.key)
    staged = Staged(tmp_path / "frozen", read.request)
    parts = [*answers.opened(read, gateway.key)[0].values()]
    assert freezes.freeze(made, parts, store, staged) == kept == len(made.rows)
    staged.publish()
    gateway.keys.clear()
    again = gateway.read(gateway.hand_over(AGENTS.sign(later, 0, 1)))
    answer = answers.answer(again, gateway.key, freezes.kept(store, tmp_path / "frozen", again.request))
    assert (answer.result, len(answer.rows)) == ("held", 1)
    assert answer.rows[0]["from"] == "2027-01-16T10:01:00Z"
    other = SIGNED if purpose == "freeze-billing" else AGENTS.sign(billing_document(), 0, 1)
    with pytest.raises(HandoverError, match="of another gateway or store"):
        freezes.kept(store, tmp_path / "frozen", Request(other))


@pytest.mark.parametrize(
    ("subject", "ports"), [("user:Zoé 12", ["20012"]), ("mac:02:00:00:00:00:0a", ["20012", "30000-30511"])]
)
def test_a_person_gets_what_attribution_holds_on_her_and_nobody_elses(gateway, subject, ports):
    """GDPR art. 15: by a request of two agents, of one day, with each field.

    In the register as a person's, and never the State's.
    """
    gateway.keep(
        connection(20012, TEN + 60, TEN + 70, user="Zoé 12".encode()), connection(20013, TEN + 60, TEN + 70, OTHER_MAC)
    )
    gateway.keep(holding(30000, TEN - 60, TEN + 400))
    fields = COMMON | {
        "purpose": "access",
        "ground": "RGPD",
        "authority_kind": "person",
        "basis": "RGPD 15",
        "authority": "Zoé Lefèvre",
    }
    answer = gateway.answer(AGENTS.sign(document(fields | {"subject": subject}), 0, 1))
    assert answer.result == "held"
    assert sorted(row["public_ports"] for row in answer.rows) == ports
    assert {row["terminal_mac"] for row in answer.rows} == {"02:00:00:00:00:0a"}
    cover = unescape(answer.cover())
    assert "RGPD 15" in cover
    assert "personne concernée (droit d'accès)" in cover
    assert "la notice de ce réseau : l'opérateur la joint à cette réponse" in cover
    assert "garantit à la personne concernée" in cover  # no word to whoever opens it, who may be another
    by = "cet identifiant" if subject.startswith("user:") else "cette adresse MAC"
    assert f"<p>Voici ce qui est conservé sous {by} pour cette période.</p><table>" in cover


def test_who_asks_by_name_is_not_told_that_nothing_is_held_of_her_device(gateway):
    """GDPR art. 15: before she had logged in, its ports stand under the MAC alone; that is another request."""
    gateway.keep(holding(30000, TEN - 60, TEN + 400), mark(MIDNIGHT, TEN + 7200))
    fields = COMMON | {"purpose": "access", "ground": "RGPD", "authority_kind": "person", "basis": "RGPD 15"}
    by_name, by_device = (
        gateway.answer(AGENTS.sign(document(fields | {"subject": subject}, number=number * 32), 0, 1))
        for subject, number in (("user:Zoé 12", "a"), ("mac:02:00:00:00:00:0a", "b"))
    )
    assert (by_name.result, by_device.result) == ("nothing held", "held")
    page = unescape(by_name.cover())
    assert "<p>Ce registre ne conserve rien sous cet identifiant pour cette période.</p>" in page
    assert "est conservé sous sa seule adresse MAC, et n'est pas dans cette réponse" in page
    assert answers.NAMED not in by_device.notes


@pytest.mark.parametrize("subject", ["user:Zoé 12", "mac:02:00:00:00:00:0a"])
def test_who_asks_by_device_or_name_is_told_of_what_stands_under_neither(gateway, subject):
    """GDPR 15: the gateway restarted while a connection lasted; who asks for its port is answered with it."""
    gateway.keep(connection(20012, TEN + 60, TEN + 70, attribution.UNKNOWN_MAC), mark(MIDNIGHT, TEN + 7200))
    fields = COMMON | {"purpose": "access", "ground": "RGPD", "authority_kind": "person", "basis": "RGPD 15"}
    made = gateway.answer(AGENTS.sign(document(fields | {"subject": subject}), 0, 1))
    assert (made.result, made.rows) == ("nothing held", [])
    assert answers.UNNAMED.french in unescape(made.cover())
    asked = gateway.answer(SIGNED)
    assert (asked.result, len(asked.rows)) == ("held", 1)
    assert answers.UNNAMED not in asked.notes


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_a_handover_is_answered_no_longer_than_notice_and_register_say_that_its_document_is_kept(language):
    """L34-VI-4, GDPR 5.1 e: it names the subject in clear, at the custodian's too."""
    span = words.span(handovers.GRACE, language)
    said = {
        "fr": f"jusqu'à sa réponse, {span} après l'échéance",
        "en": f"at the latest {span} after the request expires",
    }
    assert said[language] in words.kept("requests", words.LANGUAGES.index(language), medium=False)


def test_what_is_kept_of_an_unknown_device_is_not_said_to_name_somebody(gateway):
    """The row of such a connection says "inconnue"; a note on what nobody is known of says that its causes are some."""
    gateway.keep(connection(20012, TEN + 60, TEN + 70, attribution.UNKNOWN_MAC), mark(MIDNIGHT, TEN + 7200))
    page = unescape(gateway.answer(SIGNED).cover())
    assert "Voici ce qui est conservé pour cette demande." in page
    assert "désigne ce" not in page
    assert ("par exemple" in answers.UNNAMED.french, "for instance" in answers.UNNAMED) == (True, True)


@pytest.mark.parametrize("subject", ["user:Zoé 12", "mac:02:00:00:00:00:0a"])
def test_who_asks_by_device_or_name_reads_nothing_of_a_port_that_nobody_asked_about(gateway, subject):
    """GDPR 12.1: power was lost; what isn't known is told of her."""
    gateway.keep(holding(19968, MIDNIGHT + 10, None, user="Zoé 12".encode()), mark(MIDNIGHT, TEN + 240))
    fields = COMMON | {"purpose": "access", "ground": "RGPD", "authority_kind": "person", "basis": "RGPD 15"}
    answer = gateway.answer(AGENTS.sign(document(fields | {"subject": subject}), 0, 1))
    (note,) = [one for one in answer.notes if one.startswith("not known from")]
    assert "a holding of theirs began" in note
    assert "une attribution de ports à son sujet a commencé le" in note.french
    assert "attribution de ce port" not in unescape(answer.cover())
    assert "attribution de ce port" in unescape(gateway.answer(SIGNED).cover())


def test_an_authority_reads_in_french_that_a_device_has_no_known_mac(gateway):
    """L34-II-4: a connection that began before the recorder is nobody's that is known."""
    gateway.keep(connection(20012, TEN + 60, TEN + 70, attribution.UNKNOWN_MAC))
    page = unescape(gateway.answer(SIGNED).cover())
    assert "<td>inconnue</td>" in page
    assert "unknown" not in page


def unconfirmed(record: attribution.Record) -> attribution.Record:
    record.confirmed = False
    return record


def test_a_person_gets_what_was_written_under_a_clock_that_nobody_had_confirmed(gateway):
    """GDPR art. 15: its times are told as the clock showed them, and that they may be wrong.

    No authority is, neither of a port nor of the device.
    """
    yesterday = TEN - DAY
    gateway.keep(
        *(
            unconfirmed(one)
            for one in (
                connection(20012, yesterday, yesterday + 70),
                connection(20013, TEN + 60, TEN + 70, OTHER_MAC),
                holding(30000, yesterday, None),
            )
        )
    )
    fields = COMMON | {"purpose": "access", "ground": "RGPD", "authority_kind": "person", "basis": "RGPD 15"}
    answer = gateway.answer(AGENTS.sign(document(fields | {"subject": "mac:02:00:00:00:00:0a"}), 0, 1))
    began, over = "2027-01-15T10:00:00Z", "2027-01-15T10:01:10Z"
    assert [(row["from"], row["until"], row["end"], row["clock_confirmed"]) for row in answer.rows] == [
        (began, over, "recorded", False),
        (began, began, "not recorded", False),
    ]
    assert answer.result == "held"
    page = unescape(answer.cover())
    assert "avec l'heure que la borne indiquait, qui peut être fausse" in page
    assert "personne n'est désigné" not in page
    assert "<td>non enregistrée</td>" in page
    for field in ("adresse IP publique", "203.0.113.2", "protocole (numéro)", "tous", "20012", "02:00:00:00:00:0a"):
        assert re.search(f"<t[hd]>{re.escape(field)}</t[hd]>", page), field
    order = {"purpose": "freeze-subject", "ground": "IIIbis", "authority_kind": "judicial", "basis": "CPP 60-1"}
    device = {"subject": "mac:02:00:00:00:00:0a", "keep_until": "2027-06-01"}
    asked = gateway.answer(AGENTS.sign(document(COMMON | order | device, number="b" * 32), 0, 1))
    assert (asked.result, asked.rows) == ("not known", [])
    port = gateway.answer(AGENTS.sign(document(port="20012"), 0, 1))
    assert (port.result, port.rows) == ("not known", [])
    assert "personne n'est désigné d'après eux" in unescape(port.cover())


def test_a_time_that_was_confirmed_is_not_told_as_one_that_was_not(gateway):
    """GDPR art. 15: what a damaged part of its day may deny isn't certain; that is another matter."""
    gateway.keep(connection(20012, TEN + 60, TEN + 70))
    fields = COMMON | {"purpose": "access", "ground": "RGPD", "authority_kind": "person", "basis": "RGPD 15"}
    asked = AGENTS.sign(document(fields | {"subject": "mac:02:00:00:00:00:0a"}), 0, 1)
    assert "L'heure de la borne était confirmée" in unescape(gateway.answer(asked).cover())
    page = unescape(gateway.answer(asked, damage=-1).cover())
    (told,) = re.findall("<p>(Pour 1 enregistrement.*?)</p>", page)
    assert told.endswith(" n'était pas confirmée, ou a été mise en doute depuis.")


@pytest.mark.parametrize("who", ["CORP\\anna", 'Jean "JJ" Petit', "fin\\"])
def test_a_user_is_asked_about_as_the_portal_named_him(gateway, who):
    """GDPR art. 15, L34-IV-2: what a portal may name somebody, two agents can ask for."""
    gateway.keep(billing.Record(who.encode(), b"", TEN, TEN + 60, 1, 2))
    asked = COMMON | DISPUTE | {"purpose": "billing", "subject": f"user:{who}"}
    made = gateway.answer(AGENTS.sign(requests.document(asked), 0, 1))
    assert [row["portal_user"] for row in made.rows] == [who]
    assert f"identifiant au portail {who}" in unescape(made.cover())


@pytest.mark.parametrize("purpose", ["access", "freeze-subject"])
def test_a_device_is_asked_about_behind_a_second_nat_too(gateway, purpose):
    """GDPR art. 15, L34-II-4: its public port can't be matched there, which the answer says; whose a record is can.

    Nothing found is never called nothing held.
    """
    gateway.keep(connection(20012, TEN + 60, TEN + 70), connection(20013, TEN + 60, TEN + 70, OTHER_MAC))
    kinds = {
        "access": {"ground": "RGPD", "authority_kind": "person", "basis": "RGPD 15"},
        "freeze-subject": {"ground": "IIIbis", "authority_kind": "judicial", "basis": "CPP 60-1"},
    }
    for subject, macs, result in (
        ("mac:02:00:00:00:00:0a", ["02:00:00:00:00:0a"], "held"), ("mac:02:00:00:00:00:77", [], "not known"),
    ):  # fmt: skip
        scope = {"subject": subject} | ({"keep_until": "2027-06-01"} if purpose != "access" else {})
        asked = document(COMMON | kinds[purpose] | {"purpose": purpose} | scope)
        answer = gateway.answer(AGENTS.sign(asked, 0, 1), second_nat=True)
        assert ([row["terminal_mac"] for row in answer.rows], answer.manifest["result"]) == (macs, result)
        assert answers.BEHIND in answer.manifest["notes"]
        assert "Une seconde traduction d'adresses" in unescape(answer.cover())
        assert "Là où l'adresse IP dite publique est privée, c'est celle de la borne." in unescape(answer.cover())


def test_cover_page_says_in_french_what_was_asked_searched_and_may_be_missing(gateway):
    """L34-II-4: for the file of a case.

    Who asked is written as he is, what he chose is text, and each note has its French.
    """
    gateway.keep(
        holding(19968, TEN, None), connection(20012, TEN + 60, TEN + 70, user=b"<room> & 12"), mark(TEN, TEN + 70)
    )
    asked = document(authority="Procureur de la République d\u2019Évry", reference="27/<1>")
    page = gateway.answer(AGENTS.sign(asked, 0, 1), alive=3).cover()
    assert re.findall("<h2>(.*?)</h2>", page) == [
        "Ce qui a été demandé", "Ce qui a été examiné", "Réponse",
        "Ce qui peut manquer, et pourquoi", "Certitude de l'horloge",
    ]  # fmt: skip
    for text in (
        "Procureur de la République d\u2019Évry (autorité judiciaire)", "CPP 77-1-1", "27/&lt;1&gt;",
        "&lt;room&gt; &amp; 12", "A. Martin, B. Durand", "adresse publique 203.0.113.2, port 20012, protocole tcp",
        "du 16/01/2027 à 11:00:00 (UTC+0100)", "02:00:00:00:00:0a", "certain jusqu&#x27;à 2027-01-16T11:01:10+01:00",
        "Inconnu du 16/01/2027 à 11:01:10 (UTC+0100)", "3 connexions n&#x27;étaient pas terminées",
        "2027-01-15 : la borne n&#x27;a remis aucun fichier de ce jour", "du 2027-01-15 au 2027-01-16</dd>",
        "L&#x27;heure de la borne était confirmée",
    ):  # fmt: skip
        assert text in page, text
    assert not re.search("<room>|<script|http", page)
    assert (
        "Une seconde traduction d&#x27;adresses"
        in gateway.answer(AGENTS.sign(document(port="1"), 0, 1), second_nat=True).cover()
    )
    assert "identifiant au portail room 12" in gateway.answer(AGENTS.sign(billing_document(), 0, 1)).cover()


@pytest.mark.parametrize(
    ("second", "written"),
    [
        (1_806_195_599, "2027-03-28T01:59:59+01:00"),
        (1_806_195_600, "2027-03-28T03:00:00+02:00"),
        (1_824_944_399, "2027-10-31T02:59:59+02:00"),
        (1_824_944_400, "2027-10-31T02:00:00+01:00"),
    ],
)
def test_paris_time_tells_an_hour_that_comes_twice(second, written):
    """L34-II-4: what the law's time leaves out or repeats is told by its difference from UTC."""
    assert written_times.paris(second) == written
    assert datetime.fromisoformat(written).timestamp() == second
    assert written_times.french(second).endswith(f"(UTC{written[-6:].replace(':', '')})")


def test_the_state_is_told_what_it_asked_for_by_kind_and_period(tmp_path):
    """L34-1 III: answered requests of the State, from the register.

    Not what was refused, nor a party's to a bill, nor another year's.
    """
    Store.make(tmp_path / "keys", b"correct horse battery", operations=1, octets=8192)
    store = Store(tmp_path / "keys", None)
    rows = [
        ("a", "answer", "held", document()), ("b", "answer", "not known", document()),
        ("c", "answer", "refused", document()), ("d", "freeze", "held", freeze()),
        ("e", "answer", "held", billing_document(authority_kind="party", basis="CPCE L34-1")),
    ]  # fmt: skip
    for digit, kind, result, text in rows:
        request = Request(text.replace(COMMON["number"], digit * 32))
        register.enter(store, register.entry(store, kind, request, result, 0))
    words = ["compensation", "--store", f"{tmp_path}/keys", "--from", "2027-01-01", "--to"]
    said = json.loads(CliRunner().invoke(custodian_app, [*words, "2027-12-31", "--json", "-"]).stdout)
    assert (said["answered"], [one["number"][0] for one in said["requests"]]) == (3, ["a", "b", "d"])
    told = [(one["authority_kind"], one["basis"], one["kind"], one["purpose"], one["count"]) for one in said["kinds"]]
    assert told == [
        ("judicial", "CPP 77-1-1", "answer", "attribution", 2),
        ("judicial", "CPP 77-1-1", "freeze", "freeze", 1),
    ]
    assert "2027-01-15: 0" in CliRunner().invoke(custodian_app, [*words, "2027-01-15"]).stdout
    turned = CliRunner().invoke(custodian_app, [*words, "2026-12-31"])
    assert (turned.exit_code, turned.stderr) == (
        2, "oubli-custodian: --to: 2026-12-31: before --from; accepted: the first day or a later one\n",
    )  # fmt: skip
    lines = (tmp_path / "keys" / register.NAME).read_text().splitlines(keepends=True)
    (tmp_path / "keys" / register.NAME).write_text("".join(lines[1:]))
    cut = CliRunner().invoke(custodian_app, [*words, "2027-12-31"])
    assert (cut.exit_code, len(cut.stderr.splitlines())) == (2, 1)


def test_order_behind_a_second_nat_is_refused_and_keeps_nothing(gateway, tmp_path):
    """L34-II-4, L34-III-4: what it would keep may be somebody else's, for public ports can't be matched here."""
    gateway.keep(connection(20012, TEN + 60, TEN + 70))
    for behind in (True, False):
        handover = gateway.hand_over(AGENTS.sign(freeze(keep_until="2027-06-01"), 0, 1), second_nat=behind)
        (tmp_path / "secret").write_text("correct horse battery\n")
        (tmp_path / "secret").chmod(0o600)
        (tmp_path / "agents").write_text(AGENTS.file(0, 1))
        (tmp_path / "gateways").write_text("".join(f"{key.hex()} {name}\n" for key, name in gateway.gateways.items()))
        if behind:
            Store.make(tmp_path / "keys", b"correct horse battery", operations=1, octets=8192)
            give_keys(gateway, tmp_path / "keys")
        words = [
            "freeze",
            str(handover),
            "--out",
            f"{tmp_path}/frozen",
            "--store",
            f"{tmp_path}/keys",
            "--agents",
            f"{tmp_path}/agents",
        ]
        words += ["--gateways", f"{tmp_path}/gateways", "--passphrase-file", f"{tmp_path}/secret"]
        done = CliRunner().invoke(custodian_app, words)
        assert done.exit_code == 2 * behind
        assert done.stderr.count("a second NAT lies between") == len(done.stderr.splitlines()) == behind
        assert (tmp_path / "frozen").exists() != behind


@pytest.mark.long
def test_agent_s_key_is_behind_his_passphrase_and_signs_once(tmp_path):
    """L34-II-4: two agents, two machines; a document that the gateway would refuse isn't written."""
    keys = [tmp_path / "martin.key", tmp_path / "durand.key"]
    for path, name in zip(keys, ("A. Martin", "B. Durand"), strict=True):
        public = agents.new_key(name, b"correct horse", path)
        assert path.stat().st_mode & 0o777 == 0o600
        assert agents.enrolled(public).popitem()[1] == name
    fields = {
        name: value for name, value in (COMMON | SCOPE).items() if name not in ("format", "number", "issued", "expires")
    }
    request = agents.new(fields, tmp_path / "one.toml", 7)
    assert not request.signatures
    with pytest.raises(AgentError, match="passphrase doesn't open"):
        agents.load_key(keys[0], b"wrong")
    for path in keys:
        request = agents.sign(tmp_path / "one.toml", agents.load_key(path, b"correct horse"))
    known = agents.enrolled(tmp_path / "martin.pub") | agents.enrolled(tmp_path / "durand.pub")
    assert handovers.verified((tmp_path / "one.toml").read_text(), known)[1] == ["A. Martin", "B. Durand"]
    with pytest.raises(AgentError, match="two agents have signed"):
        agents.sign(tmp_path / "one.toml", agents.load_key(keys[0], b"correct horse"))
    with pytest.raises(AgentError, match="ground"):
        agents.new(fields | {"ground": "penal"}, tmp_path / "two.toml", 7)
    with pytest.raises(AgentError, match="after the request was issued"):
        agents.new(fields | {"from": "9999-12-31T22:00:00Z", "until": "9999-12-31T23:00:00Z"}, tmp_path / "two.toml", 7)
    assert not (tmp_path / "two.toml").exists()
    with pytest.raises(AgentError, match="there already"):
        agents.new(fields, tmp_path / "one.toml", 7)


def test_commands_of_agents_and_custodian_make_an_answer(gateway, tmp_path, monkeypatch):
    """L34-II-4: key, new, sign, sign, then answer and register, as people run them.

    Every mistake is one line and exit 2.
    """
    monkeypatch.setattr(argon2id, "OPSLIMIT_MODERATE", 1)
    monkeypatch.setattr(argon2id, "MEMLIMIT_MODERATE", 8192)
    secret = tmp_path / "secret"
    secret.write_text("correct horse battery\n")
    secret.chmod(0o600)
    told: list[str] = []

    def command(*words: str, status: int = 0) -> str:
        done = CliRunner().invoke(custodian_app, [str(word) for word in words])
        assert done.exit_code == status, done.output
        if status:
            assert len(done.stderr.splitlines()) == 1
            assert "; accepted: " in done.stderr
        told.append(done.output)
        return done.output

    lock = ("--passphrase-file", str(secret))
    for name, agent in (("A. Martin", "a"), ("B. Durand", "b")):
        command("request", "key", name, "--out", f"{tmp_path}/{agent}.key", *lock)
    known = tmp_path / "agents"
    known.write_text((tmp_path / "a.pub").read_text() + (tmp_path / "b.pub").read_text())
    asked = tmp_path / "request.toml"
    words = [
        "--out",
        str(asked),
        "--gateway",
        GATEWAY,
        "--authority",
        "Procureur de la République",
        "--reference",
        "1",
        "--purpose",
        "attribution",
    ]
    words += [
        "--from",
        COMMON["from"],
        "--until",
        COMMON["until"],
        "--authority-kind",
        "judicial",
        "--basis",
        "CPP 77-1-1",
    ]
    scope = ["--public-address", "203.0.113.2", "--port", "20012", "--protocol", "tcp"]
    for wrong in (("penal", *scope), ("IIbis-3", *scope[:4]), ("IIbis-3", *scope, "--gateway", "zz")):
        command("request", "new", *words, "--ground", *wrong, status=2)
    command("request", "new", *words, *scope, "--ground", "IIbis-3")
    for agent in "ab":
        command("request", "sign", str(asked), "--key", f"{tmp_path}/{agent}.key", *lock)
    command("request", "sign", str(asked), "--key", f"{tmp_path}/a.key", *lock, status=2)
    gateway.keep(connection(20012, TEN + 60, TEN + 70))
    handover = gateway.hand_over(asked.read_text())
    Store.make(tmp_path / "keys", b"correct horse battery", operations=1, octets=8192)
    register_file = tmp_path / "keys" / register.NAME
    gateways = tmp_path / "gateways"
    gateways.write_text("".join(f"{key.hex()} {name}\n" for key, name in gateway.gateways.items()))
    rest = ["--store", f"{tmp_path}/keys", "--agents", str(known), "--gateways", str(gateways), *lock]
    with register_file.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # another command answers meanwhile
        command("answer", str(handover), *rest, "--out", f"{tmp_path}/answer", status=2)
    assert not (tmp_path / "answer").exists()
    # This store has none of the gateway's keys
    command("answer", str(handover), *rest, "--out", f"{tmp_path}/answer", status=2)
    assert "there is no key of that day, and the log has no destruction of it" in told[-1]
    Store.make(tmp_path / "other", b"correct horse battery", operations=1, octets=8192)
    Store(tmp_path / "other", b"correct horse battery").bundle(date(2027, 1, 16), 2, {"attribution": 30})
    command("answer", str(handover), "--store", f"{tmp_path}/other", *rest[2:], "--out", f"{tmp_path}/answer", status=2)
    assert "no segment opens with this store's keys" in told[-1]  # another custodian's, of the same days
    assert not (tmp_path / "answer").exists()
    give_keys(gateway, tmp_path / "keys")
    secret.chmod(0o644)
    command("answer", str(handover), *rest, "--out", f"{tmp_path}/answer", status=2)
    assert "open to others; accepted: a file of mode 0600" in told[-1]
    secret.chmod(0o600)
    monkeypatch.setenv("OUBLI_CUSTODIAN_PASSPHRASE_FILE", str(secret))
    assert "held, 1 records" in command("answer", str(handover), *rest[:-2], "--out", f"{tmp_path}/answer")
    assert "held, 1 records" in command("answer", str(handover), *rest, "--out", f"{tmp_path}/again")
    assert (tmp_path / "again/manifest.json").read_bytes() == (tmp_path / "answer/manifest.json").read_bytes()
    command("freeze", str(handover), *rest, "--out", f"{tmp_path}/frozen", status=2)
    assert not (tmp_path / "frozen").exists()
    told_by = json.loads((tmp_path / "answer/manifest.json").read_text())["register"]
    assert told_by == hashlib.sha256(register_file.read_bytes().splitlines()[-1]).hexdigest()
    listed = json.loads(command("register", "--store", f"{tmp_path}/keys", "--json", "-"))
    assert [(row["kind"], row["result"], row["authority"]) for row in listed] == [
        ("answer", "held", "Procureur de la République")
    ]
