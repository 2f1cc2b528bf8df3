# SPDX-License-Identifier: Apache-2.0
"""Loss-free mode of the event socket, and when it would harm the network.

With NETLINK_BROADCAST_ERROR the kernel keeps a DESTROY that couldn't be delivered and tries again: nothing is lost,
ENOBUFS means nothing. The price: what is undelivered stays in the connection table. So the mode is held on two
conditions. The table is less than three quarters full, and its free entries exceed 40 s of the last hour's peak rate of
new connections. It is taken up again at half that fill with twice that reserve. A recorder that hangs can't leave the
mode itself: `alarm` ends it (main loop), `oubli-watch` does where it is stopped, and the kernel lets go.

Outside the mode each message that the kernel drops is a connection lost, and the socket's drop counter says how many.
ENOBUFS doesn't: it is said once, and not again before the buffer has been emptied.
"""

_SECOND = 1000000000
RESERVE = 40  # seconds of the peak rate
_SPAN = 10  # seconds over which a rate is taken
_MINUTES = 60  # how long a peak counts


class LossFree:
    """Decides each second.

    `read(name)` returns a conntrack setting, `switch(on)` sets the mode of the socket, `drops()` returns how many
    messages the kernel has dropped for it (32 bits). `on` says whether a dropped message comes again, `fill` how full
    the table is, in per cent, `lost` how many messages were dropped for good.
    """

    def __init__(
        self, read: "Callable[[str], int | None]", switch: "Callable[[bool], None]", drops: "Callable[[], int]"
    ) -> None:
        self._read = read
        self._switch = switch
        self._drops = drops
        self.on = False
        self.fill = self.lost = 0
        self._seen = 0  # dropped before
        self._peaks: "list[int]" = []  # connections in _SPAN seconds, the most in each of the last minutes
        self._next = self._span_end = self._minute_end = 0
        self._before = 0

    def tick(self, monotonic: int, ended: int) -> None:
        """Look at the table, once a second; `ended` counts the connections whose end was read since the start."""
        if monotonic < self._next:
            return
        self._next = monotonic + _SECOND
        keep = self._safe(monotonic, ended + self.lost)
        # What is dropped while the mode changes counts as lost: drops count from the last look inside the mode on.
        if self.on:
            self._seen = self._drops()
            if not keep:
                self._switch(False)
        else:
            if keep:
                self._switch(True)
            dropped = self._drops()
            self.lost += (dropped - self._seen) & 0xFFFFFFFF
            self._seen = dropped
        self.on = keep

    def _safe(self, monotonic: int, ended: int) -> bool:
        """Return True if the network can afford the mode; never where the table can't be read."""
        count, limit = self._read("count"), self._read("max")
        if count is None or not limit:
            self.fill = 100
            return False
        # New connections of this span so far = ended ones + growth of the table.
        made = max(0, ended + count - self._before) if self._peaks else 0
        if monotonic >= self._minute_end:
            self._minute_end = monotonic + 60 * _SECOND
            self._peaks = self._peaks[1 - _MINUTES :] + [made]
        elif made > self._peaks[-1]:
            self._peaks[-1] = made
        if monotonic >= self._span_end:
            self._span_end = monotonic + _SPAN * _SECOND
            self._before = ended + count
        self.fill = 100 * count // limit
        reserve = RESERVE * max(self._peaks) // _SPAN
        margin = 1 if self.on else 2
        return margin * 4 * count < 3 * limit and limit - count > margin * reserve


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable
