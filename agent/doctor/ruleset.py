# SPDX-License-Identifier: Apache-2.0
"""What in the nftables ruleset hides packets or changes what a public port means (ANON-2, L34-II-4).

Source: linux/netfilter/nf_tables.h: message numbers, NFTA_FLOWTABLE_FLAGS 7, NFTA_OBJ_TYPE 3, NFTA_RULE_EXPRESSIONS 4,
NFTA_EXPR_NAME 1. The vendors' accelerators and full-cone modules have no place in the ruleset and are known by name.
"""

import struct

from agent.capture.netlink import Malformed, attributes
from agent.doctor import tracking
from agent.doctor.catalogue import Finding
from agent.runtime import sockets
from agent.runtime.libc import reason

_NFTABLES = 10 << 8
_GET_RULE, _GET_OBJECT, _GET_FLOWTABLE = _NFTABLES | 7, _NFTABLES | 19, _NFTABLES | 23
_FLAGS, _HARDWARE, _COUNTER = 7, 1, 2
_TYPE, _HELPER = 3, 3
_EXPRESSIONS, _ELEMENT, _NAME = 4, 1, 1
_GENERIC = 4  # octets of nfgenmsg
_NO_NFTABLES = 22  # EINVAL: this kernel has no such subsystem, so no such rules

FULLCONE = "fullcone"
FULLCONE_MODULES = ("nft_fullcone", "xt_FULLCONENAT")
OFFLOAD_MODULES = ("ecm", "fast_classifier", "mtkhnat", "shortcut_fe", "xt_FLOWOFFLOAD")


def rules(gateway: "Gateway") -> "Iterator[Finding]":
    """Read flowtables, helper objects and the expressions of all rules, in every family."""
    try:
        yield from _flowtables(_listed(gateway, _GET_FLOWTABLE, _FLAGS))
        helpers = _listed(gateway, _GET_OBJECT, _TYPE).count(_HELPER)
        fullcone = FULLCONE in expressions(gateway)
    except OSError as failure:
        if failure.errno != _NO_NFTABLES:
            yield Finding("ruleset", "the nftables ruleset can't be read" + reason(failure.errno))
        return
    except Malformed:
        yield Finding("ruleset", "the kernel's answer about the nftables ruleset contradicts itself")
        return
    if helpers:
        yield Finding("helpers", "helpers in the ruleset: " + str(helpers))
    if fullcone:
        yield Finding("fullcone", "a rule translates as full-cone NAT")


def modules(gateway: "Gateway") -> "Iterator[Finding]":
    """Look for accelerators and full-cone NAT that the ruleset doesn't show."""
    loaded = tracking.modules(gateway)
    for name, known in (("offload", OFFLOAD_MODULES), ("fullcone", FULLCONE_MODULES)):
        found = [module for module in known if module in loaded]
        if found:
            yield Finding(name, "kernel modules are loaded: " + ", ".join(found))


def _flowtables(flags: "list[int]") -> "Iterator[Finding]":
    hardware = sum(1 for value in flags if value & _HARDWARE)
    counted = sum(1 for value in flags if value & _COUNTER and not value & _HARDWARE)
    if hardware:
        yield Finding("offload", "flowtables with hardware offload in the ruleset: " + str(hardware))
    if len(flags) - hardware - counted:
        yield Finding("offload", "flowtables without counter in the ruleset: " + str(len(flags) - hardware - counted))
    if counted:
        yield Finding("counted-offload", "flowtables with counter in the ruleset: " + str(counted))


def _listed(gateway: "Gateway", request: int, wanted: int) -> "list[int]":
    """Return the 32-bit value of one attribute of each object of a kind, 0 where it has none."""
    values = []

    def take(buffer: bytearray, at: int, end: int) -> None:
        found = 0
        for kind, inner, inner_end in attributes(buffer, at + _GENERIC, end):
            if kind == wanted and inner_end - inner == 4:
                (found,) = struct.unpack_from(">I", buffer, inner)
        values.append(found)

    gateway.dump(sockets.NETLINK_NETFILTER, request, bytes(_GENERIC), take)
    return values


def expressions(gateway: "Gateway") -> "set[str]":
    """Return the names of the expressions that the rules are made of, such as payload, ct, masq."""
    names = set()

    def take(buffer: bytearray, at: int, end: int) -> None:
        for kind, rule, rule_end in attributes(buffer, at + _GENERIC, end):
            if kind == _EXPRESSIONS:
                for element, inner, inner_end in attributes(buffer, rule, rule_end):
                    if element == _ELEMENT:
                        for name, text, text_end in attributes(buffer, inner, inner_end):
                            if name == _NAME:
                                names.add(bytes(buffer[text : text_end - 1]).decode())

    gateway.dump(sockets.NETLINK_NETFILTER, _GET_RULE, bytes(_GENERIC), take)
    return names


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from agent.doctor.gateway import Gateway
