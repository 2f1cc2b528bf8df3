# SPDX-License-Identifier: Apache-2.0
"""What was published in the last days, for the person here: the noised messages, never a true figure.

One file on flash with a fixed place for each message of `DAYS` agent-days, so that it never grows: a newer day takes
the place of the one that many days before it. `oubli summary` and `oubli status` read here and nowhere else (ANON-3).
"""

from agent.base import canonical
from agent.runtime import files
from agent.summary.messages import SUMMARY_OCTETS
from agent.summary.metrics import MESSAGES, METRICS, display_threshold

DAYS = 8


class Published:
    """The file at `path`."""

    def __init__(self, path: str) -> None:
        self._path = path

    def put(self, day: int, place: int, text: bytes) -> None:
        """Keep a message by its day and its place among the day's; OSError where flash refuses.

        Not synced: the broker has it too.
        """
        if not files.exists(self._path):
            files.write_atomic(self._path, b"", 0o644)
        with open(self._path, "r+b") as file:
            file.seek((day % DAYS * MESSAGES + place) * SUMMARY_OCTETS)
            file.write(text)

    def each(self) -> "Iterator[Figure]":
        """Yield every message that is whole, in no order; nothing where there is no file."""
        try:
            descriptor = files.open_reading(self._path)  # root reads here too, and waits at no pipe
        except OSError:
            return
        text = bytearray(SUMMARY_OCTETS)
        try:
            for _ in range(DAYS * MESSAGES):
                figure = _figure(bytes(memoryview(text)[: files.read_some(descriptor, text, SUMMARY_OCTETS)]))
                if figure is not None:
                    yield figure
        except OSError:
            return
        finally:
            files.close(descriptor)

    def day(self, date: "str | None") -> "list[Figure]":
        """Return the figures of a day (YYYY-MM-DD; None: the newest), in the order of the metrics and slots."""
        if date is None:
            for figure in self.each():
                date = max(date or "", figure.day)
        return sorted([figure for figure in self.each() if figure.day == date], key=lambda figure: figure.place)

    def newest(self) -> "list[Figure]":
        """Return the newest message of each metric, in the order of the metrics."""
        last: "dict[str, Figure]" = {}
        for figure in self.each():
            former = last.get(figure.metric.name)
            if former is None or (former.day, former.slot) < (figure.day, figure.slot):
                last[figure.metric.name] = figure
        return [last[metric.name] for metric in METRICS if metric.name in last]


class Figure:
    """A published message, read back: metric, day, slot, values, b, half_width; start and end in s since the epoch."""

    def __init__(self, metric: "Metric", read: "dict[str, Any]") -> None:
        self.metric = metric
        self.day: str = read["day"]
        self.slot: int = read["slot"]
        self.start: int = read["start"]
        self.end: int = read["end"]
        self.values: "list[int]" = read["values"]
        self.b: "tuple[int, int]" = (read["b"][0], read["b"][1])
        self.half_width: int = read["half_width"]
        self.place = metric.place + self.slot
        self.below = display_threshold(self.b)

    def data(self) -> "dict[str, Any]":
        """Return it for `--json`; `values` are unsuppressed, for computing with."""
        return {
            "metric": self.metric.name,
            "day": self.day,
            "slot": self.slot,
            "start": self.start,
            "end": self.end,
            "unit": self.metric.unit,
            "cells": list(self.metric.cells),
            "values": self.values,
            "b": list(self.b),
            "half_width": self.half_width,
            "below": self.below,
        }


def _figure(text: bytes) -> "Figure | None":
    """Return a message read back; None for a place that is empty, or where a cut of power left a part."""
    try:
        read = canonical.loads(text)
        for metric in METRICS:
            if read["schema"] == "oubli/" + metric.name + "/1" and len(read["values"]) == len(metric.cells):
                return Figure(metric, read)
    except (ValueError, KeyError, TypeError, IndexError):
        pass
    return None


def shown(value: int, below: int) -> str:
    """Return a figure as a person reads it: no more than there is to know (ANON-3)."""
    return str(value) if value >= below else "< " + str(below)


def lines(figures: "list[Figure]") -> "list[str]":
    """Return a day's figures as lines of text."""
    out = []
    name = ""
    for figure in figures:
        metric = figure.metric
        if metric.name != name:
            name = metric.name
            out.append(name + ", " + metric.unit + ", each ± " + str(figure.half_width) + " with 95 %")
        if metric.slots > 1:
            values = "  ".join([shown(value, figure.below) for value in figure.values])
            out.append("  %02d:00 UTC  %s" % (figure.start // 3600 % 24, values))
        else:
            width = max([len(cell) for cell in metric.cells])
            for cell, label in enumerate(metric.cells):
                out.append("  " + label + " " * (width - len(label)) + "  " + shown(figure.values[cell], figure.below))
    return out


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

    from agent.summary.metrics import Metric
