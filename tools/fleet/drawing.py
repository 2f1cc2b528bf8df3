# SPDX-License-Identifier: Apache-2.0
"""Pictures of a chart for elsewhere, SVG and PNG, by matplotlib.

The page's own has its colours in a style sheet that stays behind.
"""

import io
import threading

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from tools.fleet import words
from tools.fleet.shown import Chart

_VALUE, _BAND, _INK = "#7fb7b0", "#1d6b64", "#1c2426"
_ONE = threading.Lock()  # rc_context is the whole process's


def picture(chart: Chart, form: str, title: str) -> bytes:
    """Return a chart as `svg` or `png`: bars with their bands; what noise hides isn't drawn, as on the page."""
    places = range(len(chart.estimates))
    shown = [
        (place, one)
        for place, one, noise in zip(places, chart.estimates, chart.noise, strict=True)
        if one is not None and not noise
    ]
    at = [place for place, _ in shown]
    values = [max(0.0, float(one.value)) for _, one in shown]
    low = [max(0.0, float(one.value - one.half_width)) for _, one in shown]
    high = [float(one.value + one.half_width) for _, one in shown]
    wide = [end - begin for begin, end in zip(low, high, strict=True)]
    with _ONE, rc_context({"svg.hashsalt": "oubli", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(8, 3.2), dpi=120, layout="constrained")
        (FigureCanvasSVG if form == "svg" else FigureCanvasAgg)(figure)
        axes = figure.add_subplot()
        labels = [words.say(label) for label in chart.labels]
        if chart.upright:
            axes.bar(at, values, 0.7, color=_VALUE)
            axes.bar(at, wide, 0.7, bottom=low, color=_BAND, alpha=0.3)
            kept = list(places)[:: 24 if chart.steps else chart.every]
            axes.set_xticks(kept, [labels[place] for place in kept])
            axes.set_xlim(-0.7, len(places) - 0.3)
            axes.set_ylim(bottom=0)
        else:
            axes.barh(at, values, 0.7, color=_VALUE)
            axes.barh(at, wide, 0.7, left=low, color=_BAND, alpha=0.3)
            axes.set_yticks(list(places), labels)
            axes.set_ylim(len(places) - 0.3, -0.7)
            axes.set_xlim(left=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(
            f"{title}\n{chart.title}" if title else chart.title, color=_INK, fontsize=10, loc="left", parse_math=False
        )
        file = io.BytesIO()
        figure.savefig(file, format=form, metadata={"Date": None} if form == "svg" else {"Software": None})
    return file.getvalue()
