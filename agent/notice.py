# SPDX-License-Identifier: Apache-2.0
"""`oubli law --notice fr|en`: what the guests must be told, and the line for the register of processing, from the live configuration.

Only what this gateway really does is in it: a purpose that is off isn't named. The venue adds its name and address, which no
configuration of a gateway holds. Law 78-17 art. 48 (GDPR art. 13) asks for the notice, GDPR art. 30 for the register. Not legal advice.
"""

from agent import article, law

TEXTS: "dict[str, dict[str, str]]" = {
    "fr": {
        "title": "Information sur le réseau Wi-Fi",
        "who": "Responsable du traitement : ____________________ (nom et adresse à compléter)",
        "rule": "Ce réseau n'enregistre ni le contenu de vos échanges, ni les sites ou services que vous consultez (L34-1 VI du CPCE).",
        "none": "Aucune donnée de connexion n'est conservée.",
        "kept": "Sont conservés, puis effacés de manière automatique et irréversible :",
        "sums": "Des statistiques anonymes de fréquentation sont publiées ; personne ne peut y être reconnu.",
        "rights": "Vous pouvez demander à l'accueil ce qui est conservé sur votre appareil, le faire rectifier ou effacer, vous y opposer "
        "(loi 78-17 ; RGPD, articles 15 à 21), et saisir la CNIL (www.cnil.fr).",
        "consent": "Votre consentement peut être retiré ou suspendu à tout moment, gratuitement.",
        "register": "Registre des activités de traitement (RGPD, article 30)",
        "people": "personnes : utilisateurs du réseau Wi-Fi",
        "security": "la sécurité du réseau : appareil, adresses locales, ports, heures et volumes des connexions",
        "attribution": "la réponse aux autorités habilitées : qui a utilisé quelle adresse publique et quels ports, et quand",
        "billing": "la facturation : identifiant, heures et volume de chaque session",
        "services": "les services auxquels vous avez consenti : heures et volumes des connexions de votre appareil",
        "location": "la localisation à laquelle vous avez consenti : la borne Wi-Fi utilisée, et quand",
        "for": "- pour ",
        "most": "au plus ",
        "own": "pour la durée de votre consentement, au plus ",
        "volatile": "en mémoire vive, chiffré ; une coupure de courant l'efface",
        "custodian": "chiffré ; seul un tiers de confiance détient les clés et les détruit à l'échéance",
        "basis": "base : ",
        "recipients": "destinataires : ",
        "nobody": "aucun",
        "authorities": "autorités habilitées, sur demande signée par deux agents",
        "duration": "durée : ",
        "measures": "mesures : ",
        "then": " ; ",
    },
    "en": {
        "title": "Information on the Wi-Fi network",
        "who": "Controller: ____________________ (name and address to be filled in)",
        "rule": "This network records neither the content of what you exchange nor the sites or services you use (L34-1 VI of the CPCE).",
        "none": "No connection data is kept.",
        "kept": "What is kept, and then erased automatically and for good:",
        "sums": "Anonymous statistics of attendance are published; nobody can be recognised in them.",
        "rights": "At the desk you can ask what is kept about your device, have it corrected or erased, or object "
        "(law 78-17; GDPR, articles 15 to 21), and you can complain to the CNIL (www.cnil.fr).",
        "consent": "Your consent can be withdrawn or suspended at any time, free of charge.",
        "register": "Record of processing activities (GDPR, article 30)",
        "people": "people: users of the Wi-Fi network",
        "security": "security of the network: device, local addresses, ports, times and volumes of connections",
        "attribution": "answers to entitled authorities: who used which public address and ports, and when",
        "billing": "billing: identifier, times and volume of each session",
        "services": "services that you consented to: times and volumes of your device's connections",
        "location": "location that you consented to: which access point was used, and when",
        "for": "- for ",
        "most": "at most ",
        "own": "as long as your consent, at most ",
        "volatile": "in memory, encrypted; a power cut erases it",
        "custodian": "encrypted; only a trusted third party has the keys, and destroys them when the time is over",
        "basis": "basis: ",
        "recipients": "recipients: ",
        "nobody": "none",
        "authorities": "entitled authorities, on a request signed by two agents",
        "duration": "duration: ",
        "measures": "measures: ",
        "then": "; ",
    },
}
_UNITS = {
    "fr": {"d": "jours", "h": "heures", "m": "minutes", "s": "secondes"},
    "en": {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"},
}


_FRENCH = (("2nd par.", "2e alinéa"), ("1st par.", "1er alinéa"), ("last sentence", "dernière phrase"))


def _paragraph(row: "law.Purpose", language: str) -> str:
    text = row.paragraph
    for english, french in _FRENCH if language == "fr" else ():
        text = text.replace(english, french)
    return text


def _time(seconds: int, language: str) -> str:
    written = law.duration(seconds)
    return written[:-1] + " " + _UNITS[language][written[-1]]


def _long(row: "law.Purpose", config: "Config", language: str) -> str:
    seconds, text = article.lifetime(row, config), TEXTS[language]
    if row.custody == law.VOLATILE and not seconds:
        return text["own"] + _time(row.ceiling, language)
    return text["most"] + _time(seconds or row.ceiling, language)


def lines(config: "Config", language: str) -> "list[str]":
    """Return the guests' notice, then the line of the register, in `fr` or `en`."""
    text = TEXTS[language]
    rows = [law.purpose(name) for name in law.CONFIGURABLE if name in config.purposes]
    out = [text["title"], text["who"], "", text["rule"], text["kept"] if rows else text["none"]]
    out += [
        text["for"] + text[row.name] + text["then"] + _long(row, config, language) + " (" + _paragraph(row, language) + ")" for row in rows
    ]
    if config.metrics:
        out.append(text["sums"])
    if any("consent" in row.needs for row in rows):
        out.append(text["consent"])
    out += [text["rights"], "", text["register"]]
    for row in rows:
        basis = _paragraph(row, language)
        if row.grounds:
            basis += ", " + config.purposes[row.name].ground + ", " + config.purposes[row.name].reference
        recipients = text["authorities" if row.custody == law.CUSTODIAN else "nobody"]
        parts = [text[row.name], text["people"], text["basis"] + basis, text["recipients"] + recipients]
        parts += [text["duration"] + _long(row, config, language), text["measures"] + text[row.custody]]
        out.append("- " + text["then"].join(parts))
    if not rows:
        out.append(text["none"])
    return out


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.config import Config
