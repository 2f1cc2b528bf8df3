# SPDX-License-Identifier: Apache-2.0
"""A run's outcome for a person at a terminal: what was published beside the truth, what the vault held and forgot."""

import math

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from host_sim.checks.published import SUM_B
from host_sim.driver.outcome import Outcome, Published
from host_sim.trials.mutants import Verdict
from host_sim.venue.happenings import clock_text
from host_sim.venue.truth import Daily

_ROWS = 24  # slots that the table shows: the first day's
_PICTURE = 36  # columns
_SPARKS = " ▁▂▃▄▅▆▇█"


def progress_bar(console: Console) -> Progress:
    """Return the bar: simulated time, connections, how much faster than life, violations, real seconds."""
    return Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[clock]}  {task.fields[connections]:>9,} connections"),
        TextColumn("{task.fields[rate]:>6,.0f} x  {task.fields[violations]} violations"),
        TimeElapsedColumn(),
        console=console,
    )


def _arrivals(published: Published, console: Console) -> None:
    slots = published.slots[:_ROWS]
    if not slots:
        return
    half = slots[0].half_width
    low = min(min(slot.value - half, slot.defined) for slot in slots)
    high = max(max(slot.value + half, slot.defined) for slot in slots)

    def at(number: int) -> int:
        return (number - low) * (_PICTURE - 1) // (high - low)

    table = Table(
        title=f"arrivals of terminals, as published each hour, ± {half}",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
    )
    table.add_column("UTC")
    for heading in ("published", "defined", "real", "error"):
        table.add_column(heading, justify="right")
    table.add_column(Text.from_markup("[cyan]├── ● ──┤[/] published, 95 %  [yellow]◆[/] defined"))
    for slot in slots:
        picture = Text(" " * at(slot.value - half) + "├")
        picture.append("─" * (at(slot.value + half) - len(picture)) + "┤")
        picture.append(" " * (_PICTURE - len(picture)))
        cells = list(picture.plain)
        cells[at(slot.value)] = "●"
        cells[at(slot.defined)] = "◆" if at(slot.defined) != at(slot.value) else "◈"
        drawn = Text("".join(cells), "cyan")
        drawn.stylize("bold yellow", at(slot.defined), at(slot.defined) + 1)
        error = Text(f"{slot.value - slot.defined:+d}", "" if slot.inside else "bold red")
        table.add_row(clock_text(slot.start), f"{slot.value}", f"{slot.defined}", f"{slot.real}", error, drawn)
    table.add_section()
    sums = [sum(column) for column in zip(*((slot.value, slot.defined, slot.real) for slot in slots), strict=True)]
    p = math.exp(-SUM_B[1] / SUM_B[0])
    spread = 1.96 * math.sqrt(len(slots) * 2 * p) / (1 - p)  # of the sum: each draw has the variance 2p / (1 - p)^2
    table.add_row("sum", *map(str, sums), f"{sums[0] - sums[1]:+d}", f"± {spread:.0f} with 95 %")
    console.print(table)
    inside = sum(slot.inside for slot in published.slots)
    rest = len(published.slots) - len(slots)
    console.print(
        "defined: terminals whose first connection of the agent-day ended in that hour, as the recorder heard\n"
        "real:    devices whose people walked in; a number below zero is published as it was drawn (ANON-3)\n"
        f"within ± {half} of the defined truth: {inside} of {len(published.slots)} published numbers"
        + (f" ({rest} more than shown)" if rest else "")
        + "; 95 % is stated\n"
    )
    topic, payload = published.newest
    text = payload.rstrip()
    console.print(
        f"the last one as the broker gave it out, but for the {len(payload) - len(text)} spaces that make all of "
        "one length:"
    )
    console.print(f"{topic} {text}\n", highlight=False, markup=False)


