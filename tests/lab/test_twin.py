# SPDX-License-Identifier: Apache-2.0
"""Lab and simulator agree: the same connections on the real kernel and on the simulated one give the same records."""

from collections import Counter
from pathlib import Path

import pytest

from agent.vault.record import Record
from host_sim.lab import twin
from host_sim.lab.lab import LIFETIME, Lab
from host_sim.lab.reader import Reader
from host_sim.venue import kernel
from tests.host_sim.test_kernel import attributes

pytestmark = [pytest.mark.needs("root", "ip", "nft", "conntrack", "mosquitto")]
CONNECTIONS = 200


def told(record: Record) -> tuple[object, ...]:
    """Return everything that a record says but when and by which ports."""
    counts = (record.bytes_up, record.bytes_down, record.packets_up, record.packets_down)
    return (bytes(record.mac), bytes(record.address), record.protocol, record.service, *counts)


def whole(record: Record) -> tuple[object, ...]:
    """Return everything that a record says."""
    return (*told(record), record.source_port, record.translated_port, record.start, record.duration)


def test_the_same_connections_give_the_same_records_in_lab_and_simulator(tmp_path: Path) -> None:
    """200 conversations with every ending.

    The simulated DESTROY differ from the kernel's own in nothing that the agent could see.
    """
    with Lab() as lab:
        reader = Reader(lab.network, lab.folder)
        reader.start()
        try:
            lab.start()
            lab.confirm_time()
            lab.traffic(CONNECTIONS)
            lab.settle()
            real, seen = lab.records(), lab.witness.seen()
            datagrams = list(kernel.records((lab.folder / "reader.bin").read_bytes()))
        finally:
            reader.stop()
        terminals = lab.network.terminals
    addresses = _addresses(terminals)
    theirs = [one for one in seen if one.source in addresses]
    for interpreter in ("cpython", "micropython"):
        folder = tmp_path / interpreter
        folder.mkdir()
        simulated = twin.records(theirs, terminals, LIFETIME, folder, interpreter)
        assert len(real) == CONNECTIONS
        assert Counter(map(told, simulated)) == Counter(map(told, real))
        assert Counter(map(whole, simulated)) == Counter(map(whole, real))
    shapes = Counter(_shape(datagram) for datagram in datagrams)
    made = Counter(_shape(kernel.conntrack("destroy", twin.flow(one))) for one in seen)
    assert set(made) <= set(shapes)  # every layout that the simulator writes is one that this kernel wrote


def _addresses(terminals: list) -> set[bytes]:
    return {twin.packed(address) for terminal in terminals for address in (terminal.address4, terminal.address6)}


def _shape(datagram: bytes) -> tuple[object, ...]:
    """Return kind, family and the attributes with their widths, in order."""
    return (datagram[4:8], datagram[16], tuple((path, len(value)) for path, value in attributes(datagram[20:])))
