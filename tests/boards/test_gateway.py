# SPDX-License-Identifier: Apache-2.0
"""A gateway's root with busybox.

The package's scripts run there, its daemons are started by a fake procd, its memory is measured.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent import law
from agent.base.paths import Paths
from agent.config import config
from agent.vault import stores
from tests.openwrt import gateway as roots
from tests.openwrt import procd
from tests.openwrt.trial import (
    NEEDS,
    ONE,
    SET,
    build,
    client,
    connected,
    recorded,
    run_script,
    status,
    wait_for,
    with_battery,
)
from tests.support.interpreters import PROJECT
from tools.package import board, packages

TERMINALS = 1024
COMMON = PROJECT / "boards/common"
TODAY, SECOND = "2026-11-27", 1_795_784_400  # 13:00 UTC
# So no midnight comes between a test's first start of the service and its last
STOOD = f'stood() {{ command date -d @{SECOND} "$@"; }}\ndate() {{ stood "$@"; }}\n'
PROCD = "lib/functions/procd.sh"


@pytest.fixture(scope="module")
def built() -> dict[str, tuple[bytes, bytes]]:
    """Give each package's ipk and apk for x86-64."""
    return build()


# The scripts, in a gateway's root with busybox


@pytest.fixture
def root(tmp_path):
    roots.make(tmp_path / "root")
    return tmp_path / "root"


INSTALLED = pytest.mark.parametrize("form", ["ipk", "apk"])


def install(root: Path, built: dict[str, tuple[bytes, bytes]], form: str, name: str = "oubli") -> dict[str, str]:
    return roots.unpack_ipk(built[name][0], root) if form == "ipk" else roots.unpack_apk(built[name][1], root)


@pytest.mark.needs("root", "busybox", "micropython")
@INSTALLED
def test_postinst_on_an_offline_root_makes_users_and_enables_and_starts_nothing(root, built, form):
    for name in built:
        scripts = install(root, built, form, name)
        script = root / f"tmp/{name}.postinst"
        script.write_text(scripts["postinst" if form == "ipk" else "post-install"])
        words = [root / "bin/busybox", "ash", script]
        subprocess.run(words, check=True, env={"IPKG_INSTROOT": str(root), "PATH": os.environ["PATH"]})
    assert {line.split(":")[0] for line in (root / "etc/passwd").read_text().splitlines()} == {
        "root",
        "oubli-rec",
        "oubli-fwd",
        "oubli-portal",
    }
    assert re.search(r"(?m)^oubli-op:x:\d+:", (root / "etc/group").read_text())
    assert (root / "etc/rc.d/S96oubli").readlink() == Path("../init.d/oubli")
    assert not (root / "tmp/procd.calls").exists()
    assert (root / "etc/uci-defaults/50-oubli").exists()
    assert "#\toption id ''" in (root / "etc/config/oubli").read_text()


@pytest.mark.needs("root", "busybox", "micropython")
def test_first_boot_gives_an_id_once_and_keeps_the_comments(root, built):
    install(root, built, "ipk")
    before = (root / "etc/config/oubli").read_text()
    texts = []
    for _ in range(2):
        script = [root / "bin/busybox", "ash", root / "etc/uci-defaults/50-oubli"]
        env = {"IPKG_INSTROOT": str(root), "PATH": os.environ["PATH"]}
        # As apk runs it: what writes to a reader that has enough is told so, and would say it.
        done = subprocess.run(script, check=True, env=env, restore_signals=False, capture_output=True)
        assert (done.stdout, done.stderr) == (b"", b"")
        texts.append((root / "etc/config/oubli").read_text())
    assert texts[0] == texts[1]
    assert re.sub(r"\toption id '[a-z2-7]{16}'", "#\toption id ''", texts[0]) == before
    config.load(str(root / "etc/config/oubli"))


@pytest.fixture
def device(root, built):
    """Give a gateway with the package installed on the running system, its LAN a veth pair to a namespace."""
    scripts = install(root, built, "apk")
    with connected(root) as gateway:
        yield gateway, scripts


def add(gateway: roots.Gateway, built: dict[str, tuple[bytes, bytes]], *names: str) -> None:
    """Lay further packages into a gateway."""
    for name in names:
        roots.unpack_apk(built[name][1], gateway.path)


def installed(gateway: roots.Gateway, scripts: dict[str, str], name: str) -> None:
    run_script(gateway, scripts[name])


def started_as(gateway: roots.Gateway, daemon: str) -> list[str]:
    """Return the words by which the command `oubli` would start a daemon.

    procd starts it by the same, without a shell.
    """
    assert "export MICROPYPATH=/usr/lib/oubli:.frozen" in (gateway.path / "usr/bin/oubli").read_text()
    said = re.findall(
        r'^exec micropython -X heapsize="\$\{OUBLI_HEAP:-(\w+)\}" -m agent "\$@"$',
        (gateway.path / "usr/bin/oubli").read_text(),
        re.MULTILINE,
    )
    return ["/usr/bin/micropython", "-X", f"heapsize={said[0]}", "-m", "agent", daemon]


NETWORK = pytest.mark.needs(*NEEDS)


