# SPDX-License-Identifier: Apache-2.0
"""The doctor finds each thing that is wrong, set wrong for real, and nothing where all is right.

Every examination runs in namespaces of its own (network, mounts, processes), made for it and gone with it: a gateway
that is fine, plus what the test sets wrong in it by `ip`, `nft`, `sysctl` or `mount`. What belongs to the whole machine
(swap, memory) is a file mounted over the one in /proc. What this kernel hasn't got at all (modules, the old helper
sysctl, flowtables) is handed in through the constructor: a folder as /proc, or what another kernel answered
(tests/vectors/nftables).
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from cryptography import x509

from agent.config import config as configuration
from agent.control.calls import VERSION
from agent.doctor import catalogue, examination, uplink
from agent.doctor.catalogue import ERROR, NOTE, WARNING
from agent.doctor.gateway import Gateway
from agent.purposes import checks
from host_sim.driver import interpreters as host
from tests.support import keyholder
from tests.support.interpreters import INTERPRETERS, PROJECT, Interpreter

pytestmark = pytest.mark.needs("root", "nft", "ip", "unshare")

PORT = 1883
CATALOGUE = catalogue.CATALOGUE | checks.ROWS
CONFIG = f"""
config gateway
  option id 'abcdefghijklmnop'
  option duty 'portal'
config mqtt
  option host '127.0.0.1'
  option port '{PORT}'
  option insecure '1'
config notice
  option controller 'Lac SARL'
  option contact 'a@b.example'
"""

# Takes connections and writes down how many bytes each one sent.
BROKER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
open(sys.argv[2], "x").close()
while True:
    connection = listener.accept()[0]
    received = 0
    while data := connection.recv(4096):
        received += len(data)
    with open(sys.argv[2], "a") as heard:
        print(received, file=heard, flush=True)
"""

# Stands in for both daemons as far as doctor looks at them: folders that are held, and a
# recorder's answer, whatever is in $ROOT/status.
DAEMONS = """
import fcntl, os, socket, sys
from pathlib import Path
root = Path(sys.argv[1])
held = []
folders = {"srv/oubli": 0o700, "srv/oubli-spool": 0o2770, "var/run/oubli": 0o711, "var/run/oubli-live": 0o2770}
for name, mode in folders.items():
    (root / name).mkdir()
    (root / name).chmod(mode)
    held.append(os.open(root / name, os.O_DIRECTORY))
    fcntl.flock(held[-1], fcntl.LOCK_EX)
(root / "var/run/oubli/control").mkdir()
os.chdir(root / "var/run/oubli/control")
listener = socket.socket(socket.AF_UNIX)
listener.bind("socket")
listener.listen()
(root / "daemons").touch()
while True:
    asking = listener.accept()[0]
    asking.recv(4096)
    asking.sendall((root / "status").read_bytes() + bytes([10]))
    asking.close()
"""
STATUS: dict[str, Any] = {
    "v": VERSION,
    "clock": "trusted",
    "deaf": False,
    "forwarder": {"connected": True},
    "missing": [],
    "purposes": {"security": {}},
    "refusing": False,
}

# A gateway on which all is well: tmpfs where it must be, the kernel's switches on, a
# public address, a broker, both daemons.
WELL = f"""
set -e
mount -t tmpfs tmpfs "$ROOT/var/run"
mount -t tmpfs -o size=8m tmpfs "$ROOT/srv"
if [ -e /proc/swaps ]; then mount --bind "$ROOT/no-swaps" /proc/swaps; fi
ip link set lo up
ip link add wan type veth peer name isp
ip link set wan up
ip addr add 203.0.113.2/24 dev wan
for name in events acct timestamp; do echo 1 > /proc/sys/net/netfilter/nf_conntrack_$name; done
rm -f "$ROOT/heard"
"$PYTHON" -c "$BROKER" {PORT} "$ROOT/heard" &
broker=$!
rm -f "$ROOT/daemons"
"$PYTHON" -c "$DAEMONS" "$ROOT" &
daemons=$!
until [ -e "$ROOT/heard" ] && [ -e "$ROOT/daemons" ]; do sleep 0.02; done
"""

# Examines through the constructor. `values` of the words: proc=FOLDER, receive=OCTETS, and lines to run before.
DRIVER = """
import sys
from agent.config.config import load
from agent.doctor import examination, gateway, ruleset, uplink
from agent.runtime.clocks import DeviceTime
made = {"proc": "/proc", "dump": gateway.dump}
receive = 4 << 20
%s
subject = gateway.Gateway(load(sys.argv[1]), sys.argv[2], DeviceTime().wall, receive, **made)
sys.exit(examination.run(subject, fix="--fix" in sys.argv, as_json=True))
"""


@dataclass
class Report:
    """What one examination said: exit status, standard output, standard error."""

    status: int
    output: str
    errors: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object of --json."""
        return json.loads(self.output)

    @property
    def ids(self) -> list[str]:
        """What was found, in order."""
        return [finding["id"] for finding in self.json["findings"]]

    def only(self, name: str, severity: str) -> dict[str, Any]:
        """Return the one finding there must be."""
        assert self.errors == ""
        assert self.ids == [name]
        (finding,) = self.json["findings"]
        assert finding["severity"] == severity == CATALOGUE[name][0]
        assert self.status == (0 if severity == NOTE else 1)
        assert self.json["fine"] is (severity == NOTE)
        return finding


class Clinic:
    """A folder that is a gateway's root, and the namespaces that an examination of it runs in."""

    def __init__(self, root: Path, interpreter: Interpreter) -> None:
        self.root, self.interpreter = root, interpreter
        for folder in ("etc/config", "var/run", "srv"):
            (root / folder).mkdir(parents=True)
        (root / "no-swaps").write_text("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")
        self.config = root / "etc/config/oubli"
        self.config.write_text(CONFIG)
        self.status()

    def status(self, **changed: object) -> None:
        """Let the recorder say of itself that all is well but for what is changed."""
        (self.root / "status").write_text(json.dumps(STATUS | changed))

    def configure(self, old: str, new: str) -> None:
        """Replace one line of the configuration."""
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))

    def oubli(self, *words: str, interpreter: Interpreter | None = None) -> str:
        """Return the shell words of `oubli WORDS` on this gateway."""
        return self.shell((interpreter or self.interpreter).command("-m", "agent", *words, "--root", self.root))

    def shell(self, words: list[str]) -> str:
        """Quote words for the shell."""
        return " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)

    def run(self, script: str) -> Report:
        """Run a script on the gateway that is well, in namespaces that end with it and take every process along."""
        done = subprocess.run(
            [
                "unshare",
                "--net",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "sh",
                "-c",
                WELL + script,
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
            cwd=self.interpreter.root,
            env=host.environment()
            | {"ROOT": str(self.root), "PYTHON": sys.executable, "BROKER": BROKER, "DAEMONS": DAEMONS},
        )
        return Report(done.returncode, done.stdout, done.stderr)

    def examine(self, wrong: str = "", *words: str) -> Report:
        """Set something wrong by shell commands, then run `oubli doctor --json`."""
        return self.run(wrong + "\nexec " + self.oubli("doctor", "--json", *words))

    def driver(self, lines: str, *words: str) -> str:
        """Return the shell words of an examination through the constructor."""
        path = self.root / f"driver-{len(list(self.root.iterdir()))}.py"
        path.write_text(DRIVER % lines)
        return self.shell(self.interpreter.command(path, self.config, self.root, *words))

    def proc(self, files: dict[str, str]) -> Path:
        """Make a /proc with these files; everything else that the doctor reads leads to the real one."""
        proc = self.root / "proc"
        for name in ("meminfo", "swaps", "net/netlink", "net/tcp", "net/tcp6", "sys/net/core/rmem_max"):
            (proc / name).parent.mkdir(parents=True, exist_ok=True)
            (proc / name).symlink_to("/proc/" + name)
        switches = proc / "sys/net/netfilter"
        switches.mkdir()
        for name in ("events", "acct", "timestamp", "max"):
            (switches / f"nf_conntrack_{name}").symlink_to(f"/proc/sys/net/netfilter/nf_conntrack_{name}")
        for name, text in files.items():
            (proc / name).unlink(missing_ok=True)
            (proc / name).write_text(text)
        return proc

    def examine_proc(self, files: dict[str, str]) -> Report:
        """Examine with files of another kernel's /proc."""
        return self.run("exec " + self.driver(f'made["proc"] = "{self.proc(files)}"'))


@pytest.fixture
def clinic(tmp_path: Path, interpreter: Interpreter) -> Clinic:
    """Give a gateway on which all is well."""
    return Clinic(tmp_path, interpreter)


def test_a_gateway_on_which_all_is_well_is_fine(clinic):
    report = clinic.examine()
    assert (report.status, report.output, report.errors) == (0, '{"findings":[],"fine":true,"repairs":[]}\n', "")
    report = clinic.run("exec " + clinic.oubli("doctor"))
    assert (report.status, report.output) == (0, "fine\n")


@pytest.mark.parametrize(("name", "value"), [("events", 2), ("events", 0), ("acct", 0), ("timestamp", 0)])
def test_fix_sets_a_switch_and_the_next_doctor_is_clean(clinic, name, value):
    switch = f"/proc/sys/net/netfilter/nf_conntrack_{name}"
    report = clinic.run(
        f"echo {value} > {switch}\n"
        f"{clinic.oubli('doctor', '--json')} > $ROOT/before && exit 9\n"
        f"{clinic.oubli('doctor', '--fix', '--json')} > $ROOT/fix\n"
        f"cp {switch} $ROOT/value\n"
        f"exec {clinic.oubli('doctor', '--json')}"
    )
    Report(1, (clinic.root / "before").read_text(), "").only(name, ERROR)
    repair = {"id": name, "done": True, "what": f"set net.netfilter.nf_conntrack_{name}=1 until the next boot"}
    assert json.loads((clinic.root / "fix").read_text()) == {"findings": [], "fine": True, "repairs": [repair]}
    assert (clinic.root / "value").read_text() == "1\n"
    assert (report.status, report.ids, report.errors) == (0, [], "")


def test_connection_tracking_that_is_absent_is_found(clinic):
    proc = clinic.proc({})
    (proc / "sys/net/netfilter/nf_conntrack_timestamp").unlink()
    report = clinic.run("exec " + clinic.driver(f'made["proc"] = "{proc}"'))
    report.only("conntrack", ERROR)


def test_a_helper_in_the_ruleset_is_a_note(clinic):
    report = clinic.examine("nft add table inet t; nft 'add ct helper inet t ftp { type \"ftp\" protocol tcp; }'")
    assert report.only("helpers", NOTE)["what"] == "helpers in the ruleset: 1"


@pytest.mark.parametrize(
    ("files", "name", "severity"),
    [
        ({"sys/net/netfilter/nf_conntrack_helper": "1\n"}, "automatic-helpers", WARNING),
        ({"modules": "nf_conntrack_sip 36864 0 - Live 0x0\nnf_nat 40960 0 - Live 0x0\n"}, "helpers", NOTE),
        ({"modules": "nft_fullcone 20480 1 - Live 0x0\n"}, "fullcone", WARNING),
        ({"modules": "veth 40960 0 - Live 0x0\nshortcut_fe 65536 1 - Live 0x0\n"}, "offload", ERROR),
    ],
)
def test_what_another_kernel_shows_in_proc_is_found(clinic, files, name, severity):
    clinic.examine_proc(files).only(name, severity)


def test_what_another_kernel_shows_in_proc_may_be_harmless(clinic):
    files = {
        "sys/net/netfilter/nf_conntrack_helper": "0\n",
        "modules": "nf_conntrack 204800 7 nf_nat,nf_conntrack_sip, Live 0x0\n",
    }
    assert clinic.examine_proc(files).ids == []


def test_fix_leaves_automatic_helpers_alone(clinic):
    proc = clinic.proc({"sys/net/netfilter/nf_conntrack_helper": "1\n"})
    report = clinic.run("exec " + clinic.driver(f'made["proc"] = "{proc}"', "--fix"))
    report.only("automatic-helpers", WARNING)
    assert report.json["repairs"] == []
    assert (proc / "sys/net/netfilter/nf_conntrack_helper").read_text() == "1\n"


def recorded_flowtables() -> list[bytes]:
    """Return the messages of the recorded dump: three flowtables and the end."""
    data, messages = (PROJECT / "tests/vectors/nftables/flowtables.bin").read_bytes(), []
    while data:
        (size,) = struct.unpack_from("<I", data)
        datagram, data = data[4 : 4 + size], data[4 + size :]
        while datagram:
            (length,) = struct.unpack_from("=I", datagram)
            messages.append(datagram[:length])
            datagram = datagram[(length + 3) & ~3 :]
    return messages


SERVE = """
recorded = %r
def dump(protocol, kind, body, take):
    if kind != 0xa17:
        return gateway.dump(protocol, kind, body, take)
    for message in recorded:
        gateway.entries(bytearray(message), len(message), take)
made["dump"] = dump
"""


@pytest.mark.parametrize(
    ("index", "name", "severity", "what"),
    [
        (0, "offload", ERROR, "flowtables without counter in the ruleset: 1"),
        (1, "offload", ERROR, "flowtables with hardware offload in the ruleset: 1"),
        (2, "counted-offload", WARNING, "flowtables with counter in the ruleset: 1"),
    ],
)
def test_a_flowtable_is_found(clinic, index, name, severity, what):
    *tables, end = recorded_flowtables()
    assert len(tables) == 3
    report = clinic.run("exec " + clinic.driver(SERVE % [tables[index], end]))
    assert report.only(name, severity)["what"] == what


def test_full_cone_is_told_from_the_names_of_the_rules_expressions(clinic):
    """No kernel at hand knows the expression `fullcone`: here the doctor takes `masq` for it, in a real ruleset."""
    look = "ruleset.FULLCONE = 'masq'"
    table = "nft add table inet t; nft 'add chain inet t out { type nat hook postrouting priority srcnat; }'; "
    table += "nft add rule inet t out ct state established accept; "
    assert clinic.run(table + "exec " + clinic.driver(look)).ids == []
    rule = "nft add rule inet t out ct state new oifname wan masquerade; "
    clinic.run(table + rule + "exec " + clinic.driver(look)).only("fullcone", WARNING)


def test_a_kernel_without_nftables_has_no_such_rules(clinic):
    refuse = "def dump(protocol, kind, body, take):\n    if protocol == 12:\n        raise OSError(22, '')\n"
    refuse += "    gateway.dump(protocol, kind, body, take)\nmade['dump'] = dump"
    assert clinic.run("exec " + clinic.driver(refuse)).ids == []


@pytest.mark.needs("setpriv")
def test_without_the_right_to_it_the_ruleset_and_the_buffer_are_found(clinic):
    """Without CAP_NET_ADMIN no buffer can be forced. The limit on it is the whole machine's: here it is a file."""
    proc = clinic.proc({"sys/net/core/rmem_max": "212992\n"})
    lines = f'made["proc"] = "{proc}"\nreceive = 64 << 20'
    without = "setpriv --bounding-set=-net_admin --inh-caps=-net_admin "
    assert clinic.run("exec " + clinic.driver(lines)).ids == []
    report = clinic.run("exec " + without + clinic.driver(lines, "--fix"))
    assert report.ids == ["receive-buffer", "ruleset"]
    what = "set net.core.rmem_max=67108864 until the next boot"
    assert report.json["repairs"] == [{"id": "receive-buffer", "done": True, "what": what}]
    assert (proc / "sys/net/core/rmem_max").read_text() == "67108864\n"


@pytest.mark.needs("setpriv")
def test_fix_says_what_it_could_not_do(clinic):
    """In a namespace the limit on buffers is read-only."""
    without = "setpriv --bounding-set=-net_admin --inh-caps=-net_admin "
    report = clinic.run("exec " + without + clinic.driver("receive = 64 << 20", "--fix"))
    assert report.status == 1
    assert "receive-buffer" in report.ids
    (repair,) = report.json["repairs"]
    assert (repair["id"], repair["done"]) == ("receive-buffer", False)
    assert re.fullmatch(r"net\.core\.rmem_max=67108864 was refused \([a-z ]+\)", repair["what"])


@pytest.mark.needs("setpriv", "rmem_max")
@pytest.mark.xdist_group("rmem_max")
def test_fix_raises_the_machines_limit_on_buffers_and_the_next_doctor_is_clean(clinic):
    """The limit is no namespace's own: it is raised by a page for a moment, where this is the machine's own network."""
    limit = Path("/proc/sys/net/core/rmem_max")
    former = int(limit.read_text())
    switches = {f"sys/net/netfilter/nf_conntrack_{name}": "1\n" for name in ("events", "acct", "timestamp")}
    driver = f'made["proc"] = "{clinic.proc(switches)}"\nreceive = {former + 4096}'
    without = "exec setpriv --bounding-set=-net_admin --inh-caps=-net_admin "

    def examine(*words: str) -> Report:
        command = ["sh", "-c", without + clinic.driver(driver, *words)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
            cwd=clinic.interpreter.root,
            env=host.environment(),
        )
        return Report(done.returncode, done.stdout, done.stderr)

    try:
        assert "receive-buffer" in examine().ids
        fixed = examine("--fix")
        what = f"set net.core.rmem_max={former + 4096} until the next boot"
        assert fixed.json["repairs"] == [{"id": "receive-buffer", "done": True, "what": what}]
        assert "receive-buffer" not in fixed.ids
        assert "receive-buffer" not in examine().ids
    finally:
        limit.write_text(f"{former}\n")


def test_a_table_too_large_for_the_memory_is_found(clinic):
    memory = (
        "printf 'MemTotal:       65536 kB\\nMemFree: 1 kB\\n' > $ROOT/meminfo; "
        "mount --bind $ROOT/meminfo /proc/meminfo\n"
    )
    size = "echo %d > $ROOT/max; mount --bind $ROOT/max /proc/sys/net/netfilter/nf_conntrack_max\n"
    report = clinic.examine(memory + size % 262144)
    assert report.only("table-size", WARNING)["what"] == "nf_conntrack_max 262144 takes 81920 of 65536 KiB when full"
    assert clinic.examine(memory + size % 16384).ids == []


@pytest.mark.needs("conntrack")
def test_another_listener_is_named_in_a_note(clinic):
    report = clinic.examine(
        "conntrack -E > $ROOT/events 2>&1 &\n"
        "until grep -q '^[^ ]* 12  *[0-9]* *0*7 ' /proc/net/netlink; do sleep 0.02; done"
    )
    assert report.only("listeners", NOTE)["what"] == "others listen to connection tracking: conntrack"


@pytest.mark.parametrize(
    ("status", "kernel", "what"),
    [
        ("Seccomp:\t2\nSeccomp_filters:\t1\n", True, None),
        ("Seccomp:\t0\nSeccomp_filters:\t0\n", True, "the recorder runs without a seccomp filter"),
        ("Seccomp:\t1\n", True, "the recorder runs without a seccomp filter"),
        ("", False, "the recorder runs without a seccomp filter, for this kernel has none"),
    ],
    ids=["filter", "no filter", "another kind", "no filters in the kernel"],
)
def test_a_recorder_without_a_seccomp_filter_is_noted(clinic, status, kernel, what):
    """L34-VI-2: SECURITY.md says what a daemon may call; without procd-seccomp nothing keeps it to that."""
    descriptors = clinic.root / "proc/7/fd"
    descriptors.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(descriptors / "5"))
    entry = (
        "0000000000000000 12  7          00000004 0        0        0 2        0        "
        f"{(descriptors / '5').stat().st_ino}"
    )
    if kernel:
        (clinic.root / "proc/sys/kernel/seccomp").mkdir(parents=True)
        (clinic.root / "proc/sys/kernel/seccomp/actions_avail").write_text("kill_process allow\n")
    report = clinic.examine_proc(
        {
            "net/netlink": f"sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode\n{entry}\n",
            "7/cmdline": "/usr/bin/micropython\0-m\0agent\0recorder\0",
            "7/status": f"Name:\tmicropython\nUid:\t999\t999\t999\t999\nNoNewPrivs:\t1\n{status}",
        }
    )
    if what is None:
        assert (report.status, report.ids) == (0, [])
    else:
        assert report.only("unfiltered", NOTE)["what"] == what
        assert (report.status, report.json["fine"]) == (0, True)


