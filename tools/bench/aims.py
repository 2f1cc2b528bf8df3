# SPDX-License-Identifier: Apache-2.0
"""What the figures should be, and whether they are: each aim is read off the results, a missed one says so."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tools.bench import capture, memory, store
from tools.bench.sheets import Sheet


class Aim(NamedTuple):
    """One aim: what, the figure, what it should be, whether it is."""

    what: str
    figure: str
    wanted: str
    met: bool


def _capture(result: dict[str, Any]) -> Iterator[Aim]:
    best = capture.quoted(result)
    peer = best.get("ulogd2 text")
    for on, most in (("CPython", 1.5), ("MicroPython", 1.7)):
        if peer and f"oubli {on}" in best:
            ratio = best[f"oubli {on}"] / peer
            what = f"whole way on {on}, CPU against ulogd2 text, the better burst of each"
            yield Aim(what, f"{ratio:.2f} x", f"<= {most:g} x", ratio <= most)
    for row in result["rows"]:
        if row["case"] == "flush" and row["name"].startswith("oubli"):
            what = f"lost in a flush of {result['flows']['flush']:,}, {row['name']}"
            yield Aim(what, f"{row['lost_most']:,.0f}", "0", row["lost_most"] == 0)


def _memory(result: dict[str, Any]) -> Iterator[Aim]:
    for name, key, most in (("RSS at its peak", "peak_mib", memory.RSS), ("PSS", "pss_mib", memory.PSS)):
        what = f"recorder's {name} on MicroPython over {result['connections']:,} connections"
        yield Aim(what, f"{result[key]:.2f} MiB", f"<= {most} MiB", result[key] <= most)
    octets = result["heap_a_connection"]
    yield Aim(
        "heap a connection on MicroPython", f"{octets:.1f} octets", f"<= {memory.HEAP} octets", octets <= memory.HEAP
    )


def _store(result: dict[str, Any]) -> Iterator[Aim]:
    day = store.octets(result)
    ours = day["oubli security"]
    yield Aim("a `security` connection of a café's day", f"{ours:.1f} octets", "<= 12", ours <= 12)
    if "nfdump zstd" in day:
        ratio = ours / day["nfdump zstd"]
        yield Aim("against nfdump zstd", f"{ratio:.2f} x", "< 0.5 x", ratio < 0.5)
    ratio = ours / result["entropy"]
    yield Aim("against the entropy of the same fields", f"{ratio:.2f} x", "<= 1.3 x", ratio <= 1.3)
    ratio = day["oubli port blocks"] / day["oubli attribution"]
    yield Aim("port blocks against attribution connection by connection", f"{ratio:.1%}", "< 1 %", ratio < 0.01)


def _instructions(result: dict[str, Any]) -> Iterator[Aim]:
    for row, most in zip(result["rows"], (200 / 250, 125 / 100), strict=True):
        ratio = row["ratios"]["decode"]
        yield Aim(f"decoding against a plain walk, {row['name']}", f"{ratio:.2f} x", f"<= {most:.2f} x", ratio <= most)
        if row["name"] == "MicroPython":
            yield Aim(
                "instructions a connection, MicroPython", f"{row['whole']:,}", "<= 52,000", row["whole"] <= 52_000
            )
    rate = result["mips_24kc"]
    yield Aim("MIPS 24Kc at 580 MHz, 20 % of it (estimate)", f"{rate:,} connections/s", ">= 1,000", rate >= 1000)


def _scale(result: dict[str, Any]) -> Iterator[Aim]:
    for curve in result["curves"]:
        if curve["what"].endswith("by connections"):
            power = 1 + curve["slope"]
            what = (
                f"cost of all against their number, {curve['points'][0]['size']:,} to "
                f"{curve['points'][-1]['size']:,}, {curve['on']}"
            )
            yield Aim(what, f"slope {power:.2f}", "1.00 ± 0.05", abs(power - 1) <= 0.05)
        elif "forget" in curve["what"] or curve["what"].endswith(("a figure, by gateways", "a health, by gateways")):
            first, last = curve["points"][0]["size"], curve["points"][-1]["size"]
            what = f"{curve['what']} ({first:,} to {last:,}), {curve['on']}"
            yield Aim(what, f"slope {curve['slope']:.2f}", "0.00 ± 0.05", abs(curve["slope"]) <= 0.05)


def _error(result: dict[str, Any]) -> Iterator[Aim]:
    for row in result.get("venues", ()):
        if row["wanted"] is not None:
            what = f"{row['figure']} of a venue of {row['terminals']}, profile {row['profile']}, 1 sigma"
            yield Aim(what, f"{row['now']:.1f} %", f"<= {row['wanted']:.0f} %", row["met"])


_OF: dict[str, Callable[[dict[str, Any]], Iterator[Aim]]] = {
    "capture": _capture,
    "memory": _memory,
    "store": _store,
    "instructions": _instructions,
    "scale": _scale,
    "error": _error,
}


def aims(result: dict[str, Any]) -> list[Aim]:
    """Return the aims of the modules that were measured."""
    return [
        aim for name, read in _OF.items() if name in result["benchmarks"] for aim in read(result["benchmarks"][name])
    ]


def sheet(result: dict[str, Any]) -> Sheet:
    """Return them for a person."""
    rows = [(aim.what, aim.figure, aim.wanted, "yes" if aim.met else "NO") for aim in aims(result)]
    return Sheet("What was wanted, and whether it is so", ("", "measured", "wanted", "reached"), rows, (0, 3))
