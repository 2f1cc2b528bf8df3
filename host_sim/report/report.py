# SPDX-License-Identifier: Apache-2.0
"""A run's report: one HTML file with everything in it, for an operator, in English and French.

`oubli-sim run --report` writes it.

It loads nothing: no script, no font, no style from elsewhere; charts are SVG elements with a title, and every chart is
said in a sentence beside it. Which language shows is two radio buttons and a rule of CSS.
"""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from host_sim.driver.outcome import Outcome
from host_sim.report import plots
from host_sim.venue.happenings import clock_text
from tools import pages

Words = tuple[str, str]  # English, French

# What is said, in both languages; {} are figures.
_WORDS = {
    "about": (
        (
            "A simulated gateway: recorder, forwarder and broker are the real ones; people, "
            "kernel and clock are the simulator's."
        ),
        (
            "Une passerelle simulée : enregistreur, émetteur et courtier sont les vrais ; gens, "
            "noyau et horloge sont ceux du simulateur."
        ),
    ),
    "figures": (
        "{} terminals made {} connections in {:g} days; the agent ran on {}, seed {}, in {:.0f} s.",
        "{} terminaux ont fait {} connexions en {:g} jours ; l'agent a tourné sur {}, graine {}, en {:.0f} s.",
    ),
    "good": (
        "The auditor is content: nothing that must never be was found.",
        "L'auditeur est satisfait : rien d'interdit n'a été trouvé.",
    ),
    "bad": ("The auditor isn't content: {}", "L'auditeur n'est pas satisfait : {}"),
    "people": ("People", "Les gens"),
    "people_caption": (
        "Devices present, each hour; at most {} ({}). Dotted lines: something happened to the gateway (table below).",
        (
            "Appareils présents, heure par heure ; {} au plus ({}). Pointillés : "
            "un incident de la passerelle (tableau plus bas)."
        ),
    ),
    "connections": ("Connections that ended", "Connexions terminées"),
    "connections_caption": ("Each hour; at most {} ({}).", "Heure par heure ; {} au plus ({})."),
    "ring": ("What the vault of 'security' holds", "Ce que retient le coffre de 'security'"),
    "ring_caption": (
        "Records that open; at most {} ({}), at the end {}. After {} each is destroyed with its key.",
        "Enregistrements lisibles ; {} au plus ({}), {} à la fin. Au bout de {}, chacun est détruit avec sa clé.",
    ),
    "age": ("Age of the oldest record, in hours", "Âge de l'enregistrement le plus ancien, en heures"),
    "age_caption": (
        "The dashed line is the lifetime, {:g} h: it is never crossed. At most {:.1f} h.",
        "Le tireté est la durée de conservation, {:g} h : elle n'est jamais dépassée. {:.1f} h au plus.",
    ),
    "arrivals": ("Arrivals: published against truth", "Arrivées : le publié face à la vérité"),
    "arrivals_caption": (
        (
            "Dots with bars: published each hour, ± {} with 95 %. Solid line: the defined truth (terminals first "
            "heard of in that hour); dotted: whose people walked in. {} of {} dots lie within their band; "
            "one below zero is as it was drawn."
        ),
        (
            "Points et barres : publié chaque heure, ± {} à 95 %. Trait plein : la vérité définie (terminaux entendus "
            "la première fois dans l'heure) ; pointillé : les personnes entrées. {} points sur {} sont dans leur "
            "marge ; sous zéro, c'est le tirage."
        ),
    ),
    "daily": ("The day's other figures", "Les autres chiffres du jour"),
    "daily_caption": (
        (
            "Of the agent-day from {} UTC. Bars: the truth (paler: it may be more, for two classes of a terminal are "
            "drawn by lot). Dots: published, with 95 %."
        ),
        (
            "De la journée-agent du {} UTC. Barres : la vérité (plus pâle : peut-être davantage, deux classes par "
            "terminal sont tirées au sort). Points : publié, à 95 %."
        ),
    ),
    "table": ("The kernel's connection table, in per cent", "La table des connexions du noyau, en pour cent"),
    "table_caption": (
        "At most {} %; from 75 % on what the recorder can't read in time is lost, and counted.",
        "{} % au plus ; à partir de 75 %, ce que l'enregistreur ne lit pas à temps est perdu, et compté.",
    ),
    "losses": ("What became of each connection", "Ce qu'est devenue chaque connexion"),
    "events": ("What happened to the gateway", "Ce qui est arrivé à la passerelle"),
    "auditor": ("What must hold", "Ce qui doit être vrai"),
    "looked": ("looked at", "regardé"),
    "holds": ("holds", "vrai"),
}
_FATES = {
    "told": ("told to the recorder", "annoncées à l'enregistreur"),
    "dropped": (
        "dropped by the kernel before they were read, and counted",
        "perdues par le noyau avant lecture, et comptées",
    ),
    "unheard": (
        "ended while nobody listened: a gap, counted with its seconds",
        "terminées sans auditeur : un trou, compté en secondes",
    ),
    "forgotten": ("forgotten with a cut of power, by design", "oubliées avec une coupure de courant, à dessein"),
    "refused": ("never made: the table was full", "jamais faites : table pleine"),
    "ended early": ("ended early by a full table", "abrégées par une table pleine"),
}

