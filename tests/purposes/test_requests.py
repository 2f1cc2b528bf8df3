# SPDX-License-Identifier: Apache-2.0
"""Requests of an authority: the document, two signatures, the executor that runs it once (L34-II-4, L34-III-1)."""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import subprocess
import tarfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nacl.signing import SigningKey

from agent.base.dates import day_of
from agent.base.paths import Paths
from agent.purposes.device_key import Signer
from agent.purposes.requests import executor, requests
from agent.purposes.requests.archive import Archive
from agent.runtime.sodium import Sodium
from agent.vault import expiry, stores
from tests.support.interpreters import INTERPRETERS, Remote
from tools.custodian import handovers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = 1_800_100_800  # 2027-01-16T12:00:00Z
GATEWAY = "abcdefgh23456777"
COMMON = {
    "format": "oubli-request-1",
    "number": "00112233445566778899aabbccddeeff",
    "gateway": GATEWAY,
    "purpose": "attribution",
    "ground": "IIbis-3",
    "authority_kind": "judicial",
    "basis": "CPP 77-1-1",
    "authority": "Procureur de la République de Lyon",
    "reference": "2027/1234",
    "from": "2027-01-16T10:00:00Z",
    "until": "2027-01-16T10:10:00Z",
    "issued": "2027-01-16T11:00:00Z",
    "expires": "2027-01-20T00:00:00Z",
}
SCOPE = {"public_address": "203.0.113.2", "port": "20012", "protocol": "tcp"}
FUTURE = {"from": "9999-12-31T22:00:00Z", "until": "9999-12-31T23:00:00Z"}
GROUNDS = {"attribution": [(stores.LASTS, "IIbis-3")], "billing": None}
DISPUTE = {"ground": "IV-1", "authority_kind": "judicial", "basis": "CPC 138"}
ARCOM = {"ground": "L336-3", "authority_kind": "arcom", "basis": "CPI L331-12"}
ANSSI = {"ground": "STAD", "authority_kind": "anssi", "basis": "CDef L2321-1"}


@pytest.fixture(scope="module")
def stages() -> Iterator[Callable[[str], Remote]]:
    """Give the stage on an interpreter by name, kept for the file's tests."""
    running: dict[str, Remote] = {}

    def stage(name: str) -> Remote:
        if name not in running:
            running[name] = Remote(INTERPRETERS[name], "tests.support.attribution_stage")
        return running[name]

    yield stage
    for one in running.values():
        one.close()


@pytest.fixture
def stage(stages, any_interpreter):
    return stages(any_interpreter.name)


class Agents:
    """Two agents of the operator, a third one, and the keys file of all."""

    def __init__(self) -> None:
        self.keys = [SigningKey(bytes([number]) * 32) for number in range(1, 4)]
        self.names = ["A. Martin", "B. Durand", "C. Petit"]

    def key(self, number: int) -> str:
        return self.keys[number].verify_key.encode().hex()

    def of_all(self) -> dict[bytes, str]:
        return {bytes(key.verify_key): name for key, name in zip(self.keys, self.names, strict=True)}

    def file(self, *numbers: int) -> str:
        chosen = numbers or (0, 1, 2)
        return "".join(f"{self.key(number)} {self.names[number]}\n" for number in chosen)

    def sign(self, text: str, *numbers: int) -> str:
        signed = b"oubli request 1\n" + text.encode()
        for place, number in enumerate(numbers, 1):
            signature = self.keys[number].sign(signed).signature.hex()
            text += f'agent_{place} = "{self.key(number)}"\nsignature_{place} = "{signature}"\n'
        return text


AGENTS = Agents()


def document(fields: dict[str, str] | None = None, **changes: str) -> str:
    fields = (fields or COMMON | SCOPE) | changes
    return "".join(f'{name} = "{value}"\n' for name, value in fields.items())


def billing(**changes: str) -> str:
    return document(COMMON | DISPUTE | {"purpose": "billing", "subject": "user:room 12"} | changes)