@pytest.mark.parametrize("address", ["192.168.1.66", "100.64.7.9"])
def test_a_private_wan_address_is_found_and_not_told(clinic, address):
    report = clinic.run(f"ip addr flush dev wan; ip addr add {address}/24 dev wan\nexec " + clinic.oubli("doctor"))
    assert report.status == 1
    assert report.output.startswith("warning second-nat: ")
    assert "a second NAT lies between: public ports can't be matched here (L34-II-4)" in report.output
    assert address not in report.output + report.errors


ATTRIBUTION = """
config purpose 'attribution'
  option enabled '1'
  option ground '%s'
  option reference 'a decree'
  option lifetime '30d'
  option budget '999999999'
"""


def but_keys(report: Report) -> list[tuple[str, str]]:
    """Return what was found beside the custodian's keys and the year of which these gateways keep 30 days.

    Name and what.
    """
    assert report.errors == ""
    return [
        (finding["id"], finding["what"])
        for finding in report.json["findings"]
        if not finding["id"].startswith(("bundle", "duty"))
    ]


def test_what_an_authority_s_request_rests_on_is_looked_at(clinic):
    """L34-II-4: fewer than two agents, or a keys file that isn't root's alone, is a warning.

    A second NAT may be acknowledged.
    """
    clinic.config.write_text(CONFIG + ATTRIBUTION % "IIbis-3")
    assert [name for name, _ in but_keys(clinic.examine())] == ["agents"]
    assert CATALOGUE["agents"][0] == WARNING
    agents = clinic.root / "etc/oubli/agents"
    agents.parent.mkdir()
    agents.write_text(f"{64 * 'a'} A. Martin\n")
    assert but_keys(clinic.examine()) == [("agents", "one agent alone is enrolled")]
    agents.write_text(f"{64 * 'a'} A. Martin\n{64 * 'b'} B. Durand\n")
    assert but_keys(clinic.examine()) == []
    agents.chmod(0o666)
    assert but_keys(clinic.examine()) == [("agents", "the agents' keys file isn't root's alone")]
    agents.chmod(0o644)
    clinic.config.write_text(CONFIG + ATTRIBUTION % "IIbis-3" + "  option upstream_nat 'acknowledged'\n")
    report = clinic.examine("ip addr flush dev wan; ip addr add 100.64.7.9/24 dev wan")
    severities = {finding["id"]: finding["severity"] for finding in report.json["findings"]}
    assert severities["second-nat"] == NOTE


