# SPDX-License-Identifier: Apache-2.0
"""`oubli lookup`: an operator follows a report of abuse, for the security of the network (L34-II-6).

He looks into `security` alone, at one terminal or one public port, over 24 hours at most. The audit log has his reason,
and nothing of whom it was about. A record is in a window that it touches; a connection that hasn't ended is in none
yet. Of what was before the end of the oldest record nothing is known: it is forgotten, or the recorder didn't run.
"""

from agent.control import calls
from agent.runtime.sodium import SealError
from agent.vault import reading
from agent.vault.segment import VersionError

_DAY = 86400
_TENTHS, _SECOND = 10, 1000000000
_STEP, _ROWS = 100, 10  # records after which a line is sent, rows in one line
_PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "icmp6": 58}


def begin(
    recorder: "Recorder",
    holder: "Callable[[bytes], bytes | None]",
    row_of: "Callable[[Record], dict[str, Any]]",
    fields: "dict[str, Any]",
    by: str,
    *,
    second_nat: bool,
) -> "Generator[dict[str, Any]]":
    """Begin to look up; the answers are lines. Refused where the question is too wide, or the audit log can't take it.

    `holder(address)` answers the MAC that holds an address now, `row_of(record)` what is told of a record.
    `by` is who asks, as the audit log is to say it.
    """
    port = fields["port"]
    if "security" not in recorder.config.purposes:
        raise calls.Refused("lookup: security isn't on; accepted: once it is")
    if not fields["from"] <= fields["until"] <= fields["from"] + _DAY:
        raise calls.Refused(
            "lookup.until: before from, or more than 24 h after it (L34-II-6); accepted: at most 24 h after from"
        )
    about = fields["terminal"] is not None or fields["address"] is not None
    if (
        about == (port is not None)
        or (port is None) != (fields["protocol"] is None)
        or (about and fields["public_address"] is not None)
    ):
        raise calls.Refused("lookup: not one question (L34-II-6); accepted: a port and its protocol, or a terminal")
    mac = calls.named(fields, holder) if about else b""
    if len(recorder.orders.children) > 1:
        raise calls.Refused("somebody else is looking; accepted: again in a moment")
    if not recorder.audit.note("lookup", fields["reason"], fields["report"] or 0, by):
        raise calls.Refused("the audit log can't take it; accepted: again once it can")
    first, last, public = fields["from"] * _TENTHS, fields["until"] * _TENTHS + _TENTHS - 1, fields["public_address"]

    def wanted(record: "Record") -> bool:
        if record.start > last or record.start + record.duration < first:
            return False
        if about:
            return record.mac == mac
        if record.translated_port != port or record.protocol != _PROTOCOLS[fields["protocol"]]:
            return False
        # Without translation an IPv6 terminal's own address is the public one; of IPv4 no record has the gateway's.
        return public is None or (record.address == public if len(public) == 16 else len(record.address) == 4)

    certain = recorder.clock.certain(fields["from"] * _SECOND, fields["until"] * _SECOND + _SECOND)
    clock = "doubtful" if recorder.clock.trusted and not certain else recorder.clock.state
    told = {
        "clock": clock,
        "second_nat": second_nat and not about,
        "public_address": "" if about or (public and len(public) == 16) else "unknown",
    }
    return _lines(recorder, wanted, row_of, told, fields["from"], fields["until"])


def _lines(
    recorder: "Recorder",
    wanted: "Callable[[Record], bool]",
    row_of: "Callable[[Record], dict[str, Any]]",
    told: "dict[str, Any]",
    since: int,
    until: int,
) -> "Generator[dict[str, Any]]":
    """Yield the rows that are wanted, a few a line, then how many there were.

    After some records comes a line whether or not there is a row.

    The last line is `told`, which has the clock's state too: its times are as good as that. "doubtful": it is trusted,
    and has shown those times before it was, or was set meanwhile.
    """
    source = recorder.clock.source
    found = reading.read(
        recorder.paths.root, "security", source.wall() if recorder.clock.trusted else None, source.monotonic()
    )
    seen = count = 0
    oldest = (until + 1) * _TENTHS
    rows: "list[dict[str, Any]]" = []
    try:
        for record in found:
            seen += 1
            oldest = min(oldest, record.start + record.duration)
            if wanted(record):
                row = row_of(record)
                row["terminal"] = ":".join(["%02x" % octet for octet in record.mac]) if any(record.mac) else "unknown"
                rows.append(row)
                count += 1
            if seen % _STEP == 0 or len(rows) == _ROWS:
                yield {"rows": rows}
                rows = []
    except (OSError, SealError, VersionError):
        raise calls.Refused(
            "security changed while it was read, or has a segment of another version; accepted: once more"
        )
    finally:
        found.close()  # MicroPython doesn't end a generator that is given up
    yield {"rows": rows}
    told["records"] = count
    if oldest >= (since + 1) * _TENTHS:
        told["unknown_before"] = oldest // _TENTHS
    yield told


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Generator

    from agent.recorder.recorder import Recorder
    from agent.vault.record import Record
