# SPDX-License-Identifier: Apache-2.0
"""When anything may be seen: at random moments, so that no time shows load, not even to the nanosecond (ANON-4).

A loop that terminals keep busy is late. So nothing appears at the end of a slot or at a whole second, but at a moment
drawn from the system's random source. The recorder writes a file within MADE after the slot's end (health: after each
PERIOD since boot). The forwarder sends within a window that begins after MADE and HANG: HANG is the longest that the
recorder's loop may take, its alarm ends it then. The forwarder knows its window by what stands in a file's name, or by
the clock alone. When the file was made doesn't count.

A connection is kept by PINGREQ at drawn moments too. Each is drawn from the former's moment, not from when that went
out, so that lateness doesn't add up, and whatever was published meanwhile.

What remains: lateness by d moves a window of w, so it shows with a chance of d / w at most
(total variation). Chances add up over a day:

    what                  how often                 window
    files                 312                       120 s
    health, on the wire   288                       150 s
    figures               28, in 24 turns           510 s
    PINGREQ               524                        90 s

d is what a busy terminal adds to a loop's lateness. For the 0.1 to 0.3 ms that `host_sim/privacy/instants.py` measures,
and attacks, that is 0.31 % in all (PINGREQ: `host_sim/privacy/pings.py`); for a loop that is 10 ms late at every moment
it is 10 %.

Where the broker was away, what waited goes when a connection stands, after a random wait too. That wait ends within
`mqtt.spread` of when it was lost (a second where the broker is on the gateway itself).
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
    """Return when the next PINGREQ is sent, ns since boot: 1/2 to 7/8 of `keepalive` (s) after the former's moment."""
    return former + keepalive * _SECOND // 2 + drawn(random, keepalive * _SECOND * 3 // 8)


def _next(monotonic: int) -> int:
    return (monotonic // PERIOD + 1) * PERIOD


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable
