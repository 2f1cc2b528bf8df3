# SPDX-License-Identifier: Apache-2.0
"""The charts of a run's report, as SVG text in its page: the same octets for the same run.

Numbers and times only stand in a chart; what it shows is said in words beside it, in
both languages, and in its text alternative.
"""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from host_sim.venue.people import HOUR, SECOND
from host_sim.venue.truth import Daily

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

    from host_sim.checks.noise_bounds import Figures, Slot


BLUE, ORANGE, GREY, RED = "#0072b2", "#d55e00", "#767676", "#b00020"  # Okabe and Ito: told apart by most eyes
_WIDE = (9.0, 2.6)  # inches
_STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "oubli", "font.family": "sans-serif", "font.size": 9,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e5e5e5",
    "figure.constrained_layout.use": True,
}  # fmt: skip


def moment(at: int) -> datetime:
    """Return a time in ns since the epoch as matplotlib takes it."""
    return datetime.fromtimestamp(at / SECOND, UTC)


def canvas(rows: int = 1, columns: int = 1, size: tuple[float, float] = _WIDE) -> tuple[Canvas, Any]:
    """Return a figure and its axes."""
    # It takes a second, and most verbs draw nothing
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size)
        return figure, figure.subplots(rows, columns)


def svg(figure: Canvas, title: str) -> str:
    """Return a figure as an SVG element with its text alternative."""
    import matplotlib as mpl  # noqa: PLC0415 (as above)

    with mpl.rc_context(_STYLE):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(
        r'<svg [^>]*?viewBox="([^"]+)"[^>]*>',
        r'<svg xmlns="http://www.w3.org/2000/svg" viewBox="\1" role="img">',
        text,
        count=1,
    )
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return text.replace(">", f"><title>{title}</title>", 1)


def _time_axis(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415 (as above)

    locator = AutoDateLocator(tz=UTC)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))  # type: ignore[no-untyped-call]


def over_time(
    times: Sequence[int], values: Sequence[float], title: str, *, limit: float = 0, events: Sequence[int] = ()
) -> str:
    """Draw a figure over time as an area; `limit` is a line not to be crossed, `events` when something happened."""
    figure, axes = canvas()
    x = [moment(at) for at in times]
    axes.fill_between(x, values, step="post", color=BLUE, alpha=0.25, linewidth=0)
    axes.step(x, values, where="post", color=BLUE)
    for at in events:
        axes.axvline(moment(at), color=RED, linewidth=0.8, linestyle=":")
    if limit:
        axes.axhline(limit, color=ORANGE, linewidth=1.2, linestyle="--")
    _time_axis(axes)
    axes.set_ylim(bottom=0)
    return svg(figure, title)


def arrivals(slots: Sequence[Slot], title: str) -> str:
    """Draw what was published each hour, with its 95 % band, beside the defined truth and the real one."""
    figure, axes = canvas(size=(9.0, 3.2))
    x = [moment(slot.start + HOUR // 2) for slot in slots]
    axes.step(x, [slot.real for slot in slots], where="mid", color=GREY, linewidth=1, linestyle=":")
    axes.step(x, [slot.defined for slot in slots], where="mid", color=ORANGE, linewidth=1.6)
    bands = [slot.half_width for slot in slots]
    axes.errorbar(x, [slot.value for slot in slots], yerr=bands, fmt="o", color=BLUE, markersize=3, elinewidth=0.8)
    _time_axis(axes)
    axes.axhline(0, color=GREY, linewidth=0.8)
    return svg(figure, title)


def daily(figures: Sequence[Figures], title: str) -> str:
    """Draw an agent-day's other messages, each cell with its band beside the truth (a range where a secret draws)."""
    figure, axes = canvas(1, len(figures), (9.0, 3.0))
    for one, panel in zip(figures, [axes] if len(figures) == 1 else list(axes), strict=True):
        places = range(len(one.values))
        panel.bar(places, [most for _, most in one.truth], color=ORANGE, alpha=0.25)
        panel.bar(places, [least for least, _ in one.truth], color=ORANGE, alpha=0.6)
        panel.errorbar(places, one.values, yerr=one.half_width, fmt="o", color=BLUE, markersize=3, elinewidth=0.8)
        panel.set_title(one.metric, fontsize=9)
        panel.set_xticks(list(places), Daily.CELLS[one.metric], rotation=60, fontsize=7)
        panel.axhline(0, color=GREY, linewidth=0.8)
    return svg(figure, title)