def test_a_block_that_is_too_small_is_found(clinic):
    """L34-II-4: 100 connections of one terminal to one port of one address, and 64 ports to leave by.

    The kernel drops the rest.
    """
    clinic.config.write_text(CONFIG + ATTRIBUTION % "IIbis-3" + "  option block_size '64'\n")
    (clinic.root / "etc/oubli").mkdir()
    (clinic.root / "etc/oubli/agents").write_text(f"{64 * 'a'} A. Martin\n{64 * 'b'} B. Durand\n")
    table = (
        "nft -f - <<E\ntable ip o { chain p { type nat hook postrouting priority 99; "
        "ip protocol udp masquerade to :%d-20063; }; }\nE\n"
    )
    send = """ip link set isp up; ip neigh add 203.0.113.1 lladdr 02:00:00:00:00:01 dev wan
"$PYTHON" -c 'import socket
held = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(100)]
for one in held:
    try: one.sendto(b"x", ("203.0.113.1", 5000))
    except PermissionError: pass'
"""
    assert but_keys(clinic.examine(table % 20000 + send)) == [
        ("block-full", "connections that the kernel could give no port: 36")
    ]
    assert but_keys(clinic.examine(table % 19000 + send)) == []


def test_private_addresses_end_where_they_end(interpreter):
    private = (
        "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255 100.64.0.0 "
        "100.127.255.255 192.0.0.0 192.0.0.7"
    )
    public = (
        "9.255.255.255 11.0.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 100.63.255.255 "
        "100.128.0.0 192.0.0.8 192.0.1.1"
    )
    text = "from agent.capture.lan import is_private\nfor text in %r.split():\n"
    text += "    print(is_private(bytes(int(part) for part in text.split('.'))))"
    assert set(interpreter.run("-c", text % private).stdout.split()) == {b"True"}
    assert set(interpreter.run("-c", text % public).stdout.split()) == {b"False"}


def test_a_big_endian_router_is_examined_alike(tmp_path, mips):
    """The emulator of MIPS has rtnetlink, but gives no socket of netfilter.

    That is found, and all else is as it should be.
    """
    clinic = Clinic(tmp_path, mips)
    assert clinic.examine().ids == ["conntrack", "ruleset"]
    report = clinic.examine('ip addr add 192.168.7.7/24 dev wan; mount -t proc proc "$ROOT/var/run"')
    assert report.ids == ["recorder", "conntrack", "ruleset", "second-nat", "tmpfs"]


def test_a_wan_without_an_address_is_found(clinic):
    clinic.examine("ip addr flush dev wan; ip addr add 203.0.113.9/24 dev isp").only("wan", WARNING)


