# SPDX-License-Identifier: Apache-2.0
"""`oubli law`: the table of purposes with the article's own words, and what of it this device has on (L34-II-2).

The words are those of article L34-1 of the CPCE as it stood from 2014 to 2021; agent.law
is the table that everything else reads.
"""

from agent import law
from agent.vault import stores

RULE = "effacent ou rendent anonyme toute donnée relative au trafic, sous réserve des dispositions des III, IV, V et VI"
CONTENT = (
    "Elles ne peuvent en aucun cas porter sur le contenu des correspondances échangées ou des informations consultées, "
    "sous quelque forme que ce soit, dans le cadre de ces communications."
)
WORDS = {
    "security": "Ils peuvent également conserver certaines données en vue d'assurer la sécurité de leurs réseaux.",
    "attribution": (
        "il peut être différé pour une durée maximale d'un an aux opérations tendant à effacer ou à rendre anonymes "
        "certaines catégories de données techniques"
    ),
    "billing": (
        "les opérateurs peuvent, jusqu'à la fin de la période au cours de laquelle la facture peut être légalement "
        "contestée ou des poursuites engagées pour en obtenir le paiement, utiliser, conserver"
    ),
    "services": (
        "réaliser un traitement des données relatives au trafic en vue de commercialiser leurs propres services de "
        "communications électroniques ou de fournir des services à valeur ajoutée, si les abonnés y consentent "
        "expressément et pour une durée déterminée"
    ),
    "location": (
        "les données permettant de localiser l'équipement terminal de l'utilisateur ne peuvent ni être utilisées "
        "pendant la communication à des fins autres que son acheminement, ni être conservées et traitées après "
        "l'achèvement de la communication que moyennant le consentement de l'abonné"
    ),
    "consent": (
        "L'abonné peut retirer à tout moment et gratuitement, "
        "hormis les coûts liés à la transmission du retrait, son consentement."
    ),
    "freeze": "",  # a paragraph of the wording in force only
}
_STATES = ("off", "on")
_TEXT = (
    "the wording in force since 31 July 2021 knows " + law.IN_FORCE + " instead of " + " and ".join(law.FORMER_GROUNDS)
)


def state(row: "law.Purpose", config: "Config", held: "Sequence[str]" = ()) -> str:
    """Return whether a purpose is on here: configured, or following from one that is.

    `held`: of those that are off, what is still kept.
    """
    if row.name == "freeze":
        return "by order"
    on = row.name in config.purposes or (row.name == "consent" and stores.by_consent(config))
    if on or row.name not in held:
        return "on" if on else "off"
    return "off, perhaps still kept" if row.name in config.unseen else "off, still kept"


def lifetime(row: "law.Purpose", config: "Config") -> int:
    """Return how long this device keeps a record, in seconds; 0 where another document fixes it."""
    section = config.sections.get(row.name)
    own: "int | None" = section.values.get("lifetime") if section else None
    return own or row.lifetime


def held(config: "Config", paths: "Paths") -> "list[str]":
    """Return the purposes that are off, and of which something is still kept here."""
    try:
        from agent.purposes import also_held
    except ImportError:
        return []
    return also_held.told(config, paths)


def memory(config: "Config", held: "Sequence[str]" = ()) -> "list[tuple[str, bool, tuple[str, ...], str]]":
    """Return what is held beside the stores: its name, whether it is here, its fields, for how long."""
    found: "list[tuple[str, bool, tuple[str, ...], str]]" = [
        (
            "addresses",
            True,
            ("mac", "address", "start"),
            "in memory, as long as its connections last, and at most 24h more",
        ),
        (
            "counting",
            bool(config.metrics),
            ("mac_hash", "arrival", "presence", "volume", "service"),
            "in memory, a day, until about 03:00 UTC",
        ),
    ]
    try:
        from agent.purposes import also_held, words
    except ImportError:
        return found
    told = [(name, words.kept(name, 1, also_held.on_medium(config, held))) for name, _ in also_held.MEMORY]
    kept = {name: also_held.FLASH.get(name, "in memory, ") + text for name, text in told}
    return found + [(name, here, fields, kept[name]) for name, here, fields in also_held.memory(config, held)]


def data(config: "Config", held: "Sequence[str]" = ()) -> "dict[str, Any]":
    """Return the table as `oubli law --json` shows it."""
    rows = [
        {
            "purpose": row.name,
            "state": state(row, config, held),
            "paragraph": row.paragraph,
            "in_force": row.in_force,
            "words": WORDS[row.name],
            "grounds": row.grounds,
            "ground": _ground(row, config, held),
            "fields": row.fields,
            "custody": row.custody,
            "default": "on" if row.enabled else "off",
            "lifetime_seconds": lifetime(row, config),
            "ceiling_seconds": row.ceiling,
            "needs": row.needs,
        }
        for row in law.PURPOSES
    ]
    also_held = [
        {"what": row[0], "state": _STATES[row[1]], "fields": row[2], "kept": row[3]} for row in memory(config, held)
    ]
    return {"rule": RULE, "content": CONTENT, "wording": _TEXT, "purposes": rows, "memory": also_held}


def _ground(row: "law.Purpose", config: "Config", held: "Sequence[str]") -> "str | None":
    """Return on which ground a purpose keeps, or kept last what it still has."""
    if not row.grounds or (row.name not in config.purposes and row.name not in held):
        return None
    return stores.kept_for(row.name, config)[-1][1]


def lines(config: "Config", held: "Sequence[str]" = ()) -> "list[str]":
    """Return the table as text."""
    out = ["L34-1 II: « " + RULE + " »", "L34-1 VI: « " + CONTENT + " »", ""]
    for row in law.PURPOSES:
        seconds = lifetime(row, config)
        kept = (
            law.duration(seconds)
            if seconds
            else "as long as its " + (row.needs[0] if row.needs[0] != "lifetime" else "option") + " says"
        ) + (" and 30d more" if row.custody == law.DEVICE else "")
        ceiling = law.duration(row.ceiling)
        out.append(f"{row.name}: {state(row, config, held)}; {kept}, at most {ceiling}; {row.custody}")
        out.append(
            "  " + row.paragraph + (" (in force: " + row.in_force + ")" if row.in_force not in row.paragraph else "")
        )
        if WORDS[row.name]:
            out.append("  « " + WORDS[row.name] + " »")
        out.append("  keeps: " + ", ".join(row.fields).replace("_", " "))
        if row.needs:
            needs = [need + (" (" + ", ".join(row.grounds) + ")" if need == "ground" else "") for need in row.needs]
            out.append("  needs: " + ", ".join(needs))
    for name, here, fields, kept in memory(config, held):
        out.append(name + ": " + _STATES[here] + "; " + kept + "; " + ", ".join(fields).replace("_", " "))
    out.extend(["", _TEXT + " (L34-III-1); '" + law.STRUCK_DOWN + "' is refused: " + law.STRUCK_DOWN_REASON])
    return out


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from agent.base.paths import Paths
    from agent.config.config import Config
