# SPDX-License-Identifier: Apache-2.0
"""Holds the audit log against what happened: its chain is whole, its acts are those that were done (L34-VI-3)."""

from collections import Counter
from pathlib import Path

from agent.audit import chain
from agent.audit.log import kind_of, most
from agent.runtime.sodium import Sodium
from host_sim.venue.world import World

ACTS = {"grant": "granted", "suspend": "suspended", "resume": "resumed", "withdraw": "withdrawn"}


def look(folder: Path, world: World, hours: int) -> list[str]:
    """Return what is wrong with the log; `hours` are the powered-on ones since it began, each with its checkpoint."""
    acts: Counter[str] = Counter()
    lines: Counter[tuple[str, int]] = Counter()  # of consents, by kind and file

    def visit(entry: chain.Entry) -> None:
        acts[entry.act] += 1
        if entry.act == "consent":
            acts[entry.words[0]] += 1
            lines[kind_of([entry.act, *entry.words]), acts["link"]] += 1

    verdict = chain.verify(str(folder), Sodium(), visit)
    wrong = [f"the chain doesn't hold: {verdict.wrong}"] if verdict.wrong else []
    if acts["start"] != (starts := world.gateway.starts):
        wrong.append(f"{acts['start']} starts are noted, there were {starts}")
    if verdict.checkpoint[0] != hours:
        wrong.append(f"{verdict.checkpoint[0]} checkpoints, {hours} powered-on hours")
    done = world.portal.acts if world.portal else Counter[str]()
    full = {kind for (kind, _), count in lines.items() if count == most(kind)}  # what came after that is only counted
    for act, name in ACTS.items():
        said = kind_of(["consent", name]) not in full and "log" not in world.gateway.flash.was_full
        if acts[name] > done[act] or (acts[name] < done[act] and said):
            wrong.append(f"{acts[name]} consents are noted as {name}, {done[act]} were")
    return wrong
