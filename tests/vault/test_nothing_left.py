# SPDX-License-Identifier: Apache-2.0
"""Nothing left: after expiry tmpfs, flash and the live recorder's memory hold no key and no record (EXP-2).

The recorder runs in a network namespace on the real kernel, with a clock file that jumps over its lifetime. The same
scan finds what it looks for before expiry, and in a recorder that doesn't wipe.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from agent.control import client
from agent.vault import reading
from agent.vault.record import REST
from host_sim.checks import process_memory
from host_sim.driver import live_files
from host_sim.driver.interpreters import environment
from host_sim.trials import kills
from tests.support.interpreters import HEAP, PROJECT

LIFETIME = 1200
ADDRESSES = [bytes((192, 168, 7, number)) for number in (171, 173, 177, 179)]
DESTINATION = bytes((203, 0, 113, 199))
CONFIG = f"""
config gateway 'gateway'
	option id 'oublinothingleft'
config purpose 'security'
	option lifetime '{LIFETIME // 60}m'
config summary
	option rows '64'
"""
NAMESPACE = """
ip link add lan type bridge
ip address add 192.168.7.1/24 dev lan
ip link set lan up
nft add table inet t
nft add chain inet t c '{ type filter hook output priority 0; }'
nft add rule inet t c ct state new accept
for name in events acct timestamp; do echo 1 > /proc/sys/net/netfilter/nf_conntrack_$name; done
exec "$@"
"""
RUN = """
import sys
sys.path.insert(0, '.')
from agent.runtime import memory
{before}
from host_sim.driver.launch import main
sys.exit(main({words!r}))
"""
NO_WIPING = "memory.Region.wipe = lambda self: None"
LEAVING = """
from agent.recorder.orders import Orders
from agent.vault.ring import Ring
tick, erase = Ring.tick, Orders.erase
def leave():
    texts = ["left-%04d-here" % number for number in range(1000)]
    texts.clear()  # by hand: a list may be kept by what MicroPython's stack still shows
def expiring(self, wall, monotonic, *, trusted):
    gone = tick(self, wall, monotonic, trusted=trusted)
    if gone:
        leave()
    return gone
def erasing(self, *words):
    leave()
    return erase(self, *words)
Ring.tick, Orders.erase = expiring, erasing
"""
LEAVING_A_ROUND = """
from agent.purposes.erasure.rounds import Erasure
work = Erasure.work
def working(self, monotonic):
    if self._waiting:
        texts = ["left-%04d-here" % number for number in range(3000)]
        texts.clear()
    return work(self, monotonic)
Erasure.work = working
"""
NOT_OVERWRITING = "from agent.runtime import memory\nmemory.overwrite_freed = lambda: None\n"
NEEDS = pytest.mark.needs("root", "unshare", "nsenter", "ip", "nft", "conntrack")


class Gateway:
    """A recorder that runs, and what a thief with root finds of it."""

    def __init__(self, folder: Path, process: subprocess.Popen) -> None:
        self.root, self.process = folder, process
        self.offset = self.kept = 0

    def connect(self) -> None:
        """Let some connections of no known terminal end, once the recorder knows the LAN's addresses."""
        for _ in range(200):
            self.end(4999, [ADDRESSES[0]])
            if self.status()["counters"]["kept"]:
                break
        for port in (4000, 4001, 4002):
            self.end(port, ADDRESSES)
        self.wait(lambda status: status["counters"]["kept"] >= 1 + 3 * len(ADDRESSES))
        self.kept = self.status()["counters"]["kept"]

    def end(self, port: int, sources: list[bytes]) -> None:
        """Make a connection of each source, and end it."""
        script = "".join(
            f"conntrack -I -p udp --src {socket.inet_ntoa(source)} --dst {socket.inet_ntoa(DESTINATION)} --sport {port}"
            f" --dport 443 --timeout 60\nconntrack -D -p udp --src {socket.inet_ntoa(source)}\n"
            for source in sources
        )
        words = ["nsenter", "-t", str(self.process.pid), "-n", "sh", "-ec", script]
        subprocess.run(words, check=True, capture_output=True, timeout=240)

    def status(self) -> dict:
        return client.ask(str(self.root / "var/run/oubli/control/socket"), "status")

    def wait(self, holds) -> None:
        limit = time.monotonic() + 90
        while not holds(status := self.status()):
            assert time.monotonic() < limit, {name: count for name, count in status["counters"].items() if count}
            time.sleep(0.05)

    def jump(self, seconds: int) -> None:
        self.offset += seconds * 10**9
        beside = self.root / "clock.new"
        beside.write_bytes(struct.pack("<q", self.offset))
        beside.replace(self.root / "clock")

    def files(self) -> dict[str, bytes]:
        return live_files.contents(self.root)

    def memory(self) -> dict[str, bytes]:
        """Return every writable region of the process, by where it is mapped from."""
        regions: dict[str, bytes] = {}
        with (
            Path(f"/proc/{self.process.pid}/maps").open() as maps,
            Path(f"/proc/{self.process.pid}/mem").open("rb", buffering=0) as data,
        ):
            for line in maps:
                words = line.split()
                if "w" in words[1]:
                    start, end = (int(part, 16) for part in words[0].split("-"))
                    data.seek(start)
                    name = words[5] if len(words) > 5 else "memory"
                    regions[name] = regions.get(name, b"") + data.read(end - start)
        return regions

    def find(self, secrets: dict[str, bytes]) -> set[str]:
        """Return `what in where` for each secret that the files or the live process hold."""
        places = {
            **self.files(),
            **{f"process: {name.rsplit('/', 1)[-1]}": data for name, data in self.memory().items()},
        }
        return {
            f"{what} in {where}" for what, secret in secrets.items() for where, data in places.items() if secret in data
        }


@contextlib.contextmanager
def gateway(interpreter, before: str = ""):
    with tempfile.TemporaryDirectory(prefix="oubli-", dir="/tmp") as name:
        folder = Path(name)
        (folder / "etc/config").mkdir(parents=True)
        (folder / "etc/config/oubli").write_text(CONFIG)
        (folder / "clock").write_bytes(bytes(8))
        with started(interpreter, folder, before) as made:
            yield made


@contextlib.contextmanager
def started(interpreter, folder: Path, before: str = ""):
    """Start the recorder of a folder, in a network namespace of its own."""
    words = [
        "recorder",
        "--config",
        str(folder / "etc/config/oubli"),
        "--root",
        str(folder),
        "--clock",
        str(folder / "clock"),
    ]
    run = interpreter.command("-c", RUN.format(before=before, words=words))
    command = ["unshare", "-n", "sh", "-ec", NAMESPACE, "sh", *run]
    with subprocess.Popen(command, cwd=interpreter.root, env=environment(), stderr=subprocess.DEVNULL) as process:
        try:
            limit = time.monotonic() + 90
            while not (folder / "var/run/oubli/control/socket").exists():
                assert process.poll() is None
                assert time.monotonic() < limit
                time.sleep(0.02)
            yield Gateway(folder, process)
        finally:
            process.kill()


def secrets_of(made: Gateway) -> dict[str, bytes]:
    """Return what must be nowhere later: each key, each state of its stream, packed records, part of a message."""
    data = (made.root / "var/run/oubli/keys").read_bytes()
    slots = [data[at : at + 192] for at in range(64, len(data), 192)]
    found = {}
    for number, slot in enumerate(slot for slot in slots if slot[0]):
        for what, at in (("key", 32), ("state", 72), ("state", 136)):
            if any(slot[at : at + 32]):
                found[f"{what} {number}"] = slot[at : at + 32]
    pages = (made.root / "var/run/oubli/vault/security/chunks").read_bytes()
    for at in range(0, len(pages), 4096):
        used = struct.unpack_from("<H", pages, at)[0]
        if used:
            found[f"records {at // 4096}"] = pages[at + 4 + REST : at + 4 + REST + min(used, 24)]
    # The attribute of a destination, which nothing ever copies
    found["message"] = struct.pack("HH", 8, 2) + DESTINATION
    return found


@NEEDS
def test_after_expiry_no_key_no_record_and_no_message_is_left(interpreter):
    """Files on tmpfs and flash, and the memory of the recorder that lives on.

    What is found before is the positive control.
    """
    with gateway(interpreter) as made:
        made.connect()
        secrets = secrets_of(made)
        before = made.find(secrets)
        for what in secrets:
            here = {where.split(" in ")[1] for where in before if where.startswith(f"{what} in ")}
            if what.startswith("records"):
                assert here == {"var/run/oubli/vault/security/chunks", "process: chunks"}
            elif what != "message":
                assert here == {"var/run/oubli/keys", "process: keys"}
            else:
                assert here == set()  # the buffer is wiped as soon as a message is handled
        made.jump(LIFETIME)
        made.wait(lambda status: status["purposes"]["security"]["segments"] == 0)
        assert made.find(secrets) == set()
        assert {name for name in made.files() if "/vault/" in name} == {"var/run/oubli/vault/security/chunks"}
        assert list(reading.read(str(made.root), "security", 0, 0)) == []


