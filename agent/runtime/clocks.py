# SPDX-License-Identifier: Apache-2.0
"""The device's clocks: wall time, time since boot, boot id, all in nanoseconds.

Time since boot is CLOCK_BOOTTIME, which goes on while the device is suspended. A buffer must not outlive its deadline
because the lid was closed (EXP-4).
"""

import time

from agent.runtime.libc import native

MONOTONIC, BOOTTIME = 1, 7


def slept() -> int:
    """Return the nanoseconds since boot in which the device was suspended, and its timers stood still.

    Who had to wait between the two clocks is told of less, never of more.
    """
    return native.clock(BOOTTIME) - native.clock(MONOTONIC)


class DeviceTime:
    """The time source that the daemons use on a device; the simulator and the lab hand in others of the same shape."""

    def __init__(self) -> None:
        with open("/proc/sys/kernel/random/boot_id") as file:
            self.boot = file.read().strip().replace("-", "")

    def wall(self) -> int:
        """Return nanoseconds since the epoch (UTC), as far as the device knows it."""
        return time.time_ns()

    def monotonic(self) -> int:
        """Return nanoseconds since boot, suspended time included."""
        return native.clock(BOOTTIME)
