# SPDX-License-Identifier: Apache-2.0
"""Whether what the budgets promise fits where it is to lie: looked at once, at a start (ANON-4, EXP-6).

A flash that fills up while the recorder runs shows outside: figures can't be spooled, and guests decide when. So a
budget larger than what is free refuses the start, while somebody is there who can change it.
"""

import os

from agent import law
from agent.runtime import files
from agent.vault import stores

RESERVE = 65536  # octets of flash for ledger, audit log, and what is written beside them before a rename


def lacking(config: "Config", paths: "Paths") -> str:
    """Return in one line which file system has too little room, and for what; "" where all has enough.

    Absent media are left out.
    """
    wanted = [("mqtt.spool_bytes", paths.flash.spool, config.mqtt.spool_bytes + RESERVE)]
    for name in sorted(config.purposes):
        folder, mount = paths.run.vault + "/" + name, ""
        if law.purpose(name).custody == law.CUSTODIAN:
            folder, mount = stores.place(name, config, paths)
        if not mount or files.is_mount(mount):
            wanted.append((name + ".budget", folder, config.sections[name].budget))
    needs: "dict[int, list[Any]]" = {}
    for what, folder, octets in wanted:
        place = _nearest(folder)
        need = needs.setdefault(os.stat(place)[2], [place, 0, []])
        need[1] += max(octets - _held(folder), 0)
        need[2].append(what)
    for place, octets, names in needs.values():
        status = os.statvfs(place)
        free = status[1] * status[4]
        if octets > free:
            text = f"{', '.join(names)}: {octets} bytes more may be written at {place}, and {free} are free"
            return text + "; accepted: smaller ones, or more room"
    return ""


def _nearest(folder: str) -> str:
    while not files.exists(folder):
        folder = folder.rsplit("/", 1)[0] or "/"
    return folder


def _held(folder: str) -> int:
    return sum([files.size_of(folder + "/" + name) for name in files.names(folder)]) if files.exists(folder) else 0


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.base.paths import Paths
    from agent.config.config import Config