@NEEDS
def test_a_recorder_that_does_not_wipe_is_found_out(cpython):
    with gateway(cpython, NO_WIPING) as made:
        made.connect()
        assert made.find({"message": secrets_of(made)["message"]}) == {"message in process: memory"}


def forms(address: bytes) -> dict[str, bytes]:
    """Return how an address may lie in an interpreter's heap: as octets, or as one of their integers."""
    value = int.from_bytes(address, "big")
    return {
        "octets": address,
        "word": struct.pack("<I", value),
        "CPython's int": struct.pack("<II", value & 0x3FFFFFFF, value >> 30),
        "MicroPython's int": struct.pack("<Q", value << 1 | 1),
    }


@NEEDS
def test_an_address_of_a_past_connection_may_stand_in_the_interpreters_memory_only(interpreter):
    """Measured, and said in LIMITS.md: the last connection's."""
    with gateway(interpreter) as made:
        made.connect()
        made.jump(LIFETIME)
        made.wait(lambda status: status["purposes"]["security"]["segments"] == 0)
        found = {address: {hit.split(" in ")[1] for hit in made.find(forms(address))} for address in ADDRESSES}
        held = [address for address, places in found.items() if places]
        assert set().union(*found.values()) <= {"process: memory", "process: [heap]", "process: [stack]"}
        assert held in ([], ADDRESSES[-1:])


def left_in(made: Gateway) -> int:
    """Return how many of the texts of LEAVING the process's memory has."""
    return len(process_memory.found(made.process.pid, re.compile(rb"left-[0-9]{4}-here"), 14))


def after_expiry_and_erasure(made: Gateway) -> list[int]:
    """Return how many texts are left after a key's expiry, and after an order to erase."""
    made.connect()
    made.jump(LIFETIME)
    made.wait(lambda status: status["purposes"]["security"]["segments"] == 0)
    found = [left_in(made)]
    assert client.ask(str(made.root / "var/run/oubli/control/socket"), "erase", purpose="all") == {"erased": 0}
    return [*found, left_in(made)]


@NEEDS
def test_what_ended_objects_left_in_the_heap_goes_with_an_expiry_and_an_erasure(interpreter):
    """EXP-1: of the texts that a recorder dropped in the same turn one or two may be left, on its stack."""
    with gateway(interpreter, LEAVING) as made:
        assert max(after_expiry_and_erasure(made)) <= 2


def after_a_terminals_erasure(interpreter, before: str) -> int:
    """Return how many texts are left after it.

    The call is oubli-purposes', with which a recorder has the larger heap: of the smaller it has 22 kB left.
    """
    with gateway(interpreter.larger(), before) as made:
        made.connect()
        place, mac = str(made.root / "var/run/oubli/control/socket"), "02:00:00:00:00:0a"
        client.ask(place, "erase terminal", terminal=mac)
        while client.ask(place, "erase state", terminal=mac)["erasing"]:
            time.sleep(0.05)
        made.status()  # the turn in which the round ended is over
        return left_in(made)


@NEEDS
def test_what_ended_objects_left_in_the_heap_goes_with_a_terminals_erasure(interpreter):
    assert after_a_terminals_erasure(interpreter, LEAVING_A_ROUND) <= 2


@NEEDS
def test_a_recorder_whose_heap_is_not_overwritten_is_found_out(interpreter):
    with gateway(interpreter, LEAVING + NOT_OVERWRITING) as made:
        assert min(after_expiry_and_erasure(made)) > 100
    assert after_a_terminals_erasure(interpreter, LEAVING_A_ROUND + NOT_OVERWRITING) > 100


