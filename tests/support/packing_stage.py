# SPDX-License-Identifier: Apache-2.0
"""What a chunk goes through before it is sealed, behind a pipe (tests.support.pipe)."""

from agent.runtime import deflate, memory
from agent.runtime.sodium import SealError
from tests.support import remote
from tests.support.pipe import serve


def there() -> bool:
    """Return True if this machine has libz for this interpreter."""
    return deflate.DEFLATE.way("deflate") is not None


def deflated(data: str, sizes: "list[int]") -> str:
    """Return octets as a chunk has them before it is sealed, where its blocks have so many."""
    return _through(data, sizes)


def inflated(data: str) -> str:
    """Return what a chunk holds, "refused" where it can't be one."""
    try:
        return _through(data, [])
    except SealError:
        return "refused"


def _through(data: str, sizes: "list[int]") -> str:
    octets = remote._octets(data)
    scratch = memory.scratch(32768)
    scratch.view[: len(octets)] = octets
    made = deflate.DEFLATE
    target = scratch.address + 16384
    try:
        parts = [(scratch.address + sum(sizes[:number]), size) for number, size in enumerate(sizes)]
        size = made.pack(target, *parts) if parts else made.unpack(target, 4096, scratch.address, len(octets))
        return remote._hex(bytes(scratch.view[16384 : 16384 + size]))
    finally:
        scratch.close()


if __name__ == "__main__":
    serve((there, deflated, inflated))
