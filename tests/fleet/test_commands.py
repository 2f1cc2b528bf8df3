# SPDX-License-Identifier: Apache-2.0
"""The verbs of `oubli-fleet` that a person types: export, import, verify, watch, password, demo.

And how each refuses what is wrong.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import os
import re
import socket
import ssl
import stat
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pyarrow.parquet as pq
import pytest
from django.contrib.auth import authenticate
from django.db import connections
from typer.testing import CliRunner

from agent.outbox import topics
from host_sim.driver.ports import free_port
from tests.fleet import says
from tests.fleet.test_collector import children, until
from tests.fleet.test_store import totals_agree
from tests.support.interpreters import PROJECT
from tools.fleet import enrol, simulated, site, staging
from tools.fleet.__main__ import app
from tools.fleet.delivery import Arrival
from tools.fleet.intake import Intake
from tools.fleet.models import VALUES, Gateway, Message
from tools.fleet.mosquitto import Mosquitto
from tools.fleet.progress import Progress

if TYPE_CHECKING:
    from typer.testing import Result

ONE, OTHER = says.name(1), says.name(2)


def fleet(store: str, *words: str | Path, input: str = "", status: int = 0) -> Result:  # noqa: A002 (typer's name)
    """Run a verb to its end, in this process."""
    done = CliRunner(env={"OUBLI_FLEET_DB": store, "COLUMNS": "160"}).invoke(app, list(map(str, words)), input=input)
    assert done.exit_code == status, done.output
    return done


REFUSED = {
    "--db: not understood": ("watch", "--db", "oracle://x"),
    "is no folder": ("watch", "--db", "sqlite:////nowhere/at/all"),
    "--broker: not understood": ("serve", "--broker", "http://x"),
    "--broker: plain text to another machine": ("serve", "--broker", "mqtt://broker.example"),
    "--broker: a password in a command line": ("serve", "--broker", "mqtts://u:secret@broker.example"),
    "--password-file": ("serve", "--broker", "mqtts://x", "--password-file", "LICENSE"),
    "--ca: LICENSE: no certificate in it": ("serve", "--broker", "mqtts://x", "--ca", "LICENSE"),
    "--ca: none.pem: No such file": ("serve", "--broker", "mqtts://x", "--ca", "none.pem"),
    "--certificate: LICENSE: no certificate": ("serve", "--broker", "mqtts://x", "--certificate", "LICENSE"),
    "--key: without --certificate": ("serve", "--broker", "mqtts://x", "--key", "PRIVATE"),
    "--password-file: PRIVATE: Is a directory": ("serve", "--broker", "mqtts://x", "--password-file", "PRIVATE"),
    "--listen": ("serve", "--broker", "mqtt://localhost", "--listen", "127.0.0.1:99999"),
    "beyond loopback; accepted: with --tls-certificate": (
        "serve",
        "--broker",
        "mqtt://localhost",
        "--listen",
        "0.0.0.0:0",
    ),
    "beyond loopback; accepted: after": (
        "serve",
        "--broker",
        "mqtt://localhost",
        "--listen",
        "0.0.0.0:0",
        "--plain-http",
    ),
    "one without the other": ("serve", "--broker", "mqtt://localhost", "--tls-certificate", "LICENSE"),
    "--format": ("export", "x", "--format", "xls"),
    "--since": ("export", "x", "--since", "yesterday"),
    "FILE: /nowhere/x": ("export", "/nowhere/x"),
    "No such file": ("import", "/nowhere/x"),
    "line 1: no message": ("import", "LICENSE"),
    "GATEWAY: 'x'": ("verify", "x"),
    "none.sqlite: there is no store": ("verify", "--db", "sqlite:///none.sqlite"),
    "the password": ("password",),
    "--prefix": ("discovery", "--prefix", "a/#"),
    "nothing to enrol": ("enrol",),
    "is no id": ("enrol", "../../etc/passwd"),
    "--folder: LICENSE: Not a directory": ("enrol", ONE, "--folder", "LICENSE"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_wrong_is_told_in_one_line(sqlite, tmp_path, what):
    """Exit 2, one line that names the option or file, what was wrong and what is accepted; nothing is made."""
    before = set(PROJECT.iterdir())
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    words = [str(private) if word == "PRIVATE" else word for word in REFUSED[what]]
    done = fleet(sqlite, *words, input="short\n", status=2)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("oubli-fleet: ")
    assert what.replace("PRIVATE", str(private)) in done.stderr
    assert "accepted: " in done.stderr
    assert "secret" not in done.stderr
    assert set(PROJECT.iterdir()) == before


@pytest.mark.long
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_what_is_exported_is_imported_again_to_the_last_figure(sqlite, memory, tmp_path, form):
    """Also into another database: how a fleet moves from SQLite to PostgreSQL. A second import changes nothing."""
    venues = simulated.venues(3)
    staging.fill(venues, 3, int(time.time()))
    target = tmp_path / f"figures.{form}"
    fleet(sqlite, "export", target, "--format", form)
    columns = (
        "gateway__ident",
        "metric",
        "day",
        "slot",
        "start",
        "end",
        "b_over",
        "b_under",
        "received",
        "late",
        *VALUES,
    )
    before = sorted(Message.objects.values_list(*columns))
    rows = (
        pq.read_table(target).to_pylist()
        if form == "parquet"
        else list(csv.DictReader(target.read_text().splitlines()))
    )
    assert len(rows) == sum(sum(value is not None for value in row[10:]) for row in before)
    assert {row["name"] for row in rows} == {venue.name for venue in venues}
    assert list(tmp_path.iterdir()) == [target]

    other = f"sqlite:///{memory}/{form}-other.sqlite"
    first, second = (json.loads(fleet(other, "import", target, "--json", "-").stdout) for _ in range(2))
    assert first == {"kept": len(before)}
    assert second == {"repeat": len(before)}
    connections.close_all()
    site.configure(other)
    assert sorted(Message.objects.values_list(*columns)) == before
    assert totals_agree()


def test_an_export_of_days_holds_those_and_formulas_as_text(sqlite, tmp_path):
    Intake().take([says.summary(ONE, day=says.DAY - 1), says.summary(ONE, values=[-4])], says.NOW)
    Gateway.objects.update(name="=1+1", group="@x")
    done = fleet(sqlite, "export", "-", "--since", "2026-11-23", "--until", "2026-11-23")
    (row,) = csv.DictReader(done.stdout.splitlines())
    assert (row["day"], row["value"], row["name"], row["group"]) == ("2026-11-23", "-4", "'=1+1", "'@x")
    assert (row["half_width"], row["b_numerator"], row["b_denominator"]) == ("12", "4", "1")


def test_lines_of_a_subscriber_are_taken_and_what_is_hostile_is_refused(sqlite, tmp_path):
    """What `mosquitto_sub -v` printed, with a replay that contradicts and another gateway's topic between.

    Exit 1, counted.
    """
    today = int(time.time()) // 86_400 - 2
    good = says.summary(ONE, day=today)
    stolen = replace(good, topic=good.topic.replace(ONE, OTHER))
    contradicting = replace(good, payload=good.payload.replace(b'"values":[0]', b'"values":[9]'))
    path = tmp_path / "lines"
    path.write_bytes(
        b"".join(one.topic.encode() + b" " + one.payload + b"\n" for one in (good, good, stolen, contradicting))
    )
    done = fleet(sqlite, "import", path, status=1)
    assert done.stdout == "1 conflict, 1 gateway, 1 kept, 1 repeat\n"
    assert Message.objects.get().v0 == 0


def test_a_file_that_is_half_an_export_is_refused(sqlite, tmp_path):
    for name, octets in (("cut.parquet", b"PAR1 and no more"), ("cut.csv", b"gateway,metric\nx,y\n")):
        (tmp_path / name).write_bytes(octets)
        assert "not what `export` writes" in fleet(sqlite, "import", tmp_path / name, status=2).stderr


def test_a_page_without_usable_certificate_is_refused_before_a_store_is_made(tmp_path):
    (tmp_path / "key").write_text("x")
    (tmp_path / "key").chmod(0o600)
    words = (
        "serve",
        "--broker",
        "mqtt://localhost",
        "--tls-certificate",
        tmp_path / "key",
        "--tls-key",
        tmp_path / "key",
    )
    done = fleet(f"sqlite:///{tmp_path}/new.sqlite", *words, "--listen", "127.0.0.1:0", status=2)
    assert done.stderr.startswith(f"oubli-fleet: --tls-certificate: {tmp_path}/key: no certificate in it; accepted: ")
    fleet(f"sqlite:///{tmp_path}/new.sqlite", "import", tmp_path / "none", status=2)
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_key_of_another_certificate_or_with_a_passphrase_is_named(tmp_path):
    """Nobody is asked for a passphrase: a daemon has no terminal."""
    pair = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=x", "-days", "1"]
    for name, how in (("one", ["-nodes"]), ("other", ["-nodes"]), ("shut", ["-passout", "pass:secret"])):
        files = ["-out", tmp_path / f"{name}.pem", "-keyout", tmp_path / f"{name}.key"]
        subprocess.run(["openssl", *pair, *how, *files], check=True, capture_output=True)
        (tmp_path / f"{name}.key").chmod(0o600)
    for certificate, key, option in (
        ("one", "other", "--key"),
        ("shut", "shut", "--key"),
        ("one", "other", "--tls-key"),
    ):
        words = (option.replace("key", "certificate"), tmp_path / f"{certificate}.pem", option, tmp_path / f"{key}.key")
        done = fleet(f"sqlite:///{tmp_path}/new.sqlite", "serve", "--broker", "mqtts://x", *words, status=2)
        assert done.stderr == (
            f"oubli-fleet: {option}: {tmp_path}/{key}.key: not that certificate's key, or it has a passphrase; "
            "accepted: its key, PEM\n"
        )


def test_an_empty_store_has_nothing_to_verify(sqlite):
    """Exit 1: who asks by a script would take 0 for every log being whole."""
    done = fleet(sqlite, "verify", status=1)
    assert (done.stdout, done.stderr) == ("", "oubli-fleet: there is nothing to verify: no gateway has spoken yet\n")
    assert fleet(sqlite, "verify", "--json", "-", status=1).stdout == "[]\n"


def test_verify_says_whose_audit_log_was_cut(sqlite):
    intake = Intake()
    for number, letter in ((5, "a"), (6, "b")):
        intake.take([says.health(ONE, says.NOW + number, audit=(number, letter * 64))], says.NOW + number)
    assert fleet(sqlite, "verify").stdout.splitlines() == [
        f"{ONE}  whole", f"                  on the gateway: oubli log --verify --head 6:{'b' * 64}"
    ]  # fmt: skip
    intake.take([says.health(ONE, says.NOW + 7, audit=(3, "c" * 64)), says.state(OTHER)], says.NOW + 7)
    assert json.loads(fleet(sqlite, "verify", "--json", "-", status=1).stdout) == [
        {"gateway": ONE, "head": f"6:{'b' * 64}", "wrong": ["cut"]},
        {"gateway": OTHER, "head": "", "wrong": []},
    ]
    fleet(sqlite, "verify", OTHER)


def test_watch_shows_the_worst_first_and_no_control_characters(sqlite):
    now = int(time.time())
    Intake().take([says.health(ONE, now), says.health(OTHER, now, late=True)], now)
    Gateway.objects.filter(ident=OTHER).update(name="\x1b[2J[bold]evil[/bold]")
    lines = fleet(sqlite, "watch").stdout.splitlines()
    assert "◆ 1 breach  ▲ 0 warning  ● 1 good" in lines[0]
    assert "?[2J[bold]evil[/bold]" in lines[2]
    assert "A record outlived its deadline" in lines[2]
    assert ONE in lines[3]
    found = json.loads(fleet(sqlite, "watch", "--json", "-").stdout)
    assert [(one["gateway"], one["grade"], one["findings"]) for one in found] == [
        (OTHER, "breach", ["late"]),
        (ONE, "good", []),
    ]


def test_home_assistant_finds_each_gateways_entities(sqlite):
    """Retained configurations, no wildcard, no figure; their templates say of real messages what those say."""
    Intake().take([says.state(ONE), says.health(ONE)], says.NOW)
    Gateway.objects.update(name="Café\nLyon")
    lines = [line.split(" ", 1) for line in fleet(sqlite, "discovery").stdout.splitlines()]
    assert len(lines) == 7
    found = {topic.split("/")[3]: json.loads(payload) for topic, payload in lines}
    assert all(topic.startswith(f"homeassistant/binary_sensor/oubli-{ONE}/") for topic, _ in lines)
    assert {one["device"]["name"] for one in found.values()} == {"Café\nLyon"}
    engine = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 (no HTML)

    def value(key: str, message: Arrival) -> str:
        assert found[key]["state_topic"] == message.topic
        return engine.from_string(found[key]["value_template"]).render(value_json=json.loads(message.payload))

    wrong: dict[str, dict[str, Any]] = {
        "late": {"late": True},
        "capture": {"capture": "stopped"},
        "clock": {"clock": "floor"},
        "duty": {"duty": "undeclared"},
        "tls": {"tls": False},
        "doctor": {"doctor": ["offload"]},
    }
    for key, facts in wrong.items():
        assert value(key, says.health(ONE)) == "OFF"
        assert value(key, says.health(ONE, **facts)) == "ON"
    assert value("connected", says.state(ONE)) == "ON"
    assert value("connected", Arrival(topics.state(ONE), b'{"state":"lost"}')) == "OFF"


def test_a_password_is_set_from_standard_input(sqlite):
    fleet(sqlite, "password", "claire", input="a long enough one\n")
    assert authenticate(username="claire", password="a long enough one") is not None
    fleet(sqlite, "password", "claire", input="another long one\n")
    assert authenticate(username="claire", password="a long enough one") is None


def test_enrol_makes_keys_that_only_their_owner_reads_and_overwrites_nothing(sqlite, tmp_path):
    folder = tmp_path / "ca"
    words = ("enrol", ONE, "--folder", folder, "--broker", "broker.example.org", "--collector")
    fleet(sqlite, *words)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert {name for name, mode in modes.items() if mode == 0o600} == {
        "ca.key", "collectors.key", f"{ONE}.key", "broker.key", "oubli-fleet.key", f"{ONE}.join", "gateways.csv"
    }  # fmt: skip
    assert {name for name, mode in modes.items() if mode == 0o644} == {
        "ca.pem", "collectors.pem", f"{ONE}.pem", "broker.pem", "oubli-fleet.pem"
    }  # fmt: skip
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert "is there already" in fleet(sqlite, *words, status=2).stderr
    fleet(sqlite, "enrol", OTHER, "--folder", folder)
    assert {name: (folder / name).read_bytes() for name in before if name != "gateways.csv"} | {
        "gateways.csv": before["gateways.csv"]
    } == before
    (folder / "ca.key").write_text("no key")
    assert "no authority of ours" in fleet(sqlite, "enrol", says.name(3), "--folder", folder, status=2).stderr


def test_enrol_takes_a_list_and_packs_an_archive_a_gateway(sqlite, tmp_path):
    """A spreadsheet's CSV: each without an id gets one; an archive holds what its gateway needs, for its owner alone.

    Renewed in place.
    """
    (tmp_path / "cafes.csv").write_text(
        f"name;group;gateway\nCafé du Port;Brest;\n'=Gare;Brest;{ONE}\n", encoding="utf-8-sig"
    )
    folder = tmp_path / "ca"
    fleet(sqlite, "enrol", "--folder", folder, "--broker", "broker.example.org", "--list", tmp_path / "cafes.csv")
    rows = list(csv.DictReader((folder / "gateways.csv").read_text().splitlines()))
    assert [(row["name"], row["group"]) for row in rows] == [("Café du Port", "Brest"), ("'=Gare", "Brest")]
    assert rows[1]["gateway"] == ONE
    for row in rows:
        archive = folder / f"{row['gateway']}.join"
        assert stat.S_IMODE(archive.stat().st_mode) == 0o600
        parts = [(folder / name).read_text() for name in (f"{row['gateway']}.pem", f"{row['gateway']}.key", "ca.pem")]
        assert (
            archive.read_text()
            == f"oubli-join 1\nid {row['gateway']}\nhost broker.example.org\nport 8883\n{''.join(parts)}"
        )
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    wrong = fleet(sqlite, "enrol", OTHER, ONE, "--folder", folder, status=2)
    assert f"{ONE}.pem: is there already" in wrong.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before  # nor the other one
    fleet(sqlite, "enrol", ONE, "--folder", folder, "--renew")
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {f"{ONE}.pem", f"{ONE}.key", f"{ONE}.join"}
    assert "--renew: " in fleet(sqlite, "enrol", OTHER, "--folder", folder, "--renew", status=2).stderr


LISTS: dict[str, str | bytes] = {
    "no head": "Café du Port;Brest\n",
    "line 3: 'x' is no id": f"gateway,name\n{ONE},a\nx,b\n",
    "there twice": f"gateway,name\n{ONE},a\n{ONE},b\n",
    "a name or group": f"gateway,name\n{ONE},{'a' * 65}\n",
    "no UTF-8": b"name\n\xff\n",
}


@pytest.mark.parametrize("what", LISTS)
def test_a_list_that_is_wrong_is_refused_by_its_line(sqlite, tmp_path, what):
    octets = LISTS[what]
    (tmp_path / "list").write_bytes(octets if isinstance(octets, bytes) else octets.encode())
    for words in (("enrol", "--folder", tmp_path / "ca", "--list"), ("expect",)):
        done = fleet(sqlite, *words, tmp_path / "list", status=2)
        assert (done.stdout, done.stderr.count("\n")) == ("", 1)
        assert what in done.stderr
        assert "accepted: " in done.stderr
    assert not (tmp_path / "ca").exists()
    assert not Gateway.objects.exists()


def test_gateways_are_expected_until_they_speak(sqlite, tmp_path):
    """Never spoke is a finding; a name and a group of the list take others' place, empty ones don't.

    Without an id: refused.
    """
    now = int(time.time())
    Intake().take([says.health(ONE, now)], now)
    Gateway.objects.update(name="former", group="north")
    Intake().take([says.summary(ONE, day=now // 86_400 - 2)], now)
    (tmp_path / "list").write_text(f"group,gateway,name\nsouth,{ONE},\n,{OTHER},New\n")
    assert fleet(sqlite, "expect", tmp_path / "list").stdout == "2 gateways, 1 of them new\n"
    assert set(Gateway.objects.values_list("ident", "name", "group")) == {(ONE, "former", "south"), (OTHER, "New", "")}
    assert totals_agree()
    found = {one["gateway"]: one["findings"] for one in json.loads(fleet(sqlite, "watch", "--json", "-").stdout)}
    assert found[OTHER] == ["never"]
    Intake().take([says.health(OTHER, now)], now)
    found = {one["gateway"]: one["findings"] for one in json.loads(fleet(sqlite, "watch", "--json", "-").stdout)}
    assert found == {ONE: [], OTHER: []}
    (tmp_path / "list").write_text("name\nNobody\n")
    assert (
        "is no id; accepted: 16 characters of a-z2-7\n" in fleet(sqlite, "expect", tmp_path / "list", status=2).stderr
    )


def test_what_takes_minutes_says_how_far_it_is(capsys):
    """Every five seconds at most, with what is left."""
    now = [0.0]
    said = Progress(lambda: now[0])
    for day in range(10):
        said(f"day {day + 1} of 10", day, 10)
        now[0] += 3.0
    assert capsys.readouterr().err.splitlines() == [
        "oubli-fleet: day 3 of 10, about 24 s to go", "oubli-fleet: day 5 of 10, about 18 s to go",
        "oubli-fleet: day 7 of 10, about 12 s to go", "oubli-fleet: day 9 of 10, about 6 s to go",
    ]  # fmt: skip


@pytest.mark.needs("mosquitto")
def test_demo_is_one_command_and_leaves_nothing(tmp_path):
    """A broker, gateways that speak, the page: until it is ended; then its folder and its processes are gone."""
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.fleet", "demo", "--gateways", "6", "--listen", "127.0.0.1:0"],
            cwd=PROJECT, env=os.environ | {"TMPDIR": str(tmp_path)}, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        until(lambda: process.poll() is not None or b"open http" in log.read_bytes(), "the page is served")
        address = re.search(r"open (\S+) and", log.read_text())
        assert address is not None, log.read_text()
        with urllib.request.urlopen(address[1] + "login") as answer:  # noqa: S310 (our own page)
            assert answer.status == 200
        (folder,) = tmp_path.glob("oubli-fleet-*")
        site.configure(f"sqlite:///{folder}/demo.sqlite")
        heard = int(time.time())
        until(lambda: Gateway.objects.filter(seen__gt=heard).count() == 5, "they speak; one is silent")
        connections.close_all()
    finally:
        process.terminate()
        assert process.wait(240) == 0, log.read_text()
    assert list(tmp_path.iterdir()) == [log]
    assert "Traceback" not in log.read_text()


@pytest.mark.needs("mosquitto")
def test_the_page_over_tls_beyond_loopback_and_no_orphans(sqlite, tmp_path):
    """With a password and TLS it listens everywhere; cookies are for TLS only.

    Killed with SIGKILL, it leaves no consumer behind.
    """
    fleet(sqlite, "password", "claire", input="a long enough one\n")
    authority = enrol.Authority(tmp_path / "ca", dt.datetime.now(dt.UTC))
    made = authority.broker("localhost")
    log = tmp_path / "log"
    with Mosquitto(tmp_path) as broker, log.open("wb") as file:
        words = ["serve", "--broker", f"mqtt://127.0.0.1:{broker.port}", "--listen", "0.0.0.0:0", "--host", "localhost"]
        words += ["--tls-certificate", str(made.certificate), "--tls-key", str(made.key)]
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.fleet", *words],
            cwd=PROJECT, env=os.environ | {"OUBLI_FLEET_DB": sqlite}, stdin=subprocess.DEVNULL, stdout=file,
            stderr=file,
        )  # fmt: skip
        try:
            until(lambda: process.poll() is not None or b"page: https" in log.read_bytes(), "served")
            until(lambda: process.poll() is not None or log.read_bytes().count(b"connected without") >= 2, "consumers")
            port = re.search(r"page: https://0\.0\.0\.0:(\d+)/", log.read_text())
            assert port is not None, log.read_text()
            context = ssl.create_default_context(cafile=authority.certificate)
            with urllib.request.urlopen(f"https://localhost:{port[1]}/login", context=context) as answer:
                assert "Secure" in answer.headers["Set-Cookie"]
            assert "log in as" not in log.read_text()
            consumers = children(process)
            assert len(consumers) == 2
        finally:
            process.kill()
            process.wait()
        until(lambda: not any(Path(f"/proc/{one}").exists() for one in consumers), "the consumers end too")


@pytest.mark.long
def test_what_is_no_request_is_no_line_in_the_journal(sqlite, tmp_path):
    """A stranger could send without end what isn't HTTP, or asks for an upgrade that nobody offers."""
    log = tmp_path / "log"
    words = ["serve", "--broker", "mqtt://127.0.0.1:1", "--consumers", "0", "--listen", "127.0.0.1:0"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.fleet", *words],
            cwd=PROJECT, env=os.environ | {"OUBLI_FLEET_DB": sqlite}, stdin=subprocess.DEVNULL, stdout=file,
            stderr=file,
        )  # fmt: skip
    try:
        until(lambda: process.poll() is not None or b"page: http" in log.read_bytes(), "served")
        before = log.read_text()
        port = re.search(r"page: http://127\.0\.0\.1:(\d+)/", before)
        assert port is not None, before
        upgrade = b"GET /login HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        for sent, answer in ((b"no HTTP at all\r\n\r\n", b"400"), (upgrade, b"200")):
            with socket.create_connection(("127.0.0.1", int(port[1])), 60) as one:
                one.sendall(sent)
                assert one.recv(4096).startswith(b"HTTP/1.1 " + answer)
        assert log.read_text() == before
    finally:
        process.terminate()
        process.wait(240)


