# SPDX-License-Identifier: Apache-2.0
"""The simulator's netlink bytes are the kernel's.

Every recorded datagram, read by a reader of this file's own and written again by host_sim.venue.kernel, must come out
equal to the byte. Its big-endian form must be what a big-endian kernel writes.
"""

import struct
from collections import Counter
from pathlib import Path

import pytest

from host_sim.venue import kernel

VECTORS = Path(__file__).parent.parent / "vectors"
MIXED = (VECTORS / "ctnetlink" / "mixed-873.bin").read_bytes()
EVENTS: dict[tuple[int, ...], kernel.Event] = {
    (0x100, 2): "entry",
    (0x100, 0x600): "new",
    (0x100, 0): "update",
    (0x102, 0): "destroy",
}


def attributes(data: bytes, order: str = "<", path: tuple[int, ...] = ()) -> list[tuple[tuple[int, ...], bytes]]:
    """Returns (path of attribute numbers, value) in the order of the datagram."""
    found, place = [], 0
    while place < len(data):
        length, number = struct.unpack_from(order + "HH", data, place)
        value = data[place + 4 : place + length]
        if number & 0x8000:
            found += attributes(value, order, (*path, number & 0x7FFF))
        else:
            found.append(((*path, number), value))
        place += (length + 3) & ~3
    return found


def flow_of(datagram: bytes) -> tuple[kernel.Event, kernel.Flow]:
    """Reads a recorded datagram, independently of host_sim.venue.kernel."""
    values = dict(attributes(datagram[20:]))

    def number(*path: int) -> int:
        return int.from_bytes(values.get(path, b""), "big")

    family, protocol = datagram[16], number(1, 2, 1)
    icmp = {1: 4, 58: 7}.get(protocol)
    source, destination = ((1, 1, 1), (1, 1, 2)) if family == 2 else ((1, 1, 3), (1, 1, 4))
    flow = kernel.Flow(
        family=family,
        protocol=protocol,
        source=values[source],
        destination=values[destination],
        source_port=number(1, 2, icmp or 2),
        destination_port=number(1, 2, 3),
        reply_source=values[(2, *source[1:])],
        reply_destination=values[(2, *destination[1:])],
        reply_source_port=number(2, 2, 2),
        reply_destination_port=number(2, 2, icmp or 3),
        status=number(3),
        start=number(20, 1),
        stop=number(20, 2),
        id=number(12),
        timeout=number(7) if (7,) in values else None,
        packets_up=number(9, 1),
        bytes_up=number(9, 2),
        packets_down=number(10, 1),
        bytes_down=number(10, 2),
        state=number(4, 1, 1),
        event=number(27),
        use=number(11),
        scale_up=number(4, 1, 2),
        scale_down=number(4, 1, 3),
        flags_up=values.get((4, 1, 4), b""),
        flags_down=values.get((4, 1, 5), b""),
        mark=number(8) if (8,) in values else None,
    )
    if icmp:
        flow.icmp_type, flow.icmp_code = number(1, 2, icmp + 1), number(1, 2, icmp + 2)
        flow.reply_icmp_type = number(2, 2, icmp + 1)
    return EVENTS[struct.unpack_from("<HH", datagram, 4)], flow


def test_every_recorded_event_is_written_again_equal_to_the_byte() -> None:
    """191 NEW, 491 UPDATE, 191 DESTROY: attribute orders, widths, padding, flags and values."""
    seen: Counter[str] = Counter()
    for datagram in kernel.records(MIXED):
        event, flow = flow_of(datagram)
        assert kernel.conntrack(event, flow) == datagram
        seen[event] += 1
    assert seen == {"new": 191, "update": 491, "destroy": 191}


def test_destroys_with_mark_timeout_and_other_protocols_are_written_as_recorded() -> None:
    """variants.bin: destination NAT, rewritten port, mark, UDP, GRE, ESP, IGMP.

    Its NEW carry labels, which we never send.
    """
    seen: Counter[int] = Counter()
    for datagram in kernel.records((VECTORS / "ctnetlink" / "variants.bin").read_bytes()):
        if datagram[4:6] == b"\x02\x01":
            event, flow = flow_of(datagram)
            written = kernel.conntrack(event, flow)
            # bytes 8-16: sequence and port id of the process that flushed the table; an expiry carries zeros
            assert (written[:8], written[16:]) == (datagram[:8], datagram[16:])
            seen[flow.protocol] += 1
    assert seen == {2: 1, 17: 4, 47: 1, 50: 1}


