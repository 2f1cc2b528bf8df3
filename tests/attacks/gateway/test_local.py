# SPDX-License-Identifier: Apache-2.0
"""What another process of the gateway, of a user without a role, may hold up or find out."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from agent.control import calls
from agent.runtime import files
from host_sim.driver.interpreters import HEAP, environment
from host_sim.lab.lab import Lab
from host_sim.privacy import paired
from host_sim.venue.portal import NOTICE
from tests.control.test_control import HOLD, PERL, as_user, ask, asked_as, folder, serving
from tests.openwrt.trial import NEEDS
from tests.runtime.test_runtime import running
from tests.support.interpreters import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.openwrt import gateway as roots
    from tests.support.interpreters import Interpreter

__all__ = ["folder"]  # a fixture
SERVICE = ("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli")


# The agent's own end: what it is told of connections (group 4: NF_NETLINK_CONNTRACK_DESTROY) and of
# links; each is asked of the kernel too.
LISTENS = """
import os, struct, sys
from agent.capture.netlink import dump_request
from agent.runtime import memory, sockets
events, links = sockets.netlink(sockets.NETLINK_NETFILTER, 4, 65536), sockets.netlink(sockets.NETLINK_ROUTE, 1, 65536)
inbox = sockets.Inbox(events, memory.scratch(sockets.ROOM).view)
print("ready")
sys.stdin.readline()
told = [inbox.more() for _ in range(8)], [inbox.of(links) for _ in range(8)]
print(*([size for size in sizes if size > 0] for sizes in told))
sockets.request(links, dump_request(18, bytes(16)))
print(inbox.of(links) > 0)
"""
# Another process with CAP_NET_ADMIN, as a VPN's daemon has: to the socket's own port, and to its group.
SENDS = """
import socket, subprocess, sys
from host_sim.venue import kernel
from agent.runtime.libc import BIG_ENDIAN
listener = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
assert listener.stdout.readline() == b"ready\\n"
there = bytes((192, 0, 2, 1))
here = bytes((192, 168, 1, 5))
flow = kernel.Flow(kernel.INET, kernel.UDP, here, there, 4000, 53, there, there, 53, 4000, 6, 10**18, stop=10**18)
refused = 0
rows = [row.split() for row in open("/proc/net/netlink").read().splitlines()[1:]]
ports = {int(row[2]) for row in rows if row[1] in ("0", "12")} - {0}
for family, message in ((12, kernel.conntrack("destroy", flow)), (0, kernel.link("lan"))):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family) as sender:
        for port, groups in (*((port, 0) for port in ports), (0, 4 if family else 1)):
            try:
                sender.sendto(message, (port, groups))
            except ConnectionRefusedError:
                refused += 1
assert refused < 2 * len(ports)
print(listener.communicate(b"\\n")[0].decode(), end="")
"""


@pytest.mark.needs("root", "unshare")
def test_nobody_but_the_kernel_tells_the_recorder_of_connections(interpreter: Interpreter) -> None:
    """L34-I-2: neither to its socket nor to the group that it listens to; the kernel's own answers are read."""
    words = ["unshare", "--net", sys.executable, "-c", SENDS, *interpreter.command("-c", LISTENS)]
    at_once = environment() | {"PYTHONUNBUFFERED": "1"}  # what it says goes through a pipe
    done = subprocess.run(words, cwd=PROJECT, env=at_once, capture_output=True, text=True, check=False, timeout=240)
    assert (done.stdout, done.stderr, done.returncode) == ("[] []\nTrue\n", "", 0)


@pytest.mark.needs("root", "setpriv", "perl")
def test_two_users_keep_no_third_out_of_the_control_socket(any_interpreter: Interpreter, folder: Path) -> None:
    """L34-VI-2: they hold all the places they can, and take each again as soon as it is lost."""
    with serving(any_interpreter, folder) as path, contextlib.ExitStack() as stack:
        for user in (65534, 65533) * 3:
            stack.enter_context(running([*as_user(user), *PERL, HOLD, str(path)]))
        limit = time.monotonic() + 90
        while "error" not in asked_as(65534, "", path, '{"v":1,"call":"all"}'):
            assert time.monotonic() < limit, "their places never fill"
        for _ in range(5):
            assert "calls" in asked_as(65532, "", path, '{"v":1,"call":"all"}')
        assert ask(path, b'{"v":1,"call":"status"}\n').startswith(b'{"a":')


FLOOD = """$SIG{TERM} = sub { print $n; exit }; $| = 1;
while (1) { socket(S, PF_UNIX, SOCK_STREAM, 0); connect(S, pack_sockaddr_un($ARGV[0])) and $n++; close(S) }"""
# With as many descriptors as procd is told to give it (boards/common/etc/init.d/oubli).
FEW = '#!/bin/sh\nulimit -n 64\nexec {} -X heapsize={} "$@"\n'
CONNECTIONS, CONNECTS, FLOODED = 1500, 1000, 0  # at least so many connects; seconds that the flood lasts at least