@NETWORK
def test_init_script_asks_procd_for_three_instances_under_their_users(device, built):
    gateway, scripts = device
    installed(gateway, scripts, "post-install")
    message = procd.service(recorded(gateway))
    # Another network is followed without a restart: of files only oubli's own makes one.
    assert (message["name"], message["instances"]["recorder"]["file"]) == ("oubli", ["/etc/config/oubli"])
    assert message["triggers"] == [
        ["config.change", ["if", ["eq", "package", package], ["run_script", "/etc/init.d/oubli", "reload"]], 1000]
        for package in ("oubli", "network", "firewall")
    ]
    assert set(message["instances"]) == {"recorder", "watch"}  # nothing to send to yet
    (gateway.path / "sbin/ujail").symlink_to("../host/ujail")
    with (gateway.path / "etc/config/oubli").open("a") as file:
        file.write("\toption host 'broker.example.org'\n\toption ca '/etc/ssl/ca.pem'\n\toption key '/root/mqtt.key'\n")
    gateway.run("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli", "reload")
    instances = procd.service(recorded(gateway))["instances"]
    assert {name: (one["user"], one["group"], one["command"]) for name, one in instances.items()} == {
        "recorder": ("oubli-rec", "oubli-spool", started_as(gateway, "recorder")),
        "forwarder": ("oubli-fwd", "oubli-spool", started_as(gateway, "forwarder")),
        "watch": ("oubli-rec", "oubli-spool", ["/usr/sbin/oubli-watch"]),
    }
    for name, one in instances.items():
        assert one["respawn"] == ["3600", "5", "0"]
        assert (one["no_new_privs"], one["stdout"], one["stderr"], one["limits"]["core"]) == (True, True, True, "0 0")
        if name == "watch":  # no jail: from within one no other process can be seen
            assert "jail" not in one
            continue
        held = json.loads((gateway.path / one["capabilities"].lstrip("/")).read_text())
        assert all(set(names) == ({"CAP_NET_ADMIN"} if name == "recorder" else set()) for names in held.values())
    writable = {
        name: {path for path, rw in one["jail"]["mount"].items() if rw == "1"}
        for name, one in instances.items()
        if "jail" in one
    }
    assert writable == {
        "recorder": {"/srv/oubli", "/srv/oubli-spool", "/var/run/oubli", "/var/run/oubli-live"},
        "forwarder": {"/srv/oubli-spool", "/var/run/oubli-live"},
    }
    assert "/usr/share/oubli" in instances["recorder"]["jail"]["mount"]  # the texts of consent
    # What a configuration names elsewhere is to be seen in the jail; what its folders hold isn't named twice.
    seen = instances["recorder"]["jail"]["mount"], instances["forwarder"]["jail"]["mount"]
    assert seen[0]["/var/run/oubli-root"] == seen[1]["/root/mqtt.key"] == "0"
    assert "/etc/ssl/ca.pem" not in instances["forwarder"]["jail"]["mount"]
    # What follows isn't a whole configuration: the scripts read it all the same
    (gateway.path / "etc/oubli/accepted").unlink()
    with (gateway.path / "etc/config/oubli").open("a") as file:
        file.write("config purpose 'location'\n\toption enabled '1'\n")
    (gateway.path / "usr/bin/ndsctl").symlink_to("../../bin/busybox")
    gateway.run("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli", "reload")
    # What isn't installed isn't started
    assert set(procd.service(recorded(gateway))["instances"]) == {"recorder", "forwarder", "watch"}
    add(gateway, built, "oubli-purposes")
    for medium in ("card", "absent"):
        (gateway.path / "mnt" / medium).mkdir(parents=True)
    gateway.run("/bin/busybox", "mount", "-t", "tmpfs", "none", "/mnt/card")
    with (gateway.path / "etc/config/oubli").open("a") as file:
        file.write(
            "config vault 'vault'\n\toption path '/mnt/card'\nconfig purpose 'attribution'\n"
            "\toption storage '/mnt/absent'\n"
        )
    gateway.run("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli", "reload")
    instances = procd.service(recorded(gateway))["instances"]
    # Attribution alone didn't fit on an OpenWrt of 64 bits
    assert [instances[name]["command"][2] for name in ("recorder", "forwarder")] == ["heapsize=1m", "heapsize=576k"]
    assert instances["recorder"]["jail"]["mount"]["/mnt/card"] == "1"
    assert "/mnt/absent" not in instances["recorder"]["jail"]["mount"]  # nothing is mounted there
    for name in ("attribution", "billing"):
        owner = gateway.run("/bin/busybox", "stat", "-c", "%u %a", f"/mnt/card/{name}").stdout
        assert owner == f"{gateway.ids('oubli-rec')[0]} 700\n"
    assert not any((gateway.path / "mnt/absent").iterdir())
    gateway.run("/bin/busybox", "umount", "/mnt/card")
    gateway.run("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli", "reload")
    assert "/mnt/card" not in procd.service(recorded(gateway))["instances"]["recorder"]["jail"]["mount"]
    # openNDS talks to root alone: its list comes to the jail by a folder that only root changes.
    with (gateway.path / "etc/config/oubli").open("a") as file:
        file.write("config purpose 'billing'\n\toption enabled '1'\n")
    gateway.run("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli", "reload")
    instances = procd.service(recorded(gateway))["instances"]
    assert instances["recorder"]["jail"]["mount"]["/var/run/oubli-portal"] == "0"
    assert instances["sessions"]["command"] == ["/usr/sbin/oubli-sessions", "/var/run/oubli-portal"]
    assert not {"user", "jail"} & set(instances["sessions"])
    assert gateway.run("/bin/busybox", "stat", "-c", "%u %a", "/var/run/oubli-portal").stdout == "0 711\n"
    page = instances["page"]  # L34-V-4: as a user who may suspend, and nothing else
    assert (page["user"], page["group"], page["command"][-3:]) == (
        "oubli-portal",
        "oubli-portal",
        ["-m", "agent", "page"],
    )
    gateway.run("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli", "stop")
    assert procd.service(recorded(gateway)) == {"name": "oubli", "instances": {}, "triggers": []}


@NETWORK
def test_the_firewall_lets_guests_in_to_their_page_where_the_page_runs(device, built):
    """L34-V-4: also where their zone lets nothing in; a rule of the page's instance for each one's zone.

    `lan` may name networks or interfaces. None for a zone that leads to the Internet, too.
    """
    gateway, scripts = device
    installed(gateway, scripts, "post-install")
    path = gateway.path / "etc/config/oubli"
    names = "".join(f"\tlist lan '{name}'\n" for name in ("lan", "guest", "br-2", "br-3"))
    path.write_text(path.read_text().replace("#\tlist lan 'lan'\n", names))
    (gateway.path / "etc/oubli/accepted").unlink()
    (gateway.path / "etc/config/network").write_text("config interface 'hall'\n\toption device 'br-3'\n")
    (gateway.path / "etc/config/firewall").write_text(
        "config zone 'first'\n\toption name 'inside'\n\tlist network 'office'\n\tlist network 'lan'\n"
        "config zone 'second'\n\toption name 'lan'\n\toption network 'lan2'\n"
        "config zone 'third'\n\toption name 'visitors'\n\toption network 'guest'\n"
        "config zone 'fourth'\n\toption name 'out'\n\tlist network 'wan'\n\tlist network 'lan'\n"
        "config zone 'fifth'\n\toption name 'cafe'\n\tlist device 'br-2'\n"
        "config zone 'sixth'\n\toption name 'foyer'\n\tlist network 'hall'\n"
    )
    add(gateway, built, "oubli-purposes")
    for networks, zones in (
        ("", ["inside", "visitors", "cafe", "foyer"]),
        ("s/guest/absent/", ["inside", "cafe", "foyer"]),
    ):
        gateway.run("/bin/sed", "-i", networks, "/etc/config/firewall")
        gateway.run("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli", "reload")
        instances = procd.service(recorded(gateway))["instances"]
        rule = {"type": "rule", "proto": "tcp", "dest_port": "8450", "target": "ACCEPT"}
        assert instances["page"]["data"] == {"firewall": [rule | {"src": zone} for zone in zones]}
        assert "data" not in instances["recorder"]


@NETWORK
def test_a_store_that_is_off_is_reached_where_it_was_when_it_was_on(device, built):
    """L34-VI-4, EXP-1: whatever `storage` says since, the recorder has its way there, and destroys what is due."""
    gateway, scripts = device
    installed(gateway, scripts, "post-install")
    add(gateway, built, "oubli-purposes")
    (gateway.path / "sbin/ujail").symlink_to("../host/ujail")
    (gateway.path / "mnt/card").mkdir(parents=True)
    gateway.run("/bin/busybox", "mount", "-t", "tmpfs", "none", "/mnt/card")
    plain = (gateway.path / "etc/config/oubli").read_text().partition("config purpose 'attribution'")[0]
    card = "\toption storage '/mnt/card'\n"
    for option, enabled, there in (("", "1", False), (card, "yes", True), ("", "no", True)):  # as uci takes them
        (gateway.path / "etc/oubli/accepted").unlink(missing_ok=True)
        more = f"config purpose 'attribution'\n{option}\toption ground 'IIbis-3'\n\toption enabled '{enabled}'\n"
        (gateway.path / "etc/config/oubli").write_text(plain + more)
        gateway.run("/bin/sh", "-c", "umask 077; /bin/sh /etc/rc.common /etc/init.d/oubli reload")
        mounted = procd.service(recorded(gateway))["instances"]["recorder"]["jail"]["mount"]
        assert (mounted.get("/mnt/card") == "1") == there
        owner = gateway.run("/bin/busybox", "stat", "-c", "%u %a", "/mnt/card/attribution", check=False).stdout
        assert owner == (f"{gateway.ids('oubli-rec')[0]} 700\n" if there else "")
    notes = {path.name: path.read_text() for path in (gateway.path / "srv/oubli-root").glob("*")}
    assert notes == {"store-attribution": "/mnt/card\nIIbis-3\n"}
    assert gateway.run("/bin/busybox", "stat", "-c", "%a", "/srv/oubli-root/store-attribution").stdout == "644\n"


