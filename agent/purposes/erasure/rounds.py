# SPDX-License-Identifier: Apache-2.0
"""Erasure of what `security` keeps of single terminals (GDPR art. 17, L34-VI-5).

`oubli erase --mac`, and a button of the guests' page.

Its segments are sealed anew without those terminals, a segment a turn of the recorder's loop, so that capture goes on
meanwhile. The old keys are overwritten at once. Whoever asks while that goes on waits for the next round, together with
all others who ask. A round begins a minute after the former one at the earliest: nobody makes the gateway do nothing
else. What ends after that is kept as before. MACs that wait are in memory, and in no file.
"""

from agent.control import calls
from agent.purposes import also_held
from agent.purposes.erasure.copied import Copied, Owner
from agent.purposes.purposes import Purposes
from agent.runtime import memory
from agent.runtime.sodium import SealError
from agent.vault.segment import PAGE

WAITING = 64  # terminals that may wait for a round; those of the operator's orders come beside
PAUSE = 60 * 1000000000  # ns between two rounds


class Erasure(Purposes):
    """The rounds over a recorder's store of `security`; `holder(address)` answers the MAC that holds an address now."""

    def __init__(self, recorder: "Recorder", ring: "Ring", holder: "Callable[[bytes], bytes | None]") -> None:
        self._recorder = recorder
        self._ring = ring
        self._holder = holder
        self._waiting: "set[bytes]" = set()
        self._present: "set[bytes]" = set()
        self._round: "Generator[int] | None" = None
        self._next = 0

    def begin(self, fields: "dict[str, Any]", by: str) -> "dict[str, Any]":
        """Take a terminal in for the next round, end its consents; says what can't be erased here, with its end.

        `unreadable`: none of its consents could be ended, for flash refuses all of them.
        """
        recorder, mac = self._recorder, calls.named(fields, self._holder)
        new = not self._pending(mac)
        if new and len(self._waiting) >= WAITING and by not in calls.STAFF:
            raise calls.Refused("too many terminals wait for their erasure; accepted: again in a minute")
        self._waiting.add(mac)
        answer: "dict[str, Any]" = {"withdrawn": 0, "destroyed": 0, "durable": True, "unreadable": False}
        if recorder.groups.consented is not None:
            try:
                answer.update(recorder.groups.consented.forget(mac, by))
            except calls.Refused:  # what can be erased is, and the answer doesn't say "all"
                answer.update({"durable": False, "unreadable": True})
        if new:
            recorder.audit.note("erase", "terminal", by)
        answer["sealed"] = [list(one) for one in also_held.sealed(recorder.config, recorder.paths)]
        return answer

    def state(self, fields: "dict[str, Any]") -> "dict[str, Any]":
        """Return True if the erasure of a terminal still goes on."""
        return {"erasing": self._pending(calls.named(fields, self._holder))}

    def _pending(self, mac: bytes) -> bool:
        return mac in self._waiting or mac in self._present

    def work(self, monotonic: int) -> bool:
        """Seal one segment anew, where a round goes on or is due; False where there is nothing to do now.

        Time in ns.
        """
        if self._round is None:
            if not self._waiting or monotonic < self._next:
                return False
            self._present, self._waiting = self._waiting, set()
            self._round = without(self._ring, self._present)
        for records in self._round:
            self._recorder.counters.add("erased", records)
            return True
        self._present, self._round = set(), None
        self._next = monotonic + PAUSE
        memory.overwrite_freed()
        return False

    def close(self, wall: int) -> None:  # noqa: ARG002
        """Let go of a round that goes on: whoever waits asks again once another recorder runs."""
        if self._round is not None:
            self._round.close()
            self._round = None


def without(ring: "Ring", macs: "set[bytes]") -> "Generator[int]":
    """Seal every segment of now anew, without these terminals' records; yields how many went of each.

    One that can't be read, or copied for want of room, goes whole, and what else it held is counted as lost.
    """
    scratch = memory.scratch(4 * PAGE)
    try:
        for slot in ring.segments():
            gone, unread = 0, False
            try:
                for record in ring.records(slot, scratch):
                    gone += record.mac in macs
            except (OSError, SealError):
                unread = True
            if gone or unread:
                ring.exchange(slot, _others(ring.records(slot, scratch), macs), slot.records - gone)
            yield gone
    finally:
        scratch.wipe()
        scratch.close()


def _others(records: "Iterator[Record]", macs: "set[bytes]") -> "Generator[tuple[Any, Any, int]]":
    """Yield the records of other terminals as the packer takes them."""
    copied, owner = Copied(), Owner()
    for record in records:
        if record.mac not in macs:
            copied.take(record)
            yield copied, owner.take(record), copied.end


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Generator, Iterator

    from agent.recorder.recorder import Recorder
    from agent.vault.record import Record
    from agent.vault.ring import Ring
