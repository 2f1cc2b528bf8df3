# SPDX-License-Identifier: Apache-2.0
"""The packages in the hands of OpenWrt's own programs, those that are on the path: `python -m tests.support.programs`.

Debian has none of them, so `tools/test` doesn't ask for them: apk (apk-tools 3), opkg-cl (opkg-lede), ujail (procd),
ubusd, ubus, rpcd and jshn (libubox), each built from its source. rpcd is built for the prefix /usr, below which it
looks for plugins. jshn has its jshn.sh beside it in ../share/libubox. apk and opkg install, upgrade, refuse and remove,
without scripts (these run under busybox, tests/boards/test_gateway.py, tests/boards/test_upgrade.py); ujail runs the
daemons; rpcd answers.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.openwrt import gateway as roots
from tests.openwrt import procd
from tests.openwrt.trial import WHEN, build, build_next, connected, next_version, recorded, run_script, wait_for
from tools.package import apk, feed, packages, signing
from tools.package.board import load
from tools.package.contents import cut, files

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARIES = ("LD_LIBRARY_PATH=/lib",)
FOREIGN = ("micropython-mbedtls", "libsodium", "zlib", "kmod-nf-conntrack-netlink", "procd-ujail", "luci-base")
CONFIGURATION = "dest root /\nlists_dir ext /var/opkg-lists\narch all 1\narch x86_64 10\noption tmp_dir /tmp\n"


def _said(*words: str | Path, fails: bool = False) -> str:
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, timeout=240)
    said = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, (words, said)
    return said


def _files(root: Path) -> set[str]:
    """Return the agent's files and pages in a root."""
    places = (root / "usr/lib/oubli", root / "www", root / "usr/share/oubli", root / "etc/init.d")
    return {path.relative_to(root).as_posix() for place in places for path in place.rglob("*") if path.is_file()}


def try_apk(program: Path, folder: Path) -> None:
    """Let apk verify, install, refuse and remove."""
    root, stubs, ours = folder / "root", folder / "stubs", folder / "ours"
    for place in (root / "etc/apk/keys", stubs, ours, folder / "keys"):
        place.mkdir(parents=True)
    signing.make(folder / "keys")
    (root / "etc/apk/keys/oubli.pem").write_bytes((folder / "keys" / signing.APK_PUBLIC).read_bytes())
    board, key = load("x86-64"), signing.apk_key(folder / "keys")
    for package, part in cut(files(board, WHEN)).items():
        (ours / apk.file_name(board, package)).write_bytes(apk.build(board, package, part, WHEN, key))
    feed.write(ours, folder / "keys")
    for name in FOREIGN:
        info = [word for field in (f"name:{name}", "version:1-r1", "arch:x86_64") for word in ("--info", field)]
        _said(program, "mkpkg", *info, "--output", stubs / f"{name}-1-r1.apk")
    _said(program, "mkndx", "--allow-untrusted", "--output", stubs / "packages.adb", *stubs.glob("*.apk"))
    _said(program, "verify", "--keys-dir", root / "etc/apk/keys", *ours.glob("*"))

    def run(*words: str, fails: bool = False) -> str:
        places = ("-X", stubs / "packages.adb", "-X", ours / "packages.adb")
        return _said(program, "--root", root, "--arch", "x86_64", *places, *words, fails=fails)

    loose = ("--allow-untrusted", "--no-scripts")  # the stubs alone aren't signed
    run("add", "--initdb", "--allow-untrusted")
    run("add", *loose, "oubli-purposes")
    assert {"oubli", "oubli-purposes"} <= set(run("info", "--allow-untrusted").split())
    run("add", *loose, "luci-app-oubli")
    assert "oubli: luci-app-oubli oubli-purposes" in run("del", *loose, "oubli")
    run("add", *loose, "oubli<1.0", fails=True)
    run("del", *loose, "oubli", "oubli-purposes", "luci-app-oubli")
    assert not _files(root), sorted(_files(root))[:9]


def _ipk(name: str) -> bytes:
    """Return an empty package of a name."""

    def archive(**files: bytes) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            for path, octets in files.items():
                info = tarfile.TarInfo("./" + path)
                info.size = len(octets)
                tar.addfile(info, io.BytesIO(octets))
        return out.getvalue()

    text = f"Package: {name}\nVersion: 1\nArchitecture: x86_64\nMaintainer: x\nSection: x\nDescription: x\n"
    parts = {"debian-binary": b"2.0\n", "control.tar.gz": archive(control=text.encode()), "data.tar.gz": archive()}
    return archive(**parts)