def _daily(published: Published, console: Console) -> None:
    """The first agent-day's other messages, each cell beside its truth."""
    if not published.daily:
        return
    figures = [one for one in published.daily if one.day == published.daily[0].day]
    title = f"of the agent-day from {clock_text(figures[0].day)} UTC, as published at its end: value (defined)"
    table = Table(title=title, box=None, show_header=False, title_justify="left", pad_edge=False)
    for one in figures:
        cells = []
        for name, value, (least, most) in zip(Daily.CELLS[one.metric], one.values, one.truth, strict=True):
            cells.append(f"{name}: {value} ({least if least == most else f'{least}-{most}'})".replace(" ", "\u00a0"))
        table.add_row(f"[bold]{one.metric}[/]", f"±\u00a0{one.half_width}", "  ".join(cells))
    console.print(table)
    console.print("two of a terminal's service classes count, drawn by a secret of the day: its truth is a range\n")


def _vault(outcome: Outcome, console: Console) -> None:
    if not outcome.looks:
        return
    looks, fullest, final = outcome.looks, outcome.fullest, outcome.looks[-1]
    most = max(fullest.records, 1)
    sparks = "".join(_SPARKS[-(-look.records * (len(_SPARKS) - 1) // most)] for look in looks)
    console.print(f"vault of 'security', kept {outcome.scenario.gateway.lifetime_text}, then its keys are destroyed")
    console.print(
        f"{clock_text(looks[0].wall)} [magenta]{sparks}[/] {clock_text(final.wall)}   records that open, every 3 hours"
    )
    table = Table(box=None, show_header=False, pad_edge=False)
    for justify in ("left", "right", "right", "left"):
        table.add_column(justify=justify)
    each = f"{fullest.octets / most:.1f} bytes a connection"
    gone = f"{outcome.traffic.connections - final.records:,} of {outcome.traffic.connections:,} forgotten"
    for what, look, note in (("at its fullest", fullest, each), ("at the end", final, gone)):
        table.add_row(f"{what}, {clock_text(look.wall)}", f"{look.records:,} records", f"{look.octets:,} bytes", note)
    console.print(table)
    losses = ", ".join(f"{count} {name}" for name, count in outcome.traffic.losses.items() if count)
    console.print(f"lost: {losses or 'nothing'}\n")
    if asked := sum(outcome.answers.values()):
        told = ", ".join(f"{count} {name} ({100 * count / asked:.1f} %)" for name, count in outcome.answers.items())
        console.print(f"{asked} questions of authorities: {told}\n")


def verdicts(found: list[Verdict]) -> Table:
    """Return the table of the mutants: what each breaks, what found it, after how many simulated hours."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, justify in (
        ("mutant", "left"),
        ("breaks", "left"),
        ("caught by", "left"),
        ("hours", "right"),
        ("", "left"),
    ):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for one in found:
        names = ", ".join(f"[bold]{name}[/]" if name == one.mutant.check else name for name in one.caught_by)
        only = " only" if one.mutant.only else ""
        word = "[green]yes[/]" if one.caught else f"[bold red]NO: {one.mutant.check}{only}[/]"
        table.add_row(one.mutant.name, one.mutant.breaks, names or "nothing", f"{one.hours:.1f}", word)
    return table


def fleet_table(data: dict) -> Table:
    """Return a fleet's figures as a table."""
    table = Table(box=None, show_header=False, pad_edge=False)
    latency = data["latency_s"]
    rows = (
        ("gateways", f"{data['gateways']:,}, all connected after {data['all_connected_after_s']} s"),
        (
            "messages",
            f"{data['arrived']:,} of {data['messages']:,} arrived, {data['repeated']:,} came twice, the very same",
        ),
        (
            "from due to the subscriber",
            f"p50 {latency['p50']} s, p95 {latency['p95']} s, p99 {latency['p99']} s, most {latency['most']} s",
        ),
        (
            "outage",
            f"{data['outage_s']:g} s, all back {data['all_back_after_s']} s after it" if data["outage_s"] else "none",
        ),
        (
            "forwarders",
            (
                f"{data['cpu_s']} s of CPU in {data['seconds']} s, {data['memory_mib']} MiB, "
                f"{data['failed_connections']} failed tries"
            ),
        ),
    )
    for row in rows:
        table.add_row(*row)
    return table


def light_table(data: dict) -> Table:
    """Return a light fleet's figures as a table."""
    table = Table(box=None, show_header=False, pad_edge=False)

    def waits(kind: str) -> str:
        return ", ".join(f"{name} {wait:.3g} s" for name, wait in data[f"{kind}_s"].items()) or "none"

    back = f"all back after {data['all_back_after_s']} s" if data["all_back_after_s"] else "not all came back"
    rows = (
        (
            "gateways",
            f"{data['gateways']:,} at {data['brokers']} broker{'s' * (data['brokers'] > 1)}, "
            + (
                f"all connected after {data['all_connected_after_s']} s"
                if data["all_connected_after_s"]
                else "not all connected"
            ),
        ),
        (
            "figures",
            f"{data['figures']:,} of {data['figures_due']:,} acknowledged; after they were due: {waits('figures')}",
        ),
        ("healths", f"{data['healths']:,}; {waits('healths')}"),
        ("cut off", f"{data['cut']:,}, {back}" if data["cut"] else "none"),
        (
            "processes",
            (
                f"{data['processes']}: {data['cpu_s']} s of CPU, {data['memory_mib']} MiB, "
                f"{data['failed_connections']} failed tries, {data['given_up']} messages given up"
            ),
        ),
    )
    for row in rows:
        table.add_row(*row)
    return table


def _happened(outcome: Outcome, console: Console) -> None:
    """What happened to the gateway, where that was more than a boot and a confirmed clock."""
    if len(outcome.events) > 2:
        lines = [f"{clock_text(at)} {what}" for at, what, _ in outcome.events]
        more = [f"... {len(lines) - 12} more ..."] if len(lines) > 12 else []
        console.print("\n".join(["what happened", *lines[:8], *more, *lines[8:][-4:], ""]), highlight=False)
        fates = ", ".join(f"{count:,} {name}" for name, count in outcome.traffic.fates.items() if count)
        console.print(f"of the connections: {fates}\n", highlight=False)


def violation(outcome: Outcome, again: str) -> str:
    """Return the first violation for a person: seed, step, history, and the command that shows it again."""
    found = outcome.violation
    if found is None:
        return ""
    lines = [
        f"violation at step {found.step} ({clock_text(found.wall, date=True)} UTC) of seed {outcome.run.seed}:",
        f"  must hold: {found.check}",
        f"  found:     {found.wrong}",
        *(f"    {line}" for line in found.story),
        f"again, up to there: {again} --until {found.step}",
    ]
    return "\n".join(lines)


def show(outcome: Outcome, console: Console) -> None:
    """Print the whole outcome."""
    kinds = ", ".join(f"{count:,} {name}" for name, count in outcome.traffic.by_protocol.items())
    console.print(
        f"\n[bold]{outcome.scenario.description}[/]\n"
        f"{outcome.traffic.terminals} terminals made {outcome.traffic.connections:,} connections ({kinds})\n"
        f"the agent ran on {outcome.run.interpreter}, with seed {outcome.run.seed}, for {outcome.run.seconds:.1f} s\n"
    )
    _happened(outcome, console)
    _arrivals(outcome.published, console)
    _daily(outcome.published, console)
    _vault(outcome, console)
    table = Table(title="the auditor", box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for heading, justify in (("must hold", "left"), ("looked at", "right"), ("holds", "left")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for finding in outcome.findings:
        table.add_row(finding.what, f"{finding.seen:,}", "[green]yes[/]" if finding.holds else "[bold red]NO[/]")
        for wrong in finding.wrong[:3] or ([] if finding.seen else ["there was nothing to look at"]):
            table.add_row(f"[red]  {wrong}[/]", "", "")
    console.print(table)