@NETWORK
def test_documents_of_requests_go_where_a_store_is_laid_elsewhere(device, built):
    """L34-II-4: they name who is meant, in clear, and no recorder looks there again; nothing outside the store goes."""
    gateway, scripts = device
    installed(gateway, scripts, "post-install")
    add(gateway, built, "oubli-purposes")
    (gateway.path / "mnt/card").mkdir(parents=True)
    gateway.run("/bin/busybox", "mount", "-t", "tmpfs", "none", "/mnt/card")
    plain = (gateway.path / "etc/config/oubli").read_text().partition("config purpose 'attribution'")[0]
    places = {"/srv/oubli/vault": "", "/mnt/card": "\toption storage '/mnt/card'\n"}

    def start(option: str) -> dict[str, bool]:
        (gateway.path / "etc/oubli/accepted").unlink(missing_ok=True)
        more = f"config purpose 'attribution'\n{option}\toption ground 'IIbis-3'\n\toption enabled '1'\n"
        (gateway.path / "etc/config/oubli").write_text(plain + more)
        gateway.run("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli", "reload")
        there = {}
        for at in places:
            document = f"{at}/attribution/handovers/00.tar"
            there[at] = gateway.run("/bin/busybox", "test", "-f", document, check=False).returncode == 0
            gateway.run("/bin/busybox", "mkdir", "-p", document.rpartition("/")[0])
            gateway.run("/bin/busybox", "touch", document)
        return there

    start("")
    for _ in range(2):
        for now in ("/mnt/card", "/srv/oubli/vault"):
            assert start(places[now]) == {at: at == now for at in places}
            assert start(places[now]) == dict.fromkeys(places, True)
    elsewhere = gateway.path / "mnt/elsewhere/handovers"
    elsewhere.mkdir(parents=True)
    gateway.run("/bin/busybox", "rm", "-rf", "/srv/oubli/vault/attribution")
    (gateway.path / "srv/oubli/vault/attribution").symlink_to("/mnt/elsewhere")
    start(places["/mnt/card"])
    assert elsewhere.exists()


@NETWORK
def test_root_notes_what_a_store_is_kept_for_and_was_as_long_as_something_of_then_may_be_left(device, built):
    """L34-VI-4, L34-III-1: a former ground, or biller, with its last day; what can't be read isn't passed over."""
    gateway, scripts = device
    installed(gateway, scripts, "post-install")
    add(gateway, built, "oubli-purposes")
    plain = (gateway.path / "etc/config/oubli").read_text().partition("config purpose 'attribution'")[0]
    store = gateway.path / "srv/oubli/vault/attribution"
    note = gateway.path / "srv/oubli-root/store-attribution"
    store.mkdir(parents=True)
    with (gateway.path / PROCD).open("a") as file:
        file.write(STOOD)

    def noted(
        now: str, *segments: str, before: bytes | None = None, boot: bool = False, of: str = "attribution"
    ) -> str:
        """Start with a ground or a biller, and segments; after a boot nothing waits in memory."""
        for path in store.iterdir():
            path.unlink()
        for name in segments:
            (store / name).touch()
        gateway.run("/bin/busybox", "rm", "-rf", "/var/run/oubli/vault")
        if not boot:
            gateway.run("/bin/busybox", "mkdir", "-p", f"/var/run/oubli/vault/{of}")
        if before is not None:
            note.write_bytes(before)
        (gateway.path / "etc/oubli/accepted").unlink(missing_ok=True)
        option = f"\toption {'ground' if of == 'attribution' else 'biller'} '{now}'\n" if now else ""
        more = f"config purpose '{of}'\n{option}\toption enabled '1'\n"
        (gateway.path / "etc/config/oubli").write_text(plain + more)
        # Segments are named by UTC: where the gateway stands it is the next day already
        gateway.run("/bin/sh", "-c", "export TZ=UTC-14; exec /bin/sh /etc/rc.common /etc/init.d/oubli reload")
        return (gateway.path / f"srv/oubli-root/store-{of}").read_text()

    old = "2026-10-01-0001"
    assert noted("STAD", boot=True) == "\nSTAD\n"
    assert noted("STAD", old, boot=True) == "\nSTAD\n"
    assert noted("IIbis-3", old) == f"\n{TODAY} STAD\nIIbis-3\n"
    for boot in (True, False):
        assert noted("IIbis-3", old, boot=boot) == f"\n{TODAY} STAD\nIIbis-3\n"
    assert noted("STAD", old) == f"\n{TODAY} STAD\n{TODAY} IIbis-3\nSTAD\n"
    assert noted("IIbis-3", before=b"\nSTAD\n") == f"\n{TODAY} STAD\nIIbis-3\n"  # it waits in memory
    assert noted("IIbis-3", before=b"\nSTAD\n", boot=True) == "\nIIbis-3\n"  # nothing of it is left
    # A clock that is behind what was recorded makes a day no earlier
    assert noted("IIbis-3", "9999-01-01-00ff", before=b"\nSTAD\n", boot=True) == "\n9999-01-01 STAD\nIIbis-3\n"
    both = b"\n2026-09-30 STAD\n2026-10-01 L336-3\nIIbis-3\n"
    assert noted("IIbis-3", old, before=both, boot=True) == "\n2026-10-01 L336-3\nIIbis-3\n"
    assert noted("IIbis-3", old, before=both).encode() == both
    for damaged in (b"", b"\n", bytes(9), b"\nSTAID\n"):
        assert noted("IIbis-3", old, before=damaged) == f"\n{TODAY} ?\nIIbis-3\n"
    assert noted("IIbis-3", old, before=b"\nnever STAD\nIIbis-3\n") == f"\n{TODAY} ?\nIIbis-3\n"
    note.unlink()
    assert noted("IIbis-3", old) == f"\n{TODAY} ?\nIIbis-3\n"
    note.unlink()
    assert noted("IIbis-3", "a", "2026-10-01-0001.new") == "\nIIbis-3\n"
    store, note = store.parent / "billing", note.parent / "store-billing"
    store.mkdir()
    assert noted("", of="billing") == "\n-\n"
    assert noted("Café \\n & Co", of="billing", boot=True) == "\nCafé \\n & Co\n"
    assert noted("Fid SARL", old, of="billing") == f"\n{TODAY} Café \\n & Co\nFid SARL\n"
    assert noted("", old, of="billing") == f"\n{TODAY} Café \\n & Co\n{TODAY} Fid SARL\n-\n"
    read = stores.noted("billing", Paths(str(gateway.path)))
    assert read is not None
    assert [word for _, word in read[1]] == ["Café \\n & Co", "Fid SARL", "-"]
    for name in ("-n", "007", "7", "STAD"):  # are names as any other
        assert noted(name, of="billing", boot=True) == f"\n{name}\n"
    assert noted("007", old, before=b"\n7\n", of="billing") == f"\n{TODAY} 7\n007\n"
    note.write_text(f"\n{TODAY} Café \\n & Co\n{TODAY} Fid SARL\n-\n")
    # On a medium that isn't mounted what is left can't be seen
    plain += "config vault 'vault'\n\toption path '/mnt/card'\n"
    assert noted("", of="billing", boot=True) == f"/mnt/card\n{TODAY} Café \\n & Co\n{TODAY} Fid SARL\n-\n"
    note.unlink()  # flash was emptied, and the configuration restored: nobody knows what the medium has
    assert noted("", of="billing", boot=True) == f"/mnt/card\n{TODAY} ?\n-\n"


