# SPDX-License-Identifier: Apache-2.0
"""`oubli-sim people`: what the simulator draws, beside its sources, as one page with plots.

`host_sim.venue.people` names the sources.

Each row is a figure of a source, and what the crowd of a scenario gives for it over many drawn visits. It says whether
the two are near each other. What is "ours" has no source and says so. The page is self-contained, like a run's report.
"""

import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

from markupsafe import Markup

from host_sim.report import plots
from host_sim.venue.kernel import TCP, UDP
from host_sim.venue.people import DAY, HOUR, KINDS, MINUTE, Crowd, Device, Talk
from host_sim.venue.scenario import Scenario
from tools import pages

VISITS = 4000  # drawn
_DEVICES = 300  # of which the connections are drawn too


@dataclass(frozen=True)
class Row:
    """One figure of a source and ours; `near` says whether ours lies within what the source allows."""

    what: str
    source: str
    says: str
    ours: str
    near: bool


@dataclass(frozen=True)
class Drawn:
    """What was drawn: stays in minutes, arrivals by local hour, connections of devices, connections by page."""

    stays: list[float]
    hours: Counter[int]
    talks: list[Talk]
    pages: list[int]


def draw(scenario: Scenario, seed: int) -> Drawn:
    """Draw visits and connections as a run would."""
    chance = Random(seed)
    crowd: Crowd = scenario.crowd
    stays: list[float] = []
    hours: Counter[int] = Counter()
    talks: list[Talk] = []
    pages: list[int] = []
    day = 0
    while len(stays) < VISITS and day < 10_000:
        midnight = day * DAY
        day += 1
        for visit in crowd.day(chance, midnight, int(scenario.closes * HOUR)):
            stays.append((visit.leaves - visit.arrives) / MINUTE)
            hours[(visit.arrives - midnight) // HOUR] += 1
            if len(stays) % (VISITS // _DEVICES) == 0:
                device = Device(
                    visit.kind,
                    b"",
                    b"",
                    [],
                    visit.arrives,
                    visit.leaves,
                    Random(chance.getrandbits(32)),
                    sleep=crowd.sleep,
                )
                for _, burst in device.bursts(scenario.activity):
                    talks += burst
                    web = sum(talk.port in {80, 443} for talk in burst)
                    if sum(talk.port == 53 for talk in burst) > 3 and web > 1:
                        pages.append(web)
    return Drawn(stays, hours, talks, pages)


def rows(scenario: Scenario, drawn: Drawn) -> list[Row]:
    """Return each source's figure beside ours."""
    mean = statistics.mean(drawn.stays)
    median = statistics.median(drawn.stays)
    down = sorted(talk.bytes_down for talk in drawn.talks if talk.protocol in {TCP, UDP} and talk.port in {80, 443})
    half, tenth = down[len(down) // 2], sum(down[-len(down) // 10 :]) / sum(down)
    quic = sum(talk.protocol == UDP for talk in drawn.talks if talk.port == 443) / sum(
        talk.port == 443 for talk in drawn.talks
    )
    page = statistics.mean(drawn.pages)
    total = sum(scenario.crowd.arrivals)
    worst = max(
        abs(drawn.hours[hour] / len(drawn.stays) - weight / total)
        for hour, weight in enumerate(scenario.crowd.arrivals)
    )
    afternoon = sum(drawn.hours[hour] for hour in range(12, 19)) / len(drawn.stays)
    return [
        Row("mean stay in a café", "Free-Hotspot, Paris, 2006", "89 min", f"{mean:.0f} min", 50 < mean < 110),
        Row("stays are long-tailed", "Divgi and Chlebus 2007; Papadopouli et al. 2005", "mean well above median",
            f"mean {mean / median:.2f} x median", mean > 1.2 * median),
        Row(
            "most come after noon", "Free-Hotspot, Paris, 2006", "more than half",
            f"{afternoon:.0%} from 12 to 19 h", afternoon > 0.5,
        ),
        Row("arrivals follow the hour's rate", "Ghosh et al., INFOCOM 2011", "a Poisson process",
            f"at most {worst:.1%} off its weight", worst < 0.02),
        Row("connections of a page", "HTTP Archive", "about a dozen", f"{page:.1f}", 8 < page < 16),
        Row(
            "HTTP/3 among the web's connections", "Web Almanac 2024, HTTP",
            "near 30 %", f"{quic:.0%}", 0.22 < quic < 0.38,
        ),
        Row("web transfers are small", "Falaki et al., IMC 2010", "a few KB in the middle",
            f"median {half / 1000:.1f} kB", 1_000 < half < 30_000),
        Row("and heavy-tailed", "Falaki et al., IMC 2010; Maier et al., PAM 2010", "few carry most bytes",
            f"a tenth carries {tenth:.0%}", tenth > 0.7),
        Row(
            "how often a device does what, how long it calls, which share is behind a VPN",
            "ours", "", "no study", True,
        ),
    ]  # fmt: skip


def page(scenario: Scenario, seed: int) -> tuple[str, list[Row]]:
    """Return the page and its rows."""
    drawn = draw(scenario, seed)
    found = rows(scenario, drawn)
    figure, axes = plots.canvas(1, 3, (9.0, 3.0))
    total = sum(scenario.crowd.arrivals)
    axes[0].bar(range(24), [drawn.hours[hour] / len(drawn.stays) for hour in range(24)], color=plots.BLUE, alpha=0.4)
    axes[0].step(range(24), [weight / total for weight in scenario.crowd.arrivals], where="mid", color=plots.ORANGE)
    stays = sorted(drawn.stays)
    axes[1].step(stays, [place / len(stays) for place in range(len(stays))], color=plots.BLUE)
    axes[1].axvline(89, color=plots.ORANGE, linestyle="--")
    axes[1].axvline(statistics.mean(stays), color=plots.BLUE, linestyle=":")
    axes[1].set_xlim(0, 400)
    sizes = sorted(max(talk.bytes_down, 1) for talk in drawn.talks if talk.port in {80, 443})
    axes[2].step(sizes, [1 - place / len(sizes) for place in range(len(sizes))], color=plots.BLUE)
    axes[2].set_xscale("log")
    axes[2].set_yscale("log")
    for panel, title in zip(axes, ("arrivals by hour", "stay, minutes", "web transfers, octets"), strict=True):
        panel.set_title(title, fontsize=9)
    chart = plots.svg(figure, "arrivals by local hour, stays and transfer sizes as drawn, beside the sources")
    return pages.render(
        Path(__file__).parent,
        "people.html",
        title=f"oubli: people of {scenario.name}",
        name=scenario.name,
        visits=f"{len(stays):,}",
        kinds=", ".join(f"{kind.name} {share:g}" for kind, share in zip(KINDS, scenario.crowd.kinds, strict=True)),
        connections=f"{len(drawn.talks):,}",
        devices=_DEVICES,
        chart=Markup(chart),  # noqa: S704 (matplotlib's SVG)
        rows=found,
    ), found
