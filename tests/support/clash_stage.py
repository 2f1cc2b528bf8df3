# SPDX-License-Identifier: Apache-2.0
"""A recorder behind a pipe for which all terminals' hashes clash, in their first word or whole, under one day key."""

from agent.runtime.libc import buffer_at
from agent.runtime.sodium import Sodium
from tests.support.pipe import serve
from tests.support.remote import recorder, recorder_close, recorder_open

_held = [0]
_HASH = Sodium.short_hash


def clash(octets: int) -> None:
    """Let so many of the eight octets of each hash be the same from now on."""
    _held[0] = octets


def _alike(self: Sodium, out: bytearray, data: "int | bytes", size: int, key: "int | bytes") -> None:
    _HASH(self, out, data, size, key)
    if size == 6:  # a MAC's: the lot of classes stays one
        out[: _held[0]] = b"\x07" * _held[0]


def _fixed(_self: Sodium, address: int, size: int) -> None:
    buffer_at(address, size)[:] = b"\x5a" * size


if __name__ == "__main__":
    owner: "Any" = Sodium
    owner.short_hash = _alike
    owner.random = _fixed  # else two days would draw other classes by lot
    serve((clash, recorder_open, recorder, recorder_close))

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
