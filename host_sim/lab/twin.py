# SPDX-License-Identifier: Apache-2.0
"""The simulator's twin of a lab: what the real kernel did with each connection, told again by the simulated kernel.

A witness in the lab (`conntrack -E`) says what became of every connection; from its word alone `host_sim.venue.kernel`
writes the DESTROY that it would have sent. A stage plays them to a recorder, and the vault must hold what the lab's
vault holds. So the bytes of the simulated kernel, its stage and its clock lead to the same records as the real ones.
"""

import ipaddress
import json
import struct
import subprocess
from pathlib import Path

from agent.vault import reading
from agent.vault.record import Record
from host_sim.driver.interpreters import ROOT, byteorder, command, environment
from host_sim.lab.network import GATEWAY_4, GATEWAY_6, TIMEOUTS, WAN_4, WAN_6, Terminal
from host_sim.lab.witness import Seen
from host_sim.venue import kernel, tape

_STATES = (
    "NONE",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
)
_MINUTE = 60 * 10**9
_CONFIG = (
    "config gateway 'gateway'\n\toption id 'aaaaaaaaaaaaaaaa'\nconfig purpose 'security'\n\toption lifetime '{}s'\n"
)


def packed(text: str) -> bytes:
    """Return an address as octets in network order."""
    return ipaddress.ip_address(text).packed


def flow(one: Seen) -> kernel.Flow:
    """Return a witnessed connection as the simulator's kernel has it when it ends."""
    family = kernel.INET if len(one.source) == 4 else kernel.INET6
    outside = packed(WAN_4 if family == kernel.INET else WAN_6)
    icmp = one.protocol in {kernel.ICMP, kernel.ICMPV6}
    status = kernel.CONFIRMED | kernel.DYING | kernel.SRC_NAT | kernel.SRC_NAT_DONE | kernel.DST_NAT_DONE
    status |= kernel.SEEN_REPLY if one.packets_down else 0
    made = kernel.Flow(
        family, one.protocol, one.source, one.destination, one.source_port, 0 if icmp else one.destination_port,
        one.destination, outside, 0 if icmp else one.destination_port, one.translated_port,
        status=status | (kernel.ASSURED if one.assured else 0), start=one.start, stop=one.stop, event=one.stop,
        packets_up=one.packets_up, bytes_up=one.bytes_up, packets_down=one.packets_down, bytes_down=one.bytes_down,
        state=_STATES.index(one.state) if one.state else 0, timeout=one.left,
    )  # fmt: skip
    if one.protocol == kernel.ICMPV6:
        made.icmp_type, made.reply_icmp_type = 128, 129
    return made


def _tape(seen: list[Seen], terminals: list[Terminal], order: kernel.ByteOrder) -> list[bytes]:
    begins = min(one.start for one in seen) - 2 * _MINUTE
    clocks = struct.pack(tape.CLOCKS, begins, _MINUTE, 0)
    made = [
        tape.entry(tape.BOOT, begins, clocks + b"7" * 32),
        tape.entry(tape.NEIGHBOUR, begins, kernel.link("lan", order)),
    ]
    own = ((GATEWAY_4, 24), (GATEWAY_6, 64))
    made += [
        tape.entry(tape.NEIGHBOUR, begins, kernel.address(packed(address), prefix, order)) for address, prefix in own
    ]
    for terminal in terminals:
        mac = bytes(terminal.mac)
        known = [kernel.Neighbour(packed(address), mac) for address in (terminal.address4, terminal.address6)]
        made += [tape.entry(tape.NEIGHBOUR, begins, kernel.neighbour(entry, order)) for entry in known]
    made.append(tape.entry(tape.LISTED, begins))
    for one in sorted(seen, key=lambda one: one.stop):
        made.append(tape.entry(tape.DATAGRAM, one.stop, kernel.conntrack("destroy", flow(one), order)))
    made.append(tape.entry(tape.REPORT, max(one.stop for one in seen)))
    return made


def records(
    seen: list[Seen], terminals: list[Terminal], lifetime: int, folder: Path, interpreter: str = "cpython"
) -> list[Record]:
    """Return what a simulated recorder's vault holds after it was told of these connections; `lifetime` in seconds."""
    root, config = folder / "twin", folder / "twin.config"
    root.mkdir()
    config.write_text(_CONFIG.format(lifetime))
    sysctl = folder / "twin.sysctl"
    sysctl.write_text(json.dumps({**TIMEOUTS, "events": 1, "acct": 1, "timestamp": 1}))
    words = [
        *command(interpreter),
        "-m",
        "host_sim.driver.stage",
        "--config",
        str(config),
        "--root",
        str(root),
        "--sysctl",
        str(sysctl),
    ]
    words += ["--seed", "1", "--rate", "100000"]
    with subprocess.Popen(words, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stage:
        assert stage.stdin  # noqa: S101 (asked for)
        assert stage.stdout  # noqa: S101 (the same)
        stage.stdin.write(b"".join(_tape(seen, terminals, byteorder(interpreter))))
        stage.stdin.flush()
        stage.stdout.readline()
        found = list(reading.read(str(root), "security", 0, 0))
        stage.stdin.write(tape.entry(tape.STOP, max(one.stop for one in seen)))
        stage.stdin.close()
    return found
