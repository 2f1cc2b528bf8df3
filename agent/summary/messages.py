# SPDX-License-Identifier: Apache-2.0
"""What leaves the gateway, octet by octet: JSON of one shape and one length a kind (ANON-3, ANON-4).

Written out key by key, so that both interpreters make the same octets and no key comes and goes. Numbers only, and
words of closed lists: there is no place for terminal data.
"""

from agent.base.dates import date
from agent.summary.metrics import half_width

SUMMARY_OCTETS = 320
HEALTH_OCTETS = 1280
_FLAGS = {True: "true", False: "false"}


def _pad(text: str, octets: int) -> bytes:
    if len(text) > octets:
        raise ValueError("message longer than its fixed length")
    return (text + " " * (octets - len(text))).encode()


def summary(
    gateway: str, metric: "Metric", day: int, slot: int, start: int, end: int, values: "list[int]", b: "tuple[int, int]"
) -> bytes:
    """Return one summary message: a noisy integer for each of the metric's cells, in their order.

    Start (of counting) and end in seconds since the epoch, b as a fraction, 95 % half-width ceil(3b).
    """
    text = (
        '{"schema":"oubli/%s/1","gateway":"%s","day":"%s","slot":%d,"start":%d,"end":%d,"unit":"%s",'
        '"values":[%s],"b":[%d,%d],"half_width":%d}'
    ) % (
        metric.name,
        gateway,
        date(day),
        slot,
        start,
        end,
        metric.unit,
        ",".join([str(value) for value in values]),
        b[0],
        b[1],
        half_width(b),
    )
    return _pad(text, SUMMARY_OCTETS)


def health(gateway: str, time: int, facts: "dict[str, Any]") -> bytes:
    """Return the health message; every fact is of the device itself.

    `facts`: purposes (name, on, late), keys (days left, None: not needed), capture, clock, day, spent, ceiling, duty,
    tls. audit has number and hash of the newest checkpoint. doctor has the names of what the newest examination found,
    None: there was none since the boot.
    """
    purposes = ['"%s":{"on":%s,"late":%s}' % (name, _FLAGS[on], _FLAGS[late]) for name, on, late in facts["purposes"]]
    text = (
        '{"schema":"oubli/health/1","gateway":"%s","time":%d,"purposes":{%s},"keys":%s,"capture":"%s",'
        '"clock":"%s","ledger":{"day":"%s","spent":%d,"ceiling":%d},"duty":"%s","audit":{"checkpoints":%d,"head":"%s"},'
        '"tls":%s,"doctor":%s}'
    ) % (
        gateway,
        time,
        ",".join(purposes),
        "null" if facts["keys"] is None else str(facts["keys"]),
        facts["capture"],
        facts["clock"],
        date(facts["day"]),
        facts["spent"],
        facts["ceiling"],
        facts["duty"],
        facts["audit"][0],
        facts["audit"][1],
        _FLAGS[facts["tls"]],
        "null" if facts["doctor"] is None else "[" + ",".join(['"' + name + '"' for name in facts["doctor"]]) + "]",
    )
    return _pad(text, HEALTH_OCTETS)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.summary.metrics import Metric
