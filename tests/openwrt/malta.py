# SPDX-License-Identifier: Apache-2.0
"""A gateway that is a whole big-endian MIPS machine.

QEMU's board `malta`, a kernel of our own, our packages on an ext4 disk.

What `tools/soak --trial firmware` runs. Terminals and internet are namespaces of this machine, as in the lab. The
gateway between them is the emulated one, with its own connection tracking, translation and netlink. Beside the recorder
runs a witness in C that only writes down what the kernel sends; pyroute2 reads that afterwards. Then the power is cut
in the middle of traffic, and the machine starts again.
"""

from __future__ import annotations

import io
import json
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from agent.vault import reading
from host_sim.driver.interpreters import ROOT
from host_sim.lab import traffic as lab_traffic
from host_sim.lab.compare import compare
from host_sim.lab.network import (
    GATEWAY_4,
    GATEWAY_6,
    INTERNET_4,
    INTERNET_6,
    TIMEOUTS,
    TRACKING,
    WAN_4,
    WAN_6,
    LabError,
    Network,
    run,
)
from host_sim.lab.plan import FIRST_PORT, Canary, plan, ports_used
from host_sim.lab.reader import parse
from host_sim.venue import kernel
from tests.openwrt import gateway as roots
from tests.openwrt import procd
from tests.openwrt.trial import build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.vault.record import Record
    from host_sim.lab.witness import Seen

BOARD = "archer-c7-v5"  # a router whose processor is a big-endian MIPS
CONNECTIONS, AFTERWARDS = 2000, 400
IN_THE_MIDDLE = 12  # seconds of traffic before the cut
MEMORY, DISK = "128", 64  # MiB, the memory as the router has it
PARTS = ("mips", "malta")  # of tools/parts.txt
BUILT = ROOT / ".cache/malta"
_END = re.compile(rb"@@(\d+)@@\r?\n")
TRAFFIC = str(Path(lab_traffic.__file__).resolve())
SETTINGS = "; ".join(
    f"echo {value} >/proc/sys/net/netfilter/nf_conntrack_{name}" for name, value in (TRACKING | TIMEOUTS).items()
)
# Process 1: what an OpenWrt's init and netifd would have done, then a shell on the serial console.
START = f"""#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PS1= XTABLES_LOCKFILE=/tmp/xtables
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /tmp
mkdir -p /tmp/run
for key in net/ipv6/conf/all/accept_dad net/ipv6/conf/default/accept_dad; do echo 0 >/proc/sys/$key; done
iptables -t nat -A POSTROUTING -o eth1 -j MASQUERADE
ip6tables -t nat -A POSTROUTING -o eth1 -j MASQUERADE
{SETTINGS}
sysctl -q -p /etc/sysctl.d/50-oubli.conf
ip link set lo up
brctl addbr br-lan
brctl addif br-lan eth0
for card in eth0 eth1 br-lan; do ip link set $card up; done
ip addr add {GATEWAY_4}/24 dev br-lan
ip -6 addr add {GATEWAY_6}/64 dev br-lan
ip addr add {WAN_4}/24 dev eth1
ip -6 addr add {WAN_6}/64 dev eth1
ip route add default via {INTERNET_4}
ip -6 route add default via {INTERNET_6}
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
echo @@0@@
exec setsid cttyhack sh
"""


