# SPDX-License-Identifier: Apache-2.0
"""busybox's .config as OpenWrt builds it, from its Config-defaults.in.

`python -m tools.openwrt.busybox FILE`, to standard output.
"""

import re
import sys
from pathlib import Path

OFF = {
    "SELINUX": "libselinux isn't in this system",
    "PAM": "nor is libpam",
    "FEATURE_INDIVIDUAL": "one program for all applets, as in OpenWrt's images",
    "FEATURE_MOUNT_NFS": "with glibc it wants libtirpc",
    "FEATURE_INETD_RPC": "the same",
}
ON = {
    "UDHCPC6": "stands for odhcp6c, whose source isn't at hand",
    "FEATURE_UDHCPC6_RFC3646": "the servers of names, told by DHCPv6",
}
# A default may name another symbol of OpenWrt's: IPv6 is on, a development's isn't.
YES = ("BUSYBOX", "IPV6", "TARGET", "PACKAGE", "BUILD", "USE")


def configuration(text: str) -> str:
    """Return the .config for a Config-defaults.in: the first, plain default of each symbol counts."""
    lines, name = {}, ""
    for line in text.splitlines():
        if found := re.match(r"config BUSYBOX_DEFAULT_(\w+)", line):
            name = found[1]
        elif name and name not in lines and (found := re.match(r"\s+default (\S.*)$", line)):
            value = found[1].split(" if ")[0].strip()
            value = (
                "y"
                if name in ON
                else "n"
                if name in OFF or value.startswith("DEVEL")
                else "y"
                if value.startswith(YES)
                else value
            )
            lines[name] = f"# CONFIG_{name} is not set" if value == "n" else f"CONFIG_{name}={value}"
    return "\n".join(lines.values()) + "\n"


if __name__ == "__main__":
    sys.stdout.write(configuration(Path(sys.argv[1]).read_text()))
