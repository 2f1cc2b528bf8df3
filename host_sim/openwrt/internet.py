# SPDX-License-Identifier: Apache-2.0
"""Where the WAN leads: DHCP, names, IPv6 prefixes, the time, servers, feeds of packages, a broker with TLS.

DHCP, names and prefixes come from the dnsmasq and the odhcpd that were built for the gateway, the time from its
busybox. The broker is Mosquitto as tools/fleet ships its configuration, with the certificates that `oubli-fleet enrol`
makes.
"""

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, cast

from host_sim.driver.interpreters import WITH_US
from host_sim.lab import traffic
from host_sim.lab.network import INTERNET_4, INTERNET_6, LabError
from host_sim.openwrt.machine import BUILT
from host_sim.openwrt.network import SERVER, Wires
from tools.fleet.enrol import Authority
from tools.fleet.mosquitto import SHIPPED

BROKER, FEEDS = "broker.example.org", ("downloads.openwrt.org", "feed.example.org")
NAMED = (BROKER, *FEEDS, *(f"{number}.openwrt.pool.ntp.org" for number in range(4)))
LEASES = f"{INTERNET_4.rsplit('.', 1)[0]}.100,{INTERNET_4.rsplit('.', 1)[0]}.150"
COLLECTORS = 8884  # the shipped broker's second listener, here for whoever comes through a doorway

ADDRESSES = f"""port=0
pid-file
interface=wan
dhcp-authoritative
no-ping
dhcp-range={LEASES},1h
dhcp-option=option:router,{INTERNET_4}
dhcp-option=option:dns-server,{SERVER}
user=root
"""
NAMES = f"""no-resolv
pid-file
no-hosts
listen-address={SERVER}
bind-interfaces
user=root
local=/org/
host-record={",".join(NAMED)},{SERVER}
"""
PREFIXES = """config odhcpd 'odhcpd'
config dhcp 'wan'
	option ifname 'wan'
	option dhcpv4 'disabled'
	option dhcpv6 'server'
	option ra 'server'
	option ra_default '2'
	option dns_service '0'
"""


class Internet:
    """All of it, from `start` to `close`; `feed` is the folder that both names of feeds lead to."""

    def __init__(self, wires: Wires, folder: Path) -> None:
        self._wires, self._folder = wires, folder
        self.feed = folder / "www"
        self.feed.mkdir()
        self.authority = Authority(folder / "ca", dt.datetime.now(dt.UTC))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._broker_files()

    def _broker_files(self) -> None:
        """Write Mosquitto's configuration: the shipped one, with another certificate for collectors on the loopback."""
        folder = self._folder
        for name, host in (("named", BROKER), ("broker", "127.0.0.1")):
            made = self.authority.broker(host)
            if name == "named":
                made.certificate.rename(folder / "ca/named.pem")
                made.key.rename(folder / "ca/named.key")
        self.authority.collector()
        (folder / "mosquitto").mkdir()
        text = (SHIPPED / "oubli.conf").read_text()
        text = text.replace("listener 8883", f"user root\nlistener 8883 {SERVER}")
        gateways, listener, collectors = text.partition(f"listener {COLLECTORS}")
        text = (
            gateways.replace("oubli/broker.", "oubli/named.") + f"{listener} 127.0.0.1" + collectors + "log_type all\n"
        )
        text = text.replace("/etc/mosquitto/oubli.acl", str(SHIPPED / "oubli.acl"))
        text = text.replace("/etc/mosquitto/oubli/", f"{folder}/ca/").replace(
            "/var/lib/mosquitto/", f"{folder}/mosquitto/"
        )
        (folder / "mosquitto.conf").write_text(text)

    def start(self) -> None:
        """Start every part and wait for those that say when they are ready."""
        host = BUILT / "host"
        (self._folder / "addresses.conf").write_text(ADDRESSES)
        (self._folder / "names.conf").write_text(NAMES)
        (self._folder / "prefixes").mkdir(exist_ok=True)
        (self._folder / "prefixes/dhcp").write_text(PREFIXES)
        leases = f"--dhcp-leasefile={self._folder}/leases"
        self._run("addresses", str(host / "dnsmasq"), "-k", "-C", str(self._folder / "addresses.conf"), leases)
        self._run("names", str(host / "dnsmasq"), "-k", "-C", str(self._folder / "names.conf"))
        self._run("prefixes", str(host / "odhcpd"), "-u", "-f", "-c", str(self._folder / "prefixes"))
        self._run("time", str(host / "busybox"), "ntpd", "-n", "-l")
        self._run("feed", sys.executable, "-m", "http.server", "--bind", SERVER, "--directory", str(self.feed), "80")
        addresses = [INTERNET_4, INTERNET_6, *self._wires.canary4, *self._wires.canary6]
        given = json.dumps({"addresses": addresses}).encode()
        self._run("servers", sys.executable, traffic.__file__, "internet", given=given)
        self.start_broker()
        self._wait("servers", b"ready\n")
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise LabError(f"{name}: ended at once: {self.log(name).read_text(errors='replace')[-300:]}")

    def _run(self, name: str, *words: str, given: bytes = b"") -> None:
        with self.log(name).open("wb") as log:
            process = subprocess.Popen(
                [*WITH_US, *self._wires.inside(self._wires.internet, *words)],
                stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
                env=os.environ | {"LD_LIBRARY_PATH": f"{BUILT}/host/lib"},
            )  # fmt: skip
        with cast("IO[bytes]", process.stdin) as pipe:
            pipe.write(given)
        self._processes[name] = process

    def log(self, name: str) -> Path:
        """Return the file with what a part said."""
        return self._folder / f"{name}.log"

    def _wait(self, name: str, mark: bytes) -> None:
        deadline = time.monotonic() + 60
        while mark not in self.log(name).read_bytes():
            if self._processes[name].poll() is not None or time.monotonic() > deadline:
                raise LabError(f"{name}: didn't start: {self.log(name).read_text(errors='replace')[-300:]}")
            time.sleep(0.05)

    def start_broker(self) -> None:
        """Start the broker."""
        if shutil.which("mosquitto") is None:
            raise LabError("mosquitto isn't on this machine; accepted: Debian's package mosquitto")
        self._run("broker", "mosquitto", "-c", str(self._folder / "mosquitto.conf"))
        self._wait("broker", b" running\n")

    def stop(self, name: str) -> None:
        """End one part."""
        process = self._processes.pop(name)
        process.terminate()
        process.wait(30)

    def close(self) -> None:
        """End every part."""
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._processes.clear()
