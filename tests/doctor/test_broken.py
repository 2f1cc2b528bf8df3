# SPDX-License-Identifier: Apache-2.0
"""A whole gateway in a root with busybox: doctor finds nothing where all is well, and each thing broken on purpose.

The daemons run as the package installs them, in jails, with a real broker; tests/openwrt/broken.py has the table.
"""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from agent.doctor.catalogue import CATALOGUE
from agent.purposes.checks import ROWS
from tests.openwrt import gateway as roots
from tests.openwrt import procd
from tests.openwrt.broken import BROKEN, Broken, run
from tests.openwrt.trial import NEEDS, build, connected, recorded, run_script, status, wait_for, with_battery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVICE = ("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli")
PORT = "1883"


class World:
    """A gateway on which all is well, and the words of tests/openwrt/broken.py."""

    def __init__(self, gateway: roots.Gateway) -> None:
        self.gateway = gateway
        self.config = gateway.path / "etc/config/oubli"
        self.set("gateway.duty", "portal")
        self.set("notice.controller", "Lac SARL")
        self.set("notice.contact", "a@b.example")
        self.set("mqtt.host", "127.0.0.1")
        self.set("mqtt.port", PORT)
        self._good = self.config.read_text()
        self.service = procd.Procd({"instances": {}}, gateway.start)

    def shell(self, line: str) -> None:
        """Run a line as root."""
        self.gateway.run("/bin/sh", "-c", line, env=("WAN=wan0",))

    def set(self, option: str, value: str | None) -> None:
        """Write an option of a section, which may be there, as a line of its own."""
        section, _, name = option.partition(".")
        text = re.sub(
            rf"(?m)(^config \w+ '{section}'\n(?:[^\n]*\n)*?)\toption {name} [^\n]*\n",
            r"\1",
            self.config.read_text(),
            count=1,
        )
        if value is not None:
            text = re.sub(rf"(?m)^(config \w+ '{section}')$", rf"\1\n\toption {name} '{value}'", text, count=1)
        self.config.write_text(text)

    def whole(self) -> None:
        """Bring the configuration back."""
        self.config.write_text(self._good)

    def restart(self) -> None:
        """Stop the service and start it."""
        for action in ("stop", "start"):
            self.gateway.run(*SERVICE, action)
            self.service.update(procd.service(recorded(self.gateway)))
            # What a jail holds may outlive it for a moment: procd would start the page once more, this doesn't
            if action == "stop":
                wait_for(
                    lambda: (
                        not re.search(
                            r":2102 \S+ 0A ", self.gateway.host("cat", "/proc/net/tcp", "/proc/net/tcp6").stdout
                        )
                    )
                )
        wait_for(lambda: status(self.gateway).get("capture"), 60)

    def end(self, instance: str) -> None:
        """End a process."""
        self.service.kill(instance)

    def found(self) -> list[str]:
        """Return what doctor finds."""
        done = self.gateway.run("/usr/bin/oubli", "doctor", "--json", check=False)
        assert done.stdout, (done.returncode, done.stderr)
        return sorted(finding["id"] for finding in json.loads(done.stdout)["findings"])

    def well(self) -> None:
        """Wait until doctor finds nothing: a forwarder takes a moment to connect."""
        wait_for(lambda: not self.found(), 240)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give one gateway for all that is broken on it, one after the other."""
    root: Path = tmp_path_factory.mktemp("gateway") / "root"
    roots.make(root)
    scripts = [roots.unpack_apk(build()[name][1], root)["post-install"] for name in ("oubli", "oubli-purposes")]
    (root / "sbin/ujail").symlink_to("../host/ujail")
    (root / "lib/libpreload-seccomp.so").touch()  # of the package procd-seccomp
    with_battery(root)
    with connected(root) as gateway:
        with (root / "etc/config/network").open("a") as file:
            file.write("config interface 'wan'\n\toption device 'wan0'\n")
        for words in ("link add wan0 type veth peer name isp0", "link set wan0 up", "addr add 203.0.113.2/24 dev wan0"):
            gateway.host("ip", *words.split())
        with subprocess.Popen(gateway.host_command("mosquitto", "-p", PORT), stderr=subprocess.DEVNULL) as broker:
            run_script(gateway, scripts[0])
            made = World(gateway)
            try:
                made.restart()
                yield made
            finally:
                made.service.stop()
                broker.terminate()


HERE = [row for row in BROKEN if row.here]


def test_the_table_has_each_thing_once_and_more_than_25():
    names = [row.name for row in BROKEN]
    assert len(set(names)) == len(names)
    assert len(HERE) >= 25
    assert {*names, *(name for row in BROKEN for name in row.also)} <= {*CATALOGUE, *ROWS}


@pytest.mark.needs(*NEEDS, "mosquitto")
@pytest.mark.parametrize("row", HERE, ids=lambda row: row.name)
def test_doctor_names_what_was_broken_and_finds_nothing_once_it_is_mended(world: World, row: Broken) -> None:
    world.well()
    run(world, row.steps)
    try:
        wait_for(lambda: world.found() == sorted((row.name, *row.also)), 60)
    finally:
        print(world.found())
        world.whole()
        run(world, row.mend)
