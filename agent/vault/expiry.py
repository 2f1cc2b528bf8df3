# SPDX-License-Identifier: Apache-2.0
"""Forgetting before anything else at a start, and also where the recorder then refuses to run (EXP-1, EXP-4).

A configuration that isn't accepted any more, a tmpfs that is full: the recorder says so and ends, at each start, perhaps for
days. What a former process of this boot kept is destroyed at its deadline all the same.
"""

from agent import law
from agent.runtime import files, memory
from agent.runtime.sodium import Sodium
from agent.vault import keys, ring, segment


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