HOLDS = {
    "records": "chaque enregistrement du coffre est une connexion, et chaque connexion a le sien",
    "expired": "passé son échéance, rien ne s'ouvre, quelle que soit l'heure affichée",
    "counted": "chaque connexion annoncée par le noyau est gardée, exclue ou comptée comme perdue",
    "losses": "rien n'est perdu que le noyau n'ait perdu, et c'est compté",
    "ledger": "les journées-agent s'ouvrent et dépensent selon ANON-5 et ANON-6, jamais au-delà du plafond",
    "cells": "chaque case est tirée une fois au plus, et toutes celles qui sont dues",
    "delivered": "chaque message mis en file est arrivé, une seule fois",
    "shape": "chaque message a le sujet, la forme et la longueur de son genre",
    "sums": "chaque somme publiée est à son bruit près de la vérité",
    "spread": "ensemble, les erreurs ont l'ampleur du bruit annoncé",
    "private": (
        "aucune adresse d'une personne, ni d'où elle est allée, dans la file, les messages, les noms ou les journaux"
    ),
    "separation": "l'émetteur ne tient rien du coffre ni de netlink, l'enregistreur aucune prise réseau",
    "forgotten": "rien de ce qui a été consulté, effacé ou a expiré ne reste dans la mémoire de l'enregistreur",
    "bounded": "fichiers et mémoire restent dans leurs bornes",
    "refused": "ce que la loi ne permet pas, la configuration le refuse",
    "acts": "la chaîne du journal d'audit est entière, et il dit ce qui a été fait",
    "attribution": "qui était derrière un port public : son propre terminal est nommé, et aucun autre",
    "billing": "chaque session est facturée une fois, avec ses volumes, à un utilisateur ou à une MAC",
    "answers": "à une question d'autorité : qui tenait le port alors est nommé, ou « inconnu », et personne d'autre",
    "custody": "ce que seul le dépositaire peut lire s'ouvre avec sa clé, et l'appareil n'en a aucune",
    "consents": "ce qui est gardé par consentement est ce qui fut consenti, et rien de qui s'est rétracté",
    "stays": "chaque passage à un point d'accès est de son terminal, sous un consentement",
}


class Chart(NamedTuple):
    """A picture, with what it shows in both languages."""

    title: Words
    svg: Markup
    caption: Words


def _told(key: str, *figures: object) -> Words:
    english, french = _WORDS[key]
    return english.format(*figures), french.format(*figures)


def _chart(key: str, svg: str, *figures: object) -> Chart:
    return Chart(_WORDS[key], Markup(svg), _told(key + "_caption", *figures))  # noqa: S704 (matplotlib's SVG)


def _highest(times: list[int], values: list[int]) -> tuple[str, str]:
    place = max(range(len(values)), key=values.__getitem__)
    return f"{values[place]:,}", clock_text(times[place])


def _charts(outcome: Outcome) -> list[Chart]:
    points, published = outcome.series, outcome.published
    times = [point.wall for point in points]
    events = [one.at for one in outcome.events]
    hours = outcome.scenario.gateway.lifetime / 3600
    people, held = [point.people for point in points], [point.records for point in points]
    ended = [later.connections - point.connections for point, later in pairwise(points)]
    ages = [point.oldest / 3600 for point in points]
    fills = [point.fill for point in points]
    title = {key: f"{words[0]} / {words[1]}" for key, words in _WORDS.items()}
    made = [
        _chart("people", plots.over_time(times, people, title["people"], events=events), *_highest(times, people)),
        _chart(
            "connections",
            plots.over_time(times[:-1], ended, title["connections"], events=events),
            *_highest(times, ended),
        ),
    ]
    fullest = _highest(times, held)
    made.append(
        _chart(
            "ring",
            plots.over_time(times, held, title["ring"]),
            *fullest,
            f"{held[-1]:,}",
            outcome.scenario.gateway.lifetime_text,
        )
    )
    made.append(_chart("age", plots.over_time(times, ages, title["age"], limit=hours), hours, max(ages)))
    made.append(_chart("table", plots.over_time(times, fills, title["table"], limit=75), max(fills)))
    if published.slots:
        inside = sum(slot.inside for slot in published.slots)
        chart = plots.arrivals(published.slots, title["arrivals"])
        made.append(_chart("arrivals", chart, published.slots[0].half_width, inside, len(published.slots)))
    if published.daily:
        first = [one for one in published.daily if one.day == published.daily[0].day]
        made.append(_chart("daily", plots.daily(first, title["daily"]), clock_text(first[0].day, date=True)))
    return made


def page(outcome: Outcome) -> str:
    """Return the whole report."""
    about = (
        outcome.traffic.terminals,
        f"{outcome.traffic.connections:,}",
        outcome.run.days,
        outcome.run.interpreter,
        outcome.run.seed,
        outcome.run.seconds,
    )
    return pages.render(
        Path(__file__).parent,
        "run.html",
        title=f"oubli: {outcome.scenario.name}",
        description=outcome.scenario.description,
        about=_told("about"),
        figures=_told("figures", *about),
        passed=outcome.passed,
        verdict=_told("good") if outcome.passed else _told("bad", outcome.violation.wrong if outcome.violation else ""),
        charts=_charts(outcome) if len(outcome.series) > 1 else [],
        words=_WORDS,
        fates=[
            (_FATES.get(name, (name, name)), count)
            for name, count in [*outcome.traffic.fates.items(), *outcome.traffic.losses.items()]
            if count
        ],
        findings=outcome.findings,
        french=HOLDS,
        events=[(clock_text(at, date=True), said) for at, *said in outcome.events[-400:]],
    )