# OpenWrt's procd.sh: whoever reads it waits until another action on the same service is over.
LOCK = 'exec 1000>"/tmp/procd_$(basename "$initscript").lock"\nflock 1000\n'
SLOW = """
date() {
	[ "$*" != "-u +%F" ] || ! mkdir /host/first 2>/dev/null || while [ ! -e /host/go ]; do sleep 0.1; done
	stood "$@"
}
"""


@NETWORK
def test_two_reloads_at_once_lose_no_ground(device, built):
    """L34-VI-4, L34-III-1: the ground changes while the service still notes the change before."""
    gateway, scripts = device
    installed(gateway, scripts, "post-install")
    add(gateway, built, "oubli-purposes")
    (gateway.path / "etc/oubli/accepted").unlink()
    plain = (gateway.path / "etc/config/oubli").read_text().partition("config purpose 'attribution'")[0]
    store = gateway.path / "srv/oubli/vault/attribution"
    common = gateway.path / PROCD
    common.write_text(LOCK + common.read_text() + STOOD)

    def reload(ground: str) -> subprocess.Popen[bytes]:
        more = f"config purpose 'attribution'\n\toption ground '{ground}'\n\toption enabled '1'\n"
        (gateway.path / "etc/config/oubli").write_text(plain + more)
        words = gateway.command("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli", "reload")
        return subprocess.Popen(words, stdin=subprocess.DEVNULL)

    assert reload("STAD").wait(120) == 0
    store.mkdir(parents=True)
    (store / "2026-10-01-0001").touch()
    common.write_text(common.read_text() + SLOW)
    first = reload("IIbis-3")
    wait_for((gateway.path / "host/first").exists)
    second = reload("L336-3")
    with contextlib.suppress(subprocess.TimeoutExpired):
        second.wait(3)
    (gateway.path / "host/go").touch()
    assert (first.wait(120), second.wait(120)) == (0, 0)
    notes = {path.name: path.read_text() for path in (gateway.path / "srv/oubli-root").iterdir()}
    assert notes == {"store-attribution": f"\n{TODAY} STAD\n{TODAY} IIbis-3\nL336-3\n"}


@NETWORK
def test_a_restored_backup_says_nothing_of_what_a_store_was_kept_for(device, built):
    """L34-VI-4, L34-III-1: it has the ground of then. A sysupgrade keeps the store, and its note."""
    gateway, scripts = device
    installed(gateway, scripts, "post-install")
    add(gateway, built, "oubli-purposes")
    plain = (gateway.path / "etc/config/oubli").read_text().partition("config purpose 'attribution'")[0]
    segment = gateway.path / "srv/oubli/vault/attribution/2026-10-01-0001"
    with (gateway.path / PROCD).open("a") as file:
        file.write(STOOD)

    def start(ground: str, on: str) -> None:
        (gateway.path / "etc/oubli/accepted").unlink(missing_ok=True)
        more = f"config purpose 'attribution'\n\toption ground '{ground}'\n\toption enabled '{on}'\n"
        (gateway.path / "etc/config/oubli").write_text(plain + more)
        boot()

    def boot() -> str:
        gateway.run("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli", "start")
        return "".join(path.read_text() for path in gateway.path.glob("*/*/store-attribution"))

    def archive(name: str, backup: str) -> None:
        hooks = f"CONF_BACKUP='{backup}'; . /lib/upgrade/oubli.sh; oubli_broker_files /tmp/all; oubli_stores /tmp/all"
        lists = "for path in $(grep ^/ /lib/upgrade/keep.d/oubli); do find $path -type f; done >>/tmp/all"
        kept = f"cd / && sed 's,^/,,' /tmp/all | sort -u | xargs tar -cf {name} etc/config/oubli"
        gateway.run("/bin/sh", "-c", f": >/tmp/all; {hooks}; {lists}; {kept}")

    start("STAD", "1")
    segment.parent.mkdir(parents=True)
    segment.touch()
    archive("/backup.tar", "/root/backup.tgz")
    start("IIbis-3", "1")
    archive("/upgrade.tar", "")
    gateway.run("/bin/tar", "-C", "/", "-xf", "/backup.tar")
    assert boot() == f"\n{TODAY} STAD\n{TODAY} IIbis-3\nSTAD\n"
    start("IIbis-3", "0")  # off: nothing but the note says what it was kept for
    gateway.run("/bin/tar", "-C", "/", "-xf", "/backup.tar")
    start("STAD", "0")
    assert boot() == f"\n{TODAY} STAD\n{TODAY} IIbis-3\nSTAD\n"
    # Another firmware of the same gateway has the store, and what is said of it
    shutil.rmtree(gateway.path / "srv")
    gateway.run("/bin/tar", "-C", "/", "-xf", "/upgrade.tar")
    assert boot() == f"\n{TODAY} STAD\nIIbis-3\n"
    assert segment.exists()


@NETWORK
def test_each_daemon_in_a_jail_is_kept_to_its_calls_where_procd_seccomp_is(device, built):
    """The library is of the package procd-seccomp; a kernel without filters would end what asks for one."""
    gateway, scripts = device
    installed(gateway, scripts, "post-install")
    add(gateway, built, "oubli-purposes")
    (gateway.path / "lib/libpreload-seccomp.so").touch()
    with (gateway.path / "etc/config/oubli").open("a") as file:
        file.write("\toption host 'broker.example.org'\n\toption ca '/etc/ssl/ca.pem'\n")

    def kept() -> dict[str, str]:
        gateway.run("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli", "reload")
        asked = procd.service(recorded(gateway))["instances"]
        assert {one["env"]["MICROPYPATH"] for name, one in asked.items() if "micropython" in one["command"][0]} == {
            "/usr/lib/oubli:.frozen"
        }
        return {name: one["seccomp"] for name, one in asked.items() if "seccomp" in one}

    assert kept() == {}  # nobody keeps it to them without a jail
    (gateway.path / "sbin/ujail").symlink_to("../host/ujail")
    asked = kept()
    assert asked == {name: f"/etc/seccomp/oubli-{name}.json" for name in ("recorder", "forwarder", "page")}
    assert all((gateway.path / path.lstrip("/")).is_file() for path in asked.values())


