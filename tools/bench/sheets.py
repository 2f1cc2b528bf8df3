# SPDX-License-Identifier: Apache-2.0
"""A table of figures for whoever reads it: terminal, report's page (templates/measured.html), README.

Cells are text, formatted where the figures are known; a chart is an SVG element
with the sentence that says what it shows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table


@dataclass(frozen=True)
class Sheet:
    """One table. `left`: the columns that hold words, every other one holds numbers; `note`: one line below it."""

    title: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    left: tuple[int, ...] = (0,)
    note: str = ""

    def terminal(self) -> Table:
        """Return it for a terminal."""
        shown = Table(
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, 1, 0, 0),
            title=self.title,
            title_justify="left",
            caption=self.note or None,
        )
        shown.caption_justify = "left"
        for place, heading in enumerate(self.headings):
            longest = max((len(row[place]) for row in self.rows), default=0)
            words = place in self.left  # they may be broken where there is no room, numbers not
            least = min(longest, 12) if words else longest
            shown.add_column(heading, justify="left" if words else "right", min_width=least)
        for row in self.rows:
            shown.add_row(*row)
        return shown

    def markdown(self) -> str:
        """Return it for the README."""
        rule = ("---" if place in self.left else "---:" for place in range(len(self.headings)))
        lines = [_line(self.headings), _line(rule), *map(_line, self.rows)]
        note = f"\n\n{self.note}" if self.note else ""
        return f"**{self.title}**\n\n" + "\n".join(lines) + note


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


@dataclass(frozen=True)
class Chart:
    """A picture: an SVG element, and what it shows in a sentence."""

    svg: str
    sentence: str
