# SPDX-License-Identifier: Apache-2.0
"""What a look-up says of itself beside its rows.

The clock by which they were written, and the address that no record has (L34-II-6).
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from agent.purposes import lookup, lookup_verb

if TYPE_CHECKING:
    from collections.abc import Iterator

MAC = bytes([2, 0, 0, 0, 0, 1])


class Line(dict[str, str]):
    """The words of a command, and the recorder's answers to it."""

    def __init__(self, words: dict[str, str], answers: list[dict[str, Any]]) -> None:
        super().__init__(words)
        self.answers = answers

    def ask_for(self, _verb: str, **_fields: object) -> list[dict[str, Any]]:
        return self.answers


def looked_up(
    monkeypatch, state: str, public: bytes | None, mac: bytes | None = None, since: int = 10, count: int = 1
) -> list[dict[str, Any]]:
    record = SimpleNamespace(
        start=100, duration=10, protocol=6, address=bytes([192, 168, 1, 10]), translated_port=20012, mac=MAC
    )

    def records(*_: object) -> Iterator[SimpleNamespace]:
        yield from [record] * count

    monkeypatch.setattr(lookup, "reading", SimpleNamespace(read=records))
    source = SimpleNamespace(wall=lambda: 0, monotonic=lambda: 0)
    clock = SimpleNamespace(
        trusted=state in ("trusted", "doubtful"), source=source, certain=lambda *_: state == "trusted"
    )
    clock.state = "trusted" if clock.trusted else state
    recorder: Any = SimpleNamespace(
        config=SimpleNamespace(purposes={"security": 1}), paths=SimpleNamespace(root=""), clock=clock,
        audit=SimpleNamespace(note=lambda *_: True), orders=SimpleNamespace(children=[]),
    )  # fmt: skip
    fields = {
        "terminal": mac,
        "address": None,
        "public_address": public,
        "from": since,
        "until": since + 1,
        "reason": "abuse",
        "report": None,
    }
    fields |= {"port": None, "protocol": None} if mac else {"port": 20012, "protocol": "tcp"}
    row = {
        "start": 10,
        "seconds": 1,
        "address": "192.168.1.10",
        "protocol": "tcp",
        "source_port": 41001,
        "translated_port": 20012,
    }
    row |= {"service": "other", "bytes_up": 1, "bytes_down": 1, "packets_up": 1, "packets_down": 1}
    return list(lookup.begin(recorder, lambda _: None, lambda _: dict(row), fields, "root", second_nat=False))


@pytest.mark.parametrize("state", ["trusted", "doubtful", "floor", "unknown"])
@pytest.mark.parametrize(
    ("public", "mac", "told"),
    [(None, None, "unknown"), (bytes([8, 8, 8, 8]), None, "unknown"), (bytes(16), None, ""), (None, MAC, "")],
    ids=["no address", "one that the gateway never had", "IPv6", "a terminal"],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_it_says_how_far_its_times_and_its_address_are_to_be_trusted(
    monkeypatch, capsys, state, public, mac, told, as_json
):
    """A terminal is named by times that a wrong clock wrote, and of any IPv4 address that is asked about."""
    answers = looked_up(monkeypatch, state, public, mac)
    assert (answers[-1]["clock"], answers[-1]["public_address"]) == (state, told)
    words = {"--at": "2026-11-25T10:00:00Z", "--reason": "abuse", "--port": "20012", "--protocol": "tcp"}
    line: Any = Line(words | ({"--json": ""} if as_json else {}), answers)
    assert lookup_verb.show(line) == 0
    shown = capsys.readouterr().out
    if as_json:
        said = json.loads(shown)
        assert (said["clock"], said["public_address"]) == (state, told)
    else:
        assert shown.count(f"!! the gateway's clock is {state}: these times may be wrong") == (state != "trusted")
        assert shown.count("of IPv4 no record has the public address") == bool(told)


@pytest.mark.parametrize(("since", "count", "told"), [(11, 1, None), (10, 1, 11), (5, 1, 7), (10, 0, 12)])
def test_it_says_of_which_time_nothing_is_known(monkeypatch, capsys, since, count, told):
    """L34-II-6: no record of a time before the boot, or of one that is forgotten, doesn't say that nothing was."""
    answers = looked_up(monkeypatch, "trusted", None, since=since, count=count)
    assert answers[-1].get("unknown_before") == told
    words = {"--at": "2026-11-25T10:00:00Z", "--reason": "abuse", "--port": "20012", "--protocol": "tcp"}
    line: Any = Line(words, answers)
    assert lookup_verb.show(line) == 0
    shown = capsys.readouterr().out
    assert shown.count("nothing is known of before") == (told is not None)
    assert told is None or f"nothing is known of before 1970-01-01 00:00:{told:02} (UTC)\n" in shown
