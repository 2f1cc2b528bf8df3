# SPDX-License-Identifier: Apache-2.0
"""What ulogd2 writes of the same connections: they are made in a kernel's table (without traffic) and flushed.

Needs root.
"""

from pathlib import Path

from host_sim.lab import flows
from host_sim.lab.network import LabError
from host_sim.venue import kernel
from tools.bench.capture import NEEDS as _CAPTURE
from tools.bench.capture import rest, wait
from tools.bench.gateway import Gateway
from tools.bench.peers import PEERS, Running
from tools.bench.population import Population, Row

NEEDS = (*_CAPTURE, "ulogd")
_LIFETIME = 600  # s
_PORTLESS = (kernel.ICMP, kernel.ICMPV6)


def _flow(row: Row, number: int) -> kernel.Flow:
    """Return a row as an entry of the table, towards a server of its own, so that no two are one."""
    family = kernel.INET if len(row.address) == 4 else kernel.INET6
    server = (
        b"\x0a" + number.to_bytes(3, "big")
        if family == kernel.INET
        else bytes.fromhex("20010db8") + number.to_bytes(12, "big")
    )
    public = flows.WAN if family == kernel.INET else row.address
    echo = (128, 129) if row.protocol == kernel.ICMPV6 else (8, 0)
    port = 0 if row.protocol in _PORTLESS else row.destination_port
    return kernel.Flow(
        family=family, protocol=row.protocol, source=row.address, destination=server, source_port=row.source_port,
        destination_port=port, reply_source=server, reply_destination=public, reply_source_port=port,
        reply_destination_port=row.translated_port, status=kernel.SEEN_REPLY | kernel.CONFIRMED | kernel.ASSURED,
        start=0, state=kernel.TIME_WAIT * (row.protocol == kernel.TCP), icmp_type=echo[0],
        reply_icmp_type=echo[1], bytes_up=0, bytes_down=0,
    )  # fmt: skip


def text(population: Population, folder: Path) -> tuple[int, float]:
    """Return the octets of its text, and its CPU seconds; LabError where a line is missing."""
    peer = next(one for one in PEERS if one.name == "ulogd2 text")
    made = [_flow(row, number) for number, row in enumerate(population.rows)]
    with Gateway([]) as gateway:
        running = Running(peer, folder / "peer", gateway.command)
        try:
            wait(gateway.listening, running)
            rest(gateway, running)
            before = running.cpu()
            gateway.fill(flows.requests(made, _LIFETIME), [], len(made))
            gateway.flush()
            wait(lambda: gateway.tracked() == 0 and gateway.unread() == 0, running)
            rest(gateway, running)
            cpu = running.cpu() - before
            known = running.finish()
        finally:
            running.kill()
    if known != len(made):
        raise LabError(f"{peer.name} has {known} lines of {len(made)}")
    return (folder / "peer/out").stat().st_size, cpu
