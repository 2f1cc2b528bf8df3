# SPDX-License-Identifier: Apache-2.0
"""The sealed files of one custodian store on flash: which there are, and when each one goes (EXP-1, EXP-4).

A segment goes when any holds: the trusted wall clock is past its destroy day; of the same boot, the time since boot; of
another boot, the powered-on hours. All are counted from 00:00 of the day whose key it has: never late. By the first two
it goes early by at most a day. The hours are rounded up, twice and once for each boot, so by them it goes as many hours
earlier. Plain lists of small numbers: a year of segments is a few kilobytes of a small heap, and what is due is found
without a look at the files.
"""

from agent.purposes.custodian import sealed
from agent.runtime import files
from agent.vault.stores import name_of

DAY = 86400
NEVER = 1 << 29  # more days, seconds since a boot or hours than there will be
# Seconds; what goes earlier than this by the wall clock, quartz apart, was named by a clock that was stepped since
SLACK = 2
PPM = 100  # how wrong a quartz may be


class StoreTime:
    """The time of one store; nothing of it is trusted before the first look.

    hours       of this device, powered on, as expiry reads them; `floor`: what the time is at least (s)
    wall        and `monotonic` in ns; `trusted`: the wall clock is
    """

    def __init__(self, hours: "Callable[[], int]", floor: "Callable[[], int]") -> None:
        self.hours = hours
        self.floor = floor
        self.wall = self.monotonic = 0
        self.trusted = False

    def least(self) -> int:
        """Return what the time is at least, in seconds: the trusted wall clock, else the floor."""
        return self.wall // 1000000000 if self.trusted else self.floor()


class SegmentIndex:
    """The segments below `folder`, in no order; `octets` and `records` over all of them.

    A segment is known by its index until one goes. None is kept for more than `most` days: a lifetime that was
    shortened holds for what there is, too.
    """

    def __init__(self, folder: str, most: int) -> None:
        self.folder = folder
        self.most = most
        self.octets = self.records = 0
        self.days: "list[int]" = []
        self.numbers: "list[int]" = []
        self.until: "list[int]" = []  # by the wall clock, day
        self._seconds: "list[int]" = []  # since boot
        self._hours: "list[int]" = []  # powered on
        self._octets: "list[int]" = []
        self._records: "list[int]" = []
        self._soonest = (0, 0, 0)

    def __len__(self) -> int:
        """Return how many segments there are."""
        return len(self.days)

    def path(self, day: int, number: int) -> str:
        """Return where a segment lies."""
        return self.folder + "/" + name_of(day, number)

    def next_number(self, day: int) -> int:
        """Return a number that no segment of a day has."""
        last = max([number for other, number in zip(self.days, self.numbers) if other == day] or [0])
        while files.exists(self.path(day, last + 1)):
            last += 1
        return last + 1

    def add(self, header: sealed.Sealed, boot: str, octets: int, records: int) -> None:
        """Take a segment in; `boot` is the present one."""
        days = min(header.destroy - header.day, self.most)
        same = header.boot == boot
        self.days.append(header.day)
        self.numbers.append(header.number)
        self.until.append(header.day + days)
        self._seconds.append(min(header.anchor // 1000000000 + days * DAY, NEVER) if same else NEVER)
        self._hours.append(NEVER if same else min(header.hours + days * 24, NEVER))
        self._octets.append(0)
        self._records.append(0)
        self.grow(len(self.days) - 1, octets, records)
        self._soonest = (0, 0, 0)

    def find(self, day: int, number: int) -> int:
        """Return a segment's index; ValueError where it isn't here."""
        for index in range(len(self.days)):
            if self.days[index] == day and self.numbers[index] == number:
                return index
        raise ValueError

    def grow(self, index: int, octets: int, records: int) -> None:
        """Note that a segment has become longer."""
        self._octets[index] += octets
        self._records[index] += records
        self.octets += octets
        self.records += records

    def due(self, day: int, seconds: int, hours: int) -> int:
        """Return the index of a segment that must go by now, -1 where none must.

        `day` -1: the wall clock isn't trusted.
        """
        soonest = self._soonest
        if day < soonest[0] and seconds < soonest[1] and hours < soonest[2]:
            return -1
        for index in range(len(self.days)):
            if day >= self.until[index] or seconds >= self._seconds[index] or hours >= self._hours[index]:
                return index
        self._soonest = min(self.until + [NEVER]), min(self._seconds + [NEVER]), min(self._hours + [NEVER])
        return -1

    def early(self, index: int, now: "int | None", seconds: int) -> str:
        """Return by what a segment goes too early, trusted wall clock or time since boot (both s); "" for neither.

        "hours", or "clock": one that was named by the floor after a boot is younger
        by the time since boot than its day says. While the time isn't known (None), "hours" for whatever they make due.
        """
        if now is None:
            return "hours" if self._hours[index] != NEVER else ""
        if self._seconds[index] != NEVER and self._seconds[index] - seconds > DAY:
            return "clock"
        left = self.until[index] * DAY - now
        if self._hours[index] != NEVER:
            return "hours" if left > 0 else ""
        slack = SLACK + (self.until[index] - self.days[index]) * DAY * PPM // 1000000
        return "clock" if left > slack else ""

    def drop(self, index: int) -> int:
        """Remove a segment's file and forget it; returns how many records it had.

        OSError where the file system refuses.
        """
        files.remove(self.path(self.days[index], self.numbers[index]))
        records = self._records[index]
        self.grow(index, -self._octets[index], -records)
        for column in (self.days, self.numbers, self.until, self._seconds, self._hours, self._octets, self._records):
            column.pop(index)
        return records


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable
