# SPDX-License-Identifier: Apache-2.0
"""Free loopback ports for servers that must be told theirs before they listen.

Not one that the kernel would give to whoever connects: before the server has it, it would be somebody else's now and
then. A run of the tests starts hundreds of servers and connects thousands of times. Each process goes upward from a
place of its own.
"""

import itertools
import random
import socket

_FIRST, _COUNT = 10000, 22000  # below what ip_local_port_range begins with
_places = itertools.count(random.SystemRandom().randrange(_COUNT))


def free_port() -> int:
    """Return a port that nobody had a moment ago, another one each time."""
    while True:
        port = _FIRST + next(_places) % _COUNT
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