WHEN = """
import sys, threading
class When:
    def find_spec(self, name, path=None, target=None):
        print(f"loaded {threading.active_count() > 1} {name}", file=sys.stderr)
sys.meta_path.insert(0, When())
"""


@pytest.mark.long
def test_what_the_collector_uses_is_loaded_while_it_has_one_thread(sqlite, tmp_path):
    """Beside another thread pyarrow once made every str a Mapping: no page was shown, no alert sent till a restart."""
    (tmp_path / "sitecustomize.py").write_text(WHEN)
    log = tmp_path / "log"
    words = ["serve", "--broker", "mqtt://127.0.0.1:1", "--consumers", "0", "--listen", "127.0.0.1:0"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.fleet", *words],
            cwd=PROJECT, env=os.environ | {"OUBLI_FLEET_DB": sqlite, "PYTHONPATH": str(tmp_path)},
            stdin=subprocess.DEVNULL, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        until(lambda: process.poll() is not None or b"page: http" in log.read_bytes(), "served")
        port = re.search(r"page: http://127\.0\.0\.1:(\d+)/", log.read_text())
        assert port is not None, log.read_text()
        with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/login") as answer:
            assert answer.status == 200
    finally:
        process.terminate()
        process.wait(240)
    beside = {name: late == "True" for late, name in re.findall(r"loaded (\w+) (\w+)\n", log.read_text())}
    assert {name: beside[name] for name in ("jsonschema", "pyarrow", "pandas")} == {
        "jsonschema": False, "pyarrow": False, "pandas": False,
    }  # fmt: skip
    assert beside["uvloop"]  # what uvicorn loads as it begins: the look sees


EARLY = """
import os, signal, socket
from tools.fleet import site
site.configure("sqlite:///:memory:")
from tools.fleet.serve import serve_page
serve_page(socket.create_server(("127.0.0.1", 0)), None, None, lambda: os.kill(os.getpid(), signal.SIGTERM))
print("ended")
"""


def test_a_page_that_is_ended_before_it_listens_ends():
    """A service manager's SIGTERM comes once; it isn't lost while uvicorn starts."""
    done = subprocess.run([sys.executable, "-c", EARLY], cwd=PROJECT, capture_output=True, timeout=60, check=True)
    assert done.stdout == b"ended\n"


def test_streams_needs_no_store():
    """In a process of its own, as an operator runs it: no module of the store may be asked for before one is named."""
    command = [sys.executable, "-m", "tools.fleet", "streams", "--broker", f"nats://127.0.0.1:{free_port()}"]
    done = subprocess.run(command, cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "can't be used" in done.stderr
