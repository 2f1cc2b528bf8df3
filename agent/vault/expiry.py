# SPDX-License-Identifier: Apache-2.0
"""Forgetting before anything else at a start, and also where the recorder then refuses to run (EXP-1, EXP-4).

A configuration that isn't accepted any more, a tmpfs that is full: the recorder says so and ends, at each start,
perhaps for days. What a former process of this boot kept is destroyed at its deadline all the same.
"""

import sys

from agent import law
from agent.config import config
from agent.config.reader import ConfigError
from agent.runtime import files, memory
from agent.runtime.sodium import Sodium
from agent.vault import keys, segment, stores, windows


def destroy_due(root: str, boot: str, monotonic: int) -> int:
    """Destroy what is due by time since boot (ns), and another boot's, below `root`; returns how many segments.

    When the keys of a ring of another version are due, this version can't tell: they go now, with all they open.

    A recorder that runs meanwhile is not disturbed: it has destroyed what is due before.
    """
    base = root + "/var/run/oubli/"
    if not files.exists(base + "keys") or files.size_of(base + "keys") <= keys.HEADER:
        return 0
    sodium = Sodium()
    region = keys.open_ring(base + "keys")
    if not keys.known(region):
        sys.stderr.write(
            "oubli: the key ring is of a version that this one doesn't know: all that it opens is destroyed (EXP-1)\n"
        )
        region.close()
        wipe(base + "keys", sodium)
        return sum([_wipe_all(base + "vault/" + row.name, sodium) for row in law.PURPOSES])
    this_boot = keys.boot_of(region) == boot
    gone = 0
    for slot in keys.used(region):
        if this_boot and not windows.due(slot, None, monotonic):
            continue
        folder = base + "vault/" + law.PURPOSES[slot.purpose - 1].name
        page, name, waits = slot.page, "%08x" % slot.number, slot.state == keys.OPEN
        sodium.zero(slot.address, keys.SLOT)
        gone += 1
        if waits:
            chunks = memory.map_file(folder + "/chunks", files.size_of(folder + "/chunks"), create=False)
            sodium.zero(chunks.address + page * segment.PAGE, segment.PAGE)
            chunks.close()
        files.remove(folder + "/" + name)
    region.close()
    return gone


def erase_all(paths: "Paths", path: str, purpose: str = "all") -> int:
    """Destroy all that stores keep, or one purpose's, where no recorder runs; returns how many segments.

    `path`: the configuration.

    Of a configuration that isn't accepted any more, stores on flash are looked for where they lie by default.
    """
    sodium, gone = Sodium(), 0
    wanted = [row.name for row in law.PURPOSES if purpose in ("all", row.name)]
    if purpose == "all":
        wipe(paths.run.keys, sodium)
    elif files.exists(paths.run.keys):
        _wipe_keys(paths.run.keys, law.number(purpose), sodium)
    if "billing" in wanted:
        wipe(paths.run.billing, sodium)  # its open sessions
    folders = []
    for name in wanted:
        gone += _wipe_all(paths.run.vault + "/" + name, sodium)
        folders.append(paths.flash.sealed + "/" + name)
    try:
        settings = config.load(path)
        folders += [stores.place(name, settings, paths)[0] for name in stores.needed(settings, paths) if name in wanted]
    except ConfigError:
        pass
    for folder in folders:
        if files.exists(folder):
            for name in [name for name in files.names(folder) if stores.parse_name(name) is not None]:
                files.clear(folder + "/" + name)
                gone += 1
            files.clear(folder + "/handovers")
            files.sync_folder(folder)
    if purpose == "all" and not config.installed("location"):
        for place in paths.flash.consents, paths.flash.sealed + "/consent":
            files.clear(place)  # the package that could let go of it in time isn't here any more
    return gone


def _wipe_keys(path: str, number: int, sodium: Sodium) -> None:
    """Overwrite the keys of one purpose; all of them where the ring is of a version that this one doesn't know."""
    region = keys.open_ring(path)
    if keys.known(region):
        for slot in keys.used(region):
            if slot.purpose == number:
                sodium.zero(slot.address, keys.SLOT)
    else:
        sodium.zero(region.address, region.size)
    region.close()


def wipe(path: str, sodium: Sodium) -> None:
    """Overwrite a file in memory, and remove it, where it is there."""
    size = files.size_of(path) if files.exists(path) else 0
    if size:
        region = memory.map_file(path, size, create=False)
        sodium.zero(region.address, size)
        region.close()
    files.remove(path)


def _wipe_all(folder: str, sodium: Sodium) -> int:
    """Overwrite and remove what a store has in memory; returns how many segments that were."""
    names = list(files.names(folder)) if files.exists(folder) else []
    for name in names:
        wipe(folder + "/" + name, sodium)
    return len([name for name in names if name != "chunks"])


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.base.paths import Paths