@pytest.mark.needs("root", "setpriv", "perl", "ip", "nft", "conntrack", "mosquitto", "micropython")
def test_a_flood_of_connects_loses_no_connection_that_is_recorded(memory: Path) -> None:
    """L34-I-2: two users connect to the control socket as fast as they can while terminals hold conversations."""
    interpreter = memory / "micropython"
    interpreter.write_text(FEW.format(shutil.which("micropython"), HEAP))
    interpreter.chmod(0o755)
    memory.chmod(0o755)
    with Lab(str(interpreter)) as lab, contextlib.ExitStack() as stack:
        lab.start()
        lab.confirm_time()
        path = str(lab.device.root / "var/run/oubli/control/socket")
        floods = [
            stack.enter_context(subprocess.Popen([*as_user(user), *PERL, FLOOD, path], stdout=subprocess.PIPE))
            for user in (65534, 65533)
        ]
        for flood in floods:
            stack.callback(flood.kill)
        began = time.monotonic()
        lab.traffic(CONNECTIONS)
        lab.wait(lambda: lab.network.tracked() == 0, "connections do not time out", 240)
        lab.wait(lambda: lab.witness.count() >= CONNECTIONS, "the witness misses connections", 240)
        time.sleep(max(1, FLOODED - (time.monotonic() - began)))  # the kernel has told the recorder, too, or never will
        made = 0
        for flood in floods:
            flood.terminate()
            made += int(flood.communicate(timeout=60)[0])
        lab.settle()
        status = lab.device.call({"call": "status"})
        found, _ = lab.compare()
        print(f"{made} connects in {time.monotonic() - began:.1f} s")
    assert (found.missing, found.extra, found.unequal, found.equal) == (0, 0, 0, CONNECTIONS)
    assert {name: count for name, count in status["counters"].items() if count and name.startswith("lost")} == {}
    assert made > CONNECTS


@pytest.mark.needs("root")
def test_an_archive_that_somebody_else_made_room_for_gives_no_key(any_interpreter: Interpreter, tmp_path: Path) -> None:
    """L34-VI-2: what root copied into another's file is refused, and says what to do.

    The document's lines go to a folder of root's.
    """
    archive = tmp_path / "archive"
    block = "-----BEGIN {0}-----\nAAAA\n-----END {0}-----\n"
    blocks = "".join(block.format(name) for name in ("CERTIFICATE", "PRIVATE KEY", "CERTIFICATE"))
    archive.write_text(f"oubli-join 1\nid abcdefgh23456777\nhost mqtt.example.org\nport 8883\n{blocks}")
    os.chown(archive, 65534, 65534)
    done = any_interpreter.run("-m", "agent", "join", archive, "--root", tmp_path, check=False)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"ARCHIVE: not root's" in done.stderr
    assert archive.exists()
    lines = [
        line for line in (PROJECT / "boards/INSTALL.md").read_text().splitlines() if line.startswith(("scp", "ssh"))
    ]
    assert any("ID.join" in line for line in lines)
    assert all(":/root/" in line or " /root/" in line for line in lines if "ID.join" in line)


TEXT = "5a" * 32


def audited(root: Path) -> int:
    """Return how often the audit log says that somebody without a role suspended."""
    return sum(path.read_bytes().count(b"consent suspended anyone") for path in (root / "srv/oubli/audit").iterdir())


def test_suspending_tells_nobody_who_is_here_or_has_consented(tmp_path, monkeypatch):
    """L34-VI-2, L34-V-4: anybody may suspend; he hears the same, after the same work, whatever there was."""
    written: list[str] = []
    write = files.write_atomic

    def note(path: str, *words, **more) -> None:
        written.append(path)
        write(path, *words, **more)

    monkeypatch.setattr(files, "write_atomic", note)
    device = paired.Device(tmp_path, None, options="config purpose 'location'\n option enabled '1'\n" + NOTICE)
    device.pass_to(3600)
    room, recorder = device.recorder.groups.by_consent(), device.recorder
    mac = bytes.fromhex("021122334455")
    recorder.guests.holders.learn(b"\xc0\xa8\1\x0a", mac, 0)
    given = {
        "purposes": ["location"],
        "categories": ["access-point"],
        "third_parties": "none",
        "days": 30,
        "text": TEXT,
    }
    monkeypatch.setattr("agent.purposes.consent.texts.known", lambda *_words: True)
    room.grant({"terminal": mac, "address": None, **given}, "root")
    del written[:]
    acts = audited(tmp_path)
    heard = []
    for address in ("192.168.1.10", "192.168.1.11"):
        asked = json.dumps({"v": 1, "call": "consent suspend", "address": address}).encode()
        heard.append(calls.answer(recorder, asked, (calls.ANYONE,)))
    for terminal in ("02:11:22:33:44:55", "02:11:22:33:44:66"):
        asked = json.dumps({"v": 1, "call": "consent suspend", "terminal": terminal}).encode()
        heard.append(calls.answer(recorder, asked, (calls.ANYONE,)))
    assert heard == [heard[0]] * 4
    assert (written, audited(tmp_path)) == ([], acts)
    assert recorder.status()["consents"]["suspended"] == 1  # at once
    device.pass_to(3602)
    assert audited(tmp_path) == acts + 1
    assert [path.rsplit("/", 2)[1] for path in written if "consents" in path] == ["consents"]
    device.recorder.close()


@pytest.mark.needs(*NEEDS)
def test_nobody_else_sees_when_a_consent_changed(gateway: roots.Gateway) -> None:
    """L34-VI-2: the time of a folder of the recorder's tells nothing, for nobody else gets at it."""
    gateway.run(*SERVICE, "start")
    for path in ("consents/0000", "audit/0001", "vault/location"):
        gateway.run("/bin/sh", "-c", f"mkdir -p /srv/oubli/{path}")
    for path in ("/srv/oubli/consents", "/srv/oubli/consents/0000", "/srv/oubli/audit"):
        done = subprocess.run(
            gateway.command("/bin/busybox", "stat", path, user="oubli-fwd"), capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert "Permission denied" in done.stderr