def test_document_of_two_agents_is_understood_alike_and_is_toml(stage):
    """L34-II-4: authority, ground, reference, exact scope, two different agents; any TOML reader reads the same."""
    text = AGENTS.sign(document(), 0, 1)
    scope = [1800093600, 1800094200, 1800403200, 20012, 6, COMMON["number"], "cb007102", "", ""]
    assert stage("judge", text, AGENTS.file()) == ["ok", ["A. Martin", "B. Durand"], scope]
    assert list(tomllib.loads(text)) == [*COMMON, *SCOPE, "agent_1", "signature_1", "agent_2", "signature_2"]
    assert stage("judge", AGENTS.sign(billing(), 2, 0), AGENTS.file())[2][7:] == [b"room 12".hex(), ""]
    assert stage("judge", AGENTS.sign(billing(subject="mac:02:00:00:00:00:0A"), 2, 0), AGENTS.file())[2][7:] == [
        "",
        "02000000000a",
    ]
    name = 'CORP\\anna "the" 2nd\\'  # as a portal may name somebody
    quoted = requests.document(COMMON | DISPUTE | {"purpose": "billing", "subject": f"user:{name}"})
    assert tomllib.loads(quoted)["subject"] == f"user:{name}"
    assert stage("judge", AGENTS.sign(quoted, 2, 0), AGENTS.file())[2][7:] == [name.encode().hex(), ""]
    six = AGENTS.sign(document(public_address="2001:db8::1", protocol="58", port="0"), 0, 1)
    assert stage("judge", six, AGENTS.file())[2][4:7] == [58, COMMON["number"], "20010db8" + 23 * "0" + "1"]
    for who in (
        ARCOM,
        ANSSI,
        {"authority_kind": "administrative", "basis": "CSI L851-1", "authority": "GIC \u2013 « \u0152uvre »"},
    ):
        assert stage("judge", AGENTS.sign(document(COMMON | SCOPE | who), 0, 1), AGENTS.file())[0] == "ok"
    own = {name: value for name, value in COMMON.items() if name != "purpose"}
    own |= {
        "purpose": "access",
        "ground": "RGPD",
        "authority_kind": "person",
        "basis": "RGPD 15",
        "authority": "Zoé Lefèvre",
    }
    own = {name: own[name] for name in COMMON} | {"subject": "user:Zoé 12"}
    assert stage("judge", AGENTS.sign(document(own), 0, 1), AGENTS.file())[2][7:] == ["Zoé 12".encode().hex(), ""]
    for kind in ("freeze-subject", "freeze-billing"):
        fields = COMMON | {
            "purpose": kind,
            "ground": "IIIbis",
            "subject": "mac:02:00:00:00:00:0a",
            "keep_until": "2027-06-01",
        }
        assert stage("judge", AGENTS.sign(document(fields), 0, 1), AGENTS.file())[2][7:] == ["", "02000000000a"]


def freeze(**changes: str) -> str:
    return document(COMMON | {"purpose": "freeze", "ground": "IIIbis"} | SCOPE | {"keep_until": "2027-06-01"} | changes)


