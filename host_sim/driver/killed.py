# SPDX-License-Identifier: Apache-2.0
"""A recorder that is killed within this process: what it mapped goes as SIGKILL leaves it."""

from agent.runtime import memory

_DEPTH = 3  # a recorder's part's part has the region: recorder.kept.keys, recorder.kept.ring's writer of chunks


def unmap(recorder: "Any") -> None:
    """Unmap whatever a recorder and its parts have mapped; nothing of it may be used afterwards."""
    seen: "list[int]" = []

    def walk(thing: "Any", depth: int) -> None:
        if id(thing) in seen:
            return
        seen.append(id(thing))
        if isinstance(thing, memory.Region):
            thing.close()
            return
        for part in _parts(thing) if depth else ():
            walk(part, depth - 1)

    walk(recorder, _DEPTH + 1)


def _parts(thing: "Any") -> "list[Any]":
    """Return what a thing consists of."""
    try:
        return list((thing if isinstance(thing, dict) else thing.__dict__).values())
    except (AttributeError, TypeError, KeyError):  # the latter two of a layout of memory, on MicroPython
        return []


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
