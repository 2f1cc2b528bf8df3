# SPDX-License-Identifier: Apache-2.0
"""Cuts of power at every operation on flash of a gateway's story: what holds of ledger and spool (EXP-6, ANON-5).

    python|micropython -m host_sim.faults.cuts SEED ROUNDS [VARIANT]

The story is the agent's own code over `host_sim.faults.flash`: hours are counted, a day is opened and spent on,
messages are spooled, delivered, trimmed. Power is cut before each operation in turn, and in the middle of each sync.
After the next boot has looked at what is left it is cut again, in the middle of that boot's own work. Each round leaves
other parts of what wasn't synced. What must hold:

- whoever was told "spent" finds it spent after the cut: on the side of silence, never of a free start;
- the ledger is one that was written, whole; of the hours at most the one being written is lost;
- a message whose spooling was acknowledged is there, octet for octet, unless its removal had begun;
- what is listed as a message is a whole one; nothing is left that nobody owns once the boot has trimmed.

Prints JSON: cuts, what was found false by kind, and the octets and syncs that the story costs. Runs on MicroPython too.
"""

import sys

from agent.outbox.spool import Spool
from agent.runtime import files
from agent.summary.ledger import Ledger
from host_sim.faults import cutter
from host_sim.faults.flash import PREFIX, no_file_sync

LEDGER, FOLDER = PREFIX + "/ledger", PREFIX + "/spool"
DAY, SECOND = 20775, 20775 * 86400 + 14400
EPSILON, CEILING = 1000, 2000
OCTETS, DAYS = 2000, 7
MESSAGE = b'{"schema":"oubli/arrivals/1","slot":%02d}'
STEPS = 14


class Story(cutter.Story):
    """What a gateway does to its flash, and what it was told. `wrong` counts what was false, by kind."""

    def __init__(self) -> None:
        super().__init__()
        self.known = False  # whether a ledger is surely on flash
        self.spent = 0  # thousandths of epsilon that a start was granted
        self.written: "list[int]" = []  # powered-on hours of every ledger that may be on flash
        self.hours = 0  # that are surely on flash
        self.kept: "dict[str, bytes]" = {}  # messages whose spooling was acknowledged
        self.trying: "dict[str, bytes]" = {}  # those that may or may not be there

    def live(self) -> None:
        """Boot, look at what is there, and work; PowerCut may come at any operation."""
        said: "list[str]" = []
        ledger = Ledger(LEDGER, said.append)
        if not self.known:
            said.clear()
            if not ledger.begin():  # root's word: the device is new
                self.blame("a new device isn't known as new")
            self.known = True
        spool = Spool(FOLDER, OCTETS, DAYS)
        self.look(ledger, spool, said)
        spool.trim(SECOND)
        names = spool.names()
        for name in list(self.kept):
            if name not in names:
                if not spool.dropped:
                    self.blame("a message is lost")
                del self.kept[name]
        if any(name.startswith(".") for name in files.os.listdir(FOLDER)):
            self.blame("something is left that nobody owns")
        if ledger.start(DAY, EPSILON, CEILING):
            self.spent += EPSILON
        for step in range(STEPS):
            self.put(spool, step)
            if step % 3 == 1:
                self.deliver(spool)
            if step % 4 == 3:
                self.written.append(ledger["hours"] + 1)
                ledger.hour(SECOND + step)
                self.hours = ledger["hours"]
                spool.trim(SECOND + step)
                for name in list(self.kept):
                    if name not in spool.names():
                        del self.kept[name]

    def put(self, spool: Spool, slot: int) -> None:
        """Spool a message."""
        due, text = SECOND + slot * 60, MESSAGE % slot + b" " * (200 + 80 * slot)
        name = "%012d-arrivals-%02d" % (due, slot)
        self.trying[name] = text
        spool.put(due, "arrivals", slot, text)
        self.kept[name] = text

    def deliver(self, spool: Spool) -> None:
        """Do what the forwarder does after the broker's acknowledgement."""
        name = spool.names()[0]
        self.kept.pop(name, None)
        files.remove(FOLDER + "/" + name)

    def look(self, ledger: Ledger, spool: Spool, said: "list[str]") -> None:
        """Hold what a boot finds against what was told before."""
        if said:
            self.blame("the ledger can't be read")
        elif ledger["spent"] < min(self.spent, CEILING):
            self.blame("what was counted on isn't spent")
        if not said and not self.hours <= ledger["hours"] <= max(self.written + [0]):
            self.blame("powered-on hours are lost, or made up")
        self.hours = ledger["hours"]
        for name in spool.names():
            text = files.read_bounded(FOLDER + "/" + name, 4096)
            if text != self.trying[name]:
                self.blame("a message isn't whole")


def no_folder_sync() -> None:
    """Leave out the sync that makes a rename last."""
    files.sync_folder = lambda path: None  # noqa: ARG005 (the real one's parameter)


def in_place() -> None:
    """Write a file under its own name."""

    def write(path: str, data: "bytes | memoryview", mode: int = 0o600, *, durable: bool = True) -> None:
        descriptor = files.open_file(path, ("O_CREAT",), mode)
        files.truncate(descriptor, 0)
        files.write_all(descriptor, data, len(data))
        if durable:
            files.LIBC.call("fsync", descriptor)
        files.LIBC.call("close", descriptor)
        files.sync_folder(path.rsplit("/", 1)[0])

    files.write_atomic = write


def ledger_after_counting() -> None:
    """Say "spent" first, and write it with the next hour."""
    start, save = Ledger.start, Ledger.save

    def early(self: Ledger, day: int, epsilon: int, ceiling: int) -> bool:
        Ledger.save = lambda self: None  # type: ignore[method-assign] # noqa: ARG005 (the real one's)
        try:
            return start(self, day, epsilon, ceiling)
        finally:
            Ledger.save = save  # type: ignore[method-assign]

    Ledger.start = early  # type: ignore[method-assign]


VARIANTS = {
    "no-folder-sync": no_folder_sync,
    "no-file-sync": no_file_sync,
    "in-place": in_place,
    "ledger-after-counting": ledger_after_counting,
}


TYPE_CHECKING = False
if TYPE_CHECKING:
    pass

if __name__ == "__main__":
    if len(sys.argv) > 3:
        VARIANTS[sys.argv[3]]()
    cutter.tell(cutter.run(Story, (FOLDER,), int(sys.argv[1]), int(sys.argv[2]), 12))