REFUSED = {
    "one signature": (AGENTS.sign(document(), 0), "one agent"),
    "no signature": (document(), "one agent"),
    "twice the same agent": (AGENTS.sign(document(), 0, 0), "one agent"),
    "an octet changed": (AGENTS.sign(document(), 0, 1).replace("20012", "20013"), "bad signature"),
    "signatures exchanged": (
        AGENTS.sign(document(), 0, 1).replace("signature_1", "x").replace("signature_2", "signature_1"), "malformed",
    ),
    "somebody else's name on it": (
        AGENTS.sign(document(), 0, 1).replace(AGENTS.key(1), AGENTS.key(2)), "bad signature",
    ),
    "25 hours": (AGENTS.sign(document(until="2027-01-17T11:00:00Z", expires="2027-01-20T00:00:00Z"), 0, 1), "too wide"),
    "24 hours and a second": (AGENTS.sign(document(until="2027-01-17T10:00:01Z"), 0, 1), "too wide"),
    "an empty window": (AGENTS.sign(document(until="2027-01-16T10:00:00Z"), 0, 1), "too wide"),
    "penal": (AGENTS.sign(document(ground="penal"), 0, 1), "ground"),
    "no such ground": (AGENTS.sign(document(ground="curiosity"), 0, 1), "ground"),
    "a ground of another store": (AGENTS.sign(billing(ground="L336-3"), 0, 1), "ground"),
    "security": (AGENTS.sign(document(purpose="security"), 0, 1), "not available"),
    "location": (AGENTS.sign(document(purpose="location"), 0, 1), "not available"),
    "a window that isn't over": (AGENTS.sign(document(until="2027-01-16T11:00:01Z"), 0, 1), "too early"),
    "of the future": (AGENTS.sign(document(COMMON | SCOPE | FUTURE), 0, 1), "too early"),
    "it ends before it begins": (AGENTS.sign(document(expires="2027-01-16T11:00:00Z"), 0, 1), "malformed"),
    "32 days": (AGENTS.sign(document(expires="2027-02-16T11:00:01Z"), 0, 1), "malformed"),
    "it may wait for months": (AGENTS.sign(document(expires="2027-03-20T00:00:00Z"), 0, 1), "malformed"),
    "a field more": (AGENTS.sign(document(COMMON | SCOPE | {"destination": "198.51.100.1"}), 0, 1), "malformed"),
    "a field less": (
        AGENTS.sign(document({name: value for name, value in (COMMON | SCOPE).items() if name != "port"}), 0, 1),
        "malformed",
    ),
    "another order": (AGENTS.sign(document(dict(reversed(list((COMMON | SCOPE).items())))), 0, 1), "malformed"),
    "a comment": (AGENTS.sign("# hello\n" + document(), 0, 1), "malformed"),
    "a blank line": (AGENTS.sign(document() + "\n", 0, 1), "malformed"),
    "an escape": (AGENTS.sign(document(authority="a\\u0041"), 0, 1), "malformed"),
    "a letter that steers": (AGENTS.sign(document(authority="Tribunal \u202e"), 0, 1), "malformed"),
    "a letter of another script": (AGENTS.sign(document(authority="\u0410rcom"), 0, 1), "malformed"),
    "a letter beyond ASCII where none is free": (
        AGENTS.sign(document(public_address="203.0.113.\u00b2"), 0, 1), "malformed",
    ),
    "a blank authority": (AGENTS.sign(document(authority="   "), 0, 1), "malformed"),
    "a blank reference": (AGENTS.sign(document(reference=" "), 0, 1), "malformed"),
    "no authority": (AGENTS.sign(document(authority=""), 0, 1), "malformed"),
    "no such kind": (AGENTS.sign(document(authority_kind="police"), 0, 1), "authority"),
    "no kind": (AGENTS.sign(document(authority_kind=""), 0, 1), "authority"),
    "a judge for Arcom": (AGENTS.sign(document(ground="L336-3"), 0, 1), "authority"),
    "a judge for ANSSI": (AGENTS.sign(document(ground="STAD"), 0, 1), "authority"),
    "Arcom for ANSSI": (AGENTS.sign(document(COMMON | SCOPE | ARCOM | {"ground": "STAD"}), 0, 1), "authority"),
    "ANSSI for Arcom": (AGENTS.sign(document(COMMON | SCOPE | ANSSI | {"ground": "L336-3"}), 0, 1), "authority"),
    "Arcom on the wording in force": (
        AGENTS.sign(document(authority_kind="arcom", basis="CPI L331-12"), 0, 1), "authority",
    ),
    "Arcom on a judge's article": (
        AGENTS.sign(document(COMMON | SCOPE | ARCOM | {"basis": "CPP 60-1"}), 0, 1), "authority",
    ),
    "a judge on an administration's article": (AGENTS.sign(document(basis="CSI L851-1"), 0, 1), "authority"),
    "an administration on a judge's article": (
        AGENTS.sign(document(authority_kind="administrative"), 0, 1), "authority",
    ),
    "no basis": (AGENTS.sign(document(basis=""), 0, 1), "authority"),
    "a person about a port": (AGENTS.sign(document(authority_kind="person", basis="RGPD 15"), 0, 1), "authority"),
    "a name that turns its line": (AGENTS.sign(billing(subject="user:room\u202e12"), 0, 1), "malformed"),
    "a party to a bill about a port": (
        AGENTS.sign(document(authority_kind="party", basis="CPCE L34-1"), 0, 1), "authority",
    ),
    "a penal article about a bill": (AGENTS.sign(billing(basis="CPP 60-1"), 0, 1), "authority"),
    "everybody who is unknown": (AGENTS.sign(billing(subject="mac:00:00:00:00:00:00"), 0, 1), "malformed"),
    "a port frozen in the bill": (AGENTS.sign(freeze(purpose="freeze-billing"), 0, 1), "malformed"),
    "no time": (AGENTS.sign(document(COMMON | SCOPE | {"from": "2027-02-30T10:00:00Z"}), 0, 1), "malformed"),
    "a port too large": (AGENTS.sign(document(port="65536"), 0, 1), "malformed"),
    "no address": (AGENTS.sign(document(public_address="203.0.113"), 0, 1), "malformed"),
    "a network": (AGENTS.sign(document(public_address="203.0.113.0/24"), 0, 1), "malformed"),
    "an IPv4 address as IPv6": (AGENTS.sign(document(public_address="::ffff:203.0.113.2"), 0, 1), "malformed"),
    "a portal's name that isn't quoted": (AGENTS.sign(billing(subject="user:CORP\\anna"), 0, 1), "malformed"),
    "a subject that ends within an escape": (AGENTS.sign(billing(subject="user:anna\\"), 0, 1), "malformed"),
    "another escape": (AGENTS.sign(billing(subject="user:\\u0041nna"), 0, 1), "malformed"),
    "no user": (AGENTS.sign(billing(subject="user:"), 0, 1), "malformed"),
    "every user": (AGENTS.sign(billing(subject="*"), 0, 1), "malformed"),
    "frozen for ever": (AGENTS.sign(freeze(keep_until="2028-01-21"), 0, 1), "malformed"),
    "frozen until yesterday": (AGENTS.sign(freeze(keep_until="2027-01-16"), 0, 1), "malformed"),
    "frozen without an order": (AGENTS.sign(freeze(ground="L336-3"), 0, 1), "ground"),
    "nothing": ("", "malformed"),
    "cut off": (AGENTS.sign(document(), 0, 1)[:-1], "malformed"),
    "too long": (document(authority="x" * 4000), "malformed"),
    "a third signature": (AGENTS.sign(document(), 0, 1, 2), "malformed"),
}  # fmt: skip


