# SPDX-License-Identifier: Apache-2.0
"""The gateway's inside: a root folder as on a device, and the two real daemons in the gateway's namespace.

Each daemon runs as a user of its own without an account (64101, 64102; group 64100 for what crosses between them). The
recorder holds CAP_NET_ADMIN and no other capability, the forwarder none ("Who may read what" in the design). Where
interpreter or project lie in a folder closed to other users (root's home), each daemon gets a mount namespace of its
own. In it that folder shows nothing but the two.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from host_sim.driver import first_boot, live_files
from host_sim.driver.interpreters import HEAP, ROOT, command, environment
from host_sim.driver.launch import ShiftedTime
from host_sim.lab.broker import PORT
from host_sim.lab.network import INTERNET_4, LabError, Network

GROUP = 64100
USERS = {"recorder": 64101, "forwarder": 64102}
CAPABILITIES = {"recorder": "-all,+net_admin", "forwarder": "-all"}
LAUNCH = str(ROOT / "host_sim/driver/launch.py")
GATEWAY_ID = "oublilaboratory2"
SECOND = 1_000_000_000

CONFIG = """
config gateway 'gateway'
	option id '{gateway}'
	option duty 'portal'
config purpose 'security'
	option lifetime '{lifetime}s'
config mqtt 'mqtt'
	option host '{host}'
	option port '{port}'
	option insecure '1'
