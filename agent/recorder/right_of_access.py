# SPDX-License-Identifier: Apache-2.0
"""The right of access (law 78-17, GDPR art. 15, to which L34-1 VI refers): what this device holds on one terminal.

Records of the stores that it can read, and what it holds in those that it can't, with their end. Two may ask:

- the person at the terminal, on the gateway's page, for the terminal that holds the address the request comes from;
- an operator, with her agreement, by `oubli who`.

The audit log says that somebody looked, never at whom.

The stores are read by a child process of the recorder's (agent.control.server). It yields to everything else, so that
capture goes on. Nothing of a record stays in memory. One look is taken at a time, but for the operator's, who needn't
wait for the page.
"""

from agent import law
from agent.control import calls
from agent.runtime.sodium import SealError
from agent.summary.services import CLASSES, PROTOCOLS
from agent.vault import reading
from agent.vault.segment import VersionError

STEP = 100  # records after which a line is sent, whether or not one of them is this terminal's: so that nobody gives up
ROWS = 10  # of this terminal in one line
_TENTHS = 10


def _security(root: str, mac: bytes, wall: "int | None", monotonic: int) -> "Generator[dict[str, Any] | None]":
    """Yield the rows of `security`: of `mac` as `row_of` says, None for each of another terminal.

    `wall` is ns since the epoch, None while the clock isn't trusted; `monotonic` is ns since boot. OSError and
    SealError where a segment goes meanwhile, VersionError for one of another version.
    """
    records = reading.read(root, "security", wall, monotonic)
    try:
        for record in records:
            yield row_of(record) if record.mac == mac else None
    finally:
        records.close()  # MicroPython doesn't end a generator that is given up


def _services(root: str, mac: bytes, wall: "int | None", monotonic: int) -> "Generator[dict[str, Any] | None]":
    """Yield the rows of `services`, as `_security` does."""
    from agent.purposes.consent import consent_ring
    from agent.purposes.services import record as services

    found = consent_ring.read(root, "services", wall, monotonic)
    try:
        for packed in found:
            record = services.unpack(packed)
            yield row_of(record) if record.mac == mac else None
    finally:
        found.close()


def row_of(record: "Record") -> "dict[str, Any]":
    """Return what is told of a record of `security` or `services`.

    `start` is in s since the epoch, `seconds` how long it lasted; tenths are cut off.
    """
    row = {"start": record.start // _TENTHS, "seconds": record.duration // _TENTHS, "service": CLASSES[record.service]}
    row["protocol"] = PROTOCOLS.get(record.protocol, str(record.protocol))
    row["address"] = _address(record.address)
    for name in ("source_port", "translated_port", "bytes_up", "bytes_down", "packets_up", "packets_down"):
        row[name] = getattr(record, name)
    return row


def _address(octets: bytes) -> str:
    """Return 4 or 16 octets as text."""
    if len(octets) == 4:
        return ".".join([str(octet) for octet in octets])
    return ":".join(["%02x%02x" % (octets[at], octets[at + 1]) for at in range(0, 16, 2)])


def _location(root: str, mac: bytes, wall: "int | None", monotonic: int) -> "Generator[dict[str, Any] | None]":
    """Yield the rows of `location`, as `_security` does: start in s since the epoch, how many seconds, where."""
    from agent.purposes.consent import consent_ring
    from agent.purposes.location import record as location

    found = consent_ring.read(root, "location", wall, monotonic)
    try:
        for packed in found:
            whose, start, end, access_point = location.unpack(packed)
            yield (
                {"start": start, "seconds": end - start, "access_point": access_point.decode()}
                if whose == mac
                else None
            )
    finally:
        found.close()


# Each store that this device can read: every record of it, None for those of other terminals.
_READERS = {"security": _security, "services": _services, "location": _location}


class RightOfAccess:
    """Looks into one recorder's stores; `holder(address)` answers the MAC that holds an address now."""

    def __init__(self, recorder: "Recorder", holder: "Callable[[bytes], bytes | None]") -> None:
        self._recorder = recorder
        self._holder = holder

    def look(self, fields: "dict[str, Any]", by: str) -> "Generator[dict[str, Any]]":
        """Begin to look; the answers are lines. `by` is who asks, as the audit log is to say it.

        Refused where it isn't clear at whom, or the audit log can't take it.
        """
        recorder = self._recorder
        own = not fields["agreed"]
        if own and fields["address"] is None:
            raise calls.Refused(
                "access: neither own nor agreed; accepted: address, of who asks; or agreed 1, where she has agreed"
            )
        if not own and by not in calls.STAFF:
            raise calls.Refused("access.agreed: not for a portal; accepted: address, of who asks")
        mac = calls.named(fields, self._holder)
        if len(recorder.orders.children) > (0 if own else 1):
            raise calls.Refused("somebody else is looking; accepted: again in a moment")
        # Where the log has no room left a guest's look is counted: nobody can take the right from others by asking.
        if not recorder.audit.note("look" if own else "access", by) and not own:
            raise calls.Refused("the audit log can't take it; accepted: again once it can")
        return self._lines(mac)

    def _lines(self, mac: bytes) -> "Generator[dict[str, Any]]":
        """Yield what there is in all, then records, then how many they were.

        Refused, between two lines, where a store can't be read now.
        """
        recorder = self._recorder
        purposes = recorder.config.purposes
        yield _also_held(recorder, mac)
        source = recorder.clock.source
        wall = source.wall() if recorder.clock.trusted else None
        counts = {}
        for name in sorted(purposes):
            if law.purpose(name).custody == law.CUSTODIAN:
                continue
            counts[name], seen, rows = 0, 0, []
            found = _READERS[name](recorder.paths.root, mac, wall, source.monotonic())
            try:
                for row in found:
                    seen += 1
                    if row is not None:
                        counts[name] += 1
                        rows.append(row)
                    if seen % STEP == 0 or len(rows) == ROWS:
                        yield {"purpose": name, "rows": rows}
                        rows = []
            except VersionError:
                raise calls.Refused(
                    name + " has a segment of a version that this one doesn't know; accepted: once that is due"
                )
            except (OSError, SealError):
                raise calls.Refused(name + " changed while it was read; accepted: once more")
            finally:
                found.close()
            yield {"purpose": name, "rows": rows}
        for name, row in _unsealed(recorder, mac):
            counts[name] = counts.get(name, 0) + 1
            yield {"purpose": name, "rows": [row]}
        own = {"consents": [], "objects": False, "changes": 0, "on": [], "unreadable": False}
        if recorder.groups.consented is not None:
            own = recorder.groups.consented.own({"terminal": mac, "address": None})
        told = {name: own[name] for name in ("changes", "on")}  # on: what of a consent is applied at all
        told.update({name: None if own["unreadable"] else own[name] for name in ("consents", "objects")})
        told["records"] = counts
        yield told


def _unsealed(recorder: "Recorder", mac: bytes) -> "Iterator[tuple[str, dict[str, Any]]]":
    """Yield (purpose, row) of what waits to be sealed; nothing without the package of the purposes."""
    try:
        from agent.purposes import present
    except ImportError:
        return iter(())
    return present.unsealed(recorder, mac, _address)


def _also_held(recorder: "Recorder", mac: bytes) -> "dict[str, Any]":
    """Return what is held beside the stores, and the sealed ones; nothing without the package of the purposes."""
    try:
        from agent.purposes import present
    except ImportError:
        return {"sealed": [], "held": {}}
    return present.also_held(recorder, mac, _address)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Generator, Iterator

    from agent.recorder.recorder import Recorder
    from agent.vault.record import Record