@pytest.mark.parametrize("device", ["pppoe-wan", "eth1.2"])
def test_a_network_of_openwrt_leads_to_its_interface(clinic, device):
    """An OpenWrt network is found by the protocol's interface, or by the device that /etc/config/network gives it."""
    networks = (
        "config interface 'lan'\n\toption device 'lan0'\n\nconfig interface 'wan'\n\toption proto 'dhcp'\n"
        "\toption device 'eth1.2'\n"
    )
    (clinic.root / "etc/config/network").write_text(networks)
    rename = (
        "ip addr flush dev wan; ip link add lan0 type veth peer name lan1; ip addr add 10.0.0.1/24 dev lan0\n"
        f"ip link set wan down name {device}\n"
    )
    assert clinic.examine(rename + f"ip addr add 203.0.113.2/24 dev {device}").ids == []
    clinic.examine(rename + f"ip addr add 10.9.9.9/24 dev {device}").only("second-nat", WARNING)


def test_a_broker_that_is_not_there_is_found(clinic):
    clinic.examine("kill $broker").only("broker", WARNING)


def test_a_broker_without_a_name_is_found(clinic):
    clinic.configure("'127.0.0.1'", "'broker.invalid'")
    clinic.configure("option insecure '1'", f"option ca '{issue(clinic.root / 'ca', (-1, 90))}'")
    assert clinic.examine().only("broker", WARNING)["what"] == "the broker's name can't be resolved"


def test_a_broker_that_says_nothing_is_waited_for_a_bounded_time(clinic):
    silent = "nft add table inet t; nft 'add chain inet t in { type filter hook input priority 0; }'\n"
    silent += f"nft add rule inet t in tcp dport {PORT} drop\n"
    clinic.run(silent + "exec timeout 10 " + clinic.driver("uplink.PATIENCE = 300")).only("broker", WARNING)


def test_no_broker_in_the_configuration_is_found(clinic):
    clinic.configure("  option host '127.0.0.1'\n", "")
    clinic.examine().only("broker-missing", ERROR)


def test_the_broker_is_sent_nothing(clinic):
    report = clinic.run(clinic.oubli("doctor", "--json") + "\nuntil [ -s $ROOT/heard ]; do sleep 0.02; done")
    assert (report.ids, (clinic.root / "heard").read_text()) == ([], "0\n")


def issue(path: Path, *days: tuple[float, float]) -> Path:
    """Write a PEM file with one certificate for each pair: days from now on which it begins and ends."""
    authority, now = trustme.CA(), datetime.now(UTC)
    leaves = (
        authority.issue_cert("gateway", not_before=now + timedelta(begin), not_after=now + timedelta(end))
        for begin, end in days
    )
    path.write_bytes(b"# made for a test\n" + b"\n".join(leaf.cert_chain_pems[0].bytes() for leaf in leaves))
    return path


def test_certificates_that_are_valid_are_fine(clinic):
    """Of a bundle of authorities one that is valid is enough, of a client's chain the first counts.

    DER is read as well.
    """
    bundle = issue(clinic.root / "bundle", (-3, -2), (-1, 90))
    chain = issue(clinic.root / "chain", (-1, 90), (-3, -2))
    clinic.configure("option insecure '1'", f"option ca '{bundle}'\n  option certificate '{chain}'")
    assert clinic.examine().ids == []
    chain.write_bytes(ssl.PEM_cert_to_DER_cert(issue(clinic.root / "one", (-1, 90)).read_text().partition("\n")[2]))
    assert clinic.examine().ids == []


@pytest.mark.parametrize("days", [(-3, -2), (2, 90)])
def test_a_certificate_that_is_not_valid_now_is_found(clinic, days):
    certificate = issue(clinic.root / "certificate", days, (-1, 90))
    ca = issue(clinic.root / "ca", (-1, 90))
    clinic.configure("option insecure '1'", f"option ca '{ca}'\n  option certificate '{certificate}'")
    assert clinic.examine().only("certificate", ERROR)["what"].startswith("mqtt.certificate: ")
    clinic.configure(f"option ca '{ca}'\n  option certificate '{certificate}'", f"option ca '{issue(ca, days)}'")
    assert clinic.examine().only("certificate", ERROR)["what"].startswith("mqtt.ca: ")


@pytest.mark.parametrize(("broker", "found"), [("localhost", []), ("broker.example.org", ["plain-text"])])
def test_plain_text_to_another_machine_is_found(tmp_path, broker, found):
    path = tmp_path / "oubli"
    path.write_text(CONFIG.replace("127.0.0.1", broker))
    gateway = SimpleNamespace(config=configuration.load(str(path)))
    # What it asks of a gateway
    assert [one.name for one in uplink.certificates(gateway)] == found  # type: ignore[arg-type]


def test_a_certificate_that_ends_soon_is_found(clinic):
    before = datetime.now(UTC)
    clinic.configure("option insecure '1'", f"option ca '{issue(clinic.root / 'ca', (-90, -60), (-9, 20))}'")
    ends = {(one + timedelta(20)).date() for one in (before, datetime.now(UTC))}  # a midnight may have come meanwhile
    said = {f"mqtt.ca: valid until {end} only" for end in ends}
    assert clinic.examine().only("certificate-ending", WARNING)["what"] in said


@pytest.mark.parametrize("content", [b"", b"not a certificate\n", b"\x30\x82", None])
def test_a_file_that_is_no_certificate_is_found(clinic, content):
    if content is not None:
        (clinic.root / "ca").write_bytes(content)
    clinic.configure("option insecure '1'", f"option ca '{clinic.root / 'ca'}'")
    clinic.examine().only("certificate", ERROR)


def test_dates_are_those_that_a_tls_library_reads(tmp_path, interpreter):
    """UTCTime until 2049 and GeneralizedTime from 2050 on.

    A certificate cut off anywhere is no certificate and no crash.
    """
    path = issue(tmp_path / "pem", (-1, 1), (-400, 300), (-20, 12000), (9000, 40000))
    wanted = [
        f"{leaf.not_valid_before_utc:%Y%m%d%H%M%S} {leaf.not_valid_after_utc:%Y%m%d%H%M%S}"
        for leaf in x509.load_pem_x509_certificates(path.read_bytes())
    ]
    assert {line[15:17] for line in wanted} == {"20", "21"}
    text = "from agent.doctor.certificate import validities\nfor dates in validities(%r):\n    print(*dates)"
    assert interpreter.run("-c", text % str(path)).stdout.decode().splitlines() == wanted

    der = ssl.PEM_cert_to_DER_cert(issue(tmp_path / "one", (-1, 1)).read_text().partition("\n")[2])
    (tmp_path / "der").write_bytes(der)
    text = """
from agent.doctor.certificate import validity
from agent.runtime.x509 import NotACertificate
whole = open(%r, "rb").read()
wanted, good = validity(whole), 0
for size in range(len(whole)):
    try:
        validity(whole[:size])
        good += 1
    except NotACertificate:
        pass
for at in range(len(whole)):
    for octet in (0, 0x30, 0x7f, 0x80, 0x84, 0xff):
        try:
            validity(whole[:at] + bytes((octet,)) + whole[at + 1:])
        except NotACertificate:
            pass
print(good)
"""
    assert interpreter.run("-c", text % str(tmp_path / "der")).stdout == b"0\n"


def test_a_clock_earlier_than_the_configuration_is_found(clinic):
    clinic.examine("touch -d '2037-01-01' $ROOT/etc/config/oubli").only("clock-wrong", ERROR)


def test_a_clock_that_the_recorder_does_not_trust_is_found(clinic):
    """Two confirmations ten minutes apart, jumped over by a clock file: only that it runs as root is left."""
    clock = clinic.root / "clock"
    clock.write_bytes(bytes(8))
    (clinic.root / "later").write_bytes(struct.pack("<q", 601 * 10**9))
    launch = clinic.interpreter.command(
        "host_sim/driver/launch.py", "recorder", "--config", clinic.config, "--root", clinic.root, "--clock", clock
    )
    ask = (
        "from agent.control.client import ask\nfrom agent.base.paths import Paths\n"
        f"ask(Paths('{clinic.root}').run.socket, 'ntp')"
    )
    confirm = clinic.shell(clinic.interpreter.command("-c", ask))
    report = clinic.run(
        "kill $daemons; rm -rf $ROOT/var/run/oubli; ip link add lan type veth peer name phone\n"
        "flock $ROOT/srv/oubli-spool sleep 60 &\n"
        """echo '{"connected":true,"published":0,"failures":0,"waiting":0,"unsendable":0}' """
        "> $ROOT/var/run/oubli-live/forwarder.json\n"
        f"{clinic.shell(launch)} > $ROOT/log 2>&1 &\n"
        "until [ -S $ROOT/var/run/oubli/control/socket ]; do sleep 0.02; done\n"
        f"{clinic.oubli('doctor', '--json')} > $ROOT/before && exit 9\n"
        f"{confirm}\ncp $ROOT/later $ROOT/clock\n{confirm}\n"
        f"exec {clinic.oubli('doctor', '--json')}"
    )
    before = Report(1, (clinic.root / "before").read_text(), "").json["findings"]
    told = {"clock-untrusted": "the recorder doesn't trust the clock yet: floor", "root": "the recorder runs as root"}
    told["unfiltered"] = "the recorder runs without a seccomp filter"
    assert {finding["id"]: finding["what"] for finding in before} == told
    assert {finding["id"] for finding in before if finding["severity"] == WARNING} == {"clock-untrusted", "root"}
    assert (report.status, report.ids, report.errors) == (1, ["root", "unfiltered"], "")


def test_stores_that_do_not_lie_on_tmpfs_are_found(clinic):
    assert clinic.examine('mount -t proc proc "$ROOT/var/run"').ids == ["recorder", "tmpfs"]


@pytest.mark.parametrize(
    ("device", "found"), [("/dev/mmcblk0p3", True), ("/srv/swapfile", True), ("/dev/zram0", False)]
)
def test_swap_is_found_unless_it_is_compressed_memory(clinic, device, found):
    (clinic.root / "swaps").write_text(
        f"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n{device}   partition\t262140\t0\t-2\n"
    )
    report = clinic.examine('mount --bind "$ROOT/swaps" /proc/swaps')
    if found:
        assert device not in report.only("swap", ERROR)["what"]
    else:
        assert report.ids == []


def test_libsodium_that_cannot_be_loaded_is_found(clinic):
    hide = "for file in $(ldconfig -p | sed -n 's/.*libsodium.* => //p'); do mount --bind /dev/null $file; done"
    clinic.examine(hide).only("libsodium", ERROR)


def test_flash_without_room_for_the_spool_is_found(clinic):
    full = 'mount -o remount,size=1100k "$ROOT/srv"; head -c 200000 /dev/zero > $ROOT/srv/other\n'
    clinic.examine(full).only("flash", WARNING)


def test_what_the_spool_holds_already_is_room_that_it_needs_no_more(clinic):
    held = 'mount -o remount,size=1100k "$ROOT/srv"\n'
    held += "for name in a b; do head -c 500000 /dev/zero > $ROOT/srv/oubli-spool/$name; done\n"
    assert clinic.examine(held).ids == []


@pytest.mark.parametrize(
    ("changed", "name", "severity", "what"),
    [
        ({"missing": ["br-guest"]}, "no-lan", ERROR, "gateway.lan (lan) leads to no interface br-guest"),
        ({"deaf": True}, "deaf", ERROR, "no connection has ended for a day, and the kernel has some"),
        (
            {"purposes": {"billing": {"trouble": "read-only"}}, "refusing": True},
            "flash-refuses",
            ERROR,
            "not written: billing, ledger and messages",
        ),
        (
            {"forwarder": {"connected": False}},
            "unconnected",
            WARNING,
            "the forwarder runs, and isn't connected to the broker",
        ),
    ],
)
def test_what_the_recorder_says_of_itself_is_found(clinic, changed, name, severity, what):
    clinic.status(**changed)
    assert clinic.examine().only(name, severity)["what"] == what


def test_daemons_that_do_not_run_are_found(clinic):
    """No recorder, one that holds its folder and doesn't answer, a forwarder where a broker is configured."""
    assert (
        clinic.examine("exec 3>&2 2>/dev/null; kill $daemons; wait $daemons || :; exec 2>&3").only("recorder", ERROR)[
            "what"
        ]
        == "no recorder runs"
    )
    silent = clinic.examine("rm $ROOT/var/run/oubli/control/socket").only("recorder", ERROR)
    assert silent["what"] == "it runs, and doesn't answer"
    clinic.examine("rmdir $ROOT/srv/oubli-spool; mkdir -m 2770 $ROOT/srv/oubli-spool").only("forwarder", ERROR)
    clinic.configure("  option host '127.0.0.1'\n", "")
    clinic.examine("rmdir $ROOT/srv/oubli-spool; mkdir -m 2770 $ROOT/srv/oubli-spool").only("broker-missing", ERROR)


def test_a_recorder_that_has_just_been_started_is_waited_for(clinic):
    """Its start takes seconds on a router: whoever restarts it asks the doctor next (README.md)."""
    socket = "$ROOT/var/run/oubli/control/socket"
    starts = f'sh -c "sleep 3; mv {socket}.later {socket}" python recorder &'
    assert clinic.examine(f"mv {socket} {socket}.later; {starts}").ids == []


