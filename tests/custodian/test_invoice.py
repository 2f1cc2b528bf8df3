# SPDX-License-Identifier: Apache-2.0
"""`oubli-custodian invoice` and `recipient`: a period's sessions reach the bookkeeper, and nobody else (L34-IV-3)."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tarfile
from datetime import date
from typing import TYPE_CHECKING

import pytest
from nacl.public import PrivateKey, SealedBox
from nacl.pwhash import argon2id
from nacl.signing import SigningKey, VerifyKey
from typer.testing import CliRunner

from agent.purposes.billing import record as billing
from agent.purposes.billing.record import Record
from tests.custodian.test_answers import DAY, MAC, MIDNIGHT, Gateway, connection, gateway, give_keys, noon
from tests.purposes.test_requests import AGENTS, GATEWAY, document
from tools.custodian import invoices, recipients, register, segments, signed_folder
from tools.custodian.__main__ import app as custodian_app
from tools.custodian.handovers import HandoverError
from tools.custodian.own_keys import AgentError
from tools.custodian.signed_folder import FolderError
from tools.custodian.store import Store

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["gateway", "noon"]  # fixtures
YESTERDAY = MIDNIGHT - DAY
BEFORE = YESTERDAY - DAY
ROOM = b"room 12"


def session(start: int, seconds: int, up: int, down: int, user: bytes = ROOM, mac: bytes = b"") -> Record:
    return Record(user, mac, start, start + seconds, up, down)


class Office:
    """A custodian's key store, a biller with his key, and the commands as people run them."""

    def __init__(self, made: Gateway, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(argon2id, "OPSLIMIT_MODERATE", 1)
        monkeypatch.setattr(argon2id, "MEMLIMIT_MODERATE", 8192)
        self.gateway, self.folder = made, folder
        self.secret = folder / "secret"
        self.secret.write_text("correct horse battery\n")
        self.secret.chmod(0o600)
        signing = Store.make(folder / "keys", b"correct horse battery", operations=1, octets=8192)
        (folder / "custodian.pub").write_text(f"{bytes(signing).hex()}\n")
        give_keys(made, folder / "keys")
        self.run("recipient", "key", "Cabinet Durand", "--out", f"{folder}/durand.key", *self.lock)

    @property
    def lock(self) -> tuple[str, str]:
        return ("--passphrase-file", str(self.secret))

    def run(self, *words: object, status: int = 0) -> str:
        done = CliRunner().invoke(custodian_app, [str(word) for word in words])
        assert done.exit_code == status, done.output
        if status:
            assert (len(done.stderr.splitlines()), done.stderr.count("; accepted: ")) == (1, 1), done.stderr
        return done.output

    def segments(self, store: str = "billing") -> list[Path]:
        assert self.gateway.stores[store].seal()
        return sorted((self.gateway.root / "flash" / store).glob("20*"))

    def invoice(
        self,
        *files: Path,
        first: str = "2027-01-14",
        last: str = "2027-01-15",
        out: str = "bill",
        key: str = "durand.pub",
        status: int = 0,
    ) -> str:
        words = ["invoice", *(files or self.segments()), "--store", self.folder / "keys", "--gateway", GATEWAY]
        words += ["--from", first, "--to", last]
        return self.run(*words, "--to-key", self.folder / key, "--out", self.folder / out, *self.lock, status=status)

    def open(self, sealed: str = "bill.sealed", out: str = "opened", key: str = "durand.key", status: int = 0) -> str:
        words = [
            "recipient",
            "open",
            self.folder / sealed,
            "--key",
            self.folder / key,
            "--signed-by",
            self.folder / "custodian.pub",
        ]
        return self.run(*words, "--out", self.folder / out, *self.lock, status=status)

    def entries(self) -> list[dict]:
        return json.loads(self.run("register", "--store", self.folder / "keys", "--json", "-"))


@pytest.fixture
def office(gateway, tmp_path, monkeypatch) -> Office:
    made = Office(gateway, tmp_path, monkeypatch)
    gateway.keep(
        session(BEFORE + 3600, 600, 100, 1000), session(YESTERDAY + 7200, 1800, 200, 2000),
        session(YESTERDAY + 60, 60, 1, 2, b"=cmd"), session(YESTERDAY + 90, 30, 5, 6, b"", MAC),
        session(MIDNIGHT + 60, 60, 9, 9), session(BEFORE - DAY + 60, 60, 9, 9),
    )  # fmt: skip
    return made


def test_a_period_s_sessions_reach_the_biller_by_user_and_no_others(office):
    """L34-IV-3: CSV and JSON, each session and each user's sum, of these days alone.

    Signed, in the register, for one reader.
    """
    said = office.invoice()
    assert "held, 4 sessions of 3 users, sealed to Cabinet Durand" in said
    sealed = (office.folder / "bill.sealed").read_bytes()
    assert not [word for word in (ROOM, b"=cmd", GATEWAY.encode(), b"manifest") if word in sealed]
    assert (office.folder / "bill.sealed").stat().st_mode & 0o077 == 0
    assert "the custodian's signature fits" in office.open()
    content = {path.name: path.read_bytes() for path in (office.folder / "opened").iterdir()}
    assert set(content) == {"invoice.json", "manifest.json", "manifest.sig", "sessions.csv", "users.csv"}
    assert all(
        path.stat().st_mode & 0o077 == 0 for path in (office.folder / "opened", *(office.folder / "opened").iterdir())
    )
    key = VerifyKey(bytes.fromhex((office.folder / "custodian.pub").read_text()))
    key.verify(content["manifest.json"], bytes.fromhex(content["manifest.sig"].decode()))
    manifest, invoice = json.loads(content["manifest.json"]), json.loads(content["invoice.json"])
    assert manifest["sha256"] == {
        name: hashlib.sha256(content[name]).hexdigest() for name in ("invoice.json", "sessions.csv", "users.csv")
    }
    told = [manifest[name] for name in ("from", "to", "biller", "users", "sessions", "result", "gateway", "notes")]
    assert told == ["2027-01-14", "2027-01-15", "Cabinet Durand", 3, 4, "held", GATEWAY, []]
    assert [tuple(one.values()) for one in invoice["users"]] == [
        ("", "02:00:00:00:00:0a", 1, 30, 5, 6), ("=cmd", "", 1, 60, 1, 2), ("room 12", "", 2, 2400, 300, 3000),
    ]  # fmt: skip
    rows = list(csv.DictReader(content["sessions.csv"].decode().splitlines()))
    assert [(row["portal_user"], row["from"], row["from_paris"], row["bytes_down"]) for row in rows[2:]] == [
        ("room 12", "2027-01-14T01:00:00Z", "2027-01-14T02:00:00+01:00", "1000"),
        ("room 12", "2027-01-15T02:00:00Z", "2027-01-15T03:00:00+01:00", "2000"),
    ]
    users = list(csv.DictReader(content["users.csv"].decode().splitlines()))
    assert [(row["portal_user"], row["seconds"]) for row in users] == [("", "30"), ("'=cmd", "60"), ("room 12", "2400")]
    (entry,) = office.entries()
    assert [entry[name] for name in (
        "kind", "purpose", "authority_kind", "authority", "reference", "result", "records",
    )] == [
        "invoice", "billing", "biller", "Cabinet Durand", "2027-01-14 to 2027-01-15", "held", 4,
    ]  # fmt: skip
    line = (office.folder / "keys" / register.NAME).read_bytes().splitlines()[-1]
    assert manifest["register"] == hashlib.sha256(line).hexdigest()
    assert not [word for word in ("room 12", MAC.hex(":")) if word in line.decode() or word in said]
    owed = office.run(
        "compensation", "--store", office.folder / "keys", "--from", "2027-01-01", "--to", "2027-12-31", "--json", "-"
    )
    assert json.loads(owed)["answered"] == 0  # the State owes nothing for a bill


def test_the_same_invoice_is_made_once_and_another_of_its_days_tells_of_it(office):
    """L34-IV-3: one that was entered before power was lost gets its name.

    A day that is billed twice is told of, in both languages.
    """
    files = office.segments()
    office.invoice(*files)
    office.invoice(*files, out="again", status=2)
    assert not (office.folder / "again.sealed").exists()
    number = office.entries()[0]["number"]
    (office.folder / "bill.sealed").rename(office.folder / f".bill.sealed.{number}")  # power was lost before the name
    assert "is there now" in office.invoice(*files)
    assert len(office.entries()) == 1
    said = office.invoice(*files, first="2027-01-15", out="half")
    assert f"some of these days are in invoice {number} of 2027-01-16 too (2027-01-14 to 2027-01-15)" in said
    office.open("half.sealed")
    manifest = json.loads((office.folder / "opened/manifest.json").read_text())
    assert number in manifest["notes_fr"][0]
    assert "some of these days" not in office.invoice(*files, first="2027-01-13", last="2027-01-13", out="other")
    assert [entry["records"] for entry in office.entries()] == [4, 3, 1]


def test_what_may_be_missing_is_told(office):
    """L34-IV-3: a day without a segment, a key that is destroyed, damage; a copy that was cut is no second segment."""
    files = office.segments()
    assert "2027-01-12: the gateway held no segment of that day" in office.invoice(*files, first="2027-01-12")
    cut = office.folder / "cut"
    cut.mkdir()
    one = next(path for path in files if path.name.startswith("2027-01-15"))
    (cut / one.name).write_bytes(one.read_bytes()[:-30])
    said = office.invoice(cut / one.name, one, cut / one.name, first="2027-01-15", out="whole")
    assert "3 sessions of 3 users" in said
    said = office.invoice(cut / one.name, first="2027-01-15", out="cut")
    assert f"{one.name}: byte 160: a frame that isn't whole; what was before it is read" in said
    assert "not known, 0 sessions" in said
    office.gateway.keep(session(YESTERDAY + 9000, 60, 7, 7))
    _, later = [path for path in office.segments() if path.name.startswith("2027-01-15")]
    said = office.invoice(later, first="2027-01-15", out="later")
    assert "held, 1 sessions" in said
    assert "2027-01-15: 1 segments of that day are missing, by their numbers" in said
    assert "are missing" not in office.invoice(one, later, first="2027-01-15", out="both")
    said = office.invoice(*files, first="2027-01-01", last="2027-01-01", out="none")
    assert "not known, 0 sessions of 0 users" in said
    chosen = invoices.chosen(((path.name, path.read_bytes()) for path in files), date(2027, 1, 14), date(2027, 1, 15))
    period = invoices.Period(
        GATEWAY, date(2027, 1, 14), date(2027, 1, 15), "D", PrivateKey.generate().public_key, chosen
    )
    made = invoices.make(period, lambda purpose, day, _: None if day.day == 14 else office.gateway.key(purpose, day))
    assert (len(made.rows), [note.partition(":")[2] for note in made.notes]) == (
        3, [" the key of that day is destroyed, or due to be; nothing of it can be read any more"],
    )  # fmt: skip
    with pytest.raises(HandoverError, match="no segment opens with this store's keys"):
        invoices.make(period, lambda *_: PrivateKey.generate())


def test_what_is_no_invoice_is_refused_before_anything_is_written(office):
    """Each mistake is one line and exit 2; neither a file nor an entry is left."""
    office.gateway.keep(connection(20012, YESTERDAY + 60, YESTERDAY + 70))
    files = office.segments()
    other = office.segments("attribution")
    (office.folder / "text").write_text("hello")
    (office.folder / "nameless.pub").write_text((office.folder / "durand.pub").read_text()[:64] + "\n")
    (office.folder / "twice").mkdir()
    twin = office.folder / "twice" / files[0].name
    twin.write_bytes(files[1].read_bytes())
    office.invoice(*other, status=2)
    office.invoice(office.folder / "text", status=2)
    office.invoice(office.folder / "absent", status=2)
    office.invoice(twin, *files, first="2027-01-13", status=2)
    for key in ("nameless.pub", "text", "absent", "secret"):
        office.invoice(*files, key=key, status=2)
    office.invoice(*files, last="2027-01-16", status=2)  # today isn't over
    office.invoice(*files, first="2027-01-15", last="2027-01-14", status=2)
    office.invoice(*files, first="2025-01-01", status=2)
    Store.make(office.folder / "others", b"correct horse battery", operations=1, octets=8192)
    (office.folder / "keys").rename(office.folder / "right")
    (office.folder / "others").rename(office.folder / "keys")
    office.invoice(*files, status=2)
    assert not list(office.folder.glob("*.sealed")) + list(office.folder.glob(".bill*"))
    assert not (office.folder / "keys" / register.NAME).read_text()


def test_only_the_recipient_opens_it_and_only_what_the_custodian_signed(office):
    """Another key, an octet changed, another custodian, what anybody could seal: nothing is written."""
    office.invoice()
    office.run("recipient", "key", "Somebody", "--out", office.folder / "other.key", *office.lock)
    office.run("recipient", "key", "Somebody", "--out", office.folder / "other.key", *office.lock, status=2)
    office.run("recipient", "key", "Somebody", "--out", office.folder / "one.pub", *office.lock, status=2)
    office.open(key="other.key", status=2)
    office.run("request", "key", "A. Martin", "--out", office.folder / "agent.key", *office.lock)
    office.open(key="agent.key", status=2)
    data = (office.folder / "bill.sealed").read_bytes()
    for place in (0, 31, 48, len(data) // 2, len(data) - 1):
        (office.folder / "changed").write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        office.open("changed", status=2)
    office.open("absent", status=2)
    key = recipients.load_key(office.folder / "durand.key", b"correct horse battery")
    (office.folder / "forged").write_bytes(
        signed_folder.seal(signed_folder.sign({"a": b"b"}, {}, SigningKey.generate()), key.public_key)
    )
    office.open("forged", status=2)
    assert not (office.folder / "opened").exists()
    office.open()
    office.open(status=2)  # its folder is there
    office.secret.write_text("another passphrase\n")
    office.open(out="second", status=2)
    assert not (office.folder / "second").exists()


def test_what_is_sealed_leads_nowhere_but_into_its_folder():
    """A signed folder of a hostile custodian: a path, a link, a name too many, a sum that isn't the file's."""
    custodian, key = SigningKey.generate(), PrivateKey.generate()
    good = signed_folder.sign({"a": b"one"}, {}, custodian)
    assert signed_folder.unseal(signed_folder.seal(good, key.public_key), key, custodian.verify_key) == good
    for bad in (
        good | {"b": b""},
        good | {"a": b"two"},
        {"a": b"one"},
        good | {"../a": b"one"},
        good | {"manifest.sig": b"00"},
    ):
        with pytest.raises(FolderError):
            signed_folder.unseal(signed_folder.seal(bad, key.public_key), key, custodian.verify_key)
    for path in ("../a", "/a", "x/a", ".a"):
        with pytest.raises(FolderError):
            signed_folder.unseal(signed_folder.seal(good | {path: b""}, key.public_key), key, custodian.verify_key)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, octets in good.items():
            member = tarfile.TarInfo(name)
            member.size = len(octets)
            tar.addfile(member, io.BytesIO(octets))
        link = tarfile.TarInfo("b")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    for data in (out.getvalue(), b"hello", b""):
        with pytest.raises(FolderError):
            signed_folder.unseal(SealedBox(key.public_key).encrypt(data), key, custodian.verify_key)


def test_an_answer_that_was_sealed_to_a_recipient_is_opened_by_him(office):
    """L34-II-4: `answer --to` with the same keys, a bare one too."""
    office.gateway.keep(connection(20012, MIDNIGHT + 36060, MIDNIGHT + 36070))
    handover = office.gateway.hand_over(AGENTS.sign(document(), 0, 1))
    (office.folder / "agents").write_text(AGENTS.file(0, 1))
    (office.folder / "gateways").write_text(
        "".join(f"{key.hex()} {name}\n" for key, name in office.gateway.gateways.items())
    )
    (office.folder / "bare.pub").write_text((office.folder / "durand.pub").read_text()[:64])
    words = [
        "answer",
        handover,
        "--store",
        office.folder / "keys",
        "--agents",
        office.folder / "agents",
        "--out",
        office.folder / "answer",
    ]
    office.run(
        *words, "--gateways", office.folder / "gateways", "--to", office.folder / "secret", *office.lock, status=2
    )
    office.run(*words, "--gateways", office.folder / "gateways", "--to", office.folder / "bare.pub", *office.lock)
    office.open("answer.sealed")
    assert json.loads((office.folder / "opened/answer.json").read_text())["rows"][0]["terminal_mac"] == MAC.hex(":")


def test_a_recipient_s_public_key_is_a_line(tmp_path):
    """64 hexadecimal digits, and his name; what else stands there is refused by its option."""
    path = tmp_path / "key.pub"
    for text, why in (
        (b"12", "not a public key"),
        (b"g" * 64, "not a public key"),
        (b"a" * 64 + b" \x01", "the name"),
        (b"\xff", "UTF-8"),
    ):
        path.write_bytes(text)
        with pytest.raises(AgentError, match=f"--to-key: .*{why}.*; accepted: "):
            recipients.public("--to-key", path)
    path.write_text("ab" * 32 + " Cabinet Durand\n")
    assert recipients.public("--to-key", path)[1] == "Cabinet Durand"


def test_a_session_belongs_to_the_day_its_segment_is_of(office):
    """A segment of another day is left out whole; the header that says its day is what its chunks are bound to."""
    one = office.segments()[0]
    data = bytearray(one.read_bytes())
    day = segments.read(bytes(data)).day
    for place in range(segments.HEADER):
        changed = bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        try:
            segment = segments.read(changed)
            records = list(segment.records(office.gateway.keys["billing", day]))
        except segments.SegmentError:
            continue
        assert not records


def test_a_session_that_can_not_be_is_refused_with_its_segment(office):
    """Segments of billing carry no signature: whoever can write there may seal what he likes to the public key."""
    for seconds in (1 << 40, 1 << 60):
        before = office.segments()
        made = billing.pack(session(YESTERDAY + 60, seconds, 1, 2))
        assert office.gateway.stores["billing"].append(YESTERDAY + 60, made) == "kept"
        (newest,) = {*office.segments()} - {*before}
        assert f"{newest.name}: a session that can't be" in office.invoice(newest, status=2)
        assert not (office.folder / "bill.sealed").exists()
        newest.unlink()


def test_names_are_shown_as_they_are(office, monkeypatch):
    """Square brackets in a name are no style, and none ends the register."""
    office.run("recipient", "key", "Hôtel [/B] [annexe]", "--out", office.folder / "annexe.key", *office.lock)
    office.invoice(key="annexe.pub")
    assert "Hôtel [/B] [annexe]" in office.run("register", "--store", office.folder / "keys")
    odd = office.folder / "a[/q]/manifest.json"
    odd.parent.mkdir(parents=True)
    odd.write_text("{}")
    odd.with_suffix(".sig").write_text("00")
    monkeypatch.chdir(office.folder)
    done = CliRunner().invoke(custodian_app, ["verify", "a[/q]/manifest.json", "--store", "keys", *office.lock])
    assert "a[/q]/manifest.json" in done.output
