# SPDX-License-Identifier: Apache-2.0
"""What the recorder asks of purposes beside `security`: those by consent, and those that only a custodian reads."""


class Purposes:
    """A group of purposes that are switched on together; each does of these what it needs. Times in ns.

    A purpose is added by a subclass, and by the lines of agent.recorder.purpose_groups that make it.
    """

    def connection(self, decoder: "Decoder", connection: "Connection", terminal: "Terminal | None", end: int) -> None:
        """Keep a connection that has ended."""

    def alive(self, decoder: "Decoder", connection: "Connection", terminal: "Terminal | None", last: int) -> None:
        """Take note of a connection that lasts; `terminal` None: whose it is isn't known.

        `last`: its last packet, as far as can be told.
        """

    def list_ended(self, monotonic: int) -> None:
        """Take note that a whole list of what lasts has ended, which was begun at this time since boot."""

    def lost(self) -> None:
        """Take note that connections were lost before anybody heard of them."""

    def tick(self, wall: int, monotonic: int, *, trusted: bool) -> None:
        """Do what is due; the stores themselves are ticked by the recorder, as all are."""

    def stepped(self, step: int, wall: int) -> None:
        """Take note that the wall clock was stepped by so many ns, and is at `wall` now."""

    def hour(self) -> None:
        """Do what is done each powered-on hour."""

    def work(self, monotonic: int) -> bool:  # noqa: ARG002 (a subclass needs it)
        """Do a small part of what may wait; True where there is more of it."""
        return False

    def erase(self, name: str) -> None:
        """Forget what a purpose holds outside its store. OSError where flash refuses."""

    def shown(self, name: str) -> "dict[str, Any]":  # noqa: ARG002 (as above)
        """Return what `oubli status` shows of a purpose beside its store."""
        return {}

    def close(self, wall: int) -> None:
        """Let go."""


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.capture.address_rows import Terminal
    from agent.capture.connections import Connection, Decoder
