# SPDX-License-Identifier: Apache-2.0
"""A recorder that ends within this process: what it mapped goes as a process's end leaves it."""

from agent.runtime import memory

_LEAVES = (int, str, bytes, bytearray, memoryview, type(None))  # nothing that was mapped is within one


def unmap(recorder: "Any") -> None:
    """Unmap whatever a recorder and its parts have mapped; nothing of it may be used afterwards."""
    seen: "set[int]" = set()
    parts = [recorder]
    while parts:
        thing = parts.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, memory.Region):
            if len(thing.view):  # else it is closed, and another may have its place
                thing.close()
        else:
            parts += [one for one in _parts(thing) if not isinstance(one, _LEAVES)]


def _parts(thing: "Any") -> "list[Any]":
    """Return what a thing consists of."""
    if isinstance(thing, (list, tuple)):
        return list(thing)
    try:
        return list((thing if isinstance(thing, dict) else thing.__dict__).values())
    except (AttributeError, TypeError, KeyError):  # the latter two of a layout of memory, on MicroPython
        return []


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
