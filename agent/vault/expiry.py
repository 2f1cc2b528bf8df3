# SPDX-License-Identifier: Apache-2.0
"""Forgetting before anything else at a start, and also where the recorder then refuses to run (EXP-1, EXP-4).

A configuration that isn't accepted any more, a tmpfs that is full: the recorder says so and ends, at each start, perhaps for
days. What a former process of this boot kept is destroyed at its deadline all the same.
"""

import os

from agent import config, law
from agent.runtime import files, memory
from agent.runtime.sodium import Sodium
from agent.vault import keys, ring, segment, stores


def destroy_due(root: str, boot: str, monotonic: int) -> int:
    """Destroy what is due by time since boot (ns), and all of another boot, below `root`; returns how many segments that were.

    A recorder that runs meanwhile is not disturbed: it has destroyed what is due before.
    """
    base = root + "/var/run/oubli/"
    if not files.exists(base + "keys") or files.size_of(base + "keys") <= keys.HEADER:
        return 0
    sodium = Sodium()
    region = keys.open_ring(base + "keys")
    this_boot = keys.boot_of(region) == boot
    gone = 0
    for slot in keys.used(region):
        if this_boot and not ring.due(slot, None, monotonic):
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


def erase_all(paths: "Paths", path: str) -> int:
    """Destroy all that stores keep, where no recorder runs; returns how many segments that were. `path`: the configuration.

    Of a configuration that isn't accepted any more, stores on flash are looked for where they lie by default.
    """
    sodium, gone = Sodium(), 0
    if files.exists(paths.keys) and files.size_of(paths.keys) > keys.HEADER:
        region = keys.open_ring(paths.keys)
        sodium.zero(region.address, region.size)
        region.close()
        files.remove(paths.keys)
    folders = []
    for row in law.PURPOSES:
        folders += [(paths.vault + "/" + row.name, False), (paths.sealed + "/" + row.name, True)]
    try:
        settings = config.load(path)
        folders += [(stores.place(name, settings, paths)[0], True) for name in stores.needed(settings, paths)]
    except config.ConfigError:
        pass
    for folder, durable in folders:
        for name in list(files.names(folder)) if files.exists(folder) else ():
            segment_file = folder + "/" + name
            if durable and stores.parse_name(name) is None:
                continue
            if not durable and files.size_of(segment_file):
                region = memory.map_file(segment_file, files.size_of(segment_file), create=False)
                sodium.zero(region.address, region.size)
                region.close()
            files.remove(segment_file)
            gone += name != "chunks"
        if durable and files.exists(folder):
            files.sync_folder(folder)
    if not stores.installed("location") and files.exists(paths.consents):
        # The package that could let go of them in time isn't here any more.
        for name in list(files.names(paths.consents)):
            files.remove(paths.consents + "/" + name)
        os.rmdir(paths.consents)
    return gone


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.paths import Paths