@pytest.mark.parametrize("which", ["cpython", "micropython"])
def test_a_refused_line_names_what_a_portal_s_name_takes(stages, which):
    """GDPR art. 15: a subject with a quotation mark is taken, behind a backslash, and that is said."""
    assert "in subject behind \\" in stages(which)("judge", REFUSED["another escape"][0], AGENTS.file())[1]


@pytest.mark.parametrize("name", REFUSED)
def test_document_that_is_anything_else_is_refused_alike(stages, name):
    """L34-II-4, L34-III-1: no signature, no window, no ground, no octet too many; the line says what is accepted."""
    text, reason = REFUSED[name]
    answers = [stages(which)("judge", text, AGENTS.file()) for which in ("cpython", "micropython")]
    assert answers[0] == answers[1]
    assert answers[0][0] == reason
    assert answers[0][1].startswith("request")
    assert "; accepted: " in answers[0][1]
    assert "(L34-I" in answers[0][1] or reason in ("malformed", "ground")
    assert "203.0.113" not in answers[0][1]


def test_struck_down_ground_is_refused_with_its_reason(stages):
    """L34-III-1: the NOTA."""
    said = stages("cpython")("judge", REFUSED["penal"][0], AGENTS.file())[1]
    assert "2021-976/977 QPC" in said
    assert said.endswith("L336-3, STAD, IIbis-3")


def test_agent_who_is_not_enrolled_signs_nothing(stage):
    """L34-II-4: qualified means enrolled; two keys under one name are one agent."""
    text = AGENTS.sign(document(), 0, 2)
    assert stage("judge", text, AGENTS.file(0, 1))[0] == "unknown agent"
    same = AGENTS.file(0) + AGENTS.file(2).replace("C. Petit", "A. Martin")
    assert stage("judge", text, same)[0] == "one agent"


