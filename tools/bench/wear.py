# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench wear`: what a café's day writes to flash with `attribution` on, and how many years flash bears it.

The mode is blocks.

The real recorder lives through the day on `host_sim.faults.flash` (EXP-6); each sync of it is noted: how much of the
file was there before, how much is there now. So the same day is read for each size of page: a sync programs the file's
pages from the first one that changed on, and one more for the file system's own metadata. The kernel's part is a fake
of one rule: a terminal with a block leaves by a port of it.

Years are a quarter of the flash times its erase cycles, over what is programmed in a day. The firmware and what never
changes have the rest. The file system's own moving of what is old isn't in it. `worst` is for a flash that erases a
whole block for each sync, as an SD card without a cache may. The forwarder only removes messages; a year's store loses
a segment a day more: one sync.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from agent.base.paths import Paths
from agent.config import config as configuration
from agent.purposes.custodian.budget import Sum
from agent.purposes.custodian.waiting import DAY
from agent.runtime import files
from agent.summary.messages import SUMMARY_OCTETS
from agent.summary.metrics import MESSAGES
from agent.summary.published import DAYS
from host_sim.driver import seeded, stage, stage_device
from host_sim.faults import flash as model
from host_sim.faults.cells import Node, common
from host_sim.venue import scenario, tape
from host_sim.venue.world import World
from tools.bench.rounds import Tell
from tools.bench.sheets import Sheet
from tools.custodian import bundles
from tools.custodian.segments import EPOCH
from tools.package import board

SECOND = 10**9
PAGES = {"nor": 256, "nand": 2048, "emmc": 4096, "sd": 4096, "ssd": 4096}  # octets that each kind programs at once
SHARE = 4  # a part of the flash takes all the wear
YEAR = 365  # days
LENGTH = DAY  # seconds that are lived through
BLOCK, SYNC = 512, 15  # ports a terminal, minutes: the defaults of /etc/config/oubli
_LIFETIME = 365  # days, of attribution: the default
_SYSCTL = {"events": 1, "acct": 1, "timestamp": 1}
_RATE = 100_000  # events a second: nothing waits
_CONFIG = """\
config gateway 'gateway'
	option id 'aaaaaaaaaaaaaaaa'
	option duty 'oubli'
config purpose 'attribution'
	option enabled '1'
	option ground 'IIbis-3'
	option reference 'oubli-bench wear'
	option budget '999999999'
	option block_size '{block}'
config summary 'summary'
	option rows '{rows}'
config vault 'vault'
	option sync_minutes '{sync}'
"""


class Noted(model.Flash):
    """A flash that notes each sync: the agent's part, octets as they were (-1: it is a folder's), octets there now."""

    def __init__(self, prefix: str) -> None:
        super().__init__(model.Dice(1), 1 << 30, prefix)
        self.notes: list[tuple[str, int, int]] = []
        self.unsynced: list[tuple[str, int, int]] = []

    def put(self, day: int, place: int, text: bytes) -> None:
        """Stand in for `agent.summary.published`, which doesn't sync: the kernel writes a page back, and metadata."""
        at = (day % DAYS * MESSAGES + place) * SUMMARY_OCTETS
        self.unsynced.append(("published", at, at + len(text)))

    def _sync(self, target: "str | Node") -> None:
        if isinstance(target, str):
            changed = [name for name, _ in self.pending if name.rsplit("/", 1)[0] == target]
            self.notes.append((self.part((changed or [target])[-1]), -1, 0))
        else:
            name = next(name for name, node in self.names.items() if node is target)
            same = common(target.safe, target.seen)
            self.notes.append((self.part(name), same, len(target.seen)))
        super()._sync(target)

    def part(self, path: str) -> str:
        """Return which part of the agent writes there: the name below its folder, without write_atomic's ending."""
        words = path[len(self.prefix) + 1 :].replace("oubli-spool", "oubli/spool").removeprefix("oubli/").split("/")
        name = words[min(words[0] == "vault", len(words) - 1)].removeprefix(".").removesuffix(".new")
        return "ledger" if name.startswith("ledger-") else name  # a mark beside it


