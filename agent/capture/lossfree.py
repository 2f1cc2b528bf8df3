# SPDX-License-Identifier: Apache-2.0
"""Loss-free mode, and when it would harm the network (DESIGN.md "Capture").

With NETLINK_BROADCAST_ERROR the kernel keeps a DESTROY that couldn't be delivered and tries again: nothing is lost, ENOBUFS
means nothing. The price: what is undelivered stays in the connection table. So the mode is held only while the table is less
than three quarters full *and* its free entries exceed 40 s of the last hour's peak rate of new connections; it is taken up
again at half that fill with twice that reserve. A recorder that hangs can't leave the mode itself: `alarm` ends it (main loop),
`oubli-watch` does where it is stopped, and the kernel lets go.
"""

_SECOND = 1000000000
RESERVE = 40  # seconds of the peak rate
_SPAN = 10  # seconds over which a rate is taken
_MINUTES = 60  # how long a peak counts


class LossFree:
    """Decides each second; `read(name)` returns a conntrack setting, `switch(on)` sets the mode of the socket.

    `on` says whether ENOBUFS means nothing now.
    """

    def __init__(self, read: "Callable[[str], int | None]", switch: "Callable[[bool], None]") -> None:
        self._read = read
        self._switch = switch
        self.on = False
        self.fill = 0  # per cent
        self._peaks: "list[int]" = []  # connections in _SPAN seconds, the most in each of the last minutes
        self._next = self._span_end = self._minute_end = 0
        self._before = 0

    def tick(self, monotonic: int, ended: int) -> None:
        """Look at the table, once a second; `ended` counts the connections whose end was read since the start."""
        if monotonic < self._next:
            return
        self._next = monotonic + _SECOND
        count, limit = self._read("count"), self._read("max")
        if not count or not limit:
            count, limit = count or 0, limit or 0
        if monotonic >= self._span_end:
            # New connections = ended ones + growth of the table.
            made = max(0, ended + count - self._before) if self._span_end else 0
            self._before = ended + count
            self._span_end = monotonic + _SPAN * _SECOND
            if monotonic >= self._minute_end:
                self._minute_end = monotonic + 60 * _SECOND
                self._peaks = self._peaks[1 - _MINUTES :] + [made]
            elif made > self._peaks[-1]:
                self._peaks[-1] = made
        self.fill = 100 * count // limit if limit else 100
        reserve = RESERVE * max(self._peaks) // _SPAN
        margin = 1 if self.on else 2
        keep = margin * 4 * count < 3 * limit and limit - count > margin * reserve
        if keep != self.on:
            self.on = keep
            self._switch(keep)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable
