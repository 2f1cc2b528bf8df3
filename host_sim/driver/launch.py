# SPDX-License-Identifier: Apache-2.0
"""Starts one of the real daemons with shifted clocks, on either interpreter: the lab's way to jump over a lifetime.

`launch.py recorder|forwarder --config FILE --root DIR --clock FILE [--variant NAME]`. The clocks are the device's own
plus an offset in ns. That is a signed 64-bit little-endian number, read from the clock file at each call. It moves wall
clock and time since boot together, as waiting does. Time since boot is an hour more than it is, so that an offset a
little below zero is still after a boot. A second number in the file, where there is one, is added to it alone: a
simulated day may be of any year. The configuration knows nothing of all this, so no gateway can be told to. A variant
is a daemon broken on purpose (see `variants`). Runs on MicroPython too.
"""

import struct
import sys

if __name__ == "__main__":
    sys.path[0] = __file__.rsplit("/", 3)[0] if __file__.count("/") > 2 else "."

from agent.config import config
from agent.runtime.clocks import DeviceTime
from host_sim.faults import variants

_EARLIER_BOOT = 3600 * 1000000000  # ns


class ShiftedTime(DeviceTime):
    """The device's clocks, moved by what the clock file says."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def _offsets(self) -> "tuple[int, int]":
        """Return what is added to the wall clock, and to the time since boot."""
        with open(self._path, "rb") as file:
            data = file.read(16)
        (offset,) = struct.unpack_from("<q", data, 0)
        since = struct.unpack_from("<q", data, 8)[0] if len(data) == 16 else 0
        return offset, offset + since + _EARLIER_BOOT

    def wall(self) -> int:
        """Return shifted nanoseconds since the epoch."""
        return super().wall() + self._offsets()[0]

    def monotonic(self) -> int:
        """Return shifted nanoseconds since boot."""
        return super().monotonic() + self._offsets()[1]


def main(arguments: "list[str]") -> int:
    """Run the daemon until it is told to stop; returns its exit status."""
    daemon = arguments[0]
    options = {}
    for at in range(1, len(arguments), 2):
        options[arguments[at]] = arguments[at + 1]
    source = ShiftedTime(options["--clock"])
    settings = config.load(options["--config"])
    if "--variant" in options:
        name = options["--variant"]
        (variants.VARIANTS.get(name) or variants.STRAINS[name])[1](options["--root"])
    if daemon == "recorder":
        from agent.recorder.loop import run
    else:
        from agent.forwarder.forwarder import run
    return run(settings, options["--root"], source)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
