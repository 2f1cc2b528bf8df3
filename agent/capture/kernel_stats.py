# SPDX-License-Identifier: Apache-2.0
"""What the gateway's network suffered in connection tracking: trouble of its users, not a loss of the recorder's.

An entry that was never made had no connection, and one that gave way early ends with an event like any other.
Source: /proc/net/stat/nf_conntrack, a line of names and a line of hexadecimal numbers for each processor
(net/netfilter/nf_conntrack_standalone.c); the figures run since the network came up.
"""

PATH = "/proc/net/stat/nf_conntrack"
NAMES = ("drop", "early_drop", "insert_failed")


def read(path: str = PATH) -> "dict[str, int] | None":
    """Return the sum over all processors for each of NAMES; None where this kernel doesn't say."""
    try:
        with open(path) as file:
            rows = [line.split() for line in file]
        places = [rows[0].index(name) for name in NAMES]
        return dict(zip(NAMES, [sum([int(row[place], 16) for row in rows[1:]]) for place in places]))
    except (OSError, ValueError, IndexError):
        return None
