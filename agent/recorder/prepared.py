# SPDX-License-Identifier: Apache-2.0
"""What the fast path works out once and looks up from then on (agent.recorder.fast_path).

Of a message's layout: where its values stand. Of a class: where it has its bit. Of a record: what form its rest has.
"""

from struct import calcsize

from agent.capture.connections import ICMP, ICMPV6, TCP, UDP
from agent.summary import services
from agent.summary.terminals import CLASSES_AT
from agent.vault.record import CODES, LEAST

# Fields that are read in place, one by one.
_NUMBERS = (
    "source_port",
    "destination_port",
    "translated_port",
    "packets_up",
    "bytes_up",
    "packets_down",
    "bytes_down",
)
_IPV4 = 4  # octets of an address
# Bits of a form: what has two octets; without the octets up and down.
LONG_DURATION, LONG_DELTA, UP, DOWN, LONG = 1, 2, 4, 8, 16


class Prepared:
    """What a stream's connections have in common; `timeouts` says how long each protocol lasts.

    `spots`: where in a row of the day's table each class has its bit. `formats`, `sizes`: what a record's numbers look
    like, and how long it is then, by a form's bits, once it was asked for.
    """

    def __init__(self, decoder: "Decoder", timeouts: "Timeouts") -> None:
        self._first = decoder.first
        self._timeouts = timeouts
        self.spots = tuple(
            [(CLASSES_AT + (service >> 3), 1 << (service & 7)) for service in range(len(services.CLASSES))]
        )
        self.formats = [""] * (LONG + UP)
        self.sizes = bytearray(LONG + UP)
        # What depends on the protocol alone: its code in a record, least octets of a packet,
        # class of each port, class of other ports.
        self._protocols = {}
        for protocol in (TCP, UDP, ICMP, ICMPV6):
            code = CODES[protocol]
            self._protocols[protocol] = (
                code,
                LEAST[code],
                services.PORTS.get(protocol, {}).get,
                services.service_of(protocol, 0),
            )

    def parts(self, key: int, buffer: "Any") -> "tuple[Any, ...] | None":
        """Return what a run asks of the layout of the message at the buffer's start; None: it isn't ordinary.

        It stands in the layout's `placed`, behind the buffer that it was made for. Then come the octets there that are
        the layout's heads, and what they must be.
        """
        layout = self._first(key, buffer, 0)
        if layout is None or not layout.accounted or not layout.stamped or layout.protocol not in self._protocols:
            return None
        if layout.placed[0] is not buffer:
            pattern, protocol = layout.pattern, layout.protocol
            ipv4 = layout.octets == _IPV4
            address = pattern.numbers("word3" if ipv4 else "word0", 2, layout.octets >> 1)
            numbers = [pattern.numbers(name) for name in _NUMBERS] + [
                pattern.numbers(name, 4) for name in ("start", "stop")
            ]
            parts = (
                pattern.message,
                layout,
                ipv4,
                layout.near,
                layout.answers,
                layout.state,
                layout.status,
                layout.timed,
                address,
            )
            more = self._protocols[protocol] + (self._timeouts.lasting[protocol],)
            layout.placed = buffer, pattern.there, pattern.wanted, parts + tuple(numbers) + more
        return layout.placed[3]

    def make_form(self, form: int) -> None:
        """Make a form.

        Its fields: duration, end, lower octet of the port, octets up and down, each but the port's of one or two
        octets.
        """
        numbers = ["H" if form & bit else "B" for bit in (LONG_DURATION, LONG_DELTA, 0, UP, DOWN)]
        self.formats[form] = ">" + "".join(numbers[:3] if form & LONG else numbers)
        self.sizes[form] = calcsize(self.formats[form])


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.capture.connections import Decoder
    from agent.capture.timeouts import Timeouts