def oubli(interpreter, *words: str) -> tuple[int, str, str]:
    done = interpreter.run("-m", "agent", *words, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@NEEDS
@pytest.mark.parametrize("what", [("--all",), ("--purpose", "security")])
def test_erase_destroys_at_once_what_is_kept(what, interpreter):
    """By order of the operator: keys, states, pages and files go as at expiry.

    How many records these were is counted.
    """
    with gateway(interpreter) as made:
        made.connect()
        secrets = secrets_of(made)
        assert made.find(secrets) != set()
        refused = oubli(interpreter, "erase", "--purpose", "billing", "--root", str(made.root))
        assert refused == (1, "", "oubli: purpose isn't kept; accepted: all, security\n")
        assert made.find(secrets) != set()
        assert oubli(interpreter, "erase", *what, "--root", str(made.root)) == (0, f"erased {made.kept} records\n", "")
        assert made.find(secrets) == set()
        made.wait(
            lambda status: (status["counters"]["erased"], status["purposes"]["security"]["records"]) == (made.kept, 0)
        )
        assert oubli(interpreter, "erase", *what, "--root", str(made.root), "--json") == (0, '{"erased":0}\n', "")


@NEEDS
def test_what_a_purpose_kept_goes_at_the_start_that_finds_it_off(interpreter):
    """L34-II-1: nothing says any more that `security` or an open session of `billing` is kept.

    Keys, files and octets are gone.
    """
    with gateway(interpreter) as made:
        made.connect()
        made.process.terminate()
        assert made.process.wait(240) == 0
        secrets = {what: secret for what, secret in secrets_of(made).items() if what.startswith("key")}
        assert secrets
        assert all(secret in (made.root / "var/run/oubli/keys").read_bytes() for secret in secrets.values())
        sessions = made.root / "var/run/oubli/billing"
        sessions.write_bytes(b"zoe@room12" + bytes(94))
        (made.root / "etc/config/oubli").write_text(
            CONFIG.replace(f"option lifetime '{LIFETIME // 60}m'", "option enabled '0'")
        )
        with sessions.open("rb", buffering=0) as file, started(interpreter, made.root) as later:
            assert later.find(secrets) == set()
            assert later.status()["counters"]["erased"] == made.kept
            assert {name for name in later.files() if "/vault/" in name} == {"var/run/oubli/vault/security/chunks"}
            assert list(reading.read(str(made.root), "security", 0, 0)) == []
            assert not sessions.exists()
            assert file.read() == bytes(104)


@pytest.mark.parametrize(
    "words", [("erase",), ("erase", "--all", "--purpose", "security"), ("status", "--all"), ("ntp", "--purpose", "x")]
)
def test_an_erase_that_is_not_clear_erases_nothing(words, interpreter, tmp_path):
    code, out, complaint = oubli(interpreter, *words, "--root", str(tmp_path))
    assert (code, out, complaint.count("\n")) == (2, "", 1)
    assert "accepted: erase --" in complaint


SWAPS = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
ON_A_DEVICE = """
mount -t tmpfs none /srv
mount -t tmpfs none /run
mount --bind "$SWAPS" /proc/swaps
exec timeout 20 "$@"
"""


def on_a_device(words: list[str], swaps: Path) -> subprocess.Popen[str]:
    """Start a recorder on a device's own root (ON_A_DEVICE), its swap said by a file."""
    swapping = environment() | {"SWAPS": str(swaps)}
    return subprocess.Popen(
        words, cwd=PROJECT, env=swapping, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.needs("root", "unshare", "timeout")
@pytest.mark.parametrize(
    ("handed", "state"), [("option agrees '1'", "trusted"), ("option agrees '0'", "floor"), (None, "floor")]
)
def test_a_clock_with_a_battery_is_believed_where_root_saw_it_agree(handed, state, interpreter, tmp_path):
    """OpenWrt shows the time of its newest file where that is later, and a board may have no clock (EXP-5).

    What the clock shows is held against the newest file of the configuration.
    """
    config, word, swaps = tmp_path / "config", tmp_path / "word", tmp_path / "swaps"
    config.write_text(CONFIG.replace("option id", "option hardware_clock '1'\n\toption id"))
    swaps.write_text(SWAPS)
    word.write_text(f"config clock 'hardware'\n\t{handed}\n")
    hand = f"mkdir -p /run/oubli-root\ncp {word} /run/oubli-root/networks\n" if handed else ""
    hand = f"mount -t tmpfs none /etc\nmkdir /etc/config\n>/etc/config/system\n{hand}exec timeout"
    recorder = interpreter.command("-m", "agent", "recorder", "--config", config)
    words = ["unshare", "--mount", "--net", "sh", "-ec", ON_A_DEVICE.replace("exec timeout", hand), "sh", *recorder]
    with on_a_device(words, swaps) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        if state != "trusted":
            lines.append(process.stdout.readline())
        process.terminate()
        process.stdout.read()
    assert lines[-1].startswith(f"oubli recorder: started, clock {state}, "), lines
    assert state == "trusted" or lines[0].startswith("oubli recorder: the clock with a battery isn't believed")


@pytest.mark.needs("root", "unshare", "timeout")
@pytest.mark.parametrize(
    ("swap", "starts"), [("", True), ("/dev/zram0", True), ("/dev/sda3", False), ("/srv/swapfile", False)]
)
def test_swap_on_a_disk_is_refused_at_start(swap, starts, interpreter, tmp_path):
    """EXP-2: on the device's own root, in a mount namespace of its own; zram is memory."""
    swaps, config = tmp_path / "swaps", tmp_path / "config"
    swaps.write_text(SWAPS + (f"{swap} partition\t262140\t0\t-2\n" if swap else ""))
    config.write_text(CONFIG)
    recorder = interpreter.command("-m", "agent", "recorder", "--config", config)
    words = ["unshare", "--mount", "--net", "sh", "-ec", ON_A_DEVICE, "sh", *recorder]
    with on_a_device(words, swaps) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        if starts:
            process.terminate()
        process.stdout.read()
    if starts:
        assert first.startswith("oubli recorder: started")
    else:
        assert first.startswith("oubli: swap on a disk is in use")
        assert "accepted: none, or zram (EXP-2)" in first
        assert process.returncode == 1


# SIGKILL at any instant


KILLS = 20


@pytest.mark.long
def test_a_recorder_that_is_killed_at_any_instant_loses_nothing_that_it_counted(interpreter, memory):
    """EXP-6: real recorders on tmpfs while connections end; the last one's files hold all that was kept.

    500 instants in tools/soak.
    """
    root = memory / f"recorder-{interpreter.name}"
    root.mkdir()
    said = kills.volatile(root, interpreter.name, KILLS, 7)
    assert said["findings"] == []
    assert said["records"] > KILLS
    assert said["segments"] > 1


@pytest.mark.long
def test_a_ring_that_does_not_note_how_much_is_written_is_found_out_by_a_kill(memory, monkeypatch):
    monkeypatch.setattr(
        kills, "RECORDER", kills.RECORDER.replace("recorder.tick()\ndata", UNNOTED + "recorder.tick()\ndata")
    )
    root = memory / "late"
    root.mkdir()
    try:
        found = any("lost" in finding for finding in kills.volatile(root, "cpython", KILLS, 7)["findings"])
    except KeyError:  # what is left of a page doesn't even unpack
        found = True
    assert found


UNNOTED = """
from agent.vault import keys
keys.Slot.prepare = lambda self, generation, octets: None
"""


@NEEDS
def test_erase_works_without_a_recorder_and_never_beside_one(interpreter):
    """A service that was stopped for good destroys nothing: one command does, on tmpfs and on flash."""
    with gateway(interpreter) as made:
        made.connect()
        secrets = secrets_of(made)
        made.process.kill()
        made.process.wait()
        sealed, other = (
            made.root / "srv/oubli/vault/attribution/2026-11-23-0001",
            made.root / "srv/oubli/vault/attribution/README",
        )
        sealed.parent.mkdir(parents=True)
        sealed.write_bytes(b"sealed")
        other.write_bytes(b"not ours")
        held = {what for what, secret in secrets.items() for data in made.files().values() if secret in data}
        assert held == set(secrets) - {"message"}
        code, out, err = oubli(interpreter, "erase", "--all", "--root", str(made.root))
        assert (code, err) == (0, "")
        assert re.fullmatch(r"erased [2-9]\d* segments; no recorder runs\n", out)
        assert not [what for what, secret in secrets.items() for data in made.files().values() if secret in data]
        assert not sealed.exists()
        assert other.exists()
        assert oubli(interpreter, "erase", "--all", "--root", str(made.root), "--json") == (0, '{"segments":0}\n', "")


@NEEDS
def test_erase_waits_for_a_recorder_that_is_closing(interpreter):
    """Package removal: the service was told to stop, and still seals.

    `erase --all` said that none runs, and `rm` left the keys' octets.
    """
    with gateway(interpreter) as made:
        made.connect()
        made.process.kill()
        made.process.wait()
        ring = made.root / "var/run/oubli/keys"
        with (
            ring.open("rb") as keys,
            subprocess.Popen(
                [sys.executable, "-c", CLOSES, str(made.root / "var/run/oubli")], stdout=subprocess.PIPE, cwd=PROJECT
            ) as closes,
        ):
            assert closes.stdout is not None
            assert closes.stdout.readline() == b"held\n"
            code, out, err = oubli(interpreter, "erase", "--all", "--root", str(made.root))
            assert (code, err) == (0, "")
            assert out.endswith("no recorder runs\n")
            assert closes.wait() == 0
            assert not ring.exists()
            assert not keys.read().strip(b"\0")  # who has the file open reads zeros


CLOSES = """
import sys, time
from agent.runtime import files
assert files.hold_folder(sys.argv[1])
print("held", flush=True)
time.sleep(2)
"""


@NEEDS
@pytest.mark.parametrize("what", ["everything", "purposes"])
def test_a_removal_waits_until_the_recorder_answers_no_more_and_then_forgets(what, interpreter):
    """One that closes still answers, by what it runs with: that a purpose isn't on, say.

    Where it stays, or a file can't go, that fails.
    """
    with gateway(interpreter) as made:
        made.connect()
        words = ("-m", "agent", "forget", what, "--root", made.root)
        impatient = (
            "from agent.cli import verbs\nfrom agent.__main__ import main\nverbs.CLOSING = 0\n"
            "raise SystemExit(main({!r}))"
        )
        done = interpreter.run("-c", impatient.format([str(word) for word in words[2:]]), check=False)
        refused = b"oubli: forget: a daemon runs, or this user may not; accepted: as root, once it is stopped\n"
        assert (done.returncode, done.stderr) == (1, refused)
        assert made.status()["purposes"]["security"]["records"] == made.kept
        sealed = made.root / "srv/oubli/vault/attribution/2026-11-23-0001"
        sealed.parent.mkdir(parents=True)
        sealed.write_bytes(b"sealed")
        ring = made.root / "var/run/oubli/keys"
        with (
            ring.open("rb") as keys,
            subprocess.Popen(
                interpreter.command(*words), cwd=interpreter.root, env=environment(), stderr=subprocess.PIPE
            ) as forgets,
        ):
            time.sleep(0.5)
            assert (forgets.poll(), made.status()["clock"]) == (None, "floor")  # it runs, and nothing is asked of it
            made.process.terminate()
            assert (forgets.communicate(timeout=240)[1], forgets.returncode, made.process.wait(240)) == (b"", 0, 0)
            left = bool(keys.read()[64:].strip(b"\0"))
        assert not sealed.exists()
        assert left == ring.exists() == (what == "purposes")
        folders = [made.root / name for name in ("srv/oubli", "srv/oubli-spool", "var/run/oubli-live")]
        assert [folder.exists() for folder in folders] == [what == "purposes"] * 3
        # By what the clock showed in this boot the next installation reads what the kernel stamps (EXP-1)
        run = {path.name for path in (made.root / "var/run/oubli").iterdir()}
        assert run == {"lines", "timeouts"} if what == "everything" else {"lines", "keys", "clock"} < run
        sealed.parent.parent.mkdir(parents=True)
        sealed.parent.write_bytes(b"in the way")
        done = interpreter.run(*words, check=False)
        assert (done.returncode, done.stderr) == (1, b"oubli: forget: not all could be destroyed (not a directory)\n")
        assert not sealed.parent.exists()  # what comes after what fails goes all the same


@pytest.mark.parametrize(("name", "returned"), [("var/run/oubli", 1), ("srv/oubli-spool", 1), ("var/run", 0)])
def test_a_removal_waits_for_either_daemon(name, returned, interpreter, tmp_path):
    """A forwarder that ends writes its last word into a folder that is gone otherwise."""
    for folder in ("srv/oubli-spool", "var/run/oubli", "etc/config"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/config/oubli").write_text(CONFIG)
    words = ["forget", "everything", "--root", str(tmp_path)]
    script = (
        "from agent.cli import verbs\nfrom agent.__main__ import main\nverbs.CLOSING = 0\n"
        f"raise SystemExit(main({words!r}))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", CLOSES, str(tmp_path / name)], stdout=subprocess.PIPE, cwd=PROJECT
    ) as closes:
        assert closes.stdout is not None
        assert closes.stdout.readline() == b"held\n"
        assert interpreter.run("-c", script, check=False).returncode == returned
        assert (tmp_path / "srv/oubli-spool").exists() == bool(returned)
        closes.kill()


def test_a_removal_takes_folders_that_lie_in_a_store_under_a_segments_name(interpreter, tmp_path):
    """EXP-1: nor does it leave the day's table where flash refuses."""
    for folder in (
        "var/run/oubli",
        "srv/oubli/vault/consent/2026-11-30-0001/a",
        "srv/oubli/vault/attribution/2026-11-30-0001",
    ):
        (tmp_path / folder).mkdir(parents=True)
    words = ["forget", "everything", "--root", str(tmp_path)]
    assert interpreter.run("-m", "agent", *words).stderr == b""
    assert not (tmp_path / "srv/oubli").exists()
    (tmp_path / "var/run/oubli").mkdir(exist_ok=True)
    (tmp_path / "var/run/oubli/terminals").write_bytes(b"table")
    script = (
        "from agent.vault import expiry\nfrom agent.__main__ import main\n"
        "def refuses(*_): raise OSError(30, '')\n"
        f"expiry.erase_all = refuses\nraise SystemExit(main({words!r}))"
    )
    done = interpreter.run("-c", script, check=False)
    said = b"oubli: forget: not all could be destroyed (read-only file system)\n"
    assert (done.returncode, done.stderr) == (1, said)
    assert not (tmp_path / "var/run/oubli/terminals").exists()


@pytest.mark.needs("root")
def test_a_removal_goes_past_a_folder_that_it_may_not_remove(interpreter):
    """EXP-1: whatever was listed after it stayed, keys and consents among it. A name that is no text hinders none."""
    with tempfile.TemporaryDirectory(prefix="oubli-", dir="/tmp") as name:
        root, flash = Path(name), Path(name) / "srv/oubli"
        root.chmod(0o755)
        for folder in ("audit", "consents", "lost+found", "published", "vault/attribution"):
            (flash / folder).mkdir(parents=True)
            (flash / folder / "a").write_text("b")
        (flash / "device.key").write_text("key")
        (root / "var/run/oubli/vault/security").mkdir(parents=True)
        (root / "var/run/oubli/vault/security" / os.fsdecode(b"\xff")).write_text("a")
        for path in root.rglob("*"):
            os.chown(path, 65534, 65534)
        os.chown(flash / "lost+found", 0, 0)
        (flash / "lost+found").chmod(0o700)
        done = interpreter.run("-m", "agent", "forget", "everything", "--root", name, check=False)
        assert done.returncode == 1
        assert b"not all could be destroyed" in done.stderr
        assert [path.name for path in flash.iterdir()] == ["lost+found"]


@NEEDS
def test_one_purpose_is_erased_where_no_recorder_runs_and_the_others_stay(interpreter):
    """The package that goes takes its purposes' keys with it.

    What `security` keeps is still there for the next start.
    """
    with gateway(interpreter) as made:
        made.connect()
        made.process.kill()
        made.process.wait()
        kept = (made.root / "var/run/oubli/keys").read_bytes()
        (made.root / "var/run/oubli/billing").write_bytes(bytes(104))
        for purpose in ("billing", "location"):
            assert oubli(interpreter, "erase", "--purpose", purpose, "--root", str(made.root))[0] == 0
        assert (made.root / "var/run/oubli/keys").read_bytes() == kept
        assert not (made.root / "var/run/oubli/billing").exists()
        assert oubli(interpreter, "erase", "--purpose", "security", "--root", str(made.root))[0] == 0
        assert not (made.root / "var/run/oubli/keys").read_bytes()[64:].strip(b"\0")
        assert oubli(interpreter, "erase", "--purpose", "nothing", "--root", str(made.root))[0] == 1


@pytest.mark.needs("root", "unshare", "timeout")
def test_a_recorder_refuses_to_start_where_its_memory_is_a_disk(interpreter, tmp_path):
    """EXP-2: on the device's own root, /var/run on something else than tmpfs."""
    swaps, config = tmp_path / "swaps", tmp_path / "config"
    swaps.write_text(SWAPS)
    config.write_text(CONFIG)
    recorder = interpreter.command("-m", "agent", "recorder", "--config", config)
    with tempfile.TemporaryDirectory(dir=PROJECT / ".cache") as disk:  # /tmp may be memory itself, as Debian 13 has it
        script = ON_A_DEVICE.replace("mount -t tmpfs none /run", f"mount --bind {disk} /run")
        words = ["unshare", "--mount", "--net", "sh", "-ec", script, "sh", *recorder]
        done = subprocess.run(
            words, cwd=PROJECT, env=environment() | {"SWAPS": str(swaps)}, capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert (
        done.stderr
        == "oubli: /var/run/oubli/vault isn't in memory, and a disk doesn't forget; accepted: tmpfs (EXP-2)\n"
    )


@pytest.mark.needs("root", "unshare", "timeout")
@pytest.mark.parametrize("where", ["/srv", "/run"])
def test_a_budget_that_is_larger_than_what_is_free_is_refused_at_start(where, interpreter, tmp_path):
    """ANON-4, EXP-6: flash that fills up while the recorder runs shows outside, when and how guests will.

    tmpfs loses records.
    """
    swaps, config = tmp_path / "swaps", tmp_path / "config"
    swaps.write_text(SWAPS)
    config.write_text(CONFIG)
    recorder = interpreter.command("-m", "agent", "recorder", "--config", config)
    script = ON_A_DEVICE.replace(f"mount -t tmpfs none {where}", f"mount -t tmpfs -o size=256k none {where}")
    words = ["unshare", "--mount", "--net", "sh", "-ec", script, "sh", *recorder]
    done = subprocess.run(
        words, cwd=PROJECT, env=environment() | {"SWAPS": str(swaps)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    what = "mqtt.spool_bytes" if where == "/srv" else "security.budget"
    text = (
        rf"oubli: {what}: \d+ bytes more may be written at (/var)?{where}\S*, and \d+ are free; accepted: "
        r"smaller ones, or more room \("
    )
    assert re.match(text, done.stderr), done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.needs("root", "unshare", "timeout")
@pytest.mark.parametrize(("medium", "refused"), [("tmpfs", True), ("bind", False), ("absent", False)])
def test_a_store_that_must_outlive_a_loss_of_power_is_not_put_into_memory(medium, refused, interpreter, tmp_path):
    """EXP-6: `vault.path` on tmpfs is refused.

    A medium that isn't there yet, or is flash, isn't (then the store says so itself).
    """
    swaps, config, card = tmp_path / "swaps", tmp_path / "config", tmp_path / "card"
    swaps.write_text(SWAPS)
    card.mkdir()
    billing = "config purpose 'billing'\n option enabled '1'\n option lifetime '7d'\n"
    config.write_text(CONFIG + f"{billing}config vault\n option path '{card}'\n")
    mount = {
        "tmpfs": f"mount -t tmpfs none {card}",
        "bind": f"mount --bind {Path(__file__).parent.parent} {card}",
        "absent": ":",
    }[medium]
    words = ["unshare", "--mount", "--net", "sh", "-ec", ON_A_DEVICE.replace("exec", f"{mount}\nexec"), "sh"]
    recorder = interpreter.command("-m", "agent", "recorder", "--config", config)
    recorder = [word.replace(HEAP, "1M") for word in recorder]  # as etc/init.d/oubli gives it where billing can be on
    with on_a_device([*words, *recorder], swaps) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.terminate()
        process.stdout.read()
    told = f"oubli: {card} is in memory, and what is sealed must outlive a loss of power; accepted: flash (EXP-6)\n"
    assert first == told if refused else first.startswith("oubli recorder: started")


@pytest.mark.needs("root", "mkfs.ext4", "mount")
def test_a_custodians_store_that_is_killed_at_any_instant_loses_nothing(interpreter, tmp_path, memory):
    """EXP-6: on a real ext4; what waited lies on tmpfs, and the next process has it. 500 instants in tools/soak."""
    tmpfs = memory / interpreter.name
    tmpfs.mkdir()
    with kills.ext4(tmp_path) as flash:
        said = kills.custodian(flash, tmpfs, interpreter.name, KILLS, 7)
    assert said["findings"] == []
    assert said["records"] > KILLS
