# SPDX-License-Identifier: Apache-2.0
"""The lines of boards/INSTALL.md, run as they stand there: from an empty folder to the first figure on the page.

Real are enrolment, the broker on the shipped configuration, the collector as the unit starts it, `oubli join`, and the
forwarder over TLS. A script of the same name stands for what needs another machine, another user or OpenWrt; paths lie
below a folder of the test.
"""

from __future__ import annotations

import configparser
import csv
import os
import re
import shlex
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import Client

from agent.cli.join import edited
from agent.summary import messages
from agent.summary.metrics import METRICS, scale
from tests.fleet.test_collector import until
from tests.support.interpreters import PROJECT
from tools.fleet import site
from tools.fleet.judgement import standings
from tools.fleet.models import Gateway
from tools.fleet.mosquitto import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs("root", "mosquitto")
DOCUMENT = (PROJECT / "boards/INSTALL.md").read_text()
PLAYED = ("systemctl", "useradd", "chown", "ssh", "scp", "runuser", "uci")
PRESENCE = METRICS[1]


def blocks(kind: str) -> list[str]:
    """Return the document's blocks of one kind."""
    return re.findall(rf"^```sh {kind}\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)


class Place:
    """A server and a gateway below one folder; `run` runs lines of the document there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.gateway = folder, folder / "gateway"
        self.port = 0  # of the broker for gateways
        self.played: list[str] = []
        for path in ("etc/mosquitto/conf.d", "etc/systemd/system", "var/lib/oubli-fleet", "bin", "root"):
            (folder / path).mkdir(parents=True)
        for path in ("etc/config", "tmp", "srv/oubli-spool", "var/run/oubli-live"):
            (self.gateway / path).mkdir(parents=True)
        (self.gateway / "etc/passwd").write_text("oubli-fwd:x:0:0::/:/bin/false\n")
        (self.gateway / "etc/config/oubli").write_text((PROJECT / "boards/common/etc/config/oubli").read_text())
        for name in PLAYED:
            script = folder / "bin" / name
            script.write_text(
                f'#!/bin/sh\nprintf "%s\\n" "{name} $*" >>{folder}/played\n'
                f'[ "$1" != -u ] || {{ shift 3; exec "$@"; }}\n'
            )
            script.chmod(0o755)

    def here(self, line: str) -> str:
        """Return a line of the document with the paths of this place."""
        line = re.sub(r"(?<![\w/])/(root|etc|var)/", rf"{self.folder}/\1/", line)  # first: this tree may lie in /root
        line = line.replace("/opt/oubli/venv/bin", f"{PROJECT}/.venv/bin").replace("/opt/oubli", str(PROJECT))
        return line.replace("mqtt.example.org", "localhost").replace("sqlite:////var", f"sqlite:///{self.folder}/var")

    def run(self, line: str) -> str:
        """Run one line on the server; what it says."""
        environment = os.environ | {"PATH": f"{self.folder}/bin:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-euc", self.here(line)],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        return done.stdout

    def on_gateway(self, words: list[str], ident: str) -> subprocess.Popen[bytes] | None:
        """Do what a line of the document does to the gateway; the forwarder where it starts that."""
        if words[0] == "scp":
            text = (self.folder / "root/oubli-ca" / f"{ident}.join").read_text()
            place = self.gateway / words[-1].partition(":/")[2]
            place.mkdir(exist_ok=True)
            (place / f"{ident}.join").write_text(text.replace("port 8883", f"port {self.port}"))
        elif words[2:4] == ["oubli", "join"]:
            command = [sys.executable, "-m", "agent", "join", f"{self.gateway}{words[4]}", "--root", str(self.gateway)]
            done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=240)
            assert (done.returncode, done.stderr) == (0, "")
        elif words[2:4] == ["uci", "set"]:
            path = self.gateway / "etc/config/oubli"
            path.write_text(edited(path.read_text(), "gateway", (("duty", words[4].partition("=")[2]),)))
        elif words[2].endswith("/init.d/oubli"):
            command = [sys.executable, "-m", "agent", "forwarder", "--root", str(self.gateway)]
            with (self.folder / "forwarder").open("wb") as file:
                return subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        else:
            assert words[2:] in (["uci", "commit", "oubli"], ["oubli", "new-device"], ["oubli", "doctor"]), words
        return None


def unit(place: Place, db: str) -> tuple[list[str], dict[str, str]]:
    """Return the command and environment by which systemd starts the collector, as the unit that was copied says."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # as its documentation says
    parser.read(place.folder / "etc/systemd/system/oubli-fleet.service")
    service = parser["Service"]
    assert service["User"] == "oubli-fleet"
    rows = (place.folder / "etc/oubli-fleet/environment").read_text().splitlines()
    variables = dict(row.split("=", 1) for row in rows)
    command = (
        service["ExecStart"]
        .replace("${OUBLI_BROKER}", variables["OUBLI_BROKER"])
        .replace("$OUBLI_OPTIONS", "--listen 127.0.0.1:0")
    )
    assert service["Environment"] == "OUBLI_FLEET_DB=sqlite:////var/lib/oubli-fleet/fleet.sqlite"
    return shlex.split(place.here(command)), {"OUBLI_FLEET_DB": db}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Give a server and a gateway on which nothing was done."""
    yield Place(tmp_path)
    connections.close_all()


def test_the_install_document_leads_from_nothing_to_a_figure_on_the_page(place: Place, tmp_path: Path) -> None:
    """Every line of it but those that install the program itself, which `tools/setup` runs for the tests."""
    (tmp_path / "cafes.csv").write_text("name;group\nCafé du Port;Brest\nCafé de la Gare;Brest\n", encoding="utf-8-sig")
    (enrolling, broker, service, expecting), (joining,) = blocks("server"), blocks("gateway")
    for line in (enrolling + broker).splitlines():
        place.run(line)
    for name in ("oubli.conf", "oubli.acl"):
        (copied,) = (tmp_path / "etc/mosquitto").rglob(name)
        assert copied.read_text() == (PROJECT / "tools/fleet/mosquitto" / name).read_text()
    rows = list(csv.DictReader((tmp_path / "root/oubli-ca/gateways.csv").read_text().splitlines()))
    assert [(row["name"], row["group"]) for row in rows] == [("Café du Port", "Brest"), ("Café de la Gare", "Brest")]
    ident, other = (row["gateway"] for row in rows)
    with Mosquitto(tmp_path, tmp_path / "etc/mosquitto/oubli") as running:
        place.port = running.port
        for line in service.replace(":8884", f":{running.collectors}").splitlines():
            place.run(line)
        db = f"sqlite:///{tmp_path}/var/lib/oubli-fleet/fleet.sqlite"
        command, environment = unit(place, db)
        log = tmp_path / "log"
        with log.open("wb") as file:
            collector = subprocess.Popen(
                command, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )
        forwarder = None
        try:
            until(
                lambda: log.read_text().count(": connected\n") == 2 and "page: http" in log.read_text(),
                "the collector is connected",
            )
            assert place.run(expecting.strip()) == "2 gateways, 2 of them new\n"
            for line in joining.replace("ID", ident).splitlines():
                place.run(line)
                forwarder = place.on_gateway(shlex.split(line), ident) or forwarder
            assert forwarder is not None
            day = int(time.time()) // 86_400 - 2
            end = (day + 1) * 86_400 + 3 * 3600
            octets = messages.summary(
                ident, PRESENCE, day, 0, end - 86_400, end, [90, 80, 70, 60, 50], scale(PRESENCE.l1, PRESENCE.epsilon)
            )
            beside = place.gateway / "srv/oubli-spool/.new"
            beside.write_bytes(octets)
            beside.rename(beside.with_name(f"{end + 60:012}-presence-00"))
            site.configure(db)
            site.open_store()
            client = Client(HTTP_HOST="localhost")
            client.force_login(get_user_model().objects.get(username="operator"))
            until(lambda: "350 ± " in client.get(f"/gateway/{ident}").content.decode(), "the figure is on the page")
            shown = {one.gateway.ident: one for one in standings(Gateway.objects.all(), int(time.time()))}
            assert shown[ident].gateway.name == "Café du Port"
            assert [finding.kind for finding in shown[other].findings] == ["never"]
        finally:
            for process in (forwarder, collector):
                if process is not None:
                    process.terminate()
                    assert process.wait(240) == 0, log.read_text()
    played = (tmp_path / "played").read_text()
    assert "systemctl restart mosquitto" in played
    assert "systemctl enable --now oubli-fleet" in played
    assert "PRIVATE" not in played + log.read_text()


def test_the_program_is_installed_as_the_tests_install_it() -> None:
    """The document's lines of pip are those of tools/setup, but that it isn't installed as a folder to work in."""
    (program,) = blocks("program")
    setup = " ".join((PROJECT / "tools/setup").read_text().replace("\\\n", "").split())
    for words in ("--require-hashes --only-binary :all: -r", "--no-deps --no-build-isolation"):
        assert words in program
        assert words in setup
