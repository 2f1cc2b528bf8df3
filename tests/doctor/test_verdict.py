# SPDX-License-Identifier: Apache-2.0
"""What doctor finds reaches health: what a setting can set right, nothing that follows terminals (ANON-4, L34-II-5)."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from agent import law
from agent.cli import status
from agent.doctor import catalogue, verdict
from agent.doctor.catalogue import NOTE, Finding
from agent.purposes import checks
from agent.summary import messages
from tools.fleet.schemas import schema

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.interpreters import Interpreter

CATALOGUE = catalogue.CATALOGUE | checks.ROWS
TOLD = sorted(name for name in CATALOGUE if CATALOGUE[name][0] != NOTE and name not in verdict.HERE)
LONGEST = {
    "purposes": [(name, False, False) for name in law.CONFIGURABLE],
    "keys": None,
    "capture": "misconfigured",
    "clock": "unknown",
    "day": 20_780,
    "spent": 2000,
    "ceiling": 2000,
    "duty": "undeclared",
    "audit": (1 << 63, "f" * 64),
    "tls": False,
}


def test_what_may_be_told_is_a_closed_list_and_fits(tmp_path: Path):
    """The schema's names are the catalogue's, less notes, passing states and what terminals cause.

    All at once fit health's one length.
    """
    assert schema("health")["properties"]["doctor"]["items"]["enum"] == TOLD
    assert {"block-full", "flash"} <= set(verdict.HERE) <= set(CATALOGUE)
    verdict.leave(
        str(tmp_path / "doctor"), [Finding(name, "", row=CATALOGUE[name]) for name in (*CATALOGUE, "offload")]
    )
    left = verdict.newest(str(tmp_path / "doctor"))
    assert left == [name for name in TOLD if name not in verdict.OWN]
    assert verdict.with_own(left, list(verdict.OWN)) == TOLD
    assert verdict.with_own(None, []) is None
    assert verdict.with_own(None, ["configuration"]) == ["configuration"]
    texts = [messages.health("a" * 16, 1 << 32, LONGEST | {"doctor": names}) for names in (None, [], TOLD)]
    assert {len(text) for text in texts} == {messages.HEALTH_OCTETS}
    assert [json.loads(text)["doctor"] for text in texts] == [None, [], TOLD]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (b"", []),
        (b"acct\noffload\n", ["acct", "offload"]),
        (None, None),
        (b"acct\noffload", None),
        (b"acct\n\n", None),
        (b'a"c\n', None),
        (b"Acct\n", None),
        (b"\xff\n", None),
        (b"a\n" * (verdict.MOST + 1), None),
        (b"a" * (verdict.LIMIT + 1) + b"\n", None),
    ],
    ids=str,
)
def test_a_verdict_is_read_whole_or_not_at_all(interpreter: Interpreter, tmp_path: Path, text, names):
    """Whatever else lies there is none: health never gets longer, never stops."""
    if text is not None:
        (tmp_path / "doctor").write_bytes(text)
    done = interpreter.run(
        "-c", f"from agent.doctor import verdict; print(verdict.newest({str(tmp_path / 'doctor')!r}))"
    )
    assert done.stdout.decode().strip() == str(names)
    longest = LONGEST | {"doctor": ["a" * (verdict.LIMIT // verdict.MOST - 1)] * verdict.MOST}
    assert len(messages.health("a" * 16, 1 << 32, longest)) == messages.HEALTH_OCTETS


def test_notes_and_what_follows_terminals_stay_on_the_gateway(tmp_path: Path):
    finding = Finding("second-nat", "")
    finding.severity = NOTE  # acknowledged
    verdict.leave(
        str(tmp_path / "doctor"),
        [finding, checks.Finding("block-full", ""), Finding("flash", ""), Finding("helpers", "")],
    )
    assert (tmp_path / "doctor").read_text() == ""
    verdict.leave(str(tmp_path / "nowhere" / "doctor"), [])
    assert not (tmp_path / "nowhere").exists()


def test_status_is_loud_about_plain_text_to_another_machine():
    """L34-VI-2; the same flag is `tls` in health."""
    assert [line[:9] for line in status._delivery({"unknown": True}, tls=False)] == ["forwarder", "!! NO TLS"]
    assert [line[:9] for line in status._delivery({"unknown": True}, tls=True)] == ["forwarder"]


def test_an_examination_leaves_its_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from agent.doctor import examination  # noqa: PLC0415 (the one test of it)

    monkeypatch.setattr(examination, "examine", lambda _gateway: [Finding("swap", "x"), Finding("acct", "x")])
    gateway = SimpleNamespace(paths=SimpleNamespace(verdict=str(tmp_path / "doctor")))
    assert examination.run(gateway, fix=False, as_json=True) == 1  # type: ignore[arg-type]  # what it asks of a gateway
    assert json.loads(capsys.readouterr().out)["fine"] is False
    assert verdict.newest(str(tmp_path / "doctor")) == ["acct", "swap"]
