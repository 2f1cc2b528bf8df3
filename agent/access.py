# SPDX-License-Identifier: Apache-2.0
"""`oubli who`: the right of access (law 78-17, GDPR art. 15, to which L34-1 VI refers).

What this device holds on one terminal in stores that it can read, and what it holds in those it can't, with their end. The stores are
read in this process, as root, and not in the recorder: capture goes on meanwhile, and whose data it was is told to nobody. The recorder
only learns that somebody looked, and puts that on the audit log first.
"""

import sys

from agent import canonical, dates, law
from agent.command import UsageError
from agent.control.calls import terminal
from agent.runtime.clocks import DeviceTime
from agent.runtime.sodium import SealError
from agent.summary.services import CLASSES
from agent.vault import ring

_NAMES = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmp6"}
_TENTHS = 10


def _security(root: str, mac: bytes, wall: "int | None", monotonic: int) -> "Iterator[dict[str, Any]]":
    for record in ring.read(root, "security", wall, monotonic):
        if record.mac == mac:
            yield _row(record)


def _services(root: str, mac: bytes, wall: "int | None", monotonic: int) -> "Iterator[dict[str, Any]]":
    from agent.vault import consent_ring, services

    for packed in consent_ring.read(root, "services", wall, monotonic):
        record = services.unpack(packed)
        if record.mac == mac:
            yield _row(record)


def _row(record: "Record") -> "dict[str, Any]":
    row = {"start": record.start // _TENTHS, "seconds": record.duration // _TENTHS, "service": CLASSES[record.service]}
    row["protocol"] = _NAMES.get(record.protocol, str(record.protocol))
    row["address"] = _address(record.address)
    for name in ("source_port", "translated_port", "bytes_up", "bytes_down", "packets_up", "packets_down"):
        row[name] = getattr(record, name)
    return row


def _written(row: "dict[str, Any]") -> str:
    flow = row["protocol"] + " " + row["service"] + ", from " + row["address"] + " port " + str(row["source_port"])
    flow += " (outside " + str(row["translated_port"]) + "), " + str(row["bytes_up"]) + " bytes up, " + str(row["bytes_down"]) + " down"
    return "  " + dates.moment(row["start"]) + ", " + str(row["seconds"]) + " s, " + flow


def _address(octets: bytes) -> str:
    if len(octets) == 4:
        return ".".join([str(octet) for octet in octets])
    return ":".join(["%02x%02x" % (octets[at], octets[at + 1]) for at in range(0, 16, 2)])


def _location(root: str, mac: bytes, wall: "int | None", monotonic: int) -> "Iterator[dict[str, Any]]":
    from agent.vault import consent_ring, location

    for packed in consent_ring.read(root, "location", wall, monotonic):
        whose, start, end, access_point = location.unpack(packed)
        if whose == mac:
            yield {"start": start, "seconds": end - start, "access_point": access_point.decode()}


def _placed(row: "dict[str, Any]") -> str:
    return "  " + dates.moment(row["start"]) + ", " + str(row["seconds"]) + " s, access point " + row["access_point"]


# Each store that this device can read: its records of one terminal, and how one is written.
_READERS = {"security": (_security, _written), "services": (_services, _written), "location": (_location, _placed)}


def show(line: "Line") -> int:
    """Show what is held on --mac, record by record: there may be more of them than a small heap holds."""
    if "--agreed" not in line:
        raise UsageError("who: --agreed is missing; accepted: who --mac MAC --agreed, where the person at the terminal has asked for it")
    source = DeviceTime()
    answer = line.ask("access")
    if answer is None:
        return 1
    mac, as_json = terminal(line["--mac"]), "--json" in line
    wall = source.wall() if answer["clock"] == "trusted" else None
    counts = {}
    for name in answer["readable"]:
        counts[name] = 0
        read, written = _READERS[name]
        try:
            for row in read(line.paths.root, mac, wall, source.monotonic()):
                counts[name] += 1
                print(canonical.dumps(row) if as_json else written(row))
        except (OSError, SealError):
            sys.stderr.write("oubli: " + name + " changed while it was read, or this isn't root; accepted: once more, as root\n")
            return 1
    consents = line.ask("consent own", terminal=line["--mac"])
    if consents is None:
        return 1
    agreed = consents["consents"]
    return line.show(
        {"records": counts, "sealed": answer["sealed"], "consents": agreed}, _summary(counts, answer["sealed"]) + _agreed(agreed)
    )


def _agreed(consents: "list[dict[str, Any]]") -> "list[str]":
    """Return lines on the consents of this terminal that are remembered (L34-V-2)."""
    out = []
    for one in consents:
        what = (
            ", ".join(one["purposes"]) + ": " + one["state"] + " since " + dates.moment(one["since"]) + ", ends " + dates.moment(one["end"])
        )
        out.append("consent to " + what + "; third parties: " + one["third_parties"] + "; text " + one["text"])
    return out


def _summary(counts: "dict[str, int]", sealed: "list[dict[str, Any]]") -> "list[str]":
    out = [str(counts[name]) + " records of this terminal in " + name + " (" + law.purpose(name).paragraph + ")" for name in sorted(counts)]
    for store in sealed:
        out.append(store["purpose"] + " (" + law.purpose(store["purpose"]).paragraph + "): sealed, this device can't read it; each record")
        out.append("  goes " + law.duration(store["lifetime_seconds"]) + " after it began at the latest; the custodian answers for it")
    out.append("the day's anonymous sums may have one row of it, under a key that is destroyed at 03:00 UTC;")
    out.append("its addresses are in memory as long as it has them, and while connections of it last")
    return out


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

    from agent.command import Line
    from agent.vault.record import Record
