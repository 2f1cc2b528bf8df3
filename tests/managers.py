# SPDX-License-Identifier: Apache-2.0
"""The packages in the hands of the real apk and opkg: `python -m tests.managers APK OPKG`, the two programs' paths.

Debian has neither, so no test needs them: build apk-tools 3 and opkg (openwrt/opkg-lede, with libubox) from their sources. Into roots
of their own, without scripts (they are run under busybox, tests/test_gateway.py and test_upgrade.py): signatures, install, 0.2.0 to the
three packages of now, further packages with another version of `oubli` refused, removal and the step back.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.interpreters import PROJECT
from tests.openwrt.trial import WHEN, build
from tools.package import apk, feed, packages, signing
from tools.package.board import load
from tools.package.contents import cut, files

WHOLE = PROJECT / "tests/vectors/former/oubli_0.2.0-r1_x86_64.ipk"
FOREIGN = ("micropython-mbedtls", "libsodium", "zlib", "kmod-nf-conntrack-netlink", "procd-ujail", "luci-base")
CONFIGURATION = "dest root /\nlists_dir ext /var/opkg-lists\narch all 1\narch x86_64 10\noption tmp_dir /tmp\n"


def _said(*words: str | Path, fails: bool = False) -> str:
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, timeout=120)
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
    run("add", *loose, "oubli<0.3", fails=True)
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
    root, made = folder / "root", {}
    for name in ("etc", "usr/lib/opkg/info", "tmp", "var/lock", "lib"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "etc/opkg.conf").write_text(CONFIGURATION)
    for name, (octets, _) in build().items():
        made[name] = folder / f"{name}_{packages.RELEASE}_x86_64.ipk"
        made[name].write_bytes(octets)
    for name in FOREIGN:
        (folder / f"{name}_1_x86_64.ipk").write_bytes(_ipk(name))

    def run(*words: str | Path, fails: bool = False) -> str:
        return _said(program, "-f", root / "etc/opkg.conf", "--offline-root", root, *words, fails=fails)

    run("install", *(folder / f"{name}_1_x86_64.ipk" for name in FOREIGN))
    run("install", WHOLE)
    whole = _files(root)
    assert "cannot find dependency oubli (= " in run("install", made["oubli-purposes"], fails=True)
    run("install", made["oubli"])
    core = _files(root)
    assert core < whole
    run("install", made["oubli-purposes"], made["luci-app-oubli"])
    assert _files(root) >= whole
    assert "is depended upon by packages" in run("remove", "oubli", fails=True)
    assert "already provided by package" in run("install", "--force-downgrade", WHOLE, fails=True)
    run("remove", "oubli-purposes", "luci-app-oubli")
    assert _files(root) == core
    run("install", "--force-downgrade", WHOLE)
    assert _files(root) == whole
    run("install", *made.values())  # oubli first: opkg forgets whose a file is that was moved to a package named before it
    assert _files(root) >= whole
    run("remove", "oubli-purposes", "luci-app-oubli")
    run("remove", "oubli")
    assert not _files(root), sorted(_files(root))[:9]


def main() -> None:
    """Try both and say so."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m tests.managers APK OPKG")
    for program, trial in zip(map(Path, sys.argv[1:]), (try_apk, try_opkg), strict=True):
        with tempfile.TemporaryDirectory() as folder:
            trial(program.resolve(), Path(folder))
        print(f"{_said(program, '--version').splitlines()[0]}: installs, refuses, removes")


if __name__ == "__main__":
    main()
