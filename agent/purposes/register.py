# SPDX-License-Identifier: Apache-2.0
"""`oubli law --register fr|en`: the entry in the controller's register of processing (GDPR art. 30, L34-VI-4).

It has a line for each processing, as the notice has (agent.purposes.activities); nobody is spoken to in it.
"""

from agent import law
from agent.config.config import running
from agent.purposes import activities, also_held, notice, words
from agent.vault import stores

TEXTS: "dict[str, dict[str, str]]" = {
    "fr": {
        "register": "Registre des activités de traitement (RGPD, article 30)",
        "agreed": " (but d'aujourd'hui ; un accord, et ce qu'il fait garder, ne vaut que pour celui de son document)",
        "people": "personnes concernées : utilisateurs du réseau",
        "askers": ", demandeurs, agents habilités",
        "data": "données : ",
        "agents": ", nom et clé des agents habilités",
        "duration": "durée : ",
        "preserved": ", sauf injonction (L34-1 III bis : un an de plus au plus)",
        "enrolled": " (agents : tant qu'ils sont habilités)",
        "measures": "mesures : ",
    },
    "en": {
        "register": "Record of processing activities (GDPR, article 30)",
        "agreed": " (as told today; a consent, and what is kept by it, is for what its own document says alone)",
        "people": "data subjects: users of the network",
        "askers": ", who asks, qualified agents",
        "data": "data: ",
        "agents": ", name and key of qualified agents",
        "duration": "duration: ",
        "preserved": ", but for an injunction (L34-1 III bis: a year more at most)",
        "enrolled": " (agents: as long as they are qualified)",
        "measures": "measures: ",
    },
}


def register(config: "Config", language: str, held: "Sequence[str]" = ()) -> "list[str]":
    """Return the entry for the register of processing, in `fr` or `en`; `held` as in agent.purposes.also_held."""
    text, shared, at = TEXTS[language], notice.TEXTS[language], words.LANGUAGES.index(language)
    out = [text["register"]] + notice.responsible(config, language)
    found = activities.activities(config, language, held)
    for one in found:
        basis = shared["basis"] + one.basis
        if one.key == "attribution":
            section, told = config.sections[one.key], activities.kept_for(one.key, config)
            basis += ", " + activities.newest_first(told, at) if stores.UNKNOWN not in told else ""
            basis += ", " + section.reference if section.reference and section.ground == told[-1] else ""
        # Whoever signs is enrolled in a file of the gateway's, which has no end
        askers, agents, enrolled = [
            text[name] if one.key == "requests" else "" for name in ("askers", "agents", "enrolled")
        ]
        parts = (
            [one.what]
            + aims(one, language)
            + [
                text["people"] + askers,
                text["data"] + one.data + agents,
                basis,
                shared["recipients"] + one.recipients,
            ]
        )
        preserved = text["preserved"] if one.custody == law.CUSTODIAN else ""
        parts += [text["duration"] + one.kept + preserved + enrolled, text["measures"] + one.safe]
        out.append("- " + shared["then"].join(parts))
    out += notice.received([one.key for one in found], language) + [activities.transfers(found, at)]
    return [words.typeset(line, language) for line in out]


def aims(activity: "activities.Activity", language: str) -> "list[str]":
    """Return what consented data are used for today: what was agreed to before may be for something else."""
    return [aim + TEXTS[language]["agreed"] for aim in activity.aim]


def run(line: "Line") -> int:
    """Show it."""
    config = running(line.config, line.paths)
    print("\n".join(register(config, line["--register"], also_held.told(config, line.paths))))
    return 0


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

    from agent.cli.command import Line
    from agent.config.config import Config
