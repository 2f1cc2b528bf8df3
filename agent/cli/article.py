# SPDX-License-Identifier: Apache-2.0
"""`oubli law`: the table of purposes with the article's own words, and what of it this device has on (L34-II-2).

The words are those of article L34-1 of the CPCE as it stood from 2014 to 2021; agent.law is the table that everything else reads.
"""

from agent import law

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
        "les opérateurs peuvent, jusqu'à la fin de la période au cours de laquelle la facture peut être légalement contestée "
        "ou des poursuites engagées pour en obtenir le paiement, utiliser, conserver"
    ),
    "services": (
        "réaliser un traitement des données relatives au trafic en vue de commercialiser leurs propres services de communications "
        "électroniques ou de fournir des services à valeur ajoutée, si les abonnés y consentent expressément et pour une durée déterminée"
    ),
    "location": (
        "les données permettant de localiser l'équipement terminal de l'utilisateur ne peuvent ni être utilisées pendant la communication "
        "à des fins autres que son acheminement, ni être conservées et traitées après l'achèvement de la communication que moyennant "
        "le consentement de l'abonné"
    ),
    "consent": (
        "L'abonné peut retirer à tout moment et gratuitement, hormis les coûts liés à la transmission du retrait, son consentement."
    ),
    "freeze": "",  # a paragraph of the wording in force only
}
# What is in memory beside what a purpose keeps, with its fields, and for how long: which address a terminal has, and the day's table.
MEMORY = (
    ("addresses", ("mac", "address"), "as long as a terminal has it, and connections of it last"),
    ("counting", ("mac_hash", "presence", "volume", "service"), "at most 24h, until 03:00 UTC; an objection 395d, under a keyed hash"),
)
_TEXT = "the wording in force since 31 July 2021 knows " + law.IN_FORCE + " instead of " + " and ".join(law.FORMER_GROUNDS)


def state(row: "law.Purpose", config: "Config") -> str:
    """Return whether a purpose is on here: configured, or following from one that is."""
    if row.name == "consent":
        return "on" if "services" in config.purposes or "location" in config.purposes else "off"
    if row.name == "freeze":
        return "by order"
    return "on" if row.name in config.purposes else "off"


def lifetime(row: "law.Purpose", config: "Config") -> int:
    """Return how long this device keeps a record, in seconds; 0 where another document fixes it."""
    section = config.purposes.get(row.name)
    own: "int | None" = section.values.get("lifetime") if section else None
    return own or row.lifetime


def data(config: "Config") -> "dict[str, Any]":
    """Return the table as `oubli law --json` shows it."""
    rows = []
    for row in law.PURPOSES:
        section = config.purposes.get(row.name)
        rows.append(
            {
                "purpose": row.name,
                "state": state(row, config),
                "paragraph": row.paragraph,
                "in_force": row.in_force,
                "words": WORDS[row.name],
                "grounds": row.grounds,
                "ground": section.values.get("ground") if section else None,
                "fields": row.fields,
                "custody": row.custody,
                "default": "on" if row.enabled else "off",
                "lifetime_seconds": lifetime(row, config),
                "ceiling_seconds": row.ceiling,
                "needs": row.needs,
            }
        )
    memory = [{"what": name, "state": _memory(name, config), "fields": fields, "kept": kept} for name, fields, kept in MEMORY]
    return {"rule": RULE, "content": CONTENT, "wording": _TEXT, "purposes": rows, "memory": memory}


def _memory(name: str, config: "Config") -> str:
    """Return whether something is in memory here."""
    return "on" if name != "counting" or config.metrics else "off"


def lines(config: "Config") -> "list[str]":
    """Return the table as text."""
    out = ["L34-1 II: « " + RULE + " »", "L34-1 VI: « " + CONTENT + " »", ""]
    for row in law.PURPOSES:
        seconds = lifetime(row, config)
        kept = (
            law.duration(seconds) if seconds else "as long as its " + (row.needs[0] if row.needs[0] != "lifetime" else "option") + " says"
        )
        out.append(row.name + ": " + state(row, config) + "; " + kept + ", at most " + law.duration(row.ceiling) + "; " + row.custody)
        out.append("  " + row.paragraph + (" (in force: " + row.in_force + ")" if row.in_force not in row.paragraph else ""))
        if WORDS[row.name]:
            out.append("  « " + WORDS[row.name] + " »")
        out.append("  keeps: " + ", ".join(row.fields).replace("_", " "))
        if row.needs:
            needs = [need + (" (" + ", ".join(row.grounds) + ")" if need == "ground" else "") for need in row.needs]
            out.append("  needs: " + ", ".join(needs))
    for name, fields, kept in MEMORY:
        out.append(name + ": " + _memory(name, config) + "; in memory; " + kept + "; " + ", ".join(fields).replace("_", " "))
    out.extend(["", _TEXT + " (L34-III-1); '" + law.STRUCK_DOWN + "' is refused: " + law.STRUCK_DOWN_REASON])
    return out


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.config.config import Config
