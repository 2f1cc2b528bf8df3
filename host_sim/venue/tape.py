# SPDX-License-Identifier: Apache-2.0
"""The tape: what happens to a gateway, in time order, as bytes that both interpreters read.

The world (CPython) writes it, the stage (either interpreter) plays it to the real recorder. An entry is an operation
u8, a payload length u16, the *true* time u64 in ns since the epoch, all little-endian, then the payload. What the
gateway's own clocks show at a true time is said by CLOCK and BOOT, and follows from there: `VirtualTime` of the stage,
`DeviceClock` of the world.
"""

import struct

HEADER = "<BHQ"
HEADER_SIZE = 11

CLOCK = 1  # payload CLOCKS: somebody has set the wall clock; no timer runs: this is a step
DATAGRAM = 2  # payload: a ctnetlink datagram
NEIGHBOUR = 3  # payload: an rtnetlink datagram
CONFIRM = 4  # the time service confirms the clock
REPORT = 5  # the stage runs the timers due, then prints one line of JSON
STOP = 6  # the recorder is closed as on SIGTERM
BOOT = 7  # payload CLOCKS and the boot's id, 32 octets: tmpfs is empty, the recorder starts
START = 8  # the recorder starts again in the same boot
KILL = 9  # the recorder ends: without a payload as by SIGKILL, else in order, as on SIGTERM, or with the power
IN_ORDER, POWER, STOOD = 1, 2, 3  # the octet of its payload; STOOD: by the watch, after it had stood still
LISTED = 10  # links, addresses and neighbours have been listed
TABLE = 11  # payload: entries of the connection table u32, its limit u32
LIVE = 13  # payload: a datagram of a listing of the connection table, the last with what ends it
SUSPEND = 12  # no timer runs until a REPORT or a START, whatever comes in between
WAKE = 26  # the suspension is over, whether or not a recorder runs
CALL = 14  # payload: a line for the control socket, as the portal says it
STATION = 15  # payload: a MAC, the access point that it leaves u8, the one that it comes to u8; 0 for none
LEASES = 17  # payload: the DHCP server's file as it is now, which the recorder must not believe
LOOK = 16  # payload: a line for the control socket, by which a guest asks what is held on the own terminal
ORDER = 18  # payload: a line for the control socket, as root says it
STILL = 19  # the recorder is stopped, as by SIGSTOP: no timer runs, and datagrams wait, until GO_ON or KILL
GO_ON = 20
# Files of flash are copied, payload: a number u16, their names; without power, the copy of a number is put back
COPY, RESTORE = 22, 23
# The recorder ends in order, all that is kept is destroyed and its files are removed, as by the package's removal
UNINSTALL = 24
# Payload: names of what has no room on flash from now on (PLACES), separated by spaces
FULL = 25
STORES = "stores"  # those of a custodian, which lie on a chip of their own (host_sim.driver.chip)
# What may be full, and where it lies below a device's root
PLACES = {
    "ledger": ("/srv/oubli/ledger",),
    "log": ("/srv/oubli/audit/",),
    "consents": ("/srv/oubli/consents/", "/srv/oubli/vault/consent/"),
    "spool": ("/srv/oubli-spool/",),
    "key": ("/srv/oubli/device.key",),
    STORES: (),
}
# Without power: flash has nothing any more but the custodian's bundle, which whoever installs the device puts there
RESET = 21

# What isn't the recorder's to see: the first boot's script is cut, payload: a number u32; the custodian comes to his
# keys, payload: the seconds by which his clock is wrong f64
FIRST_BOOT, CUSTODIAN = 64, 65

CLOCKS = "<qQi"  # wall clock ns since the epoch, time since boot ns, drift in parts in a million


def entry(operation: int, true: int, payload: bytes = b"") -> bytes:
    """Return one entry of a tape; `true` in ns since the epoch."""
    return struct.pack(HEADER, operation, len(payload), true) + payload
