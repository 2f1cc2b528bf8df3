# SPDX-License-Identifier: Apache-2.0
"""When anything may be seen: at moments drawn at random, so that no load shows in a time, not even to the nanosecond (ANON-4).

A loop that terminals keep busy is late. So nothing appears at the end of a slot or at a whole second, but at a moment drawn from the
system's random source: a file of the recorder's within MADE after the slot's end (health: after each PERIOD since boot), what the
forwarder sends within a window that begins only once the recorder's is over and HANG more, the longest that its loop may take (its
alarm ends it then). By what stands in a file's name, or by the clock alone, the forwarder knows its window: when the file was made
doesn't count.

A connection is kept by PINGREQ at drawn moments too: each is drawn from the former's moment, not from when that went out, so that
lateness doesn't add up, and whatever was published meanwhile.

What remains: lateness by d moves a window of w, so it shows with a chance of d / w at most (total variation), whoever measures it how
ever well, and chances add up. A day has 288 health messages, 28 figures in 24 turns and 524 PINGREQ: in the times of files 312 d / 120 s,
on the wire 288 d / 150 s + 28 d / 510 s + 524 d / 90 s, d being what a busy terminal adds to a loop's lateness: 0.31 % in all for the 0.1
to 0.3 ms that `host_sim/privacy/instants.py` measures, and attacks (PINGREQ: `host_sim/privacy/pings.py`); 10 % for a loop that is 10 ms
late at every moment. Where the broker was away, what waited goes when a connection stands: after a random wait too, within `mqtt.spread`
of when it was lost (a second where the broker is on the gateway itself).
"""

_SECOND = 1000000000
PERIOD = 300 * _SECOND  # of health
MADE = 120 * _SECOND  # the window of what the recorder makes
HANG = 30  # seconds after which a loop that doesn't turn is ended
SETTLE = 150  # seconds from a slot's end to the window of its message: MADE and HANG
SENT = 510 * _SECOND  # that window; 660 s after the slot all is over
KEEPALIVE = 240  # seconds in which a broker hears of a client; it gives up after one and a half


def drawn(random: "Callable[[int], bytes]", window: int) -> int:
    """Return a number of ns below `window`, all of them as likely, to 1 part in 2^24."""
    return (int.from_bytes(random(8), "big") * window) >> 64


def health_made(monotonic: int, random: "Callable[[int], bytes]") -> int:
    """Return when the next health message is made, ns since boot."""
    return _next(monotonic) + drawn(random, MADE)


def health_sent(monotonic: int, random: "Callable[[int], bytes]") -> int:
    """Return when the next health message is looked for, ns since boot."""
    begins = SETTLE * _SECOND
    return _next(monotonic) + begins + drawn(random, PERIOD - begins)


def ping(former: int, keepalive: int, random: "Callable[[int], bytes]") -> int:
    """Return when the next PINGREQ is sent, ns since boot: after one half to seven eighths of `keepalive` (s) from the former's moment."""
    return former + keepalive * _SECOND // 2 + drawn(random, keepalive * _SECOND * 3 // 8)


def _next(monotonic: int) -> int:
    return (monotonic // PERIOD + 1) * PERIOD


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable
