# SPDX-License-Identifier: Apache-2.0
"""An entry of the tape as the world makes it."""

from typing import NamedTuple

from host_sim.venue import tape


class Step(NamedTuple):
    """One entry of the tape, with the world's name for it; `wall` is the true time."""

    wall: int
    operation: int
    payload: bytes = b""

    def encoded(self) -> bytes:
        """Return the entry's bytes."""
        return tape.entry(self.operation, self.wall, self.payload)
