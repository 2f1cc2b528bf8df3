# SPDX-License-Identifier: Apache-2.0
"""Debian's kernel in OpenWrt's manner: modules unpacked in one folder, and an initramfs for OpenWrt's built-in ones."""

import lzma
import shutil
import subprocess
from pathlib import Path

from tools.openwrt.sources import BuildError

BUILT_IN = ("virtio_pci", "virtio_blk", "squashfs", "loop", "overlay", "f2fs", "ext4")
# Loaded where the kernel is told `flash=ERASE`: the memory of the device ivshmem is then a flash chip.
FLASH = ("mtdblock", "phram", "jffs2")
INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
for module in /modules/*; do /bin/busybox insmod "$module" || echo "initramfs: $module"; done
flash=$(/bin/busybox sed -n 's/.* flash=\\([^ ]*\\).*/\\1/p' /proc/cmdline)
if [ -n "$flash" ]; then
    /bin/busybox mount -t sysfs sysfs /sys
    chip=$(/bin/busybox grep -l 0x1110 /sys/bus/pci/devices/*/device)
    echo 1 >${chip%/*}/enable
    set -- $(/bin/busybox sed -n 3p ${chip%/*}/resource)
    for module in /flash/*; do
        options=; case $module in *-phram.ko) options=phram=rootfs_data,$1,$(($2 - $1 + 1)),$flash ;; esac
        /bin/busybox insmod $module $options || echo "initramfs: $module $options"
    done
    /bin/busybox umount /sys
fi
for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/vda ] && break; /bin/busybox sleep 0.1; done
/bin/busybox mount -t squashfs -o ro /dev/vda /new || exec /bin/busybox sh
/bin/busybox umount /proc
/bin/busybox umount /dev
exec /bin/busybox switch_root /new /sbin/init
"""


class Kernel:
    """A kernel package of Debian's, unpacked in `folder`, of this release."""

    def __init__(self, folder: Path, release: str) -> None:
        self.release, self.image = release, folder / f"boot/vmlinuz-{release}"
        base = folder / "usr" if (folder / "usr/lib/modules").is_dir() else folder
        self._base = base
        self._placed: set[str] = set()
        if not (base / f"lib/modules/{release}/modules.dep").exists():
            subprocess.run(["depmod", "-b", base, release], check=True, capture_output=True)

    def _needed(self, name: str) -> list[Path]:
        """Return the files of a module and of all it needs, in the order in which they are loaded."""
        words: list[str | Path] = ["modprobe", "-d", self._base, "-S", self.release, "--show-depends", name]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BuildError(f"kernel {self.release}: module {name}: {done.stderr.strip()[-200:]}")
        return [Path(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("insmod ")]

    def modules(self, names: list[str], root: Path, load: str) -> None:
        """Put modules, unpacked, and all they need into a root, but what a package before has.

        `load` is the list below /etc/modules.d (boot/NAME: /etc/modules-boot.d) that names them.
        """
        if not names:
            return
        place = root / f"lib/modules/{self.release}"
        place.mkdir(parents=True, exist_ok=True)
        for name in names:
            for file in self._needed(name):
                module = file.name.removesuffix(".xz")
                if module not in self._placed:
                    _unpack(file, place / module)
                    self._placed.add(module)
        if load:
            folder, _, name = load.rpartition("/")
            target = root / ("etc/modules-boot.d" if folder else "etc/modules.d") / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("".join(f"{one}\n" for one in names))

    def initramfs(self, work: Path, target: Path, busybox: Path) -> None:
        """Write an initramfs that loads OpenWrt's built-ins, mounts the disk's squashfs, goes on with /sbin/init."""
        root = work / "initramfs"
        shutil.rmtree(root, ignore_errors=True)
        for folder in ("bin", "dev", "proc", "sys", "new", "modules", "flash"):
            (root / folder).mkdir(parents=True)
        shutil.copy(busybox, root / "bin/busybox")
        placed: set[Path] = set()
        for folder, names in (("modules", BUILT_IN), ("flash", FLASH)):
            files = list(dict.fromkeys(file for name in names for file in self._needed(name)))
            for number, file in enumerate(file for file in files if file not in placed):
                _unpack(file, root / f"{folder}/{number:02}-{file.name.removesuffix('.xz')}")
            placed.update(files)
        (root / "init").write_text(INIT)
        (root / "init").chmod(0o755)
        subprocess.run(
            ["bash", "-c", 'find . | cpio -o -H newc --quiet -R 0:0 | gzip -9 >"$1"', "cpio", target],
            cwd=root,
            check=True,
        )


def _unpack(file: Path, target: Path) -> None:
    target.write_bytes(lzma.decompress(file.read_bytes()) if file.suffix == ".xz" else file.read_bytes())
