# SPDX-License-Identifier: Apache-2.0
"""`oubli-sim gateway`: an OpenWrt that boots, with oubli on it, between terminals and an internet.

It runs until it is ended.
"""

import gzip
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console

from host_sim.driver.interpreters import WITH_US
from host_sim.lab.network import LabError
from host_sim.lab.signals import ignore_signals, take_signals
from host_sim.openwrt.doorway import Doorway
from host_sim.openwrt.internet import COLLECTORS, FEEDS
from host_sim.openwrt.lab import GatewayLab
from host_sim.openwrt.machine import BUILT, ROOT
from host_sim.openwrt.network import GATEWAY, SERVER
from tools.openwrt.__main__ import stand_ins

NEEDS = ("qemu-system-x86_64", "qemu-img", "ssh", "ssh-keygen", "mosquitto", "ip", "nft", "nsenter")
PAGE, LUCI = 8410, 8480  # ports on this machine's loopback, where they are free
PASSWORD = "the gateway in qemu"  # noqa: S105 (of what is gone when the command ends)
EVERY = 5  # seconds between two rounds of the terminals' conversations
ACCEPTED = "accepted: an OpenWrt disk image for x86-64, 25.12 or later, .img or .img.gz"


def usable(image: Path | None) -> str:
    """Return why the gateway can't be started here; nothing where it can."""
    if image is not None and not image.is_file():
        return f"--image: {image}: isn't a file; {ACCEPTED}"
    if image is not None and not _bootable(image):
        return f"--image: {image}: isn't a disk that a PC can start from; {ACCEPTED}"
    if os.geteuid() != 0:
        return "gateway needs root, for network namespaces; accepted: run as root"
    if missing := [name for name in NEEDS if shutil.which(name) is None]:
        return f"{missing[0]} isn't on this machine; accepted: after tools/setup-part openwrt, as root"
    if not (BUILT / "built.json").exists():
        return "there is no OpenWrt in .cache/openwrt; accepted: after tools/setup-part openwrt, as root"
    return ""


def _bootable(image: Path) -> bool:
    """Return True if an image begins with a boot sector."""
    try:
        with gzip.open(image) if image.suffix == ".gz" else image.open("rb") as file:
            return file.read(512)[510:] == b"\x55\xaa"
    except (OSError, EOFError, zlib.error):
        return False


def _free(port: int) -> int:
    """Return a port that nobody listens at on the loopback: this one where it can be."""
    for one in (port, 0):
        with suppress(OSError), socket.create_server(("127.0.0.1", one)) as listener:
            return int(listener.getsockname()[1])
    return port


@contextmanager
def fleet(lab: GatewayLab) -> Iterator[str]:
    """Run the collector and its page; gives the page's address. LabError where it doesn't come up."""
    folder, port = lab.folder, _free(PAGE)
    store = ["--db", f"sqlite:///{folder}/fleet.sqlite"]
    password = [sys.executable, "-m", "tools.fleet", "password", *store]
    subprocess.run(password, cwd=ROOT, input=PASSWORD.encode(), check=True, capture_output=True)
    door = Doorway(lab.wires.internet, "127.0.0.1", COLLECTORS)
    words = [*WITH_US, sys.executable, "-m", "tools.fleet", "serve", "--broker", f"mqtts://127.0.0.1:{door.port}"]
    words += [
        "--ca",
        f"{folder}/ca/ca.pem",
        "--certificate",
        f"{folder}/ca/oubli-fleet.pem",
        "--key",
        f"{folder}/ca/oubli-fleet.key",
    ]
    words += [*store, "--listen", f"127.0.0.1:{port}", "--consumers", "1"]
    with (folder / "fleet.log").open("wb") as log:
        process = subprocess.Popen(
            words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 60
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"the fleet page doesn't answer: {(folder / 'fleet.log').read_text()[-300:]}")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        door.close()


