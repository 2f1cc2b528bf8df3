# SPDX-License-Identifier: Apache-2.0
"""`oubli law --register fr|en`: the entry in the controller's register of processing (GDPR art. 30, L34-VI-4), as the notice is made."""

from agent.config.config import load
from agent.purposes import notice, words

TEXTS: "dict[str, dict[str, str]]" = {
    "fr": {
        "register": "Registre des activités de traitement (RGPD, article 30)",
        "people": "personnes : utilisateurs du réseau Wi-Fi",
        "route": "- acheminement des connexions",
        "routed": "données : adresse IP locale, adresse MAC",
        "while": "tant que l'appareil utilise l'adresse et que ses connexions durent",
        "objection": "- opposition au comptage",
        "objected": "données : empreinte de l'adresse MAC sous la clé de la borne",
        "13 months": "13 mois, ou jusqu'à ce que la personne revienne sur son opposition",
        "count": "- comptage des visiteurs",
        "counted": "données : empreinte de l'adresse MAC sous une clé d'un jour, heures de présence, volumes, types de service",
        "day": "un jour, jusqu'à 3 h UTC",
        "public": "public (sommes anonymes)",
        "data": "données : ",
        "duration": "durée : ",
        "measures": "mesures : ",
        "volatile": "en mémoire vive, chiffré ; une coupure de courant l'efface",
        "memory": "en mémoire vive ; une coupure de courant l'efface",
        "custodian": "chiffré ; seul un tiers de confiance détient les clés et les détruit à l'échéance",
        "device": "chiffré sous la clé de la borne",
    },
    "en": {
        "register": "Record of processing activities (GDPR, article 30)",
        "people": "people: users of the Wi-Fi network",
        "route": "- routing of connections",
        "routed": "data: local IP address, MAC address",
        "while": "as long as the device uses the address and its connections last",
        "objection": "- objection to being counted",
        "objected": "data: hash of the MAC address under the gateway's key",
        "13 months": "13 months, or until the person takes the objection back",
        "count": "- count of visitors",
        "counted": "data: hash of the MAC address under a key of one day, times of presence, volumes, kinds of service",
        "day": "a day, until 03:00 UTC",
        "public": "the public (anonymous sums)",
        "data": "data: ",
        "duration": "duration: ",
        "measures": "measures: ",
        "volatile": "in memory, encrypted; a power cut erases it",
        "memory": "in memory; a power cut erases it",
        "custodian": "encrypted; only a trusted third party has the keys, and destroys them when the time is over",
        "device": "encrypted under the gateway's key",
    },
}


def register(config: "Config", language: str) -> "list[str]":
    """Return the entry for the controller's register of processing, in `fr` or `en`."""
    text, shared = TEXTS[language], notice.TEXTS[language]
    out = [text["register"]] + notice.responsible(config, shared)
    for row in notice.rows(config):
        basis = notice.paragraph(row, config, language)
        if row.grounds:
            basis += ", " + config.purposes[row.name].ground + ", " + config.purposes[row.name].reference
        parts = [words.PURPOSES[row.name][words.LANGUAGES.index(language)], text["people"], text["data"] + words.fields(row, language)]
        parts += [shared["basis"] + basis, shared["recipients"] + notice.recipients(row, config, language)]
        parts += [text["duration"] + notice.long(row, config, language), text["measures"] + text[row.custody]]
        out.append("- " + shared["then"].join(parts))
    nobody = notice.nobody(language)
    others = [("route", "routed", "f", nobody, "while", "memory")]
    if config.metrics:
        others += [
            ("count", "counted", "f", text["public"], "day", "memory"),
            ("objection", "objected", "c", nobody, "13 months", "device"),
        ]
    for name, data, letter, who, span, measure in others:
        parts = [text[name], text["people"], text[data], shared["basis"] + ("RGPD 6.1 " if language == "fr" else "GDPR 6.1 ") + letter]
        parts += [shared["recipients"] + who, text["duration"] + text[span], text["measures"] + text[measure]]
        out.append(shared["then"].join(parts))
    out.append(shared["transfers"])
    return [words.typeset(line, language) for line in out]


def run(line: "Line") -> int:
    """Show it."""
    print("\n".join(register(load(line.config), line["--register"])))
    return 0


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.cli.command import Line
    from agent.config.config import Config