class Machine:
    """The emulated machine: `power` on and off as a plug would, `run` a line of shell on its serial console."""

    def __init__(self, network: Network, disk: Path, basket: Path, log: Path) -> None:
        """`disk` is its root; what it writes to the raw disk `basket` this machine can read."""
        self._network, self._disk, self._basket, self._log = network, disk, basket, log
        self._process: subprocess.Popen[bytes] | None = None
        self._said = b""

    def power_on(self) -> float:
        """Start it and wait for its shell; returns the seconds that took."""
        begun = time.monotonic()
        words = [
            "qemu-system-mips",
            "-M",
            "malta",
            "-m",
            MEMORY,
            "-no-reboot",
            "-nodefaults",
            "-kernel",
            f"{BUILT}/vmlinux",
        ]
        words += [
            "-append",
            "console=ttyS0 root=/dev/vda rw init=/sbin/start quiet panic=-1",
            "-display",
            "none",
            "-serial",
            "stdio",
        ]
        for file in (self._disk, self._basket):
            words += [
                "-drive",
                f"file={file},format=raw,if=none,id={file.stem}",
                "-device",
                f"virtio-blk-pci,drive={file.stem}",
            ]
        for number, tap in enumerate(("taplan", "tapwan")):
            words += ["-netdev", f"tap,id=n{number},ifname={tap},script=no,downscript=no"]
            words += ["-device", f"virtio-net-pci,netdev=n{number},mac=52:54:00:00:00:0{number + 1},romfile="]
        with self._log.open("ab") as errors:
            self._process = subprocess.Popen(
                self._network.inside(self._network.gateway, *words),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, bufsize=0,
            )  # fmt: skip
        self._said = b""
        self._until(_END, 300)
        self.run("stty -echo")
        return time.monotonic() - begun

    def power_off(self) -> None:
        """Cut the power."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.communicate()
            self._process = None

    def run(self, line: str, seconds: float = 120, *, check: bool = True) -> str:
        """Run a line of shell to its end and return what it said; LabError where it failed or took longer."""
        assert self._process is not None
        self._said = b""
        cast("IO[bytes]", self._process.stdin).write(f"{line}\necho @@$?@@\n".encode())
        said = self._until(_END, seconds)
        if check and not said[1].startswith("@@0@@"):
            raise LabError(f"the machine: {line}: {said[0][-800:]}")
        return said[0]

    def _until(self, pattern: re.Pattern[bytes], seconds: float) -> tuple[str, str]:
        assert self._process is not None
        console = cast("IO[bytes]", self._process.stdout)
        deadline = time.monotonic() + seconds
        while not (found := pattern.search(self._said)):
            if not select.select([console], [], [], max(0, deadline - time.monotonic()))[0]:
                raise LabError(
                    f"the machine said nothing more within {seconds:.0f} s: "
                    f"{self._said[-800:].decode(errors='replace')}"
                )
            more = console.read(65536)
            if not more:
                raise LabError(
                    f"the machine ended: {self._said[-800:].decode(errors='replace')} {self._log.read_text()[-400:]}"
                )
            with self._log.open("ab") as log:
                log.write(more)
            self._said += more
        return self._said[: found.start()].decode(errors="replace").replace("\r", ""), found[0].decode()

    def fetch(self, *paths: str) -> tarfile.TarFile:
        """Return these paths of the machine as a tar."""
        self.run(f"tar -cf /dev/vdb {' '.join(path.lstrip('/') for path in paths)} && sync", 300)
        return tarfile.open(fileobj=io.BytesIO(self._basket.read_bytes()))


class Venue:
    """The machine with our packages between the lab's terminals and internet."""

    def __init__(self, folder: Path, network: Network) -> None:
        self.folder, self.network, self.canary = folder, network, Canary()
        self._first_port = FIRST_PORT
        for name, size in (("disk", DISK), ("basket", 32)):
            with (folder / f"{name}.img").open("wb") as file:
                file.truncate(size << 20)
        self._root()
        self.machine = Machine(network, folder / "disk.img", folder / "basket.img", folder / "console.log")

    def _root(self) -> None:
        """Lay out the disk: busybox, MicroPython and the libraries of MIPS, the packages, unpacked as apk does."""
        root = self.folder / "root"
        roots.make(root, "mips")
        shutil.rmtree(root / "host")
        for name, place in (
            ("iptables", "sbin/iptables"),
            ("iptables", "sbin/ip6tables"),
            ("witness", "sbin/witness"),
            ("micropython", "bin/micropython"),
        ):
            shutil.copy(BUILT / name, root / "usr" / place)
        for folder in ("sys", "root", "srv/oubli"):
            (root / folder).mkdir(parents=True)
        for name, (_, package) in build(BOARD).items():
            scripts = roots.unpack_apk(package, root)
            (root / f"{name}.postinst").write_text(scripts["post-install"])
        (root / "etc/config/network").write_text("config interface 'lan'\n\toption device 'br-lan'\n")
        (root / "sbin/start").write_text(START)
        (root / "sbin/start").chmod(0o755)
        run("mkfs.ext4", "-q", "-d", str(root), str(self.folder / "disk.img"))

    def install(self) -> None:
        """Do at the first boot what apk would: the packages' own scripts; then configure."""
        self.machine.run(
            "for script in /*.postinst; do IPKG_INSTROOT= sh $script || echo $script failed; done; rm /*.postinst", 300
        )
        self.machine.run("[ ! -e /etc/uci-defaults/50-oubli ] || sh /etc/uci-defaults/50-oubli", 120)
        self.machine.run("sed -i \"s/option hardware_clock '0'/option hardware_clock '1'/\" /etc/config/oubli && sync")

    def start(self) -> None:
        """Start the witness, then what the init script tells procd to start, and wait for the recorder.

        It runs as root where there is no ujail.
        """
        self.machine.run("witness >/tmp/witness.bin 2>/tmp/witness.errors & sleep 1; cat /tmp/witness.errors")
        self.machine.run("rm -f /tmp/procd.calls; sh /etc/rc.common /etc/init.d/oubli start", 120)
        message = procd.service(self.machine.run("cat /tmp/procd.calls"))
        instance = message["instances"]["recorder"]
        recorder = shlex.join([*(f"{name}={value}" for name, value in instance["env"].items()), *instance["command"]])
        self.machine.run(f"env {recorder} >/tmp/recorder.log 2>&1 &")
        self.wait(lambda: self.status() is not None, "the recorder doesn't answer", 180)

    def wait(self, condition: Callable[[], object], wrong: str, seconds: float) -> None:
        """Wait until a condition holds.

        LabError with what is wrong, and what the recorder said, where it doesn't in time.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise LabError(f"{wrong}: {self.machine.run('cat /tmp/recorder.log')}")
            time.sleep(1)

    def status(self) -> dict[str, Any] | None:
        """Return the recorder's status, None where it doesn't answer."""
        said = self.machine.run("oubli status --json", check=False)
        found = re.search(r"^\{.*\}$", said, re.MULTILINE)
        return json.loads(found[0]) if found else None

    def told(self) -> dict[str, Any]:
        """Return the recorder's status once it answers: amid traffic it may be busy for longer than one question."""
        said: dict[str, Any] = {}

        def answered() -> bool:
            said.update(self.status() or {})
            return bool(said)

        self.wait(answered, "the recorder doesn't answer", 180)
        return said

    def doctor(self) -> list[str]:
        """Return the names of what doctor finds."""
        said = json.loads(self.machine.run("oubli doctor --json; true", 300).strip().splitlines()[-1])
        return [finding["id"] for finding in said["findings"]]

    def begin(self, connections: int) -> list[subprocess.Popen[bytes]]:
        """Let the terminals begin so many conversations; returns their processes."""
        parts = plan(self.network, connections, self._first_port)
        self._first_port += ports_used(self.network, connections)
        running = []
        for number, terminal in enumerate(self.network.terminals):
            given = {"canary": self.canary.payload(), "acts": parts[terminal.namespace]}
            running.append(self._play(terminal.namespace, "terminal", given, f"terminal{number}"))
        return running

    def _play(self, namespace: str, part: str, given: dict[str, Any], name: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.json").open("wb") as out, (self.folder / f"{name}.errors").open("wb") as errors:
            process = subprocess.Popen(
                self.network.inside(namespace, sys.executable, TRAFFIC, part),
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=errors,
                start_new_session=True,
            )
        with cast("IO[bytes]", process.stdin) as stream:
            stream.write(json.dumps(given).encode())
        return process

    def serve(self) -> subprocess.Popen[bytes]:
        """Start what answers on the internet."""
        addresses = [INTERNET_4, INTERNET_6, *self.network.canary4, *self.network.canary6]
        process = self._play(self.network.internet, "internet", {"addresses": addresses}, "internet")
        deadline = time.monotonic() + 30
        while b"ready" not in (self.folder / "internet.json").read_bytes():
            if time.monotonic() > deadline:
                raise LabError("the internet does not answer")
            time.sleep(0.1)
        return process

    def hold(self, connections: int) -> None:
        """Let the terminals hold so many conversations to their end."""
        for number, process in enumerate(self.begin(connections)):
            if process.wait(900) != 0:
                raise LabError(f"a terminal failed: {(self.folder / f'terminal{number}.errors').read_text()[-500:]}")

    def settle(self) -> None:
        """Wait until every conversation has ended in the kernel and the recorder, maybe behind, counts no more."""
        addresses = "|".join(
            f"src={address} " for terminal in self.network.terminals for address in self.network.spelled(terminal)
        )
        tracked = f"grep -cE '{addresses}' /proc/net/nf_conntrack; true"
        self.wait(lambda: int(self.machine.run(tracked).split()[-1]) == 0, "connections do not time out", 180)
        counted = [-1]

        def still() -> bool:
            time.sleep(10)
            counted.append(self.told()["counters"]["connections"])
            return counted[-1] == counted[-2]

        self.wait(still, "the recorder goes on counting", 300)

    def outcome(self) -> tuple[list[Seen], list[Record]]:
        """Return what the witness saw and what the recorder's vault gives out."""
        if said := self.machine.run("cat /tmp/witness.errors"):
            raise LabError(f"the witness: {said}")
        beside = self.folder / "copy"
        shutil.rmtree(beside, ignore_errors=True)
        times = self.machine.run("date +%s; cut -d' ' -f1 /proc/uptime").split()
        with self.machine.fetch("/tmp/witness.bin", "/tmp/run/oubli/keys", "/tmp/run/oubli/vault") as tar:
            tar.extractall(beside, filter="data")
        (beside / "var").mkdir()
        (beside / "tmp/run").rename(beside / "var/run")
        tape = (beside / "tmp/witness.bin").read_bytes()
        seen = [parse(kernel.reencode(datagram, "big")) for datagram in kernel.records(tape)]
        now = int(times[0]) * 10**9, int(float(times[1]) * 10**9)
        return seen, list(reading.read(str(beside), "security", *now))


def _outside(network: Network) -> None:
    """Make of the lab's gateway a room with two cables.

    QEMU's cards hang on the bridges of the terminals and of the internet.
    """
    place = network.gateway
    run(*network.inside(place, "nft", "flush", "ruleset"))
    run(
        *network.inside(
            place, "sh", "-ec", "for card in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 >$card; done"
        )
    )
    network.batch(
        place,
        "route flush table main",
        "addr flush dev lan",
        "addr flush dev wan",
        "link add brwan type bridge",
        "link set wan master brwan",
        "link set brwan up",
        *(line for card, bridge in (("taplan", "lan"), ("tapwan", "brwan")) for line in
          (f"tuntap add {card} mode tap", f"link set {card} master {bridge}", f"link set {card} up")),
    )  # fmt: skip


@contextmanager
def venue() -> Iterator[Venue]:
    """Give a venue whose machine is off; removes all it made."""
    with tempfile.TemporaryDirectory(prefix="oubli-malta-") as name, Network() as network:
        _outside(network)
        made = Venue(Path(name), network)
        internet = made.serve()
        try:
            yield made
        finally:
            made.machine.power_off()
            internet.kill()
            internet.wait()


def _agree(place: Venue, connections: int) -> dict[str, Any]:
    """Hold conversations to their end and compare vault and witness; returns the figures, with `findings`."""
    place.hold(connections)
    place.settle()
    seen, records = place.outcome()
    found = compare(seen, records, place.network.terminals)
    figures = {"asked_for": connections, **asdict(found)}
    wrong = list(found.differences) if found.fails() else []
    if found.terminals_connections < connections:
        wrong.append(f"of {connections} connections the witness saw {found.terminals_connections} end")
    return figures | {"findings": wrong}


def soak(seed: int, seconds: float) -> dict[str, Any]:  # noqa: ARG001 (what every module is given)
    """Start the machine, compare 2,000 connections, cut its power amid others, start it again and compare once more."""
    if subprocess.run([ROOT / "tools/setup-part", *PARTS], check=False).returncode != 0:
        raise LabError(f"{' and '.join(PARTS)} can't be made; accepted: after what tools/setup-part says")
    with venue() as place:
        figures: dict[str, Any] = {"boot_seconds": round(place.machine.power_on(), 1)}
        figures["machine"] = place.machine.run(
            "uname -srm; micropython -c 'import sys; print(sys.version, sys.byteorder)'"
        ).splitlines()
        place.install()
        place.start()
        figures["before"] = _agree(place, CONNECTIONS)
        running = place.begin(CONNECTIONS)
        time.sleep(IN_THE_MIDDLE)
        before = place.told()
        place.machine.power_off()
        for process in running:
            process.kill()
            process.wait()
        figures["counted_at_the_cut"] = before["counters"]["connections"]
        figures["boot_after_the_cut_seconds"] = round(place.machine.power_on(), 1)
        left = place.machine.run("ls /tmp/run/oubli 2>/dev/null; true").split()
        place.start()
        figures["after"] = _agree(place, AFTERWARDS)
        figures["doctor"] = place.doctor()
        after = place.told()
    findings = figures["before"].pop("findings") + figures["after"].pop("findings")
    for name, status in (("before", before), ("after", after)):
        findings += [
            f"{name} the cut: {count} {what}"
            for what, count in status["counters"].items()
            if what.startswith("lost") and count
        ]
    if left:
        findings.append(f"something of the former boot is in memory: {left}")
    # On the disk: who it is, and what of the day's privacy budget is spent, which a
    # cut may make more, never less (ANON-5).
    figures["spent"] = [status["summary"]["spent"] for status in (before, after)]
    if before["gateway"] != after["gateway"] or (
        before["summary"]["day"] == after["summary"]["day"] and figures["spent"][1] < figures["spent"][0]
    ):
        findings.append(f"what lies on the disk isn't what it was: {figures['spent']}")
    return figures | {"findings": findings}