def test_a_watch_and_a_page_that_do_not_run_are_found(clinic):
    """Only where the package has brought them: on another root nobody misses them."""
    watch, page = clinic.root / "usr/sbin/oubli-watch", clinic.root / "usr/share/oubli/page.nft"
    for path in (watch, page):
        path.parent.mkdir(parents=True)
    watch.write_text("sleep 60\n")
    clinic.examine().only("watch", WARNING)
    assert clinic.examine("sh $ROOT/usr/sbin/oubli-watch &").ids == []
    watch.unlink()
    page.write_text("")
    clinic.examine().only("page", WARNING)
    listen = (
        "import socket, time; one = socket.create_server(('127.0.0.1', 8450)); open('$ROOT/listens', "
        "'x'); time.sleep(60)"
    )
    assert clinic.examine(f'"$PYTHON" -c "{listen}" & until [ -e $ROOT/listens ]; do sleep 0.02; done').ids == []


def test_an_opennds_that_keeps_guests_from_their_page_is_found(clinic):
    """L34-V-4: it lets nobody in to the gateway but where its users_to_router say so; only where it runs."""
    settings = clinic.root / "etc/config/opennds"
    settings.write_text("config opennds\n\tlist users_to_router 'allow tcp port 4443'\n")
    assert clinic.examine().ids == []
    (clinic.root / "usr/bin").mkdir(parents=True)
    (clinic.root / "usr/bin/opennds").write_text("sleep 60\n")
    runs = "sh $ROOT/usr/bin/opennds -f & until grep -q opennds /proc/$!/cmdline; do sleep 0.02; done"
    found = clinic.examine(runs).only("page-blocked", WARNING)
    assert found["what"] == "openNDS lets no guest reach port 8450"
    for line in (
        "list users_to_router 'allow tcp port 8450'",
        "list users_to_router 'allow all'",
        "option users_to_router_passthrough '1'",
    ):
        settings.write_text(f"config opennds\n\tlist users_to_router 'allow tcp port 4443'\n\t{line}\n")
        assert clinic.examine(runs).ids == []


def test_folders_and_secrets_that_are_not_the_daemons_own_are_found(clinic):
    """As a restored backup leaves them, or a key that was copied as root."""
    assert (
        clinic.examine("chmod 0755 $ROOT/srv/oubli-spool").only("folders", ERROR)["what"]
        == f"{clinic.root}/srv/oubli-spool has mode 2755"
    )
    (clinic.root / "etc/passwd").write_text(
        "root:x:0:0::/:/bin/sh\noubli-rec:x:4321:4321::/:/bin/false\noubli-fwd:x:4322:4321::/:/bin/false\n"
    )
    chown = "for name in srv/oubli srv/oubli-spool var/run/oubli var/run/oubli-live; do chown 4321 $ROOT/$name; done\n"
    chown += "chmod 2770 $ROOT/srv/oubli-spool $ROOT/var/run/oubli-live\n"
    # Without a jail the recorder runs as root, and the folders are root's; with one they are oubli-rec's.
    assert clinic.examine(chown).only("folders", ERROR)["what"].startswith(f"{clinic.root}/srv/oubli isn't root's, ")
    assert clinic.examine().ids == []
    (clinic.root / "sbin").mkdir()
    (clinic.root / "sbin/ujail").touch()
    assert clinic.examine(chown).ids == []
    found = clinic.examine(chown + "chown 0 $ROOT/srv/oubli").only("folders", ERROR)
    assert found["what"] == f"{clinic.root}/srv/oubli isn't oubli-rec's"
    secret = clinic.root / "password"
    clinic.configure("option insecure '1'", f"option insecure '1'\n  option password_file '{secret}'")
    assert clinic.examine(chown).only("secret", ERROR)["what"] == "mqtt.password_file: absent"
    secret.write_text("secret\n")
    for owner, mode, ids in ((4322, 0o640, ["secret"]), (0, 0o600, ["secret"]), (4322, 0o600, [])):
        secret.chmod(mode)
        assert clinic.examine(chown + f"chown {owner} $ROOT/password").ids == ids


def test_a_refused_configuration_is_found_where_the_last_accepted_one_goes_on(clinic):
    (clinic.root / "etc/oubli").mkdir()
    (clinic.root / "etc/oubli/accepted").write_text(CONFIG)
    clinic.configure("option insecure '1'", "option insecure 'perhaps'")
    what = clinic.examine().only("configuration", ERROR)["what"]
    assert what == f"{clinic.config}:8: mqtt.insecure: 'perhaps' isn't accepted (L34-II-2); accepted: 0 or 1"


def test_a_clock_with_a_battery_that_the_system_does_not_show_is_found(clinic):
    clinic.configure("config mqtt", "  option hardware_clock '1'\nconfig mqtt")
    clinic.status(clock="floor")
    assert clinic.examine().ids == ["clock-untrusted"]  # nothing was handed over: no init script, no OpenWrt
    handed = 'mkdir $ROOT/var/run/oubli-root; printf "%s" > $ROOT/var/run/oubli-root/networks'
    assert clinic.examine(handed % "config interface 'lan'\\n").ids == ["clock-untrusted", "clock-battery"]
    assert clinic.examine(handed % "config clock 'hardware'\\n\\toption agrees '1'\\n").ids == ["clock-untrusted"]
    clinic.status(clock="trusted")  # NTP has set it right
    assert clinic.examine(handed % "config interface 'lan'\\n").ids == []


MANY = """
echo 2 > /proc/sys/net/netfilter/nf_conntrack_events
kill $broker
ip addr flush dev wan; ip addr add 10.1.2.3/24 dev wan
mount -t proc proc "$ROOT/var/run"
mount -t tmpfs -o size=64k tmpfs "$ROOT/srv"
nft add table inet t; nft 'add ct helper inet t ftp { type "ftp" protocol tcp; }'
"""