def _answers(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


def install(lab: GatewayLab) -> str:
    """Install oubli, tell it its broker, give root a password; returns the gateway's id once a recorder answers."""
    machine = lab.machine
    if machine.ask("command -v apk").returncode:
        raise LabError(f"--image: it has no apk; {ACCEPTED}")
    lab.add_packages()
    ident = lab.configure()
    machine.run(f"printf '{PASSWORD}\n{PASSWORD}\n' | passwd root; /etc/init.d/oubli restart")
    machine.wait(lambda: machine.ask("oubli status").returncode == 0, "no recorder answers", 300, 2)
    machine.ask("oubli new-device; oubli doctor --fix")
    return ident


def gateway(image: Path | None, terminals: int, console: Console) -> None:
    """Start all of it, say where it is, let terminals talk, give a shell, until interrupted; LabError."""
    began = time.monotonic()

    def show(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    def tell(text: str) -> None:
        show(f"{time.monotonic() - began:5.0f} s  {text}")

    with GatewayLab(image) as lab:
        try:
            places = _start(lab, image, terminals, tell)
            if image is None:
                show(f"\nWhat isn't real in it:\n{stand_ins()}")
            show("\n" + "\n".join(f"{name:9} {place}" for name, place in places.items()) + "\n")
            _talk(lab, show)
        finally:
            ignore_signals()  # what follows is the removal of everything, which nothing interrupts


def _start(lab: GatewayLab, image: Path | None, terminals: int, tell: Callable[[str], None]) -> dict[str, str]:
    """Start one thing after the other; returns where each is."""
    machine = lab.machine
    tell("the internet answers: DHCP, names, prefixes for IPv6, the time, a broker with TLS")
    if image is not None:  # what oubli needs comes from OpenWrt's own servers
        lab.made.callback(Doorway(lab.wires.internet, FEEDS[0], 443, 443, inside=SERVER).close)
    tell("OpenWrt boots, without KVM in one to three minutes")
    machine.boot()
    tell("it is up: ssh answers, the WAN has its addresses; oubli and LuCI are installed from a signed feed")
    ident = install(lab)
    tell(f"gateway {ident} records; {terminals} terminals ask for leases")
    lab.lan.join(terminals)
    page = lab.made.enter_context(fleet(lab))
    door = Doorway(lab.wires.administrator, GATEWAY, 80, _free(LUCI))
    lab.made.callback(door.close)
    machine.leave_console()
    tell(f"ready; {'`exit` of the shell' if sys.stdin.isatty() else 'Ctrl-C'} removes everything")
    return {
        "LuCI": f"http://127.0.0.1:{door.port}/cgi-bin/luci/admin/services/oubli   (root, {PASSWORD})",
        "fleet": f"{page}   (operator, {PASSWORD})",
        "shell": shlex.join(machine.shell()),
        "console": f"socat -,rawer UNIX-CONNECT:{machine.folder}/console.sock   (its log: {machine.log})",
    }


def _talk(lab: GatewayLab, show: Callable[[str], None]) -> None:
    """Let the terminals talk while a shell on the gateway is open; without a terminal until interrupted."""
    shell = subprocess.Popen(lab.machine.shell()) if sys.stdin.isatty() else None
    while shell is None or shell.poll() is None:
        try:
            lab.lan.generate(4 * len(lab.lan.terminals))
            if shell is None:
                counters = lab.machine.status()["counters"]
                show(f"{counters['kept']} records kept, {len(lab.broker.messages())} messages at the broker")
        except LabError as failure:  # whoever has a shell there may break what he likes
            if lab.machine.process.poll() is not None:
                raise LabError("the gateway has shut down") from None
            if shell is None:
                show(str(failure))
        time.sleep(EVERY)


def run(image: Path | None, terminals: int, console: Console) -> tuple[int, str]:
    """Run the command; returns its exit status and the line that says why, if any."""
    if reason := usable(image):
        return 2, reason
    take_signals()
    try:
        gateway(image, terminals, console)
    except LabError as failure:
        return 1, str(failure)
    except KeyboardInterrupt:
        return 130, "interrupted; everything it made is removed"
    return 0, ""
