# SPDX-License-Identifier: Apache-2.0
"""`oubli explain METRIC`: five lines on what a figure means.

They say what one terminal adds, what the figure hides, how sure it is, and what to do with it.
"""

from agent.summary.metrics import METRICS, PROFILES, display_threshold, half_width, scales

# metric: (what it counts, what one terminal adds) in English and in French
_MEANING = {
    "arrivals": (
        (
            "terminals of which the gateway first heard in that time",
            "1, once a day, when its first connection had ended",
        ),
        (
            "les terminaux entendus pour la première fois dans ce laps de temps",
            "1 par jour, quand sa première connexion est terminée",
        ),
    ),
    "presence": (
        (
            "terminals of the day by the number of quarter-hours in which they had traffic",
            "1 a day, in one of its ranges",
        ),
        (
            "les terminaux du jour selon le nombre de quarts d'heure avec du trafic",
            "1 par jour, dans une de ses tranches",
        ),
    ),
    "volume": (
        (
            "terminals of the day by what they sent and received, in MiB of ended connections",
            "1 a day, in one of its ranges",
        ),
        (
            "les terminaux du jour selon leur volume, en Mio de connexions terminées",
            "1 par jour, dans une de ses tranches",
        ),
    ),
    "active": (
        ("terminals with traffic in each slot of four hours", "1 in each of its first two slots, at most 2 a day"),
        (
            "les terminaux avec du trafic dans chaque tranche de quatre heures",
            "1 dans ses deux premières tranches, au plus 2 par jour",
        ),
    ),
    "classes": (
        (
            "terminals that used a class of service; web and DNS, which everybody uses, are left out",
            "1 in at most two classes, by lot",
        ),
        (
            "les terminaux ayant utilisé une classe de service, sauf web et DNS",
            "1 dans au plus deux classes, tirées au sort",
        ),
    ),
}
_TEXTS = (
    (
        "%s: %s.",
        "One terminal adds %s; one that changes its MAC counts as several.",
        "Noise hides each terminal: whether it came changes the odds of any figure by a factor of at most e^%s.",
        (
            'A figure is within ± %d of the truth in at least 95 of 100 cases; below %d it is shown as "< %d"; '
            "it may be negative."
        ),
        "Compare sums and means over days or gateways, never two single figures that differ by less than their ±.",
    ),
    (
        "%s : %s.",
        "Un terminal ajoute %s ; s'il change de MAC, il compte pour plusieurs.",
        "Un bruit cache chaque terminal : sa venue change les chances de tout chiffre d'un facteur e^%s au plus.",
        (
            "Un chiffre est à ± %d de la vérité dans au moins 95 cas sur 100 ; sous %d il s'affiche « < %d » ; "
            "il peut être négatif."
        ),
        "Comparez des sommes ou des moyennes sur des jours ou des lieux, jamais deux chiffres plus proches que leur ±.",
    ),
)


_ELSEWHERE = ("Here there are only %s.", "Ici il n'y a que %s.")


def lines(name: str, published: "dict[str, tuple[int, int]] | None", *, french: bool) -> "list[str]":
    """Return five lines about a metric, by the scales of the noise; a sixth one where others are published.

    None: nothing is configured yet. What isn't published here is told by a profile that has it, the default one first.
    """
    (metric,) = [one for one in METRICS if one.name == name]
    profile = next(one for one in ("medium", "tiny", "small", "large") if name in PROFILES[one])
    b = (published or {}).get(name) or scales(PROFILES[profile], 1000, {})[name]
    below = display_threshold(b)
    counts, adds = _MEANING[metric.like][french]
    first, second, third, fourth, fifth = _TEXTS[french]
    epsilon = -(-metric.l1 * 1000 * b[1] // b[0])  # never told as less
    power = str(epsilon // 1000) + ("," if french else ".") + "%03d" % (epsilon % 1000)
    out = [first % (name, counts), second % adds, third % power, fourth % (half_width(b), below, below), fifth]
    if published and name not in published:
        out.append(_ELSEWHERE[french] % ", ".join(sorted(published)))
    return out
