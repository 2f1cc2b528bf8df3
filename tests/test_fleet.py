# SPDX-License-Identifier: Apache-2.0
"""What an operator reads messages with: their schemas here; the estimates are at the end of this file."""

import json

import jsonschema
import pytest

from agent.forward import messages
from agent.forwarder import LOST, STOPPED
from agent.summary import metrics
from tests.paired import Device, crowd
from tools.fleet.schemas import KINDS, schema

ONLINE = b'{"state":"online","boot":"' + b"a1" * 16 + b'","version":"0.1.0","config":"' + b"0f" * 8 + b'"}'


def valid(kind: str, text: bytes) -> bool:
    """Say whether a message has its kind's schema."""
    validator = jsonschema.Draft202012Validator(schema(kind))
    return validator.is_valid(json.loads(text))


def test_every_kind_has_a_schema_that_is_one():
    """One file a kind; the cells of a metric are named there in the order of its values."""
    assert set(KINDS) == {"health", "state", *(metric.name for metric in metrics.METRICS)}
    for kind in KINDS:
        read = schema(kind)
        jsonschema.Draft202012Validator.check_schema(read)
        assert read["$id"] == f"oubli/{kind}/1"
    for metric in metrics.METRICS:
        read = schema(metric.name)["properties"]
        assert [cell["title"] for cell in read["values"]["prefixItems"]] == list(metric.cells)
        assert read["unit"]["const"] == metric.unit
        assert read["slot"]["maximum"] == metric.slots - 1


def test_everything_that_leaves_has_its_kinds_schema_and_length(memory):
    """A day of a recorder, empty or not, with a boot: each message, each health, each state."""
    for number in (0, 100):
        device = Device(memory / "device", None)
        seen = device.play(crowd(1, number), boots=[9 * 3600])
        assert len(seen.spool) > 20
        for name, text in seen.spool.items():
            assert len(text) == messages.SUMMARY_OCTETS
            kind = name.split("-")[1]
            assert valid(kind, text), text
            assert list(json.loads(text)) == list(schema(kind)["properties"])
        assert len(seen.health) > 20
        for text in seen.health:
            assert len(text) == messages.HEALTH_OCTETS
            assert valid("health", text), text
    assert all(valid("state", text) for text in (LOST, STOPPED, ONLINE))


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_refuses_what_is_not_its_kind(kind):
    """A key more, a key less, another's message, a fraction, a figure too many."""
    metric = next((metric for metric in metrics.METRICS if metric.name == kind), metrics.METRICS[0])
    whole = messages.summary("a" * 16, metric, 20000, 0, 1, 2, [-3] * len(metric.cells), (40, 3))
    text = {"state": ONLINE, "health": HEALTH}.get(kind, whole)
    good = json.loads(text)
    assert valid(kind, text)
    broken = [good | {"terminals": 3}, *({key: good[key] for key in good if key != left_out} for left_out in good)]
    broken += [json.loads(other) for name, other in (("state", ONLINE), ("health", HEALTH), ("", whole)) if other != text]
    if "values" in good:
        more = [*good["values"], 1]
        broken += [good | {"values": more}, good | {"values": more[:-2]}, good | {"values": [0.5] * len(metric.cells)}, good | {"b": [4]}]
    for one in broken:
        assert not valid(kind, json.dumps(one).encode()), one


HEALTH = messages.health(
    "a" * 16, 1, {"security": True, "late": False, "capture": "ok", "clock": "floor", "day": 1, "spent": 0, "ceiling": 9, "duty": "none"}
)