def test_a_line_of_a_listing_is_written_as_recorded() -> None:
    """dump.bin: the order of a listing is another one than an event's; labels, which we never send, are left out."""
    listed, done = kernel.records((VECTORS / "ctnetlink" / "dump.bin").read_bytes())
    event, flow = flow_of(listed)
    written = kernel.conntrack(event, flow)
    assert event == "entry"
    assert attributes(written[20:]) == [one for one in attributes(listed[20:]) if one[0] != (22,)]
    assert (written[4:12], written[16:20]) == (listed[4:12], listed[16:20])
    assert kernel.done()[:12] + kernel.done()[16:] == done[:12] + done[16:]
    assert kernel.conntrack(event, flow, "big") == kernel.reencode(written)
    assert kernel.done("big") == kernel.reencode(kernel.done())


def test_neighbour_messages_are_written_as_recorded() -> None:
    """RTM_NEWNEIGH of both families, a real kernel's."""
    recorded = list(kernel.records((VECTORS / "rtnetlink" / "neighbours.bin").read_bytes()))
    for datagram in recorded[:2]:
        values = dict(attributes(datagram[28:]))
        (probes,), (confirmed, used, updated, references) = (
            struct.unpack("<I", values[4,]),
            struct.unpack("<4I", values[3,]),
        )
        entry = kernel.Neighbour(values[1,], values[2,], probes, (confirmed, used, updated, references))
        assert kernel.neighbour(entry) == datagram
        assert kernel.neighbour(entry, "big") == kernel.reencode(datagram)
    assert recorded[2][4] == 29  # DELNEIGH: listened to, never made


@pytest.mark.parametrize(
    "name", ["ctnetlink/mixed-873.bin", "ctnetlink/variants.bin", "ctnetlink/dump.bin", "rtnetlink/neighbours.bin"]
)
def test_reencoding_twice_gives_the_original(name: str) -> None:
    """The helper that makes big-endian recordings is its own inverse, and changes every datagram."""
    for datagram in kernel.records((VECTORS / name).read_bytes()):
        big = kernel.reencode(datagram)
        assert big != datagram
        assert len(big) == len(datagram)
        assert struct.unpack_from(">IHHII", big) == struct.unpack_from("<IHHII", datagram)
        assert kernel.reencode(big, "big") == datagram


def test_a_big_endian_datagram_has_its_fields_where_the_headers_say() -> None:
    """Independent of the helper: the first DESTROY's fields by hand, big-endian, at the README's offsets."""
    little = next(d for d in kernel.records(MIXED) if d[4:6] == b"\x02\x01" and len(d) == 252)
    big = kernel.reencode(little)
    assert struct.unpack_from(">IHHII", big) == (252, 0x102, 0, 0, 0)
    assert big[16:20] == little[16:20] == bytes((2, 0, 0, 0))
    assert struct.unpack_from(">HH", big, 20) == (52, 0x8001)
    assert struct.unpack_from(">HHB", big, 48) == (5, 1, 6)
    assert struct.unpack_from(">HHHHHHHH", big, 56) == (
        6,
        2,
        *struct.unpack_from(">H", little, 60),
        0,
        6,
        3,
        *struct.unpack_from(">H", little, 68),
        0,
    )
    assert [value for _, value in attributes(big[20:], ">")] == [value for _, value in attributes(little[20:])]
    assert [path for path, _ in attributes(big[20:], ">")] == [path for path, _ in attributes(little[20:])]


def test_both_byte_orders_are_written_by_one_layout() -> None:
    """Writing big-endian equals re-encoding what was written little-endian, for every recorded shape."""
    for datagram in kernel.records(MIXED):
        event, flow = flow_of(datagram)
        assert kernel.conntrack(event, flow, "big") == kernel.reencode(datagram)
