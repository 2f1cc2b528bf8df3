# SPDX-License-Identifier: Apache-2.0
"""What a recorder draws of itself, handed in (ANON-2, ANON-5).

With octets from a seed the same day is the same day, to the octet.
"""

from collections.abc import Callable

from agent.recorder.recorder import Recorder
from agent.runtime.libc import native


def keys_from(recorder: Recorder, octets: Callable[[int], bytes]) -> None:
    """Let the keys of days and segments come from `octets`, not from the system; noise is a sampler's."""

    def fill(address: int, size: int) -> None:
        native.buffer_at(address, size)[:] = octets(size)

    recorder.kept._sodium.random = fill  # type: ignore[method-assign]  # noqa: SLF001 (a device has no such handle)
