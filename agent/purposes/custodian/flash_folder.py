# SPDX-License-Identifier: Apache-2.0
"""Where a custodian's store lies on flash: its index of segments, whether the medium is there or refuses (EXP-6).

Flash that refuses is said in `status` by cause and asked again after a minute; capture goes on. A file system that must
be mounted and isn't is never written below: what is written there would fill the router's own flash, unseen.
"""

from agent.purposes.custodian.segment_index import DAY, SegmentIndex
from agent.runtime import files

RETRY = 60000000000  # ns between two tries at flash that refuses
ENOSPC, ENODEV = 28, 19  # below 35 a number means the same on every processor, and MicroPython's errno lacks most names
_SECOND = 1000000000
_CAUSES = {
    ENOSPC: "no room",
    122: "no room",
    1133: "no room",
    30: "read-only",
    ENODEV: "not mounted",
    13: "read-only",
    1: "read-only",
}  # EDQUOT (MIPS), EROFS, EACCES, EPERM


class FlashFolder:
    """The folder of one store; `mount`: what must be mounted there before anything is written, "" for nothing.

    `most`: days for which it keeps anything.
    """

    def __init__(self, folder: str, mount: str, most: int, time: "StoreTime") -> None:
        self.segments = SegmentIndex(folder, most)
        self.refusal = ""  # why it refused the last time, "" where it didn't
        self.ready = False  # its index has been looked through
        self._mount = mount
        self._time = time
        self._again = 0  # ns since boot
        self._syncs = [0, 0]  # in this day since boot, in the one before
        self._day = 0

    def require(self) -> None:
        """Raise OSError where what must be mounted isn't: nothing of the index is known then."""
        if self._mount and not files.is_mount(self._mount):
            self.clear()
            raise OSError(ENODEV, "")

    def clear(self) -> None:
        """Forget what lies here until it is looked through again."""
        self.ready = False
        self.segments = SegmentIndex(self.segments.folder, self.segments.most)

    def make(self) -> None:
        """Make the folder where it isn't there."""
        folder = self.segments.folder
        if not files.exists(folder):
            files.make_folder(folder, 0o700)
            files.sync_folder(folder.rsplit("/", 1)[0])

    def refused(self, failure: Exception) -> None:
        """Take note that it refused."""
        number = failure.errno if isinstance(failure, OSError) else None
        self.refusal = _CAUSES.get(number or 0, "store")
        self._again = self._time.monotonic + RETRY

    def willing(self) -> bool:
        """Return True if it may be asked: it hasn't just refused."""
        return self.ready and self.rested()

    def rested(self) -> bool:
        """Return True if it hasn't refused within the last minute."""
        return not self.refusal or self._time.monotonic >= self._again

    def sync(self, descriptor: int) -> None:
        """Sync a file."""
        files.sync(descriptor)
        self._syncs[0] += 1

    def sync_folder(self) -> None:
        """Sync the folder: names that came stay, and names that went don't come back."""
        files.sync_folder(self.segments.folder)
        self._syncs[0] += 1

    def turn(self) -> None:
        """Begin to count the syncs of another day where one is over."""
        today = self._time.monotonic // (DAY * _SECOND)
        if today > self._day:
            self._syncs = [0, self._syncs[0] if today == self._day + 1 else 0]
            self._day = today

    def syncs_a_day(self, monotonic: int) -> int:
        """Return how many syncs a day takes, from the one before or from this one so far; `monotonic` ns."""
        today = monotonic % (DAY * _SECOND)
        return max(self._syncs[1], self._syncs[0] * DAY * _SECOND // max(today, 3600 * _SECOND))


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.purposes.custodian.segment_index import StoreTime