@NETWORK
def test_networks_that_root_alone_may_read_are_handed_over_and_followed(device):
    """OpenWrt writes /etc/config/network 0600.

    The recorder reads root's word, and another word without a restart (L34-I-2).
    """
    gateway, scripts = device
    (gateway.path / "sbin/ujail").symlink_to("../host/ujail")
    network = gateway.path / "etc/config/network"
    network.chmod(0o600)
    installed(gateway, scripts, "post-install")

    def read():
        return gateway.run("/bin/cat", "/var/run/oubli-root/networks").stdout.partition("config clock")[0]

    assert read() == "config interface 'lan'\n\toption device 'lan0'\n"
    service = procd.Procd(procd.service(recorded(gateway)), gateway.start)
    try:
        wait_for(lambda: status(gateway).get("capture") == "ok")
        network.write_text("config interface 'lan'\n\toption device 'lan9'\n")
        gateway.run("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli", "networks")
        wait_for(lambda: status(gateway)["capture"] == "no-lan")
        assert status(gateway)["missing"] == ["lan9"]
        shown = gateway.run("/usr/bin/oubli", "status").stdout
        assert "!! NO LAN: gateway.lan leads to no interface lan9: nothing behind it is recorded" in shown
        health = json.loads(gateway.run("/bin/cat", "/var/run/oubli-live/health").stdout)
        assert health["capture"] == "no-lan"
        found = json.loads(gateway.run("/usr/bin/oubli", "doctor", "--json", check=False).stdout)["findings"]
        assert "gateway.lan (lan) leads to no interface lan9" in [finding["what"] for finding in found]
        gateway.host("ip", "link", "set", "lan0", "down")
        gateway.host("ip", "link", "set", "lan0", "name", "lan9")
        wait_for(lambda: status(gateway)["capture"] == "ok")
        assert json.loads(gateway.run("/bin/cat", "/var/run/oubli-live/health").stdout)["capture"] == "ok"
        assert service.respawns["recorder"] == 0
    finally:
        service.stop()


@NETWORK
@pytest.mark.parametrize(
    ("ahead", "said", "believed"),
    [(0, SET, True), (1, SET, True), (100, SET, False), (-100, SET, False), (0, "registered as rtc0", False)],
)
def test_root_hands_over_whether_the_system_shows_what_a_clock_with_a_battery_said(device, ahead, said, believed):
    """EXP-5: by the kernel's word of what it read at power-up.

    One that the system has left by more than two seconds isn't believed.
    """
    gateway, scripts = device
    with_battery(gateway.path, ahead, said)
    installed(gateway, scripts, "post-install")
    told = gateway.run("/bin/cat", "/var/run/oubli-root/networks").stdout
    assert ("config clock 'hardware'\n\toption agrees '1'\n" in told) == believed


@NETWORK
def test_what_a_sysupgrade_restored_is_handed_over_and_no_link_is_followed(device):
    """Root's chown and chmod reach the daemons' own folders alone, wherever names lead (L34-VI-2).

    That holds on a plugged-in medium too.
    """
    gateway, scripts = device
    (gateway.path / "sbin/ujail").symlink_to("../host/ujail")
    gateway.run("/bin/mkdir", "-p", "/srv/oubli/vault/attribution", "/srv/oubli-spool", "/etc/secret", "/mnt/card")
    gateway.run("/bin/mount", "-t", "tmpfs", "none", "/mnt/card")
    files = ("/srv/oubli/ledger", "/srv/oubli/vault/attribution/2026-11-25-0001", "/srv/oubli-spool/000001-arrivals-00")
    for path in (*files, "/etc/secret/key"):
        gateway.run("/bin/touch", path)
        gateway.run("/bin/chmod", "0600", path)
    links = {"/srv/oubli/consents": "/etc", "/mnt/card/billing": "/etc/secret"}
    links |= dict.fromkeys(("/srv/oubli/published", "/srv/oubli-spool/x"), "/etc/secret/key")
    for link, target in links.items():
        gateway.run("/bin/ln", "-s", target, link)
    settings = gateway.path / "etc/config/oubli"
    settings.write_text(
        settings.read_text().replace("config vault 'vault'\n", "config vault 'vault'\n\toption path '/mnt/card'\n")
    )
    before = gateway.run("/bin/busybox", "stat", "-c", "%u %g %a", "/etc", "/etc/secret", "/etc/secret/key").stdout
    installed(gateway, scripts, "post-install")
    assert (
        gateway.run("/bin/busybox", "stat", "-c", "%u %g %a", "/etc", "/etc/secret", "/etc/secret/key").stdout == before
    )
    uid = gateway.ids("oubli-rec")[0]
    shown = gateway.run(
        "/bin/busybox", "stat", "-c", "%u %a", "/srv/oubli", "/srv/oubli/vault", "/srv/oubli/vault/attribution"
    ).stdout
    assert shown == f"{uid} 700\n" * 3
    assert gateway.run("/bin/busybox", "stat", "-c", "%u %a", "/srv/oubli-spool").stdout == f"{uid} 2770\n"
    assert gateway.run("/bin/busybox", "stat", "-c", "%u %a", *files).stdout == f"{uid} 600\n" * 3
    # The folder itself can't be a link that a daemon made: it lies in root's. One
    # that is there all the same is left alone.
    gateway.run("/bin/sh", "-c", "rm -rf /srv/oubli; ln -s /etc/secret /srv/oubli")
    gateway.run("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli", "restart")
    assert (
        gateway.run("/bin/busybox", "stat", "-c", "%u %g %a", "/etc", "/etc/secret", "/etc/secret/key").stdout == before
    )


@NETWORK
def test_a_further_package_stops_the_service_for_its_files_and_starts_what_was_on(device, built):
    """By apk's scripts.

    What only its modules could destroy in time goes with it (EXP-1), and nobody starts what was off.
    """
    gateway, scripts = device
    installed(gateway, scripts, "post-install")
    on = set(procd.service(recorded(gateway))["instances"])
    theirs = roots.unpack_apk(built["oubli-purposes"][1], gateway.path)
    kept = [
        gateway.path / f"srv/oubli/{name}"
        for name in ("consents/000000c8", "vault/billing/2026-11-25-0001", "device.key", "ledger")
    ]
    for path in kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"kept")
    steps = {"pre-install": set(), "post-install": on | {"page"}, "pre-upgrade": set(), "post-upgrade": on | {"page"}}
    for name, running in steps.items():
        run_script(gateway, theirs[name], package="oubli-purposes")
        assert set(procd.service(recorded(gateway))["instances"]) == running, name
        assert all(path.exists() for path in kept), name
    for name, running in {"pre-deinstall": set(), "post-deinstall": on}.items():
        (gateway.path / "usr/share/oubli/page.nft").unlink(missing_ok=True)  # as apk removes what was the package's
        run_script(gateway, theirs[name], package="oubli-purposes")
        assert set(procd.service(recorded(gateway))["instances"]) == running, name
    assert [path.name for path in kept if path.exists()] == ["ledger"]
    gateway.run("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli", "disable")
    for name in ("post-install", "post-deinstall"):
        run_script(gateway, theirs[name], package="oubli-purposes")
        assert gateway.run("/bin/sh", "-c", "cd /tmp && ls procd.calls", check=False).returncode != 0, name


def listed(gateway: roots.Gateway, backup: str) -> set[str]:
    """Return what of /srv a sysupgrade's own hook adds to its list.

    `backup`: the file of one that an operator takes away, "" for none.
    """
    hooks = "for hook in $sysupgrade_init_conffiles; do $hook /tmp/list; done"
    script = f": >/tmp/list; CONF_BACKUP='{backup}'; . /lib/upgrade/oubli.sh; {hooks}; cat /tmp/list; rm /tmp/list"
    said = gateway.run("/bin/sh", "-c", script).stdout.split()
    return {path for path in said if path.startswith("/srv/")}


def look_at_archives(gateway: roots.Gateway) -> None:
    """A sysupgrade keeps all that is on flash but the ledger's marks (ANON-5), a backup nothing of it."""
    assert "/etc/oubli/" in (gateway.path / "lib/upgrade/keep.d/oubli").read_text().splitlines()
    there = {
        "/" + path.relative_to(gateway.path).as_posix() for path in (gateway.path / "srv").rglob("*") if path.is_file()
    }
    left = there - listed(gateway, "")
    assert left
    assert all(re.fullmatch(r"/srv/oubli/ledger-\d+-\d+-\d+", path) for path in left)
    assert listed(gateway, "/root/backup.tgz") == set()


@NETWORK
def test_package_is_installed_started_killed_upgraded_and_removed_without_residue(device, built):
    """From the package to the first captured connection, through crash, upgrade and sysupgrade, to nothing left."""
    gateway, scripts = device

    def files() -> set[Path]:
        skip = {"proc", "dev", "tmp"}
        return {
            path.relative_to(gateway.path)
            for top in gateway.path.iterdir()
            if top.name not in skip
            for path in ([top] if not top.is_dir() else top.rglob("*"))
            if not path.is_dir() or path.is_symlink()
        }

    shipped = {Path(path.lstrip("/")) for path in (gateway.path / "lib/apk/packages/oubli.list").read_text().split()}
    before = (
        files()
        - shipped
        - {Path(f"lib/apk/packages/oubli.{ending}") for ending in ("conffiles", "conffiles_static", "list")}
    )
    (gateway.path / "sbin/ujail").symlink_to("../host/ujail")
    installed(gateway, scripts, "post-install")
    message = procd.service(recorded(gateway))
    service = procd.Procd(message, gateway.start)
    try:

        def captured() -> bool:
            gateway.host(sys.executable, "-c", ONE.format("127.0.0.1"))
            gateway.host("conntrack", "-F")
            return status(gateway).get("counters", {}).get("connections", 0) > 0

        wait_for(captured)
        ticks = (
            Path(f"/proc/{roots.inside(service.running['recorder'])}/stat")
            .read_text()
            .rsplit(") ", 1)[1]
            .split()[11:13]
        )
        assert sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK") < 2  # however loaded this one is
        running = Path(f"/proc/{roots.inside(service.running['recorder'])}/status").read_text()
        uid, _ = gateway.ids("oubli-rec")
        assert re.search(rf"(?m)^Uid:\t{uid}\t{uid}\t{uid}\t{uid}$", running)
        assert re.search(r"(?m)^CapEff:\t0000000000001000$", running)
        assert re.search(r"(?m)^NoNewPrivs:\t1$", running)
        # It hangs: the watch, quicker here, sees it from outside its jail and may end it, as the same user.
        service.running["recorder"].send_signal(signal.SIGSTOP)
        words = gateway.command("/usr/sbin/oubli-watch", "/var/run/oubli/heartbeat", "0.2", user="oubli-rec")
        with subprocess.Popen(words, stdin=subprocess.DEVNULL) as watch:
            assert service.running["recorder"].wait(240) != 0
            watch.kill()
        service.look()
        assert service.respawns == {"recorder": 1, "watch": 0}
        wait_for(lambda: status(gateway).get("counters", {}).get("gaps") == 1)
        settings = (gateway.path / "etc/config/oubli").read_text()
        assert (gateway.path / "srv/oubli/ledger").exists()
        # An upgrade keeps what the operator has set; a sysupgrade keeps what keep.d names.
        look_at_archives(gateway)
        # What runs ends before its files are exchanged: procd alone would let it run on, for its command is the same.
        fresh = roots.unpack_apk(built["oubli"][1], gateway.path / "fresh")
        installed(gateway, fresh, "pre-upgrade")
        recorder = service.running["recorder"]
        service.update(procd.service(recorded(gateway)))
        assert (recorder.returncode, service.running) == (0, {})
        shutil.rmtree(gateway.path / "fresh")
        (gateway.path / "etc/config/oubli").rename(gateway.path / "etc/config/oubli.kept")
        roots.unpack_apk(built["oubli"][1], gateway.path)
        (gateway.path / "etc/config/oubli.kept").rename(gateway.path / "etc/config/oubli")
        installed(gateway, fresh, "post-upgrade")
        assert (gateway.path / "etc/config/oubli").read_text() == settings
        service.update(procd.service(recorded(gateway)))
        wait_for(lambda: status(gateway).get("capture") is not None)
    finally:
        service.stop()
    (gateway.path / "srv/oubli-root/store-billing").write_text(
        "\nA biller\n"
    )  # root's note of what a store was kept for
    installed(gateway, scripts, "pre-deinstall")
    for path in (gateway.path / "lib/apk/packages/oubli.list").read_text().split():
        if path != packages.CONFIG:
            (gateway.path / path.lstrip("/")).unlink(missing_ok=True)
    # apk removes its own
    database = {f"lib/apk/packages/oubli.{ending}" for ending in ("conffiles", "conffiles_static", "list")}
    # An operator's settings stay
    assert {path.as_posix() for path in files() - before} == database | {"etc/config/oubli", "sbin/ujail"}
    assert not (gateway.path / "srv/oubli").exists()


@NETWORK
def test_who_is_answered_by_a_recorder_that_starts_is_known_to_it(device):
    """What begins from its first answer on has a terminal, however long the list of the kernel's neighbours is."""
    gateway, scripts = device
    (gateway.path / "sbin/ujail").symlink_to("../host/ujail")
    installed(gateway, scripts, "post-install")
    with client(gateway, TERMINALS) as connect:
        service = procd.Procd(procd.service(recorded(gateway)), gateway.start)
        try:
            for starts in range(1, 6):
                wait_for(lambda: status(gateway).get("counters", {}).get("starts") == starts)  # noqa: B023
                connect()
                before = status(gateway)["counters"]["kept"]
                gateway.host("conntrack", "-F")
                wait_for(lambda: status(gateway)["counters"]["kept"] >= before + TERMINALS)  # noqa: B023
                counters = status(gateway)["counters"]
                assert counters["unknown terminal"] == 0, (starts, str(counters))
                service.kill("recorder")
                service.look()
        finally:
            service.stop()


@NETWORK
@pytest.mark.needs("mosquitto")
def test_both_daemons_together_stay_within_the_boards_memory(device):
    """On MicroPython from .mpy, at 1,024 terminals: proportional set size, where nobody else shares the libraries.

    More than a device's.
    """
    gateway, scripts = device
    (gateway.path / "sbin/ujail").symlink_to("../host/ujail")
    (gateway.path / "etc/config/oubli").write_text(
        (gateway.path / "etc/config/oubli").read_text()
        + "\toption host '127.0.0.1'\n\toption port '1'\n\toption insecure '1'\n"
    )
    installed(gateway, scripts, "post-install")
    with client(gateway, TERMINALS) as connect:  # there before: of more than a turn reads, nobody is known until all is
        service = procd.Procd(procd.service(recorded(gateway)), gateway.start)
        try:
            wait_for(lambda: status(gateway).get("capture") is not None)
            connect()
            gateway.host("conntrack", "-F")
            wait_for(lambda: status(gateway)["counters"]["kept"] >= TERMINALS)
            counters = status(gateway)["counters"]
            assert (counters["unknown terminal"], counters["lost: overrun"]) == (0, 0)
            assert "runs as root" not in gateway.run("/usr/bin/oubli", "doctor", check=False).stdout
            gateway.run("/usr/bin/oubli", "erase", "--all")  # it overwrites all of the heap that is free
            sizes = {}
            for name in ("recorder", "forwarder"):
                text = Path(f"/proc/{roots.inside(service.running[name])}/smaps_rollup").read_text()
                (size,) = re.findall(r"(?m)^Pss: +(\d+) kB", text)
                sizes[name] = int(size)
            assert 2000 < sum(sizes.values()) <= board.load("gl-mt300n-v2").budget["memory_kib"], sizes
        finally:
            service.stop()


@NETWORK
@pytest.mark.parametrize(
    ("kind", "action", "calls"),
    [
        *(("iface", action, ["networks"]) for action in ("ifup", "ifdown", "ifupdate")),
        *(("iface", action, []) for action in ("ifup-failed", "")),
        *(
            ("ntp", action, ["ntp"] if action in ("stratum", "periodic") else [])
            for action in ("stratum", "periodic", "step", "unsync", "")
        ),
    ],
)
def test_hotplug_tells_the_recorder_what_concerns_it(root, kind, action, calls):
    """Sourced by busybox ash, as hotplug-call does; no word of the event travels with the call."""
    (root / "etc/hotplug").write_text((COMMON / f"etc/hotplug.d/{kind}/50-oubli").read_text())
    (root / "usr/bin/oubli").write_text('#!/bin/sh\n[ "$1" = doctor ] || echo "$@" >>/asked\n')
    (root / "etc/init.d").mkdir(exist_ok=True)
    (root / "etc/init.d/oubli").write_text('#!/bin/sh\necho "$@" >>/asked\n')
    for script in ("usr/bin/oubli", "etc/init.d/oubli"):
        (root / script).chmod(0o755)
    event = (
        f"ACTION={action}",
        "INTERFACE=lan",
        "MACADDR=02:00:00:00:00:01",
        "IPADDR=10.0.0.2",
        "HOSTNAME=phone",
        "stratum=3",
    )
    with roots.running(root) as gateway:
        gateway.run("/bin/sh", "-c", "mkdir -p /var/run/oubli-root; . /etc/hotplug; wait", env=event)
    assert ((root / "asked").read_text().splitlines() if (root / "asked").exists() else []) == calls


@NETWORK
@pytest.mark.parametrize(
    ("action", "runs", "asked"), [("add", 0, True), ("remove", 0, True), ("add", 1, False), ("change", 0, False)]
)
def test_mount_hotplug_gives_the_recorder_its_medium(root, action, runs, asked):
    """Only where the service runs: one that was stopped isn't started by a stick."""
    (root / "etc/hotplug").write_text((COMMON / "etc/hotplug.d/mount/50-oubli").read_text())
    (root / "etc/init.d").mkdir(exist_ok=True)
    (root / "etc/init.d/oubli").write_text(f'#!/bin/sh\n[ "$1" != running ] || exit {runs}\necho "$@" >/asked\n')
    (root / "etc/init.d/oubli").chmod(0o755)
    with roots.running(root) as gateway:
        gateway.run("/bin/sh", "-c", ". /etc/hotplug; wait", env=(f"ACTION={action}", "DEVICE=sda1"))
    assert (root / "asked").exists() == asked
    assert not asked or (root / "asked").read_text() == "reload\n"


@NETWORK
def test_rpcd_plugin_and_page_answer_by_their_contracts(device, built):
    gateway, scripts = device
    add(gateway, built, "oubli-purposes", "luci-app-oubli")
    plugin = "/usr/libexec/rpcd/oubli"
    methods = json.loads(gateway.run(plugin, "list").stdout)
    groups = json.loads((gateway.path / "usr/share/rpcd/acl.d/oubli.json").read_text())
    allowed = {
        (group, kind): set(parts[kind]["ubus"].get("oubli", ()))
        for group, parts in groups.items()
        for kind in ("read", "write")
    }
    assert allowed == {
        ("luci-app-oubli", "read"): {"status", "doctor", "law", "summary", "notice"},
        ("luci-app-oubli", "write"): {"consent", "lookup", "fix", "log"},
        ("luci-app-oubli-settings", "read"): set(),
        ("luci-app-oubli-settings", "write"): {"check"},
    }
    assert set.union(*allowed.values()) == set(methods)

    def call(method: str, **fields: str) -> dict:
        return json.loads(gateway.run(plugin, "call", method, stdin=json.dumps(fields, ensure_ascii=False)).stdout)

    # What LuCI's form would save is read by the agent before it is; nothing of it is left behind
    text = "config gateway 'gateway'\n\toption id 'abcdefgh23456777'\n\noption duty 'portal'\n"
    text += "config notice 'notice'\n\toption venue 'L'\\''Étoile $(reboot)'\n"
    assert "error" not in call("check", text=text)
    said = call("check", text=text + "config purpose 'security'\n\toption lifetime '91d'\n")["error"]
    assert re.fullmatch(r"\S+:8: security\.lifetime: '91d' is above the ceiling of 90d \(.*\); accepted: .*", said)
    assert ":1: line: not UCI" in call("check", text="option")["error"]
    assert not list((gateway.path / "tmp").glob("tmp.*"))
    assert call("summary") == call("summary", day="2026-11-25") == {"figures": []}
    assert call("summary", day="$(reboot)")["error"].startswith("--day: not understood")
    assert call("log")["beside"].startswith("no audit log at ")
    assert call("notice", language="fr; reboot")["beside"].startswith("--notice: ")
    silent = {"error": "no answer at /var/run/oubli/control/socket: the recorder isn't running"}
    assert json.loads(gateway.run(plugin, "call", "status", stdin="{}").stdout) == silent
    for method in ("law", "doctor"):  # a configuration that is refused is told, and is no clean bill of health
        said = json.loads(gateway.run(plugin, "call", method, stdin="{}").stdout)
        assert said["error"].startswith("/etc/config/oubli: gateway.id: missing "), said
    assert json.loads(gateway.run(plugin, "call", "format", stdin="{}").stdout) == {"error": "no such method"}
    assert gateway.run(plugin, check=False).returncode == 2
    refused = {"error": "act: not understood; accepted: list, suspend, resume, withdraw"}
    for asked, answer in (
        ('{"act":"grant"}', refused),
        ('{"act":"suspend","terminal":"02:00:00:00:00:01"}', None),
        ('{"act":"list"}', None),
    ):
        said = json.loads(gateway.run(plugin, "call", "consent", stdin=asked).stdout)
        assert said == (answer or silent)
    for fields, wrong in (
        (
            {"port": "20012", "protocol": "tcp", "at": "2026-11-25T10:00:00Z", "reason": "abuse", "report": "7"},
            silent["error"],
        ),
        ({"terminal": "02:00:00:00:00:01", "at": "2026-11-25T10:00:00Z", "reason": "fault"}, silent["error"]),
        (
            {
                "port": "7",
                "public_address": "2001:db8::1",
                "protocol": "tcp",
                "at": "2026-11-25T10:00:00Z",
                "reason": "abuse",
            },
            silent["error"],
        ),
        (
            {"port": "20012; reboot", "protocol": "tcp", "at": "2026-11-25T10:00:00Z", "reason": "abuse"},
            silent["error"],
        ),
        ({"terminal": "02:00:00:00:00:01", "reason": "abuse"}, "lookup: --at is missing; accepted: "),
        ({"at": "2026-11-25T10:00:00Z", "port": "1", "reason": "$(reboot)"}, silent["error"]),
        ({"at": "2026-11-25T10:00:00Z", "reason": "abuse"}, "lookup: exactly one of these is needed; accepted: "),
    ):
        assert json.loads(gateway.run(plugin, "call", "lookup", stdin=json.dumps(fields)).stdout)["error"].startswith(
            wrong
        )
    installed(gateway, scripts, "post-install")
    service = procd.Procd(procd.service(recorded(gateway)), gateway.start)
    try:
        wait_for(lambda: "error" not in json.loads(gateway.run(plugin, "call", "status", stdin="{}").stdout))
        assert json.loads(gateway.run(plugin, "call", "status", stdin="{}").stdout)["capture"] in (
            "ok",
            "misconfigured",
        )
        asks = "printf 'GET /?lang=en HTTP/1.1\\r\\nHost: 127.0.0.1:8450\\r\\n\\r\\n' | /bin/busybox nc 127.0.0.1 8450"
        wait_for(lambda: "Your device isn&#39;t known here" in gateway.run("/bin/sh", "-c", asks, check=False).stdout)
        assert "error" not in json.loads(gateway.run(plugin, "call", "law", stdin="{}").stdout)
        findings = json.loads(gateway.run(plugin, "call", "doctor", stdin="{}").stdout)["findings"]
        assert any("mqtt.host" in finding["what"] for finding in findings)
        assert "the recorder runs as root" in [finding["what"] for finding in findings]  # this root has no ujail
        shown = (gateway.path / "www/luci-static/resources/view/oubli/overview.js").read_text()
        assert set(re.findall(r"finding\.(\w+)", shown)) <= set(findings[0])
        fields = {"terminal": "02:00:00:00:00:01", "at": "2026-11-25T10:00:00Z", "reason": "abuse"}
        said = json.loads(gateway.run(plugin, "call", "lookup", stdin=json.dumps(fields)).stdout)
        assert said.pop("clock") in ("trusted", "doubtful", "floor", "unknown")
        before = 1795600801  # there is no record: the whole second that was asked for
        assert said == {"rows": [], "records": 0, "second_nat": False, "public_address": "", "unknown_before": before}
        assert set(re.findall(r"said\.(\w+)", shown)) == {*said, "clock"} - {"records"}
        looked_up = shown.partition("function rows")[2].partition("function lookup")[0]
        assert set(re.findall(r"\bone\.(\w+)", looked_up)) <= {*law.SECURITY_FIELDS, "seconds", "terminal"}
        assert re.findall(r"\w+", shown.partition("method: 'lookup', params: [")[2].partition("]")[0]) == list(
            methods["lookup"]
        )
        fields = {"port": "7", "protocol": "tcp", "at": "2026-11-25T10:00:00Z", "reason": "abuse"}
        for public, wrong in (("2001:db8::1", ""), ("everywhere", "public_address: ")):
            said = json.loads(
                gateway.run(plugin, "call", "lookup", stdin=json.dumps(fields | {"public_address": public})).stdout
            )
            assert (said["rows"], said["public_address"]) == ([], "") if not wrong else wrong in said["error"]
    finally:
        service.stop()