def test_both_interpreters_say_the_same_octets(tmp_path):
    clinic = Clinic(tmp_path, INTERPRETERS["cpython"])
    small = INTERPRETERS["micropython"]
    runs = [
        clinic.oubli("doctor", *words, interpreter=interpreter) + f" > $ROOT/{name} || [ $? = 1 ]\n"
        for name, interpreter, words in (
            ("text-c", clinic.interpreter, ()),
            ("text-m", small, ()),
            ("json-c", clinic.interpreter, ("--json",)),
            ("json-m", small, ("--json",)),
        )
    ]
    report = clinic.run(MANY + "".join(runs))
    assert (report.status, report.errors) == (0, "")
    for kind in ("text", "json"):
        assert (tmp_path / f"{kind}-c").read_bytes() == (tmp_path / f"{kind}-m").read_bytes()
    paragraphs = (tmp_path / "text-c").read_text().split("\n\n")
    found = json.loads((tmp_path / "json-c").read_text())["findings"]
    assert [finding["id"] for finding in found] == [
        "recorder",
        "events",
        "helpers",
        "second-nat",
        "broker",
        "tmpfs",
        "flash",
    ]
    for finding, paragraph in zip(found, paragraphs, strict=True):
        first, why, fix = paragraph.strip("\n").split("\n")
        assert first == f"{finding['severity']} {finding['id']}: {finding['what']}"
        assert (why, fix) == (f"  why: {finding['why']}", f"  fix: {finding['fix']}")


def test_every_finding_names_the_requirement_that_it_touches():
    for name, (severity, why, _) in CATALOGUE.items():
        assert severity in {ERROR, WARNING, NOTE}, name
        assert re.search(r"\((L34-[IV]+-\d|ANON-\d|EXP-\d)(, (L34-[IV]+-\d|ANON-\d|EXP-\d))*\)", why), name


@pytest.mark.parametrize(("ground", "told"), [("L336-3", True), ("STAD", True), ("IIbis-3", False), (None, False)])
def test_a_ground_of_the_former_wording_is_noted(ground, told):
    """L34-III-1: "wording", with the ground that the wording in force knows instead."""
    section = SimpleNamespace(values={} if ground is None else {"ground": ground})
    gateway = SimpleNamespace(config=SimpleNamespace(purposes={"attribution": section}))
    found = list(checks.wording(gateway))  # type: ignore[arg-type]  # what it asks of a gateway
    assert [(one.name, one.severity) for one in found] == [("wording", "note")] * told
    assert all("since 31 July 2021 knows IIbis-3 instead" in one.what for one in found)


def test_a_duty_that_nobody_serves_is_noted_and_alone_makes_nobody_unwell(clinic):
    """L34-II-3: "duty"; tests/cli/test_duties.py has what each is."""
    clinic.config.write_text(CONFIG.replace("duty 'portal'", "duty 'nat-log'"))
    report = clinic.examine()
    assert [(finding["id"], finding["severity"]) for finding in report.json["findings"]] == [("duty", NOTE)] * 2
    assert (report.status, report.json["fine"]) == (0, True)


def test_blanks_of_the_notice_are_noted(clinic):
    """GDPR 13.1 a: "notice", with what guests aren't told; alone it makes nobody unwell, as duties do."""
    for option, said in (
        ("controller", "notice.controller"),
        ("contact", "notice.contact"),
        ("", "notice.controller, notice.contact"),
    ):
        lines = [
            line for line in CONFIG.split("\n") if not line.startswith(("  option controller", "  option contact"))
        ]
        kept = [f"  option {name} 'Lac'" for name in ("controller", "contact") if option and name != option]
        clinic.config.write_text("\n".join(lines + kept) + "\n")
        report = clinic.examine()
        assert [(one["id"], one["severity"], one["what"]) for one in report.json["findings"]] == [
            ("notice", NOTE, "not set: " + said)
        ]
        assert (report.status, report.json["fine"]) == (0, True)


def test_a_note_of_a_sealed_store_that_is_not_understood_is_found(tmp_path):
    """EXP-1, L34-VI-4: "store"; tests/purposes/test_notes.py has what else isn't known."""
    config, note = tmp_path / "config", tmp_path / "srv/oubli-root/store-billing"
    config.write_text(CONFIG)
    note.parent.mkdir(parents=True)
    note.write_text("nonsense")
    gateway = Gateway(configuration.load(str(config)), str(tmp_path), lambda: 0, 0)
    found = [(one.name, one.severity, one.what) for one in examination.deferred(gateway)]
    assert ("store", WARNING, "billing: what was kept isn't known") in found
    note.unlink()
    assert list(examination.deferred(gateway)) == []


def test_every_finding_of_the_catalogue_has_a_test_here():
    text = (PROJECT / "tests/doctor/test_doctor.py").read_text()
    assert [name for name in CATALOGUE if f'"{name}"' not in text] == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("doctor", "--repair"), "--repair: not understood"),
        (("status", "--fix"), "--fix: not for status; accepted: doctor --fix"),
        (("doctor", "now"), "now: not understood"),
    ],
)
def test_bad_use_is_refused(interpreter, words, told):
    done = interpreter.run("-m", "agent", *words, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().startswith("oubli: " + told)
    assert done.stderr.count(b"\n") == 1


def test_a_bad_configuration_is_refused(clinic):
    clinic.configure("config mqtt", "config mqtx")
    report = clinic.examine()
    assert (report.status, report.output) == (2, "")
    assert "mqtx" in report.errors


@pytest.mark.parametrize(
    ("days", "found"),
    [
        (20, []),
        (10, ["bundle-ending"]),
        (1, ["bundle-ending"]),
        (0, ["bundle-missing"]),
        (-1, ["bundle-refused", "bundle-missing"]),
    ],
)
def test_keys_of_the_custodian_are_looked_for_where_a_purpose_needs_them(days, found, tmp_path):
    """EXP-3: days 20: fine; 10: the next bundle is due; none: nothing is kept; -1: no trust anchor."""
    config = tmp_path / "etc/config/oubli"
    config.parent.mkdir(parents=True)
    config.write_text(CONFIG + "config purpose 'billing'\n option enabled '1'\n option lifetime '30d'\n")
    custodian, bundles = keyholder.Custodian(), tmp_path / "srv/oubli/bundles"
    if days >= 0:
        (tmp_path / "etc/oubli").mkdir()
        (tmp_path / "etc/oubli/custodian.pub").write_text(custodian.anchor)
        bundles.mkdir(parents=True)
        (bundles / "one").write_bytes(custodian.bundle(keyholder.TODAY - 3, 3 + days, purpose="billing"))
    gateway = Gateway(configuration.load(str(config)), str(tmp_path), lambda: keyholder.TODAY * 86400 * 10**9, 0)
    assert [finding.name for finding in checks.keys(gateway)] == found


def test_without_such_a_purpose_no_key_is_missed(tmp_path):
    config = tmp_path / "config"
    config.write_text(CONFIG)
    assert list(examination.deferred(Gateway(configuration.load(str(config)), str(tmp_path), lambda: 0, 0))) == []
