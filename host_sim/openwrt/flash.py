# SPDX-License-Identifier: Apache-2.0
"""A NOR flash chip of a gateway, as its firmware finds it: a file that QEMU maps as the memory of a device.

What is written to it is in the file at once and in that order, as on a chip. It programs and erases octet by octet and
at once: it has no bad block and no half-programmed page. The initramfs of tools/openwrt lets the kernel's `phram` make
the MTD partition `rootfs_data` of it, on which mount_root puts the overlay.
"""

import struct
from pathlib import Path

MEBIBYTES, BLOCK = 16, 64 << 10  # of the chip, octets of an erase block: as on archer-c7-v5 and gl-mt300n-v2
# jffs2's mark of an erased block: a chip with one is a formatted one, which has no file yet.
MARK = struct.pack("<HHI", 0x1985, 0x2003, 12) + bytes.fromhex("b1b01ee4")
KERNEL = f" flash={BLOCK}"  # the kernel is told so, and the initramfs then looks for the chip


def write(target: Path) -> None:
    """Write a new chip."""
    target.write_bytes(MARK.ljust(MEBIBYTES << 20, b"\xff"))


def words(target: Path) -> list[str]:
    """Return QEMU's words for a chip that is there."""
    memory = f"memory-backend-file,id=flash,mem-path={target},size={MEBIBYTES}M,share=on"
    return ["-object", memory, "-device", "ivshmem-plain,memdev=flash"]