def try_opkg(program: Path, folder: Path) -> None:
    """Let opkg install, upgrade, refuse, remove and step back."""
    root, made, held = folder / "root", {}, {}
    for name in ("etc", "usr/lib/opkg/info", "tmp", "var/lock", "lib"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "etc/opkg.conf").write_text(CONFIGURATION)
    for name, (octets, _) in build().items():
        made[name] = folder / f"{name}_{packages.RELEASE}_x86_64.ipk"
        made[name].write_bytes(octets)
        roots.unpack_ipk(octets, folder / name)
        held[name] = _files(folder / name)
    for name in FOREIGN:
        (folder / f"{name}_1_x86_64.ipk").write_bytes(_ipk(name))

    def run(*words: str | Path, fails: bool = False) -> str:
        return _said(program, "-f", root / "etc/opkg.conf", "--offline-root", root, *words, fails=fails)

    run("install", *(folder / f"{name}_1_x86_64.ipk" for name in FOREIGN))
    later = {name: folder / f"{name}_{next_version()}-r1_x86_64.ipk" for name in made}
    for name, octets in build_next().items():
        later[name].write_bytes(octets)
    run("install", made["oubli"])
    assert _files(root) == held["oubli"]
    assert "cannot find dependency oubli (= " in run("install", later["oubli-purposes"], fails=True)
    run("install", made["oubli-purposes"], made["luci-app-oubli"])
    assert _files(root) == set().union(*held.values())
    assert "is depended upon by packages" in run("remove", "oubli", fails=True)
    run("remove", "oubli-purposes", "luci-app-oubli")
    assert _files(root) == held["oubli"]
    run("install", later["oubli"])
    run("install", "--force-downgrade", made["oubli"])
    assert _files(root) == held["oubli"]
    run("install", *made.values())
    assert _files(root) == set().union(*held.values())
    run("remove", "oubli-purposes", "luci-app-oubli")
    run("remove", "oubli")
    assert not _files(root), sorted(_files(root))[:9]


def _gateway(folder: Path, *programs: Path) -> Path:
    """Make a gateway's root with the packages, and programs with the libraries they load."""
    root = folder / "root"
    roots.make(root)
    for _, image in build().values():
        roots.unpack_apk(image, root)
    (root / "etc/sysctl.d").mkdir(exist_ok=True)
    (root / "etc/nsswitch.conf").write_text("passwd: files\n")  # a jail by glibc wants it
    for program in programs:
        (root / "sbin" / program.name).unlink(missing_ok=True)
        shutil.copy(program, root / "sbin" / program.name)
        for library in roots.loaded_by(program):
            place = root / (
                library.relative_to("/")
                if library.is_relative_to("/lib") or library.is_relative_to("/lib64")
                else f"lib/{library.name}"
            )
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, place)
    return root


@contextmanager
def _running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon, ended at the end whatever happens."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def _bus(gateway: roots.Gateway) -> Iterator[None]:
    """Run ubusd."""
    gateway.run("/bin/mkdir", "-p", "/var/run/ubus")
    with _running(gateway.command("/sbin/ubusd", env=LIBRARIES)):
        wait_for(lambda: gateway.run("/sbin/ubus", "list", check=False, env=LIBRARIES).returncode == 0)
        yield


def _there(gateway: roots.Gateway, path: str) -> bool:
    """Return True if a file is in the gateway."""
    return gateway.run("/bin/ls", path, check=False).returncode == 0