def test_a_value_that_looks_like_a_signature_hides_nothing(stage):
    """L34-II-4: agents who sign a reference with these words in it have signed what follows it, too.

    Window and scope.
    """
    text = document(reference="x agent_1 = y")
    assert stage("judge", AGENTS.sign(text, 0, 1), AGENTS.file())[0] == "ok"
    signed = b"oubli request 1\n" + text[: text.index("agent_1 = ")].encode()
    for number in (0, 1):
        signature = AGENTS.keys[number].sign(signed).signature.hex()
        text += f'agent_{number + 1} = "{AGENTS.key(number)}"\nsignature_{number + 1} = "{signature}"\n'
    assert stage("judge", text, AGENTS.file())[0] == "bad signature"


def test_every_octet_of_a_document_counts(stages):
    """L34-II-4: a flip of any bit of it is refused, on both interpreters alike."""
    text = AGENTS.sign(document(), 0, 1)
    for at in range(0, len(text), 17):
        octets = bytearray(text.encode())
        octets[at] ^= 1 << secrets.randbelow(7)
        try:
            changed = octets.decode()
        except UnicodeDecodeError:
            continue  # the reader of the file refuses that
        answers = [stages(which)("judge", changed, AGENTS.file()) for which in ("cpython", "micropython")]
        assert answers[0] == answers[1]
        assert answers[0][0] != "ok"


class Gateway:
    """A gateway's flash with two enrolled agents and two sealed segments, and its executor on a stage."""

    def __init__(self, stage, folder) -> None:
        self.stage, self.folder = stage, folder
        (folder / "etc").mkdir()
        self.agents = folder / "etc/agents"
        for line in AGENTS.file(0, 1).splitlines(keepends=True):
            assert stage("enrol", str(self.agents), line)
        self.segments = []
        for name, size in (("2027-01-15-0001", 5000), ("2027-01-16-0001", 512)):
            (folder / name).write_bytes(secrets.token_bytes(size))
            self.segments.append(str(folder / name))

    def run(
        self,
        text: str,
        now: int = NOW,
        *,
        latest: int = 0,
        trusted: bool = True,
        grounds: dict = GROUNDS,
        permit: bool = True,
    ) -> list:
        return self.stage("desk_run", str(self.folder), text, now, latest, trusted, grounds, self.segments, permit)


@pytest.fixture
def gateway(stage, tmp_path):
    return Gateway(stage, tmp_path)


@pytest.mark.needs("root")
def test_request_hands_over_sealed_segments_once(gateway):
    """L34-II-4: a tar file with the request, the gateway's word and the segments as they are.

    A second time is refused, also later.
    """
    text = AGENTS.sign(document(), 0, 1)
    said, answer = gateway.run(text)
    assert (said, answer["segments"]) == ("ok", 2)
    with tarfile.open(answer["export"]) as tar:
        members = {one.name: (one, tar.extractfile(one).read()) for one in tar}  # type: ignore[union-attr]
    assert answer["octets"] == Path(answer["export"]).stat().st_size
    names = ["attribution/2027-01-15-0001", "attribution/2027-01-16-0001"]
    assert list(members) == ["request.toml", "gateway.json", *names, "gateway.sig"]
    read = handovers.read(Path(answer["export"]), AGENTS.of_all(), {bytes.fromhex(answer["key"]): GATEWAY})
    assert [read.segments[name[12:]] for name in names] == [members[name][1] for name in names]
    assert members["request.toml"][1].decode() == text
    assert json.loads(members["gateway.json"][1]) == {
        "gateway": GATEWAY,
        "made": NOW,
        "second_nat": False,
        "unbroken": NOW,
    }
    for name in ("2027-01-15-0001", "2027-01-16-0001"):
        member, content = members[f"attribution/{name}"]
        assert content == (gateway.folder / name).read_bytes()
        assert (member.mode, member.uid, member.mtime) == (0o600, 0, NOW)
    assert Path(answer["export"]).stat().st_mode & 0o777 == 0o600
    for later in (0, 3600, 3 * 86400):
        assert gateway.run(text, NOW + later)[0] == "already run"
    assert gateway.run(AGENTS.sign(document(number="f" * 32), 0, 1), NOW + 86400)[0] == "ok"
    assert len(list((gateway.folder / "handovers").glob("*.tar"))) == 2


