# SPDX-License-Identifier: Apache-2.0
"""Folders with all that is in them, on either interpreter: copied over what is there, or emptied."""

import os

from agent.runtime import files

_PART = 4096  # octets that are copied at once


def copy(source: str, target: str) -> None:
    """Copy a file, or a folder with all in it, over what is there."""
    try:
        folder = os.stat(source)[0] & 0o170000 == 0o040000
    except OSError:
        return  # there was none
    if folder:
        files.make_folder(target, 0o700)
        for name in os.listdir(source):
            copy(source + "/" + name, target + "/" + name)
        return
    with open(source, "rb") as file, open(target, "wb") as made:
        data = file.read(_PART)
        while data:
            made.write(data)
            data = file.read(_PART)


def empty(folder: str, but: "tuple[str, ...]" = ()) -> None:
    """Remove a folder and all that is in it, but for some names: then the folder stays too."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in [name for name in names if name not in but]:
        path = folder + "/" + name
        if os.stat(path)[0] & 0o170000 == 0o040000:
            empty(path)
        else:
            os.remove(path)
    if not but:
        os.rmdir(folder)
