# SPDX-License-Identifier: Apache-2.0
"""A disk as OpenWrt's downloads for x86-64 are: GRUB, a partition for the kernel, one for the squashfs, gzipped.

`oubli-sim gateway --image` is tried with it, for no download can be had where the tests run.
Kernel and root are those of tools/openwrt.
"""

import gzip
import struct
import subprocess
import tempfile
from pathlib import Path

from host_sim.openwrt.machine import BUILT, KERNEL
from tools.openwrt.kernel import INIT

GRUB = Path("/usr/lib/grub/i386-pc")
MODULES = ("biosdisk", "part_msdos", "ext2", "linux")
SECTOR, MIB = 512, 1 << 20
# The root's partition is larger than the squashfs: what follows it becomes the overlay
BOOT_AT, BOOT_MIB, ROOT_MIB = 1, 24, 160
ACTIVE, LINUX = 0x80, 0x83
CODE = 440  # octets of a boot sector before the table of partitions
# What an OpenWrt image metadata trailer is to gzip: octets after the packed disk.
TRAILER = b"FWx0 stands for what OpenWrt appends"

# The initramfs of tools/openwrt has the disk itself for its root. What the kernel unpacks last counts.
ROOT = "/dev/vda2"
START = f"""set root=(hd0,msdos1)
linux /vmlinuz {KERNEL.replace("root=/dev/vda ", f"root={ROOT} ")}
initrd /initramfs.gz /init.cpio
boot
"""


def write(target: Path) -> None:
    """Write the disk to an .img.gz."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "start.cfg").write_text(START)
        core = folder / "core.img"
        words = ["grub-mkimage", "-O", "i386-pc", "-p", "/", "-c", folder / "start.cfg", "-o", core, *MODULES]
        subprocess.run([str(word) for word in words], check=True, capture_output=True)
        (folder / "boot").mkdir()
        for one in ("vmlinuz", "initramfs.gz"):
            (folder / "boot" / one).write_bytes((BUILT / one).read_bytes())
        (folder / "init").write_text(INIT.replace("/dev/vda", ROOT))
        (folder / "init").chmod(0o755)
        archive = ["cpio", "--create", "--format=newc", "--quiet", f"--file={folder}/boot/init.cpio"]
        subprocess.run(archive, cwd=folder, input=b"init\n", check=True, capture_output=True)
        words = ["mke2fs", "-q", "-t", "ext2", "-d", folder / "boot", folder / "boot.ext2", f"{BOOT_MIB}M"]
        subprocess.run([str(word) for word in words], check=True, capture_output=True)
        parts = (
            (ACTIVE, BOOT_AT, BOOT_MIB, folder / "boot.ext2"),
            (0, BOOT_AT + BOOT_MIB, ROOT_MIB, BUILT / "root.squashfs"),
        )
        with gzip.open(target, "wb", compresslevel=1) as packed:
            end = 0
            head = (GRUB / "boot.img").read_bytes()[:CODE].ljust(446, b"\0")
            head += b"".join(_entry(active, at, size) for active, at, size, _ in parts).ljust(64, b"\0") + b"\x55\xaa"
            for at, data in (
                (0, head),
                (SECTOR, core.read_bytes()),
                *((at * MIB, path.read_bytes()) for _, at, _, path in parts),
            ):
                packed.write(bytes(at - end) + data)
                end = at + len(data)
            packed.write(bytes((BOOT_AT + BOOT_MIB + ROOT_MIB) * MIB - end))
        with target.open("ab") as file:
            file.write(TRAILER)


def _entry(active: int, at: int, size: int) -> bytes:
    """Return a row of the table of partitions; place and size in MiB, by logical sectors alone."""
    return struct.pack(
        "<B3sB3sII", active, b"\xfe\xff\xff", LINUX, b"\xfe\xff\xff", at * MIB // SECTOR, size * MIB // SECTOR
    )