def programmed(notes: list[tuple[str, int, int]], page: int) -> int:
    """Return the octets that these syncs program on a flash with pages of so many octets."""
    octets = 0
    for _, same, size in notes:
        octets += page + (-(-(size - same // page * page) // page) * page if same >= 0 else 0)
    return octets


class _Kernel:
    """The kernel's table of blocks: it knows by which port a connection leaves."""

    devices: Any = ()

    def __init__(self) -> None:
        self.blocks: dict[bytes, tuple[int, int]] = {}
        self.sources: set[bytes] = set()  # of connections that leave: a lease each
        self.given = 0

    def load(self, _rest: tuple[int, int]) -> None:
        self.blocks.clear()

    def stands(self) -> bool:
        return True

    def remove(self) -> None:
        self.blocks.clear()

    def give(self, address: bytes, _block: int, first: int, last: int) -> None:
        self.given += self.blocks.get(address) != (first, last)
        self.blocks[address] = first, last

    def take(self, address: bytes, _block: int) -> None:
        self.blocks.pop(address, None)

    def port(self, address: bytes, port: int) -> int:
        """Return what a port becomes: one of the block, of the `rest` where there is none."""
        first, last = self.blocks.get(address, (1024, 16383))
        return port if first <= port <= last else first + port % (last - first + 1)


def _heard(text: str) -> None:
    """Take a line of the recorder's log: where the model can't do what a flash can, the figures would be wrong."""
    if "flash refuse" in text or "can't be written" in text:
        raise RuntimeError(f"wear: {text}")


class _Gateway(stage.Stage):
    """The stage, played from the world without a pipe, until a day is over."""

    def __init__(self, root: Path, visitors: int, block: int, sync: int, seed: int) -> None:
        (root / "etc").mkdir()
        (root / "etc/config").write_text(_CONFIG.format(rows=max(4 * visitors, 64), block=block, sync=sync))
        draw = seeded.SeededRandom(str(seed))
        plan = scenario.load("cafe-day")
        self.world = World(replace(plan, crowd=replace(plan.crowd, visitors=visitors)), seed)
        self.paths = Paths(str(root))
        self.flash = Noted(self.paths.root + "/srv")
        self.kernel = _Kernel()
        config = configuration.load(str(root / "etc/config"))
        device = stage_device.Device(config, str(root), {**plan.network.timeouts, **_SYSCTL}, draw, draw, _RATE, _heard)
        super().__init__(device)
        # It counts what is given over the day
        device.blocks = lambda: self.kernel  # type: ignore[method-assign]
        self._tape = self._day()
        self._left = b""
        model.mount(self.flash)
        self._keys()
        self.flash.notes.clear()
        self.flash.cells.programmed = self.flash.syncs = 0
        self.counted: dict[str, int] = {}

    def _keys(self) -> None:
        """Install a custodian's bundle for the two dates that a day touches, and one before."""
        signing, first = SigningKey.generate(), self.world.scenario.start // SECOND // DAY - 1
        dates = [EPOCH + timedelta(days=first + number) for number in range(4)]
        rows = [
            bundles.Row("attribution", day, bytes(PrivateKey.generate().public_key), day + timedelta(days=_LIFETIME))
            for day in dates
        ]
        files.make_folder(self.paths.flash.bundles, 0o755)
        files.write_atomic(self.paths.flash.bundles + "/one", bundles.write(dates[0], rows, signing), 0o644)
        anchor = Path(self.paths.etc.anchor)
        anchor.parent.mkdir(parents=True)
        anchor.write_text(bytes(signing.verify_key).hex() + "\n")
        anchor.chmod(0o644)

    def _day(self) -> Iterator[bytes]:
        end = self.world.scenario.start + LENGTH * SECOND
        for step in self.world.steps():
            if step.wall >= end:
                break
            yield step.encoded()
        yield tape.entry(tape.REPORT, end)  # the timers until then run
        yield tape.entry(tape.STOP, end)

    def _fill(self, view: memoryview) -> bool:
        while len(self._left) < len(view):
            self._left += next(self._tape)
        view[:] = self._left[: len(view)]
        self._left = self._left[len(view) :]
        return True

    def _start(self, true: int, length: int) -> None:
        super()._start(true, length)
        self.recorder.day.releases.published.put = self.flash.put
        blocks = self.recorder.groups.deferred.attribution.holdings.blocks
        covers = blocks.covers

        def covering(source: bytes, port: int, mac: bytes, start: int, now: int) -> bool:
            self.kernel.sources.add(source)
            return covers(source, self.kernel.port(source, port), mac, start, now)

        blocks.covers = covering

    def _report(self, true: int, length: int) -> None:  # noqa: ARG002 (the stage's)
        self._tick()
        self.counted = dict(self.recorder.counters.values)
        self.notes = self.flash.notes + self.flash.unsynced
        self.stored = self.recorder.kept.by_name["attribution"].status(self.time.monotonic())["bytes"]
        self.programmed, self.syncs = self.flash.cells.programmed, self.flash.syncs


def size(*, quick: bool) -> int:
    """Return how many terminals the day has where nothing else is asked for."""
    return 20 if quick else 200


def measure(visitors: int, block: int, sync: int, seed: int, tell: Tell) -> dict[str, Any]:
    """Live through the day; RuntimeError where a record of attribution was lost.

    `block` in ports, `sync` in minutes.
    """
    tell(f"a day of {visitors} terminals")
    former = {name: getattr(files, name) for name in ("LIBC", "os", "names", "read_at")}
    with tempfile.TemporaryDirectory(prefix="oubli-bench-") as folder:
        try:
            gateway = _Gateway(Path(folder), visitors, block, sync, seed)
            gateway.play()
        finally:
            for name, value in former.items():
                setattr(files, name, value)
    lost = {name: count for name, count in gateway.counted.items() if name.startswith("lost: ") and count}
    if lost:
        raise RuntimeError(f"wear: {lost}")
    notes = gateway.notes
    parts, syncs = Counter(part for part, *_ in notes), Counter(part for part, *_ in notes[: gateway.syncs])
    sizes = sorted(set(PAGES.values()))
    return {
        "terminals": visitors,
        "block_size": block,
        "sync_minutes": sync,
        "connections": gateway.counted["connections"],
        "in_a_block": gateway.counted["in a block"],
        "attributed": gateway.counted["attributed"],
        "no_public_address": gateway.counted["no public address"],
        "blocks_given": gateway.kernel.given,
        "stored": gateway.stored,
        "leases": len(gateway.kernel.sources),
        "declared": Sum("blocks", len(gateway.kernel.sources) * 4, _LIFETIME * DAY, sync, block).daily,
        "syncs": gateway.syncs,
        "programmed": {str(page): programmed(notes, page) for page in sizes},
        "model": {
            "page": model.PAGE,
            "programmed": gateway.programmed,
            "ours": programmed(notes[: gateway.syncs], model.PAGE),
        },
        "parts": [
            {
                "part": part,
                "writes": count,
                "syncs": syncs[part],
                "programmed": {
                    str(page): programmed([note for note in notes if note[0] == part], page) for page in sizes
                },
            }
            for part, count in parts.most_common()
        ],
        "boards": [_board(name, notes) for name in board.names()],
    }


def _board(name: str, notes: list[tuple[str, int, int]]) -> dict[str, Any]:
    flash = board.load(name).data["flash"]
    page = PAGES[flash["kind"]]
    octets, block = programmed(notes, page), flash["erase_kib"] << 10
    bears = (flash["size_mib"] << 20) / SHARE * flash["cycles"] / YEAR  # octets a day, for a year
    return {
        "board": name,
        **flash,
        "page": page,
        "bytes_a_day": octets,
        "erases_a_day": round(octets / block, 2),
        "years": round(bears / octets, 1),
        "worst_years": round(bears / (octets + len(notes) * block), 1),
    }


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the result for a person."""
    day = (
        f"{result['terminals']} terminals, {result['connections']:,} connections, "
        f"{result['attributed']:,} outside a block, "
    )
    day += f"{result['stored'] / 1024:,.0f} KiB kept"
    day += f" ({result['declared'] / 1024:,.0f} by a start's sum)"
    sizes = list(result["programmed"])
    everything = {"part": "all", "syncs": result["syncs"], "programmed": result["programmed"]}
    rows = [
        (row["part"], f"{row['syncs']:,}", *(f"{row['programmed'][size] / 1024:,.0f}" for size in sizes))
        for row in [*result["parts"], everything]
    ]
    parts = Sheet(f"A day: {day}", ("", "syncs", *(f"KiB at pages of {size}" for size in sizes)), rows)
    rows = [
        (
            row["board"], f"{row['size_mib']} MiB {row['kind']}", f"{row['erase_kib']}", f"{row['cycles']:,}",
            f"{row['bytes_a_day'] / 1024:,.0f}", f"{row['erases_a_day']:,}", f"{row['years']:,.0f}",
            f"{row['worst_years']:,.1f}",
        )
        for row in result["boards"]
    ]  # fmt: skip
    headings = ("board", "flash", "erase KiB", "cycles", "KiB a day", "erases a day", "years", "worst")
    return [parts, Sheet("Years of erase cycles, and with an erase for each sync", headings, rows, (0, 1))]