def try_jail(program: Path, folder: Path) -> None:
    """Let ujail run both daemons, each with the user, the capabilities and the view of files that procd is told."""
    root = _gateway(folder, program, *map(_found, ("ubusd", "ubus")))
    scripts = roots.unpack_apk(build()["oubli"][1], root)
    with (root / "etc/config/oubli").open("a") as file:
        file.write("\toption host '127.0.0.1'\n\toption port '1'\n\toption insecure '1'\n")
    subprocess.run(["mount", "--bind", root, root], check=True)  # its pivot_root wants a mount
    try:
        with connected(root) as gateway, _bus(gateway):
            run_script(gateway, scripts["post-install"])
            instances = procd.service(recorded(gateway))["instances"]
            for name, held in (("recorder", "0000000000001000"), ("forwarder", "0000000000000000")):
                one = instances[name]
                words = [
                    "/sbin/ujail",
                    "-n",
                    one["jail"]["name"],
                    "-U",
                    one["user"],
                    "-G",
                    one["group"],
                    "-c",
                    "-C",
                    one["capabilities"],
                    "-p",
                ]
                # No -l: there is no logd. The loader of this machine's programs lies
                # in a folder that OpenWrt's doesn't need.
                words += [
                    word
                    for path, kind in one["jail"]["mount"].items()
                    for word in ("-w" if kind == "1" else "-r", path)
                ]
                command = gateway.command(*words, "-r", "/lib64", "--", *one["command"], env=LIBRARIES)
                with _running(command) as process:
                    sign = "control/socket" if name == "recorder" else "live/forwarder.json"
                    wait_for(partial(_there, gateway, f"/var/run/oubli/{sign}"))
                    told = Path(f"/proc/{roots.inside(process)}/status").read_text()
                    for line in (
                        f"Uid:\t{gateway.ids(one['user'])[0]}\t",
                        f"CapEff:\t{held}\n",
                        f"CapBnd:\t{held}\n",
                        "NoNewPrivs:\t1\n",
                    ):
                        assert line in told, (name, line, told)
                    process.terminate()
                    assert process.wait(240) == 0
    finally:
        subprocess.run(["umount", "--lazy", root], check=True)


def try_rpcd(program: Path, folder: Path) -> None:
    """Let rpcd find the plugin, call it, and hand its ACL to who logs in; with the real jshn."""
    ubusd, ubus, jshn = map(_found, ("ubusd", "ubus", "jshn"))
    root = _gateway(folder, program, ubusd, ubus, jshn)
    shutil.copy(jshn.parent.parent / "share/libubox/jshn.sh", root / "usr/share/libubox/jshn.sh")
    hashed = _said("openssl", "passwd", "-6", "secret").strip()
    login = f"config login\n\toption username 'root'\n\toption password '{hashed}'\n"
    (root / "etc/config/rpcd").write_text(login + "\tlist read '*'\n\tlist write '*'\n")
    scripts = roots.unpack_apk(build()["oubli"][1], root)
    with connected(root) as gateway, _bus(gateway):
        run_script(gateway, scripts["post-install"])

        def call(thing: str, method: str, **words: str) -> dict[str, Any]:
            return json.loads(gateway.run("/sbin/ubus", "call", thing, method, json.dumps(words), env=LIBRARIES).stdout)

        with _running(gateway.command("/sbin/rpcd", env=LIBRARIES)):
            wait_for(lambda: "oubli" in gateway.run("/sbin/ubus", "list", env=LIBRARIES).stdout.split())
            assert {row["paragraph"] for row in call("oubli", "law")["purposes"]} >= {"L34-1 III", "L34-1 V"}
            silent = {"error": "no answer at /var/run/oubli/control/socket: the recorder isn't running"}
            assert call("oubli", "status") == silent
            assert call("oubli", "consent", act="grant")["error"].startswith("act: not understood")
            assert call("oubli", "consent", act="suspend", terminal="02:00:00:00:00:01") == silent
            asked = {"port": "20012", "protocol": "tcp", "at": "2026-11-25T10:00:00Z", "reason": "abuse"}
            assert call("oubli", "lookup", **asked) == silent
            rights = call("session", "login", username="root", password="secret")["acls"]
            assert sorted(rights["ubus"]["oubli"]) == sorted(
                json.loads(gateway.run("/usr/libexec/rpcd/oubli", "list").stdout)
            )
            assert "luci-app-oubli" in rights["access-group"]


def _found(name: str) -> Path:
    """Return a program of the path; LookupError where it isn't there."""
    found = shutil.which(name)
    if found is None:
        raise LookupError(name)
    return Path(found).resolve()


def main() -> None:
    """Try those that are there and say so; exit 1 where one is missing."""
    missing = 0
    for name, trial in (("apk", try_apk), ("opkg-cl", try_opkg), ("ujail", try_jail), ("rpcd", try_rpcd)):
        with tempfile.TemporaryDirectory() as folder:
            try:
                trial(_found(name), Path(folder))
                print(f"{name}: {trial.__doc__}")
            except LookupError as failure:
                missing = 1
                print(f"{name}: not tried, {failure} isn't on the path")
    sys.exit(missing)


if __name__ == "__main__":
    main()
