# SPDX-License-Identifier: Apache-2.0
"""What a daemon that was taken over, or another process, may get root to do for it.

In a gateway's root with busybox and its users.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from agent.summary.messages import SUMMARY_OCTETS
from tests.openwrt.trial import NEEDS
from tests.support.keyholder import Custodian

if TYPE_CHECKING:
    from tests.openwrt import gateway as roots

SERVICE = ("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli")
pytestmark = pytest.mark.needs(*NEEDS)


# What a recorder that was taken over leaves in its folders, for root to go through. A second name for root's file is
# given by root itself, as where fs.protected_hardlinks is 0. One trap would hide others behind it: what is a folder
# leads elsewhere in a case of its own.
_FLASH, _RUN = "/srv/oubli/", "/var/run/oubli/"
FOLDERS = (
    *(_FLASH + name for name in ("audit", "bundles", "consents", "requests", "vault/billing")),
    *(_RUN + name for name in ("control", "vault/billing", "vault/security")),
    "/mnt/card/attribution",
)
FILES = (
    *(_FLASH + name for name in ("device.key", "ledger", "ports", "published", "vault/attribution/2026-11-25-0001")),
    *("/srv/oubli-spool/" + name for name in ("000000000001-arrivals-00", ".000000000001-arrivals-00.new")),
    *(
        _RUN + name
        for name in ("blocks", "clock", "counters", "heartbeat", "keys", "terminals", "vault/attribution/chunks")
    ),
    *("/var/run/oubli-live/" + name for name in ("health", "forwarder.json")),
)
TRAPS = {
    "link to a folder": ("oubli-rec", "ln -s /etc/victim $1", FOLDERS),
    "link to a file": ("oubli-rec", "ln -s /etc/victim/shadow $1", FILES),
    "second name": (
        "root",
        "ln /etc/victim/shadow $1",
        [path for path in (*FOLDERS, *FILES) if path.startswith("/srv")],
    ),  # of one file system
    "pipe": ("oubli-rec", "mkfifo $1", (*FOLDERS, *FILES)),
    "deep": (
        "oubli-rec",
        "mkdir -p $1/a/b; ln -s /etc/victim $1/a/c; ln -s /etc/victim/shadow $1/d",
        (*FOLDERS, *FILES),
    ),
}


def victim(gateway: roots.Gateway) -> dict[str, Any]:
    """Return all that can be seen of root's own folder and files but when they were read."""
    told = {}
    for path in sorted([gateway.path / "etc/victim", *(gateway.path / "etc/victim").rglob("*")]):
        status = path.lstat()
        told[path.name] = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            path.is_file() and path.read_text(),
        )
    return told


@pytest.mark.parametrize("trap", TRAPS)
def test_root_follows_nothing_that_a_daemon_leaves_in_its_folders(gateway, trap):
    """Whatever root does for the agent, nothing of root's own changes, is shown, or is waited for (L34-VI-2).

    Root starts, stops, asks, erases, installs, removes.
    """
    (gateway.path / "mnt/card").mkdir(parents=True)
    settings = gateway.path / "etc/config/oubli"
    settings.write_text(
        settings.read_text().replace("config vault 'vault'\n", "config vault 'vault'\n\toption path '/mnt/card'\n")
    )
    gateway.run("/bin/mount", "-t", "tmpfs", "none", "/mnt/card")
    custodian = Custodian()
    (gateway.path / "etc/oubli").mkdir(exist_ok=True)
    (gateway.path / "etc/oubli/custodian.pub").write_text(custodian.anchor)
    (gateway.path / "bundle").write_bytes(custodian.bundle(int(gateway.run("/bin/date", "+%s").stdout) // 86400, 30))
    (gateway.path / "etc/victim/inner").mkdir(parents=True, mode=0o700)
    for name in ("shadow", "inner/2026-11-25-0001", "2026-11-25-0001", "chunks", "ran"):
        (gateway.path / "etc/victim" / name).write_text("precious")
        (gateway.path / "etc/victim" / name).chmod(0o600)
    gateway.run(*SERVICE, "restart")
    gateway.run("/usr/bin/oubli", "bundle", "install", "/bundle")
    gateway.run("/bin/chown", "oubli-rec", "/mnt/card")
    before = victim(gateway)
    user, lay, places = TRAPS[trap]
    script = f"for one; do set -- $one; rm -rf $1; mkdir -p ${{1%/*}} && {lay} && echo $1; done"
    laid = subprocess.run(
        gateway.command("/bin/sh", "-c", script, "sh", *places, user=user), capture_output=True, text=True, check=False
    )
    assert laid.stdout.split() == list(places), laid
    for words in (
        *((*SERVICE, action) for action in ("start", "reload", "networks")),
        *(
            ("/usr/bin/oubli", *verb.split())
            for verb in ("status", "log", "summary", "doctor", "doctor --fix", "expire")
        ),
        ("/usr/bin/oubli", "bundle", "install", "/bundle"),
        *(
            ("/usr/bin/oubli", *verb.split())
            for verb in ("erase --purpose attribution", "erase --all", "forget purposes")
        ),
        ("/usr/bin/oubli", "forget", "everything"),
        (*SERVICE, "stop"),
    ):
        done = gateway.run("/bin/timeout", "60", *words, check=False)
        assert done.returncode not in (124, 143, -15), words  # busybox's timeout ended it
        assert "precious" not in done.stdout + done.stderr, words
        assert victim(gateway) == before, words


def test_a_folder_is_roots_alone_while_what_it_holds_is_looked_at(gateway):
    """So no daemon exchanges a file for a link between root's look and its chown.

    What is seen of each folder then, and at the end.
    """
    gateway.run(
        "/bin/sh",
        "-c",
        "mkdir -p /srv/oubli/vault/billing; touch /srv/oubli/vault/billing/x /srv/oubli/vault/x /srv/oubli/x",
    )
    seen = 'ls() { stat -c "%u %a $PWD/$2" . >>/seen; command ls "$@"; }'
    gateway.run("/bin/sh", "-c", f". /etc/init.d/oubli; {seen}; hand_over $FLASH $OWNER; cat /seen")
    folders = {line for line in gateway.run("/bin/cat", "/seen").stdout.splitlines() if line.endswith("/./x")}
    assert folders == {f"0 700 /srv/oubli{name}/./x" for name in ("", "/vault", "/vault/billing")}
    paths = [f"/srv/oubli{name}" for name in ("", "/vault", "/vault/billing", "/x", "/vault/x", "/vault/billing/x")]
    uid = gateway.ids("oubli-rec")[0]
    assert set(gateway.run("/bin/busybox", "stat", "-c", "%u", *paths).stdout.split()) == {uid}


LIES = """
import json, os, socket, sys
os.chdir(sys.argv[1])
if os.path.exists("socket"):
    os.unlink("socket")
listener = socket.socket(socket.AF_UNIX)
listener.bind("socket")
os.chmod("socket", 0o666)
listener.listen()
print("lies", flush=True)
while True:
    asking = listener.accept()[0]
    asking.recv(4096)
    asking.sendall(sys.argv[2].encode() + bytes([10]))
    asking.close()
"""
STEERING = "\x1b[2Jall is well\r\x9b0m"


@pytest.mark.parametrize("kind", ["escaped", "raw", "words"])
def test_nothing_that_a_daemon_says_steers_roots_terminal(gateway, kind):
    """Not by the answers of its socket, not by what it keeps of messages.

    Nor does another kind of answer make doctor fall.
    """
    raw, said = kind == "raw", "words" if kind == "words" else STEERING
    answer: dict[str, Any] = {name: [said] for name in ("missing", "deaf", "refusing", "clock", "refused", "error")}
    answer |= {"v": 1, "purposes": {"security": said}, "forwarder": said}
    text = json.dumps(answer, ensure_ascii=not raw).replace("\\u001b" if raw else "none", "\x1b")
    figure = {
        "schema": "oubli/arrivals/1",
        "day": said,
        "slot": 0,
        "start": 1,
        "end": 2,
        "values": [1],
        "b": [4, 1],
        "half_width": 1,
    }
    message = json.dumps(figure, ensure_ascii=not raw).encode().ljust(SUMMARY_OCTETS)
    gateway.run("/bin/mkdir", "-p", "/var/run/oubli/control")
    (gateway.path / "srv/oubli/published").write_bytes(message)
    # From outside the root's mounts its tmpfs isn't seen.
    words = gateway.host_command(sys.executable, "-c", LIES, f"{gateway.path}/var/run/oubli/control", text)
    with subprocess.Popen(words, stdout=subprocess.PIPE) as liar:
        try:
            assert liar.stdout is not None
            assert liar.stdout.readline() == b"lies\n"
            for verb in ("doctor",) if kind == "words" else ("status", "doctor", "summary", "log", "consent list"):
                done = gateway.run("/usr/bin/oubli", *verb.split(), check=False)
                shown = done.stdout + done.stderr
                # No control, no mark of direction
                assert all(letter.isprintable() or letter == "\n" for letter in shown), (verb, shown)
                assert "a fault" not in shown, (verb, shown)
        finally:
            liar.kill()


def test_a_name_carries_no_other_file_over_a_sysupgrade(gateway):
    """Neither a line's end in it nor a second name of root's file gets through (L34-VI-2).

    Such a file would be the recorder's once it is restored.
    """
    gateway.run(
        "/bin/sh",
        "-c",
        "echo precious >/etc/secret; cp /etc/secret /etc/other; ln /etc/secret /srv/oubli/second; >/srv/oubli/ledger",
    )
    folder = (
        "mkdir -p '/srv/oubli/x\n/etc'; >'/srv/oubli/x\n/etc/other'; >'/srv/oubli/x\n"
        "/srv'; ln -s /etc/secret /srv/oubli/link"
    )
    subprocess.run(gateway.command("/bin/sh", "-c", folder, user="oubli-rec"), check=True)
    hooks = ". /lib/upgrade/oubli.sh; for hook in $sysupgrade_init_conffiles; do $hook /tmp/list; done; cat /tmp/list"
    assert gateway.run("/bin/sh", "-c", hooks).stdout == "/srv/oubli/ledger\n"
