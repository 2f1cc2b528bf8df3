# SPDX-License-Identifier: Apache-2.0
"""A forwarder that doesn't wait before it tries again: `forwarder_stage.py ROOT CONFIG`, until standard input ends.

Both interpreters.
"""

import sys

if __name__ == "__main__":
    sys.path[0] = __file__.rsplit("/", 3)[0] if __file__.count("/") > 2 else "."

from agent.config.config import load
from agent.forwarder.forwarder import Forwarder
from agent.runtime import process, sockets
from agent.runtime.clocks import DeviceTime


def main(root: str, config: str) -> None:
    """Take turns until standard input ends."""
    settings = load(config)
    forwarder = Forwarder(settings, root, DeviceTime(), process.log)
    poll = sockets.Poll()
    poll.add(0)
    while not poll.wait(0):
        forwarder.broker._retry = 0  # the waits between two tries are another test's
        forwarder.turn(20)
    forwarder.close()


main(sys.argv[1], sys.argv[2])
