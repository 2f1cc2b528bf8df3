# SPDX-License-Identifier: Apache-2.0
"""The gateway: one QEMU process with a disk, a serial console, and ssh from the administrator's namespace.

Without an image it boots what tools/openwrt built; with one, a disk image of OpenWrt for x86-64 by its own boot loader.
Either gets the administrator's key over the serial console, so that no image need hold one. `kill` is a power cut.
"""

import contextlib
import gzip
import json
import re
import secrets
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from host_sim.driver.interpreters import WITH_US
from host_sim.lab.network import LabError
from host_sim.openwrt import flash
from host_sim.openwrt.network import BRIDGES, GATEWAY, Wires

ROOT = Path(__file__).resolve().parent.parent.parent
BUILT = ROOT / ".cache/openwrt"
MEMORY_MIB = 256
BOOT = 900  # seconds a boot may take; some forty on a quiet machine without KVM
# On a machine that does much else an emulated processor stands still for seconds. Its kernel then takes itself for
# hung, writes that amid what the console is asked, and ends at once where it tries whether its timer ticks.
KERNEL = (
    "console=ttyS0,115200 root=/dev/vda rootfstype=squashfs quiet loglevel=4 net.ifnames=0 mitigations=off panic=1 "
)
KERNEL += "no_timer_check nowatchdog rcupdate.rcu_cpu_stall_suppress=1"
# Where root may have it so, the emulated processor comes before what else runs here: it stands still less often.
FIRST = ("nice", "-n", "-5")
# QEMU never lets the TSC go back: in a saved state that is loaded, time would jump by what passed
# since. A recorder takes that for a hang.
CLOCK = "echo hpet >/sys/devices/system/clocksource/clocksource0/current_clocksource"
# Once the LAN has its address, procd ends dnsmasq and starts it anew, on a busy machine after "init complete". In
# between nobody answers for names, and apk says "Failed to send request: Operation not permitted". A dnsmasq that stays
# names its range once it has started. netifd's hotplug calls load the firewall anew for each interface, one after the
# other.
SETTLED = """for i in lan wan wan6; do
    [ "$(ubus call network.interface.$i status | jsonfilter -e @.up)" = true ] || exit
    logread -e "firewall: Reloading firewall due to ifup of $i " | grep -q . || exit
done
pgrep -f '[h]otplug-call iface' >/dev/null && exit
logread | grep -E 'dnsmasq.*: (started, version|DHCP, IP range) ' | tail -n 1 | grep -q started && exit
wget -q -O /dev/null http://downloads.openwrt.org/ && echo settled"""
PROMPT = b"Please press Enter to activate this console"


