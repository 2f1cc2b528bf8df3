# SPDX-License-Identifier: Apache-2.0
"""The image's root: base-files' Makefile beyond copying, apk's packages, enabled services, the squashfs."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from tools.openwrt.packages import Packages
from tools.openwrt.sources import BuildError

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
TMP = "/tmp"  # noqa: S108 (the gateway's)
FOLDERS = (
    "dev", "etc/config", "etc/crontabs", "etc/rc.d", "overlay", "rom", "lib/firmware", "mnt", "proc", "tmp", "usr/lib",
    "usr/bin", "sys", "www", "root", "lib/apk/db", "etc/apk/keys", "etc/apk/repositories.d", "usr/share/acl.d", "bin",
    "sbin", "etc/udhcpc.user.d", "etc/dropbear", "etc/hotplug.d/dhcp", "etc/hotplug.d/neigh", "etc/hotplug.d/ntp",
    "etc/hotplug.d/tftp", "etc/hotplug.d/iface", "etc/hotplug.d/net",
)  # fmt: skip
LINKS = {
    "etc/mtab": "/proc/mounts",
    "lib64": "lib",
    "usr/lib64": "lib",
    "var": "tmp",
    "etc/resolv.conf": f"{TMP}/resolv.conf",
    "etc/TZ": f"{TMP}/TZ",
    "etc/localtime": f"{TMP}/localtime",
}
# What is only for other hardware, or for opkg.
UNUSED = (
    "lib/preinit/02_load_x86_ucode",
    "lib/preinit/79_move_config",
    "etc/uci-defaults/13_fix-group-user",
    "sbin/pkg_check",
)
UNUSED_UPGRADE = ("nand.sh", "emmc.sh", "legacy-sdcard.sh")
# What OpenWrt's VERSION_SED_SCRIPT fills in, by its letter; the rest is empty.
VERSION = {
    "D": "OpenWrt", "d": "openwrt", "V": "SNAPSHOT", "v": "snapshot", "C": "local", "c": "local",
    "R": "r0-local", "T": "x86", "S": "x86/64", "A": "x86_64",
}  # fmt: skip
VERSION_FILES = ("etc/banner", "etc/device_info", "etc/openwrt_release", "etc/openwrt_version", "usr/lib/os-release")
# apk as OpenWrt calls it for an image: its cache and log would make /var a folder.
APK_OFFLINE = ("--initdb", "--no-network", "--no-scripts", "--allow-untrusted", "--no-cache", "--no-logfile")
FEED = "http://downloads.openwrt.org/snapshots/targets/x86/64/packages/packages.adb"


def base_files(root: Path) -> None:
    """Do to the package base-files what its Makefile does."""
    for name in FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in (*UNUSED, *(f"lib/upgrade/{name}" for name in UNUSED_UPGRADE)):
        (root / name).unlink(missing_ok=True)
    for link, target in LINKS.items():
        path = root / link
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.symlink_to(target)
    for name in VERSION_FILES:
        path = root / name
        if path.is_file() and not path.is_symlink():
            path.write_text(re.sub(r"%([A-Za-z])", lambda found: VERSION.get(found[1], ""), path.read_text()))
    for name in ("sbin/hotplug-call", "etc/preinit", "etc/profile"):
        path = root / name
        path.write_text(path.read_text().replace("%PATH%", PATH))
    path = root / "etc/inittab"  # x86's image Makefile names the console that the boot loader was given
    path.write_text(path.read_text().replace("@GRUB_SERIAL@", "ttyS0"))
    (root / "etc/shadow").chmod(0o600)
    (root / "tmp").chmod(0o1777)
    (root / "root").chmod(0o750)
    (root / "etc/apk/arch").write_text("x86_64\n")
    (root / "etc/apk/repositories.d/distfeeds.list").write_text(FEED + "\n")


def compose(packages: Packages, root: Path) -> None:
    """Let apk lay out the image's packages in a new root, then users and services, as include/rootfs.mk does."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    chosen = [packages.made / f"{row.name}.apk" for row in packages.rows if row.image]
    packages.apk("add", "--root", root, "--arch", "x86_64", *APK_OFFLINE, *chosen)
    _clean(root)
    for row in packages.rows:
        if row.image and row.users:
            _user(root, row.users)
    _enable(root)


def _clean(root: Path) -> None:
    """Forget that apk was told of files: what is in the image is installed, and nobody's own wish."""
    world = root / "etc/apk/world"
    world.write_text("".join(re.sub(r"[=<>~].*", "", line) + "\n" for line in world.read_text().splitlines()))


def _user(root: Path, users: str) -> None:
    """Add the user and the group of a USERID such as ntp=123:ntp=123."""
    name, number = users.partition(":")[0].split("=")
    for file, line in {
        "passwd": f"{name}:x:{number}:{number}:{name}:/var/run/{name}:/bin/false",
        "group": f"{name}:x:{number}:{name}",
        "shadow": f"{name}:x:0:0:99999:7:::",
    }.items():
        with (root / "etc" / file).open("a") as table:
            table.write(line + "\n")


def _enable(root: Path) -> None:
    """Enable every service, with the system's own rc.common."""
    lock = root / "tmp/lock"
    lock.mkdir()
    for script in sorted((root / "etc/init.d").iterdir()):
        if "/etc/rc.common" not in script.read_text().split("\n", 1)[0]:
            continue
        script.chmod(0o755)
        words: list[str | Path] = ["bash", "./etc/rc.common", script, "enable"]
        done = subprocess.run(
            words, cwd=root, env=os.environ | {"IPKG_INSTROOT": str(root)}, capture_output=True, text=True, check=False
        )
        if done.stderr.strip():
            raise BuildError(f"{script.name}: isn't enabled: {done.stderr.strip()[-200:]}")
    shutil.rmtree(lock)
    for path in (root / "lib/netifd").rglob("*.sh"):
        path.chmod(0o755)


def squash(root: Path, target: Path) -> None:
    """Make the squashfs image, by zstd: an emulated processor boots a tenth sooner than with OpenWrt's xz."""
    words: list[str | Path] = [
        "mksquashfs",
        root,
        target,
        "-comp",
        "zstd",
        "-noappend",
        "-all-root",
        "-quiet",
        "-no-progress",
    ]
    subprocess.run(words, check=True, capture_output=True)
