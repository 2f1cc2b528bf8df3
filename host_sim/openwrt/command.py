# SPDX-License-Identifier: Apache-2.0
"""`oubli-sim gateway`: an OpenWrt that boots, with oubli on it, between terminals and an internet, until it is ended."""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

from rich.console import Console

from host_sim.lab.network import LabError
from host_sim.openwrt import feeds
from host_sim.openwrt.doorway import Doorway
from host_sim.openwrt.internet import COLLECTORS, FEEDS
from host_sim.openwrt.lab import GatewayLab
from host_sim.openwrt.machine import BUILT, ROOT
from host_sim.openwrt.network import GATEWAY
from tools.openwrt.__main__ import stand_ins

NEEDS = ("qemu-system-x86_64", "qemu-img", "ssh", "ssh-keygen", "mosquitto", "ip", "nft", "nsenter")
PAGE, LUCI = 8410, 8480  # ports on this machine's loopback
PASSWORD = "the gateway in qemu"  # noqa: S105 (of what is gone when the command ends)
EVERY = 5  # seconds between two rounds of the terminals' conversations


def usable(image: Path | None) -> str:
    """Return why the gateway can't be started here; nothing where it can."""
    if os.geteuid() != 0:
        return "gateway needs root, for network namespaces; accepted: run as root"
    if missing := [name for name in NEEDS if shutil.which(name) is None]:
        return f"{missing[0]} isn't on this machine; accepted: after tools/test or tools/setup-part openwrt, as root"
    if not (BUILT / "built.json").exists():
        return "there is no OpenWrt in .cache/openwrt; accepted: after tools/setup-part openwrt"
    if image is not None and not image.is_file():
        return f"--image: {image}: isn't a file; accepted: an OpenWrt disk image for x86-64, .img or .img.gz"
    return ""


@contextmanager
def fleet(lab: GatewayLab) -> Iterator[None]:
    """Run the collector and its page, seen on this machine's loopback; LabError where it doesn't come up."""
    folder = lab.folder
    store = ["--db", f"sqlite:///{folder}/fleet.sqlite"]
    door = Doorway(lab.wires.internet, "127.0.0.1", COLLECTORS)
    words = [sys.executable, "-m", "tools.fleet", "serve", "--broker", f"mqtts://127.0.0.1:{door.port}", "--ca", f"{folder}/ca/ca.pem"]
    words += ["--certificate", f"{folder}/ca/oubli-fleet.pem", "--key", f"{folder}/ca/oubli-fleet.key"]
    words += [*store, "--listen", f"127.0.0.1:{PAGE}", "--consumers", "1"]
    password = [sys.executable, "-m", "tools.fleet", "password", *store]
    subprocess.run(password, cwd=ROOT, input=PASSWORD.encode(), check=True, capture_output=True)
    with (folder / "fleet.log").open("wb") as log:
        process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not _answers(PAGE):
            if process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"the fleet page doesn't answer: {(folder / 'fleet.log').read_text()[-300:]}")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(30)
        door.close()


def _answers(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


def install(lab: GatewayLab, *, built: bool) -> str:
    """Install oubli's packages from its signed feed and configure it; returns the gateway's id."""
    machine = lab.machine
    machine.put("/etc/apk/keys/oubli.pem", (lab.folder / "keys" / feeds.PUBLIC).read_bytes())
    machine.run(f"echo http://{FEEDS[1]}/{feeds.OURS}/packages.adb >>/etc/apk/repositories.d/customfeeds.list")
    if not built:  # OpenWrt's own servers are beyond this lab: what oubli needs comes from our build of it
        machine.put("/etc/apk/keys/local.pem", (BUILT / "feed/keys" / feeds.PUBLIC).read_bytes())
    machine.run("apk update && apk add oubli oubli-purposes luci-app-oubli", seconds=900)
    ident = lab.configure()
    machine.run(f"printf '{PASSWORD}\\n{PASSWORD}\\n' | passwd root; /etc/init.d/oubli restart; oubli doctor --fix; true")
    return ident


def gateway(image: Path | None, terminals: int, console: Console) -> None:
    """Start all of it, say where it is, let terminals talk, give a shell, until interrupted; LabError where something doesn't start."""
    began = time.monotonic()

    def tell(text: str) -> None:
        console.print(f"{time.monotonic() - began:5.0f} s  {text}", highlight=False)

    with GatewayLab(image) as lab:
        tell("the internet answers: DHCP, names, prefixes, time, a broker with TLS, feeds")
        feeds.ours(lab.internet.feed, lab.folder / "keys")
        tell("oubli's packages are built and its feed is signed; OpenWrt boots (without KVM: a minute)")
        lab.machine.boot()
        tell("init complete; oubli and LuCI are installed from the feed")
        ident = install(lab, built=image is None)
        lab.lan.join(terminals)
        tell(f"{terminals} terminals have their leases")
        lab.made.enter_context(fleet(lab))
        door = Doorway(lab.wires.administrator, GATEWAY, 80, LUCI)
        lab.made.callback(door.close)
        tell("LuCI and the fleet page answer")
        if image is None:
            console.print("\nWhat isn't real in it:\n" + stand_ins(), highlight=False, soft_wrap=True)
        console.print(
            f"\nLuCI      http://127.0.0.1:{LUCI}/cgi-bin/luci/admin/services/oubli   (root, {PASSWORD})\n"
            f"fleet     http://127.0.0.1:{PAGE}   (operator, {PASSWORD}); gateway {ident}\n"
            f"console   socat -,rawer UNIX-CONNECT:{lab.machine.folder}/console.sock; its log: {lab.machine.log}\n"
            f"shell     {shlex.join(lab.machine.shell())}\n",
            highlight=False,
            soft_wrap=True,
        )
        _talk(lab, console)


def _talk(lab: GatewayLab, console: Console) -> None:
    """Let the terminals hold conversations while a shell on the gateway is open; without a terminal until interrupted."""
    shell = subprocess.Popen(lab.machine.shell()) if sys.stdin.isatty() else None
    while shell is None or shell.poll() is None:
        lab.lan.generate(4 * len(lab.lan.terminals))
        if shell is None:
            counters = cast("dict[str, int]", lab.machine.status()["counters"])
            console.print(f"{counters['kept']} records kept, {len(lab.broker.messages())} messages at the broker", highlight=False)
        time.sleep(EVERY)


def run(image: Path | None, terminals: int, console: Console) -> tuple[int, str]:
    """Run the command; returns its exit status and the line that says why, if any."""
    if reason := usable(image):
        return 2, reason
    try:
        gateway(image, terminals, console)
    except LabError as failure:
        return 1, str(failure)
    except KeyboardInterrupt:
        return 130, "interrupted; everything it made is removed"
    return 0, ""