class Machine:
    """The virtual machine, from `boot` to `close`; its files lie in `folder`."""

    def __init__(
        self, wires: Wires, folder: Path, image: Path | None = None, *, disk_mib: int = 192, chip: bool = False
    ) -> None:
        self.folder, self._wires, self._image, self._chip = folder, wires, image, chip
        self.disk, self.log = folder / "disk.qcow2", folder / "serial.log"
        self._disk_mib = disk_mib
        self._process: subprocess.Popen[bytes] | None = None
        self._console: socket.socket | None = None
        self._key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._key], check=True)

    # The disk

    def new_disk(self) -> None:
        """Make a disk as it leaves the factory.

        What follows the image is empty, and becomes the overlay at first boot, where there is no flash chip.
        """
        self.disk.unlink(missing_ok=True)
        base = self._unpacked() if self._image else BUILT / "root.squashfs"
        size = [] if self._image else [f"{self._disk_mib}M"]
        words: list[str | Path] = [
            "qemu-img",
            "create",
            "-q",
            "-f",
            "qcow2",
            "-b",
            base.resolve(),
            "-F",
            "raw",
            self.disk,
            *size,
        ]
        subprocess.run(words, check=True, capture_output=True)
        if self._chip:
            flash.write(self.folder / "flash")

    def _unpacked(self) -> Path:
        """Return the image's file, unpacked where it is an .img.gz as OpenWrt's downloads are."""
        image = self._image
        if image is None or image.suffix != ".gz":
            return image or BUILT
        plain = self.folder / "image.raw"
        if not plain.exists():
            metadata = contextlib.suppress(EOFError, gzip.BadGzipFile)  # OpenWrt appends some to the packed image
            with image.open("rb") as packed, plain.open("wb") as file, metadata:
                shutil.copyfileobj(gzip.GzipFile(fileobj=packed), file)
        return plain

    # Its life

    def boot(self, clock: str = "utc") -> None:
        """Start, wait until the system is up, let the administrator in; `clock` is the battery's time (-rtc base=)."""
        if not self.disk.exists():
            self.new_disk()
        self.start(clock)
        try:
            self.wait_until_up()
        except LabError:
            self.kill()
            raise

    def start(self, clock: str = "utc") -> None:
        """Start QEMU and don't wait."""
        sockets = {name: self.folder / f"{name}.sock" for name in ("console", "monitor")}
        for path in sockets.values():
            path.unlink(missing_ok=True)
        self.log.write_bytes(b"")
        words = [
            *FIRST, "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-m", str(MEMORY_MIB),
            "-display", "none", "-no-reboot", "-nodefaults",
            "-drive", f"file={self.disk},format=qcow2,if=virtio,cache=writeback",
            "-device", "virtio-rng-pci", "-rtc", f"base={clock}",
            "-chardev",
            f"socket,id=console,path={sockets['console']},server=on,wait=off,logfile={self.log},logappend=on",
            "-serial", "chardev:console", "-qmp", f"unix:{sockets['monitor']},server=on,wait=off",
        ]  # fmt: skip
        for number, bridge in enumerate(BRIDGES):
            words += ["-netdev", f"tap,id={bridge},ifname=tap-{bridge},script=no,downscript=no"]
            words += ["-device", f"virtio-net-pci,netdev={bridge},mac=52:54:00:00:00:{number + 1:02x},romfile="]
        if self._image is None:
            words += ["-kernel", str(BUILT / "vmlinuz"), "-initrd", str(BUILT / "initramfs.gz")]
            words += ["-append", KERNEL + (flash.KERNEL if self._chip else "")]
        if self._chip:
            words += flash.words(self.folder / "flash")
        with (self.folder / "qemu.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*WITH_US, *self._wires.inside(self._wires.switch, *words)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._console = self._connect(sockets["console"])
        with self._connect(sockets["monitor"]) as monitor:
            self._monitor = monitor.makefile("rwb")
        self._monitor.readline()  # its greeting
        self._ask("qmp_capabilities")
        threading.Thread(target=self._drain, args=(self._console,), daemon=True).start()

    def _connect(self, path: Path) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 60
        while True:
            try:
                connection.connect(str(path))
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise LabError(f"QEMU doesn't start: {(self.folder / 'qemu.log').read_text()[-300:]}") from None
                time.sleep(0.05)
            else:
                return connection

    @staticmethod
    def _drain(console: socket.socket) -> None:
        """Read the console, so that QEMU never waits for us; what it said is in the log."""
        try:
            while console.recv(65536):
                pass
        except OSError:
            return

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """QEMU's process; LabError where there is none."""
        if self._process is None:
            raise LabError("the machine isn't running")
        return self._process

    def wait_until_up(self, *, network: bool = True) -> None:
        """Wait until procd has said that init is complete, ssh answers, and, where asked for, the WAN is up."""
        self.wait(lambda: PROMPT in self.log.read_bytes(), "the machine doesn't boot", BOOT)
        key = self._key.with_suffix(".pub").read_text().strip()
        # OpenWrt's dropbear looks in the first place, Debian's in the second.
        places = "for d in /etc/dropbear /root/.ssh; do mkdir -p $d; chmod 700 $d; cp /tmp/key $d/authorized_keys; done"
        self.console(f"(umask 077; echo '{key}' >/tmp/key; {places})")
        self.console(CLOCK)
        self.wait(
            lambda: "init complete" in self._try("logread -e 'init complete'"),
            "the machine doesn't finish its boot",
            BOOT,
        )
        if network:
            self.wait_for_wan()

    def wait_for_wan(self) -> None:
        """Wait until the WAN is up, of both families, what follows from that is done, and names resolve."""
        self.wait(lambda: self._try(SETTLED).strip() == "settled", "the network doesn't settle", BOOT, 1)

    def wait(self, condition: Callable[[], object], wrong: str, seconds: float, every: float = 0.2) -> None:
        """Wait until a condition holds; LabError with what is wrong and the console's last words after that long.

        It is asked at most half of the time: an answer takes an emulated processor away from what is waited for.
        """
        began = asked = time.monotonic()
        while not condition():
            if self.process.poll() is not None or time.monotonic() > began + seconds:
                raise LabError(f"{wrong}; the console's end:\n{self.log.read_text(errors='replace')[-600:]}")
            time.sleep(min(max(every, time.monotonic() - asked), 10))
            asked = time.monotonic()

    def kill(self) -> None:
        """Cut the power."""
        self._forget_ssh()
        if self._console is not None:
            self._console.close()
            self._monitor.close()
            self._console = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def reboot(self, clock: str = "utc") -> None:
        """Let the system shut down by itself, then boot again."""
        self._try("reboot")
        self.process.wait(BOOT)
        self.kill()
        self.boot(clock)

    def close(self) -> None:
        """End whatever runs."""
        self.kill()

    # Snapshots: memory, devices and disk

    def save(self, name: str) -> None:
        """Keep the running machine's state under a name."""
        self.run("sync")
        self._forget_ssh()
        self._human(f"savevm {name}")

    def restore(self, name: str) -> None:
        """Go back to a saved state, in which time goes on, and wait for ssh for long: the machine may be busy."""
        self._forget_ssh()
        self._human(f"loadvm {name}")
        self.wait(lambda: self.ask("true").returncode == 0, "no ssh after a state was loaded", BOOT)

    def set_aside(self, place: Path) -> None:
        """Copy the disk with its snapshots, whatever is done to it afterwards."""
        self._ask("stop")
        subprocess.run(["cp", "--sparse=always", self.disk, place], check=True)
        self._ask("cont")

    def put_back(self, place: Path, name: str) -> None:
        """Go on with the disk that was set aside, from one of its saved states."""
        place.replace(self.disk)
        self.start()
        self.restore(name)

    def _human(self, line: str) -> None:
        complaint = self._ask("human-monitor-command", **{"command-line": line})
        if complaint:
            raise LabError(f"{line}: {str(complaint).strip()}")

    def _ask(self, command: str, **arguments: str) -> object:
        self._monitor.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        self._monitor.flush()
        while line := self._monitor.readline():
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise LabError(f"QEMU: {answer['error']['desc']}")
        raise LabError("QEMU has ended")

    # What is done inside

    def console(self, command: str, seconds: float = 60) -> str:
        """Run a command on the serial console and return what it printed."""
        if self._console is None:
            raise LabError("the machine isn't running")
        mark, start = secrets.token_hex(6), self.log.stat().st_size
        # The emulated port doubles a letter now and then
        end = re.compile("".join(f"{letter}+" for letter in f"{mark}:end").encode())
        self._console.sendall(b"\n")  # a shell that only starts now throws away what was typed before its first prompt
        self.wait(lambda: self.log.read_bytes()[start:].endswith(b"# "), "no shell on the console", seconds)
        self._console.sendall(f"{command}; echo {mark}':end'\n".encode())
        self.wait(
            lambda: end.search(self.log.read_bytes(), start),
            f"the console doesn't answer to {command.split(maxsplit=1)[0]}",
            seconds,
        )
        said = end.split(self.log.read_bytes()[start:])[0].decode(errors="replace").replace("\r", "")
        return said.rpartition("':end'\n")[2]

    def leave_console(self) -> None:
        """Leave the serial console to somebody else: QEMU's socket takes one at a time."""
        if self._console is not None:
            self._console.shutdown(socket.SHUT_RDWR)  # whoever reads it now stops reading
            self._console.close()

    def credentials(self) -> list[str]:
        """Return the options with which ssh and scp are let in."""
        settings = {
            "StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null", "LogLevel": "ERROR",
            "ConnectTimeout": "30", "BatchMode": "yes", "IdentitiesOnly": "yes",
            "IdentityFile": str(self._key), "ServerAliveInterval": "20", "ServerAliveCountMax": "30",
        }  # fmt: skip
        return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]

    def _ssh(self, *options: str) -> list[str]:
        shared = ["-o", "ControlMaster=auto", "-o", "ControlPersist=yes", "-o", f"ControlPath={self.folder}/ssh"]
        return self._wires.inside(
            self._wires.administrator, "ssh", *self.credentials(), *shared, *options, f"root@{GATEWAY}"
        )

    def shell(self, *command: str) -> list[str]:
        """Return the command line that runs a command on the gateway, a shell without one."""
        return [*self._ssh(*([] if command else ["-t"])), *command]

    def _forget_ssh(self) -> None:
        if (self.folder / "ssh").exists():
            subprocess.run(self._ssh("-O", "exit"), capture_output=True, check=False)
            (self.folder / "ssh").unlink(missing_ok=True)

    def ask(self, command: str, given: bytes = b"", seconds: float = 900) -> subprocess.CompletedProcess[bytes]:
        """Run a command on the gateway over ssh; returns its status and what it printed, whatever it is."""
        return subprocess.run(self.shell(command), input=given, capture_output=True, check=False, timeout=seconds)

    def _try(self, command: str) -> str:
        try:
            return self.ask(command, seconds=30).stdout.decode(errors="replace")
        except subprocess.TimeoutExpired:
            self._forget_ssh()
            return ""

    def run(self, command: str, given: bytes = b"", seconds: float = 900) -> str:
        """Run a command on the gateway and return what it printed; LabError where its status isn't 0."""
        done = self.ask(command, given, seconds)
        if done.returncode != 0:
            said = (done.stdout + done.stderr).decode(errors="replace").strip()
            raise LabError(f"gateway: {command[:200]}: status {done.returncode}: {said[-1500:]}")
        return done.stdout.decode(errors="replace")

    def put(self, path: str, data: bytes) -> None:
        """Write a file on the gateway."""
        self.run(f"cat >'{path}'", data)

    def get(self, path: str) -> bytes:
        """Read a file of the gateway."""
        return self.ask(f"cat '{path}'").stdout

    def status(self) -> dict[str, Any]:
        """Return what `oubli status --json` says."""
        found: dict[str, Any] = json.loads(self.run("oubli status --json"))
        return found

    def waited(self) -> float:
        """Return the seconds for which QEMU's processor wanted to run and had to wait for this machine."""
        threads = [path.read_text().split() for path in Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")]
        return max((int(ran), int(delayed)) for ran, delayed, _ in threads)[1] / 1e9

    def uptime(self) -> float:
        """Return the seconds since the system's start."""
        return float(self.run("cat /proc/uptime").partition(" ")[0])
