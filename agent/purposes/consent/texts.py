# SPDX-License-Identifier: Apache-2.0
"""The texts that inform before a consent (L34-V-2): files that only root writes, known by their SHA-256.

A consent is taken only with the hash of a text that lies on this device, so it is known for as long as the consent what was
shown. A text is never changed: another wording is another file, `consent-NUMBER.LANGUAGE.txt`, beside the former ones.
"""

import hashlib
import os

from agent.runtime import files

LIMIT = 16384  # octets of a text
FILES = 32


def names(folder: str) -> "list[str]":
    """Return the names of the texts there, without "consent-" and ".txt": 1.en, 1.fr."""
    try:
        found = os.listdir(folder)
    except OSError:
        return []
    return sorted([name[8:-4] for name in found if name.startswith("consent-") and name.endswith(".txt")])[:FILES]


def digest(folder: str, name: str) -> str:
    """Return the SHA-256 of a text, 64 hexadecimal digits; OSError where it can't be read."""
    data = files.read_bounded(folder + "/consent-" + name + ".txt", LIMIT)
    return "".join("%02x" % octet for octet in hashlib.sha256(data).digest())


def known(folder: str, shown: str) -> bool:
    """Return True if a hash is of one of the texts."""
    for name in names(folder):
        try:
            if digest(folder, name) == shown:
                return True
        except OSError:
            continue
    return False