@pytest.mark.needs("root")
def test_open_requests_are_told_by_number_and_end_alone(gateway):
    """While one is being written, once it is there, and no more once it has expired or its file was taken away."""
    here = {"attribution": GROUNDS["attribution"]}
    _, first = gateway.run(AGENTS.sign(document(), 0, 1), grounds=here)
    number, until = COMMON["number"], 1800403200
    path = Path(first["export"])
    assert first["begun"] == [
        {"number": number, "purpose": "attribution", "until": until, "written": 0, "octets": first["octets"]}
    ]
    handed_over = {"number": number, "purpose": "attribution", "until": until, "since": int(path.stat().st_mtime)}
    assert first["open"] == [handed_over]
    folder = gateway.folder
    runner = executor.RequestExecutor(
        "", f"{folder}/requests", {"attribution": f"{folder}/handovers"}, GATEWAY, {}, lambda *_: False
    )
    assert (runner.open(until - 1), runner.open(until)) == ([handed_over], [])
    (folder / "requests/ran").rename(folder / "ran")
    (folder / "requests/ran").mkdir()
    assert runner.open(until - 1) is None
    (folder / "requests/ran").rmdir()
    (folder / "ran").rename(folder / "requests/ran")
    _, second = gateway.run(AGENTS.sign(document(number="f" * 32), 0, 1), grounds=here)
    assert [one["number"] for one in second["open"]] == [number, "f" * 32]
    path.unlink()
    late = AGENTS.sign(document(number="e" * 32, expires="2027-02-01T00:00:00Z"), 0, 1)
    assert [one["number"] for one in gateway.run(late, until - 1, grounds=here)[1]["open"]] == ["f" * 32, "e" * 32]
    late = AGENTS.sign(document(number="d" * 32, expires="2027-02-01T00:00:00Z"), 0, 1)
    assert [one["number"] for one in gateway.run(late, until, grounds=here)[1]["open"]] == ["e" * 32, "d" * 32]


@pytest.mark.needs("root")
def test_erasing_a_store_takes_its_handovers(stages, tmp_path):
    """L34-II: a copy of sealed segments is what is kept, too; by the recorder, and where none runs."""
    gateway = Gateway(stages("cpython"), tmp_path)
    assert gateway.run(AGENTS.sign(document(), 0, 1))[0] == "ok"
    (tmp_path / "handovers/.half.tar.new").write_bytes(b"left by a loss of power")
    runner = executor.RequestExecutor(
        "", str(tmp_path / "requests"), {"attribution": str(tmp_path / "handovers")}, GATEWAY, {}, lambda *_: False
    )
    runner.erase("billing")
    assert len(list((tmp_path / "handovers").iterdir())) == 2
    runner.erase("attribution")
    assert list((tmp_path / "handovers").iterdir()) == []
    paths = Paths(str(tmp_path))
    place = Path(paths.flash.sealed) / "attribution"
    (place / "handovers").mkdir(parents=True)
    for name in ("2027-01-16-0001", "handovers/one.tar", "handovers/.two.tar.new"):
        (place / name).write_bytes(b"x")
    assert expiry.erase_all(paths, str(tmp_path / "none"), "billing") == 0
    assert len(list((place / "handovers").iterdir())) == 2
    assert expiry.erase_all(paths, str(tmp_path / "none")) == 1
    assert list(place.iterdir()) == []


