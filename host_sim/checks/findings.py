# SPDX-License-Identifier: Apache-2.0
"""One thing that must hold, and what was found of it."""

from dataclasses import dataclass, field


@dataclass
class Finding:
    """One thing that must hold: what was looked at (`seen` of it), and what was wrong, if anything."""

    name: str
    what: str
    seen: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether something was looked at and nothing was wrong."""
        return self.seen > 0 and not self.wrong
