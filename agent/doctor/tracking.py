# SPDX-License-Identifier: Apache-2.0
"""Connection tracking: what it tells, how much of it fits, and who else listens (L34-I-2).

Source: Documentation/networking/nf_conntrack-sysctl.rst, /proc/net/netlink (Eth is the
protocol, Groups are bits in hexadecimal).
"""

import os
import struct

from agent.doctor.catalogue import Finding
from agent.runtime import files, sockets
from agent.runtime.libc import LIBC, int32, reason

_SYSCTL = "net/netfilter/nf_conntrack_"
ENTRY = 320  # octets of kernel memory that one connection takes, with its extensions
SHARE = 4  # a full table may take this part of the memory at most: a quarter
_GROUPS = 7  # NEW, UPDATE and DESTROY of ctnetlink
_KIND, _SOCKET = 0o170000, 0o140000  # of st_mode
_FILTERED = "Seccomp:\t2"  # a line of /proc/PID/status: SECCOMP_MODE_FILTER
# Without their common prefix nf_conntrack_.
HELPERS = ("amanda", "ftp", "h323", "irc", "netbios_ns", "pptp", "sane", "sip", "snmp", "tftp")


def switches(gateway: "Gateway") -> "Iterator[Finding]":
    """Check events, acct and timestamp: each must be 1."""
    for name in ("events", "acct", "timestamp"):
        value = gateway.number("sys/" + _SYSCTL + name)
        if value is None:
            yield Finding(
                "conntrack", "nf_conntrack_" + name + " is absent: connection tracking isn't loaded, or not able to"
            )
        elif value != 1:
            yield Finding(name, "nf_conntrack_" + name + " is " + str(value) + ", not 1", (_SYSCTL + name, 1))


def helpers(gateway: "Gateway") -> "Iterator[Finding]":
    """Check for helpers that attach by themselves, and name those that are loaded."""
    if gateway.number("sys/" + _SYSCTL + "helper"):
        yield Finding("automatic-helpers", "nf_conntrack_helper is on: helpers attach to connections by port alone")
    loaded = modules(gateway)
    found = [name for name in HELPERS if "nf_conntrack_" + name in loaded]
    if found:
        yield Finding("helpers", "helper modules are loaded: " + ", ".join(found))


def modules(gateway: "Gateway") -> "list[str]":
    """Return the names of the loaded kernel modules."""
    return [line.split(" ")[0] for line in gateway.lines("modules") if line]


def table(gateway: "Gateway") -> "Iterator[Finding]":
    """Compare what a full table takes with the memory there is."""
    limit = gateway.number("sys/" + _SYSCTL + "max")
    memory = [line.split() for line in gateway.lines("meminfo") if line.startswith("MemTotal:")]
    if limit and memory:
        taken, total = limit * ENTRY // 1024, int(memory[0][1])
        if taken * SHARE > total:
            yield Finding(
                "table-size",
                "nf_conntrack_max " + str(limit) + " takes " + str(taken) + " of " + str(total) + " KiB when full",
            )


def receive_buffer(gateway: "Gateway") -> "Iterator[Finding]":
    """Open a socket as the recorder does and look at the buffer it got; the kernel shows the double of it."""
    try:
        descriptor = sockets.netlink(sockets.NETLINK_NETFILTER, 0, gateway.receive_buffer)
    except OSError as failure:
        yield Finding("conntrack", "the kernel gives no socket for connection tracking" + reason(failure.errno))
        return
    size, length = bytearray(4), bytearray(int32(4))
    try:
        LIBC.call("getsockopt", descriptor, LIBC["SOL_SOCKET"], LIBC["SO_RCVBUF"], size, length)
    finally:
        sockets.close(descriptor)
    got, wanted = struct.unpack("i", size)[0] // 2, gateway.receive_buffer
    if got < wanted:
        what = "a netlink socket gets a buffer of " + str(got) + " bytes, not " + str(wanted)
        yield Finding("receive-buffer", what, ("net/core/rmem_max", wanted))


def listeners(gateway: "Gateway") -> "Iterator[Finding]":
    """Name the other programs that listen to connection tracking.

    Say too whether the recorder may more than it needs.
    """
    names, root, unfiltered = [], False, False
    for line in gateway.lines("net/netlink")[1:]:
        words = line.split()
        if len(words) > 9 and words[1] == str(sockets.NETLINK_NETFILTER) and int(words[3], 16) & _GROUPS:
            process = _holder(gateway.proc, int(words[9]))
            command = gateway.lines(process + "/cmdline")
            if not command or "recorder" not in command[0].split("\0"):
                comm = gateway.lines(process + "/comm")
                names.append(comm[0] if comm else "a program that can't be named")
            else:
                status = gateway.lines(process + "/status")
                root = root or any(line.startswith("Uid:") and line.split()[2] == "0" for line in status)
                unfiltered = unfiltered or (bool(status) and _FILTERED not in status)
    if root:
        yield Finding("root", "the recorder runs as root")
    if unfiltered:
        none = "" if files.exists(gateway.proc + "/sys/kernel/seccomp/actions_avail") else ", for this kernel has none"
        yield Finding("unfiltered", "the recorder runs without a seccomp filter" + none)
    if names:
        yield Finding("listeners", "others listen to connection tracking: " + ", ".join(sorted(names)))


def _holder(proc: str, inode: int) -> str:
    """Return the number of a process that holds the socket, "none" where no process shows it."""
    for process in os.listdir(proc):
        folder = proc + "/" + process + "/fd"
        try:
            for descriptor in os.listdir(folder) if process.isdigit() else ():
                status = os.stat(folder + "/" + descriptor)
                if status[0] & _KIND == _SOCKET and status[1] == inode:
                    return process
        except OSError:
            continue  # the process or its descriptor is gone
    return "none"


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from agent.doctor.gateway import Gateway