@pytest.mark.needs("root")
def test_request_that_may_not_run_here_or_now_is_refused(gateway):
    """L34-II-4: another gateway, another ground, a store that isn't kept, a time that isn't known, too late.

    Nothing is written.
    """
    text = AGENTS.sign(document(), 0, 1)
    assert gateway.run(AGENTS.sign(document(gateway="zzzzzzzz23456777"), 0, 1))[0] == "another gateway"
    assert gateway.run(AGENTS.sign(document(COMMON | SCOPE | ANSSI), 0, 1))[0] == "ground"
    assert gateway.run(AGENTS.sign(freeze(), 0, 1), grounds={"billing": None})[0] == "not available"
    assert gateway.run(text, grounds={"billing": None})[0] == "not available"
    assert gateway.run(text, trusted=False)[0] == "clock"
    assert gateway.run(text, now=1800097199)[0] == "clock"  # a second before it was issued
    assert gateway.run(text, now=1800403200)[0] == "expired"
    # The clock was set back by two hours
    assert gateway.run(text, now=1800403200 - 7200, latest=1800403200)[0] == "expired"
    assert not (gateway.folder / "requests").exists()
    assert not (gateway.folder / "handovers").exists()


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("rows", "window", "accepted"),
    [
        ([("2027-01-17", "STAD"), (None, "IIbis-3")], (16, 16), "STAD"),
        ([("2027-01-16", "STAD"), (None, "IIbis-3")], (16, 16), "IIbis-3"),  # on the day of the change
        ([("2027-01-16", "STAD"), (None, "IIbis-3")], (15, 16), ""),
        ([("2027-01-16", "STAD"), (None, "IIbis-3")], (15, 15), "STAD"),
        ([("2027-01-10", "STAD"), ("2027-01-17", "L336-3"), (None, "STAD")], (16, 16), "L336-3"),
        # Changed twice in a day: what was kept before is of the first one
        ([("2027-01-16", "STAD"), ("2027-01-16", "IIbis-3"), (None, "STAD")], (15, 15), "STAD"),
        ([("2027-01-16", "STAD"), ("2027-01-16", "IIbis-3"), (None, "L336-3")], (16, 16), "L336-3"),
        ([(None, "?")], (16, 16), ""), ([("2027-01-17", "?"), (None, "IIbis-3")], (16, 16), ""),
        ([("1970-01-01", "?"), (None, "IIbis-3")], (16, 16), "IIbis-3"),
    ],
)  # fmt: skip
def test_a_request_names_the_ground_on_which_its_window_was_kept(gateway, rows, window, accepted):
    """L34-III-1: before and after the ground changed; a window of both, or of what isn't known, has none."""
    kept = [[day_of(day) if day else stores.LASTS, ground] for day, ground in rows]
    times = {"from": f"2027-01-{window[0]}T10:00:00Z", "until": f"2027-01-{window[1]}T09:59:59Z"}
    if window[0] == window[1]:
        times["until"] = f"2027-01-{window[1]}T10:10:00Z"
    for number, own in enumerate(({}, ANSSI, ARCOM)):
        text = document(COMMON | SCOPE | own | times, number=f"{number:032x}")
        said = gateway.run(AGENTS.sign(text, 0, 1), grounds={"attribution": kept})[0]
        assert said == ("ok" if own.get("ground", "IIbis-3") == accepted else "ground")
    person = COMMON | {"purpose": "access", "ground": "RGPD", "authority_kind": "person", "basis": "RGPD 15"} | times
    text = AGENTS.sign(document(person | {"subject": "user:Ann"}, number="a" * 32), 0, 1)
    assert gateway.run(text, grounds={"attribution": kept})[0] == "ok"


@pytest.mark.needs("root")
def test_keys_file_that_others_can_write_qualifies_nobody(gateway):
    """L34-II-4: root's alone, its folder too; enrolling the same key or name twice is refused."""
    text = AGENTS.sign(document(), 0, 1)
    for path, mode in ((gateway.agents, 0o664), (gateway.agents, 0o646), (gateway.agents.parent, 0o777)):
        before = path.stat().st_mode
        path.chmod(mode)
        assert gateway.run(text)[0] == "keys file"
        path.chmod(before)
    os.chown(gateway.agents, 1, 0)
    assert gateway.run(text)[0] == "keys file"
    os.chown(gateway.agents, 0, 0)
    assert not gateway.stage("enrol", str(gateway.agents), AGENTS.file(0))
    assert not gateway.stage("enrol", str(gateway.agents), AGENTS.file(2).replace("C. Petit", "A. Martin"))
    assert not gateway.stage("enrol", str(gateway.agents), "abc C. Petit\n")
    assert gateway.agents.read_text() == AGENTS.file(0, 1)
    assert gateway.agents.stat().st_mode & 0o777 == 0o644
    gateway.agents.unlink()
    assert gateway.run(text)[0] == "unknown agent"