"""


def _doorway(folder: Path) -> list[str]:
    """Return the words before a command that let any user reach the interpreter and the project; none where all can."""
    script, covered = "", []
    for number, path in enumerate(dict.fromkeys((Path(sys.base_prefix), Path(sys.prefix), ROOT))):
        closed = [parent for parent in reversed((path / "_").parents) if not parent.stat().st_mode & 0o001]
        if closed:
            behind = folder / f"doorway{number}"
            behind.mkdir()
            script += f"mount --bind '{path}' '{behind}'\n"
            covered.append((closed[0], path, behind))
    for closed_folder in dict.fromkeys(row[0] for row in covered):
        script += f"mount -t tmpfs -o mode=755 none '{closed_folder}'\n"
    for _, path, behind in covered:
        script += f"mkdir -p '{path}'\nmount --bind '{behind}' '{path}'\n"
    return ["unshare", "--mount", "sh", "-ec", script + 'exec "$@"', "sh"] if script else []


class Device:
    """Root folder, shifted clock and daemons.

    `lifetime` is the security purpose's, `offset` how much the clocks are ahead of
    this machine's at first; both in seconds.
    """

    def __init__(
        self, network: Network, folder: Path, interpreter: str, lifetime: int, offset: int, heap: str = HEAP
    ) -> None:
        self.root, self.config = folder / "root", folder / "root/etc/config/oubli"
        self.processes: dict[str, subprocess.Popen] = {}
        self.traces: dict[str, list[Path]] = defaultdict(list)
        self._network, self._folder = network, folder
        self._interpreter = command(interpreter, heap)
        self._clock = folder / "clock"
        self.time = ShiftedTime(str(self._clock))
        self._offset = 0
        self.jump(offset)
        for name, mode, user in (
            ("etc/config", 0o755, 0),
            ("srv/oubli", 0o700, USERS["recorder"]),
            ("srv/oubli-spool", 0o2770, USERS["recorder"]),
            ("var/run/oubli", 0o711, USERS["recorder"]),
            ("var/run/oubli-live", 0o2770, USERS["recorder"]),
            ("var/run/oubli-root", 0o755, 0),
        ):
            (self.root / name).mkdir(parents=True)
            os.chown(self.root / name, user, GROUP)
            (self.root / name).chmod(mode)
        first_boot.new_device(str(self.root))
        for path in (self.root / "srv/oubli").iterdir():
            os.chown(path, USERS["recorder"], GROUP)
        folder.chmod(0o755)
        self.config.write_text(CONFIG.format(gateway=GATEWAY_ID, lifetime=lifetime, host=INTERNET_4, port=PORT))
        written = int(self.time.wall() / SECOND) - 3600
        os.utime(self.config, (written, written))  # on its own clock it was written before it started (EXP-5)
        self._doorway = _doorway(folder)

    def add_configuration(self, text: str) -> None:
        """Add sections to the configuration, which stays as old as it is."""
        status = self.config.stat()
        self.config.write_text(self.config.read_text() + text)
        os.utime(self.config, (status.st_mtime, status.st_mtime))

    def command(self, *words: str) -> str:
        """Run a verb of `oubli` as root and return what it printed; LabError with what it complained of."""
        done = subprocess.run(
            [*self._interpreter, "-m", "agent", *words, "--root", str(self.root)],
            capture_output=True, text=True, check=False, env=environment(), cwd=ROOT, timeout=240,
        )  # fmt: skip
        if done.returncode:
            raise LabError(done.stderr.strip())
        return done.stdout

    def jump(self, seconds: int) -> None:
        """Move the daemons' clocks forward."""
        self._offset += seconds * SECOND
        beside = self._clock.with_suffix(".new")
        beside.write_bytes(struct.pack("<q", self._offset))
        beside.chmod(0o644)
        beside.replace(self._clock)

    def _rights(self, daemon: str) -> list[str]:
        capabilities = CAPABILITIES[daemon]
        return [
            *self._doorway, "setpriv", f"--reuid={USERS[daemon]}", f"--regid={GROUP}",
            "--clear-groups", "--no-new-privs", f"--inh-caps={capabilities}",
            f"--ambient-caps={capabilities}", f"--bounding-set={capabilities}",
        ]  # fmt: skip

    def start(self, daemon: str, variant: str | None = None, *, trace: bool = False) -> None:
        """Start a daemon.

        With `trace`, strace notes the sockets it asks for and what it sends in its life in a file of `traces`.
        """
        words = [*self._rights(daemon), *self._interpreter, LAUNCH, daemon, "--config", str(self.config)]
        words += ["--root", str(self.root), "--clock", str(self._clock)]
        if variant is not None:
            words += ["--variant", variant]
        if trace:
            trace_file = self._folder / f"{daemon}{len(self.traces[daemon])}.strace"
            self.traces[daemon].append(trace_file)
            watched = ["-e", "trace=socket,socketpair,execve,sendto", "-s", "4096", "-o", str(trace_file)]
            words = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", *watched, *words]
        with self.log(daemon).open("ab") as log:
            self.processes[daemon] = subprocess.Popen(
                self._network.inside(self._network.gateway, *words),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(), cwd="/", start_new_session=True,
            )  # fmt: skip

    def log(self, daemon: str) -> Path:
        """Return the file that holds what a daemon logged."""
        return self._folder / f"{daemon}.log"

    def pid(self, daemon: str) -> int:
        """Return a live daemon's pid; LabError with its last words where it has ended."""
        process = self.processes[daemon]
        if process.poll() is not None:
            raise LabError(f"the {daemon} ended with {process.returncode}: {self.log(daemon).read_text()[-800:]}")
        return process.pid

    def stop(self, daemon: str, number: int = signal.SIGTERM) -> int:
        """Signal a daemon and wait for its end; returns its exit status."""
        process = self.processes.pop(daemon)
        process.send_signal(number)
        return process.wait(240)

    def call(self, request: dict) -> dict:
        """Ask the recorder over its control socket, one JSON line each way.

        Again where its heap had no room, or others wait to be let in.
        """
        line = b""
        for _ in range(50):
            with contextlib.suppress(ConnectionError, BlockingIOError), socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(20)
                peer.connect(str(self.root / "var/run/oubli/control/socket"))
                peer.sendall(json.dumps({"v": 1} | request).encode() + b"\n")
                with peer.makefile("rb") as stream:
                    line = stream.readline()
            if line:
                break
            time.sleep(0.1)
        else:
            raise ConnectionRefusedError("the recorder gives no answer")
        answer = json.loads(line)
        if answer.pop("v") != 1:
            raise LabError("an answer of the control socket is of another version")
        return answer

    def wait_for_recorder(self) -> None:
        """Wait until the recorder answers: its netlink sockets are open then."""
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            self.pid("recorder")
            try:
                self.call({"call": "status"})
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise LabError(f"the recorder does not answer: {self.log('recorder').read_text()[-800:]}")

    def spool(self) -> dict[str, bytes]:
        """Return the messages that wait, by file name."""
        return live_files.contents(self.root / "srv/oubli-spool", "[!.]*")

    def close(self) -> None:
        """End both daemons."""
        for daemon in list(self.processes):
            self.stop(daemon, signal.SIGKILL)


def usable() -> str | None:
    """Return why no lab can be made on this machine, in one line; None where it can."""
    if os.geteuid() != 0:
        return "the lab needs root: it makes network namespaces"
    lacking = [
        name
        for name in ("ip", "nft", "conntrack", "nsenter", "setpriv", "unshare", "mosquitto")
        if shutil.which(name) is None
    ]
    if lacking:
        return f"the lab needs commands that are not here: {', '.join(lacking)}"
    if sys.platform != "linux":
        return "the lab needs Linux"
    return None
