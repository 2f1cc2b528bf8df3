# SPDX-License-Identifier: Apache-2.0
"""What is held beside what the purposes that are on keep: in memory, and on flash of those that are off (L34-VI-4)."""

import sys

from agent import law
from agent.purposes.consent.refusals import Refusals
from agent.runtime import files
from agent.vault import stores

# What is held, its fields; for how long: agent.purposes.words.KEPT.
MEMORY: "tuple[tuple[str, tuple[str, ...]], ...]" = (
    ("portal", ("mac", "portal_user", "start", "last")),
    ("ports", ("mac", "address", "public_address", "translated_port", "portal_user", "start", "last")),
    ("objection", ("mac_hash", "time", "end")),
    (
        "requests",
        ("mac", "portal_user", "public_address", "translated_port", "protocol", "start", "end", "asker"),
    ),
    ("emergency", ("mac", "access_point")),
    ("page", ("mac", "mac_hash", "address", "requests")),
)
FLASH = {"objection": "on flash as a keyed hash, ", "requests": "on flash, not encrypted, "}  # the others: in memory
_PORT = ("public_address", "translated_port", "protocol")  # by which only `attribution` is asked (requests.KINDS)


def memory(config: "Config", held: "Sequence[str]") -> "list[tuple[str, bool, tuple[str, ...]]]":
    """Return each row of `MEMORY` with whether it is held here; `held`: what `remembered` has said."""
    section = config.purposes.get("attribution")
    attribution, billing = [name in config.purposes or name in held for name in ("attribution", "billing")]
    here = {
        "portal": section is not None or "billing" in config.purposes,
        "ports": section is not None and section.mode == "blocks",
        "requests": attribution or billing,
        "objection": bool(config.metrics) or "objection" in held,
    }
    less = {"requests": _PORT} if billing and not attribution else {}
    return [
        (name, here.get(name, True), tuple([field for field in fields if field not in less.get(name, ())]))
        for name, fields in MEMORY
    ]


def on_medium(config: "Config", held: "Sequence[str]") -> bool:
    """Return True if a custodian's store is on a medium, which may be away or taken; `held` as above."""
    names = [name for name in stores.SEALED if name in config.purposes or name in held]
    return any(name in config.unseen or stores.medium(name, config, config.notes.get(name)) for name in names)


def told(config: "Config", paths: "Paths") -> "list[str]":
    """Return what is remembered; where this user may not know, say so on standard error."""
    try:
        return remembered(config, paths)
    except OSError:
        sys.stderr.write(
            "oubli: whether a purpose that is off still has something here: for root alone; accepted: run as root\n"
        )
        return []


def remembered(config: "Config", paths: "Paths") -> "list[str]":
    """Return what is off and of which flash has something, or may have: a custodian's purposes, "consent".

    "objection" too, which is remembered whatever is on. Leaves notes of stores in `config`, for every user. OSError:
    the rest isn't for this one.
    """
    for name in stores.SEALED:
        config.notes[name] = stores.noted(name, paths)
    _any(paths.flash.folder)  # below a folder that may not be read nothing seems to be there
    found, refused = _off(config, paths) + config.unseen, Refusals(paths.flash.sealed + "/consent")
    objections = len([1 for sign in ("o", "u") for _ in refused.of(sign)])
    if not stores.by_consent(config) and (_any(paths.flash.consents) or refused.count > objections):
        found.append("consent")
    return found + (["objection"] if objections else [])


def _off(config: "Config", paths: "Paths") -> "list[str]":
    """Return the custodian's purposes that are off and have something here.

    `config` gets root's notes of all, and which stores nobody can look at.
    """
    seen, config.unseen = [], []
    for name in stores.SEALED:
        config.notes[name] = note = stores.noted(name, paths)
        if name not in config.purposes:
            at = stores.place(name, config, paths)[0]
            segments = files.names(at) if files.exists(at) else ()
            if any(stores.parse_name(one) for one in segments) or _any(at + "/handovers"):
                seen.append(name)
            elif note and (not note[1] or (note[0] and not files.is_mount(paths.root + note[0]))):
                config.unseen.append(name)
    return seen


def _any(folder: str) -> bool:
    return files.exists(folder) and any(True for _ in files.names(folder))


def sealed(config: "Config", paths: "Paths") -> "list[tuple[str, int, bool]]":
    """Return the custodian's purposes that are on, or that still have a segment or may have one.

    Each with its lifetime in seconds, and whether nobody can see if anything is left.
    """
    held = _off(config, paths) + config.unseen
    there = [name for name in stores.SEALED if name in config.purposes or name in held]
    return [(one, config.sections[one].lifetime or law.purpose(one).ceiling, one in config.unseen) for one in there]


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

    from agent.base.paths import Paths
    from agent.config.config import Config