@pytest.mark.needs("root")
def test_export_that_fails_leaves_nothing_and_may_be_run_again(gateway):
    """EXP-6: a segment that can't be read, flash that refuses: no half file, and the number isn't used up."""
    text = AGENTS.sign(document(), 0, 1)
    gateway.segments.append(str(gateway.folder / "absent"))
    assert gateway.run(text) == ["errno", 2]
    gateway.segments.pop()
    assert gateway.run(text, permit=False)[0] == "audit"  # an act that can't be logged isn't done
    assert list((gateway.folder / "handovers").iterdir()) == []
    assert not (gateway.folder / "requests").exists()
    assert gateway.run(text)[0] == "ok"


@pytest.mark.needs("root")
def test_exports_and_the_memory_of_requests_are_bounded(stages, tmp_path):
    """Eight tar files at most, 256 numbers that haven't expired at most; what has expired is forgotten."""
    gateway = Gateway(stages("cpython"), tmp_path)
    gateway.segments = []
    for number in range(256):
        assert gateway.run(AGENTS.sign(document(number=f"{number:032x}"), 0, 1))[0] == "ok"
    assert len(list((tmp_path / "handovers").glob("*.tar"))) == 8
    runner = executor.RequestExecutor(
        "", f"{tmp_path}/requests", {"attribution": f"{tmp_path}/handovers"}, GATEWAY, {}, lambda *_: False
    )
    shown = runner.open(NOW)
    assert shown is not None
    assert [row["number"] for row in shown] == [f"{number:032x}" for number in range(248, 256)]
    more = AGENTS.sign(document(number=f"{256:032x}", expires="2027-02-01T00:00:00Z"), 0, 1)
    assert gateway.run(more)[0] == "too many"
    (tmp_path / "handovers/.half.tar.new").write_bytes(b"left by a loss of power")
    assert gateway.run(more, 1800403200)[0] == "ok"
    assert (tmp_path / "requests/ran").stat().st_size == 20
    assert [path.name for path in (tmp_path / "handovers").iterdir()] == [f"{256:032x}.tar"]


@pytest.mark.needs("root")
def test_handover_is_written_in_small_parts_and_refused_where_it_does_not_fit(stage, tmp_path):
    """L34-II-4: capture never waits for more than 16 KiB of it.

    A MiB of flash stays to everything else, or nothing is written.
    """
    tmp_path.joinpath("small").mkdir()
    small = tmp_path / "small"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2M", "none", small], check=True)
    try:
        gateway = Gateway(stage, small)
        (small / "2027-01-16-0001").write_bytes(secrets.token_bytes(400000))
        said, answer = gateway.run(AGENTS.sign(document(), 0, 1))
        assert said == "ok"
        assert answer["parts"] > answer["octets"] / 16384
        assert answer["octets"] == Path(answer["export"]).stat().st_size
        text = AGENTS.sign(document(number="f" * 32), 0, 1)
        said, why = gateway.run(text)
        assert said == "no room"
        assert re.fullmatch(
            r"request: \d+ octets don't fit into \S+/handovers, which has \d+ to spare; accepted: .*", why
        )
        assert [path.name for path in (small / "handovers").iterdir()] == [Path(answer["export"]).name]
        Path(answer["export"]).unlink()
        assert gateway.run(text)[0] == "ok"
    finally:
        subprocess.run(["umount", small], check=True)


def test_archive_is_what_tar_reads(tmp_path):
    """Members of 0, 1, 511, 512 and 513 octets."""
    signer = Signer(str(tmp_path / "device.key"), Sodium())
    archive = Archive(str(tmp_path / "one.tar"), NOW, signer)
    sizes = (0, 1, 511, 512, 513)
    for size in sizes:
        archive.add(f"member{size}", b"x" * size)
    archive.sign()
    archive.close()
    signer.close()
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "one.tar").read_bytes())) as tar:
        assert [(one.name, one.size) for one in tar] == [
            *((f"member{size}", size) for size in sizes),
            ("gateway.sig", 64),
        ]
