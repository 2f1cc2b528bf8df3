# SPDX-License-Identifier: Apache-2.0
"""Root's word that a simulated device is new, before its first boot, as `oubli new-device` says it (ANON-6).

Runs on MicroPython too.
"""

import os

from agent.base.paths import Paths
from agent.runtime import files
from agent.summary.ledger import Ledger


def new_device(root: str, random: "Callable[[int], bytes]" = os.urandom) -> None:
    """Give a device below `root` that has no ledger one that has its first token."""
    path = Paths(root).flash.ledger
    if not files.exists(path):
        files.make_folder(path.rsplit("/", 1)[0], 0o711)
        Ledger(path, _quiet, random).begin()


def _quiet(_text: str) -> None:
    pass


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