@NETWORK
def test_rpcd_plugin_answers_four_calls_at_a_time(device, built):
    """Whoever may only read asks as often as he likes: each call is a process, whether he waits for it or not."""
    gateway, scripts = device
    add(gateway, built, "oubli-purposes", "luci-app-oubli")
    installed(gateway, scripts, "post-install")
    asks = "/usr/libexec/rpcd/oubli call law </dev/null"
    taken = "for n in 1 2 3 4; do flock /var/run/oubli-root/call.$n sleep 5 & done; sleep 2"
    refused, answered = gateway.run("/bin/sh", "-c", f"{taken}; {asks}; wait; {asks}").stdout.splitlines()
    assert json.loads(refused) == {"error": "too many at once; accepted: 4"}
    assert "error" not in json.loads(answered)


@NETWORK
def test_what_is_said_beside_a_notice_or_an_answer_is_no_part_of_it(device, built):
    """L34-VI-4: guests read the notice in their language. That a configuration is refused is the operator's to read."""
    gateway, scripts = device
    add(gateway, built, "oubli-purposes", "luci-app-oubli")
    installed(gateway, scripts, "post-install")
    with (gateway.path / "etc/config/oubli").open("a") as file:
        file.write("config notice\n\toption venue 'Gare'\n")  # a second one
    plugin = "/usr/libexec/rpcd/oubli"
    notice, law_ = (
        json.loads(gateway.run(plugin, "call", name, stdin='{"language":"fr"}').stdout) for name in ("notice", "law")
    )
    assert notice["text"].startswith("Information sur le réseau")
    assert notice["beside"].startswith("the last accepted configuration goes on")
    assert "purposes" in law_
    assert not list((gateway.path / "tmp").glob("tmp.*"))


# The fake peer itself


def test_fake_procd_makes_the_message_that_procd_would():
    lines = [
        ["open_service", "thing", "/etc/init.d/thing"],
        ["open_instance", "one"],
        ["set_param", "command", "/bin/thing", "a word", "-v"],
        ["append_param", "command", "more"],
        ["set_param", "limits", "core=0 0"],
        ["set_param", "stdout", "1"],
        ["set_param", "user", "nobody"],
        ["add_jail", "thing", "log", "procfs"],
        ["add_jail_mount", "/lib"],
        ["add_jail_mount_rw", "/srv"],
        ["close_instance"],
        ["add_reload_trigger", "thing"],
        ["close_service"],
    ]
    assert procd.service("\n".join("\x1f".join(line) for line in lines)) == {
        "name": "thing",
        "script": "/etc/init.d/thing",
        "instances": {
            "one": {
                "command": ["/bin/thing", "a word", "-v", "more"],
                "limits": {"core": "0 0"},
                "stdout": True,
                "user": "nobody",
                "jail": {"name": "thing", "log": True, "procfs": True, "mount": {"/lib": "0", "/srv": "1"}},
            }
        },
        "triggers": [
            ["config.change", ["if", ["eq", "package", "thing"], ["run_script", "/etc/init.d/thing", "reload"]], 1000]
        ],
    }
    with pytest.raises(ValueError, match="fly"):
        procd.service("fly\x1faway")


def test_fake_procd_respawns_for_ever_where_retry_is_0_and_gives_up_elsewhere():
    def start(_instance):
        return subprocess.Popen(["sleep", "100"])

    message = {"instances": {"ever": {"respawn": ["3600", "5", "0"]}, "once": {"respawn": ["3600", "5", "1"]}}}
    service = procd.Procd(message, start)
    for _ in range(3):
        for name in list(service.running):
            if service.running[name].poll() is None:
                service.kill(name)
        service.look()
    assert service.respawns == {"ever": 3, "once": 1}
    assert set(service.stop().values()) <= {-9, -15}


def test_fake_procd_starts_anew_what_changed_and_nothing_else():
    def start(_instance):
        return subprocess.Popen(["sleep", "100"])

    service = procd.Procd({"instances": {"same": {"user": "a"}, "other": {"user": "a"}, "gone": {}}}, start)
    former = {name: process.pid for name, process in service.running.items()}
    service.update({"instances": {"same": {"user": "a"}, "other": {"user": "b"}, "new": {}}})
    assert {name for name, process in service.running.items() if former.get(name) == process.pid} == {"same"}
    assert set(service.running) == {"same", "other", "new"}
    service.update({"instances": {}})
    assert service.running == {}
