# SPDX-License-Identifier: Apache-2.0
"""The agent's folder on a device: a large file lies there deflated, as NAME.mpy.z, and MicroPython imports NAME as if it didn't.

Not imported by any room: `tools.package` puts it before the package's first file, so that what is imported next is found. The
interpreter's own deflate reads a file piece by piece: what an import takes beside the rooms is the window, 4 KiB, until it is done.
"""

import deflate
import vfs


class Folder:
    """A folder whose files are read through it, as MicroPython's `vfs` asks for; `.z` is added where a file isn't there without."""

    def __init__(self, path: str) -> None:
        self._within = vfs.VfsPosix(path)

    def mount(self, _readonly: bool, _mkfs: bool) -> None:
        """Do nothing: what is below is mounted already."""

    def stat(self, path: str) -> "Any":
        """Return what is known of a file; OSError where it isn't there."""
        try:
            return self._within.stat(path)
        except OSError:
            return self._within.stat(path + ".z")

    def open(self, path: str, mode: str) -> "Any":
        """Return a file's octets as they were before they were deflated; OSError where it isn't there."""
        try:
            return self._within.open(path, mode)
        except OSError:
            return deflate.DeflateIO(self._within.open(path + ".z", mode), deflate.ZLIB, 0, True)


def serve(file: str) -> None:
    """Read what else lies in the folder of this file, by its path from the root, through `Folder`."""
    folder = file.rsplit("/", 1)[0]
    vfs.mount(Folder(folder), folder)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
