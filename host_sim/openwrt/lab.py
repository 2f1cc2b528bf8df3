# SPDX-License-Identifier: Apache-2.0
"""The whole lab around one gateway: wires, internet, machine, collector and LAN, made and removed together."""

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from host_sim.lab.network import TIMEOUTS
from host_sim.openwrt import feeds
from host_sim.openwrt.internet import BROKER, FEEDS, Internet
from host_sim.openwrt.lan import Lan
from host_sim.openwrt.machine import Machine
from host_sim.openwrt.network import Wires
from host_sim.openwrt.subscriber import Subscriber

ENDS = TIMEOUTS | {"tcp_timeout_time_wait": 1}  # seconds; in that state nothing more is said
MEMORY = Path("/dev/shm")  # noqa: S108 (a folder of a random name is made there)


class GatewayLab:
    """All around one gateway, which isn't started yet, from `with` to the removal of whatever was made."""

    def __init__(self, image: Path | None = None, *, disk_mib: int = 192, chip: bool = False) -> None:
        self._image, self._disk_mib, self._chip = image, disk_mib, chip

    def __enter__(self) -> Self:
        with ExitStack() as stack:  # each thing is removed, whatever happens to the others
            self.folder = Path(
                tempfile.mkdtemp(prefix="oubli-gateway-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None)
            )
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.wires = stack.enter_context(Wires())
            self.internet = Internet(self.wires, self.folder)
            stack.callback(self.internet.close)
            self.internet.start()
            feeds.openwrt(self.internet.feed)
            self.machine = Machine(self.wires, self.folder, self._image, disk_mib=self._disk_mib, chip=self._chip)
            stack.callback(self.machine.close)
            self.broker = Subscriber(self.wires, self.folder)
            stack.callback(self.broker.close)
            self.lan = Lan(self.wires, self.folder)
            self.made = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.made.close()

    def add_packages(self) -> None:
        """Let the gateway install oubli's packages from their signed feed, and what they need from OpenWrt's."""
        keys = self.folder / "keys"
        if not keys.exists():
            feeds.ours(self.internet.feed, keys)
        self.machine.put("/etc/apk/keys/oubli.pem", (keys / feeds.PUBLIC).read_bytes())
        self.machine.run(f"echo http://{FEEDS[1]}/{feeds.OURS}/packages.adb >>/etc/apk/repositories.d/customfeeds.list")
        self.machine.run("apk update && apk add oubli oubli-purposes luci-app-oubli")

    def hurry(self) -> None:
        """Let connections end sooner than by the kernel's own limits: as in the lab, each state by another one."""
        limits = [f"conntrack_{name}={seconds}" for name, seconds in ENDS.items()]
        # A flow that was offloaded comes back to connection tracking with its timeout less this
        # one: where this is longer, it is gone.
        limits += [f"flowtable_{protocol}_timeout=1" for protocol in ("tcp", "udp")]
        self.machine.run("sysctl -qw " + " ".join(f"net.netfilter.nf_{limit}" for limit in limits))

    def configure(self) -> str:
        """Give oubli its broker and the certificate that `oubli-fleet enrol` makes; returns the gateway's id."""
        machine, authority = self.machine, self.internet.authority
        ident = machine.run("uci get oubli.gateway.id").strip()
        made = authority.gateway(ident)
        machine.run("mkdir -p /etc/oubli && chmod 711 /etc/oubli")
        for name, path in (
            ("ca.pem", authority.certificate),
            ("gateway.pem", made.certificate),
            ("gateway.key", made.key),
        ):
            machine.put(f"/etc/oubli/{name}", path.read_bytes())
        machine.run("chown oubli-fwd /etc/oubli/gateway.key && chmod 600 /etc/oubli/gateway.key")
        options = {
            "gateway.duty": "portal",
            "notice.controller": "Example Ltd",
            "notice.contact": "privacy@example.org",
            "mqtt.host": BROKER,
            "mqtt.ca": "/etc/oubli/ca.pem",
            "mqtt.certificate": "/etc/oubli/gateway.pem",
            "mqtt.key": "/etc/oubli/gateway.key",
        }
        machine.run(
            "".join(f"uci set oubli.{name}='{value}'; " for name, value in options.items()) + "uci commit oubli"
        )
        return ident
