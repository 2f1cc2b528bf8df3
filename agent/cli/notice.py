# SPDX-License-Identifier: Apache-2.0
"""`oubli law --notice fr|en`: what guests are told (L34-VI-4).

It comes from the configuration that runs and the fields of the record formats: a purpose that is off isn't named, a field that is kept is,
and a right is offered only with who serves it. Law 78-17 art. 48 and GDPR art. 13 ask for it. Who answers for the processing is in the
section `notice` of the configuration, else a blank to be filled in. Not legal advice.
"""

from agent import law
from agent.cli import article, words

TEXTS: "dict[str, dict[str, str]]" = {
    "fr": {
        "title": "Information sur le réseau Wi-Fi",
        "controller": "Responsable du traitement : ",
        "contact": "Contact : ",
        "dpo": "Délégué à la protection des données : ",
        "blank": "____________________ (à compléter)",
        "nobody": "aucun",
        "rule": "Ce réseau n'enregistre ni le contenu de vos échanges, ni l'adresse ou le nom de ce que vous consultez (L34-1 VI du CPCE).",
        "present": "Pour vous servir, la borne tient en mémoire vive quelle adresse IP locale a quel appareil (adresse MAC), tant qu'il "
        "l'utilise et que ses connexions durent.",
        "none": "Aucune autre donnée de connexion n'est conservée.",
        "kept": "Sont conservés, puis effacés de manière automatique et irréversible :",
        "counting": "Pour compter les visiteurs (RGPD, article 6.1 f), une table en mémoire vive tient une ligne par appareil : "
        "empreinte de l'adresse MAC, "
        "heures de présence, volumes, types de service. Elle est effacée chaque jour à 3 h UTC. Seules des sommes rendues anonymes par "
        "un bruit aléatoire sont publiées ; personne ne peut y être reconnu.",
        "for": "- pour ",
        "proof": "- ",
        "most": "au plus ",
        "own": "pour la durée de votre accord, au plus ",
        "remembered": "jusqu'à 30 jours après sa fin, au plus ",
        "basis": "base : ",
        "recipients": "destinataires : ",
        "rights": "Vos droits (loi 78-17 ; RGPD, articles 12 à 22) :",
        "access": "- accès, portabilité, effacement : demandez au responsable ;",
        "page": "- accès, portabilité, effacement : la page http://{}:8450/ montre à votre appareil ce qui est conservé à son sujet, "
        "l'enregistre dans un fichier ou l'efface ;",
        "object": "- opposition au comptage, retenue pendant 13 mois : de même ;",
        "consent": "- accord : vous pouvez le suspendre ou le retirer à tout moment, gratuitement, sur la page de la borne ; le retrait "
        "rend illisible ce qui a été conservé avec votre accord, et rien d'autre ;",
        "other": "- autre opposition, limitation : adressez-vous au responsable ;",
        "duty": "- ce qui est conservé pour les autorités ou la facturation est scellé : ni la borne ni l'exploitant ne peuvent le lire, "
        "ni en effacer la part d'un seul appareil ;",
        "complaint": "- réclamation auprès de la CNIL (www.cnil.fr) ; directives sur vos données après votre mort (loi 78-17, article 85).",
        "transfers": "Aucune de ces données n'est envoyée par la borne sur l'internet, ni hors de l'Union européenne.",
        "then": " ; ",
    },
    "en": {
        "title": "Information on the Wi-Fi network",
        "controller": "Controller: ",
        "contact": "Contact: ",
        "dpo": "Data protection officer: ",
        "blank": "____________________ (to be filled in)",
        "nobody": "none",
        "rule": "This network records neither the content of what you exchange nor the address or name of what you look at "
        "(L34-1 VI of the CPCE).",
        "present": "To serve you, the gateway holds in memory which local IP address has which device (MAC address), as long as it uses "
        "it and its connections last.",
        "none": "No other connection data is kept.",
        "kept": "What is kept, and then erased automatically and for good:",
        "counting": "To count visitors (GDPR, article 6.1 f), a table in memory has one row a device: keyed hash of the MAC address, times "
        "of presence, volumes, kinds of service. It is erased each day at 03:00 UTC. Only sums made anonymous by random noise are "
        "published; nobody can be recognised in them.",
        "for": "- for ",
        "proof": "- ",
        "most": "at most ",
        "own": "as long as your consent, at most ",
        "remembered": "until 30 days after its end, at most ",
        "basis": "basis: ",
        "recipients": "recipients: ",
        "rights": "Your rights (law 78-17; GDPR, articles 12 to 22):",
        "access": "- access, portability, erasure: ask the controller;",
        "page": "- access, portability, erasure: the page http://{}:8450/ shows to your device what is kept about it, saves that in a "
        "file, or erases it;",
        "object": "- objection to being counted, remembered for 13 months: likewise;",
        "consent": "- consent: you can suspend or withdraw it at any time, free of charge, on the gateway's page; a withdrawal makes what "
        "was kept by your consent unreadable, and nothing else;",
        "other": "- any other objection, restriction: ask the controller;",
        "duty": "- what is kept for authorities or billing is sealed: neither the gateway nor the operator can read it, or erase one "
        "device's part of it;",
        "complaint": "- complaint to the CNIL (www.cnil.fr); directives on your data after your death (law 78-17, article 85).",
        "transfers": "The gateway sends none of this data over the internet, nor out of the European Union.",
        "then": "; ",
    },
}
# GDPR article 6.1: the letter on which each processing rests.
_LAWFUL = {"security": "f", "attribution": "c", "billing": "b", "services": "a", "location": "a", "consent": "c"}
_RECIPIENTS = {
    "security": ("l'exploitant du réseau, pour sa sécurité", "the network's operator, for its security"),
    "attribution": (
        "un tiers de confiance qui détient les clés ; {}, sur demande signée par deux agents",
        "a trusted third party who has the keys; {}, on a request signed by two agents",
    ),
    "billing": (
        "un tiers de confiance qui détient les clés ; {}, pour la facturation",
        "a trusted third party who has the keys; {}, for billing",
    ),
    "services": ("l'exploitant, et les tiers nommés dans votre accord", "the operator, and the third parties named in your consent"),
    "location": ("l'exploitant, et les tiers nommés dans votre accord", "the operator, and the third parties named in your consent"),
    "consent": ("aucun", "none"),
}
_AUTHORITIES = {
    "L336-3": ("l'Arcom", "Arcom"),
    "STAD": ("l'ANSSI", "ANSSI"),
    law.IN_FORCE: ("les autorités que la loi habilite", "the authorities that the law entitles"),
}
_OPERATOR = ("l'exploitant", "the operator")  # where `billing.biller` names nobody (L34-IV-3)
_FRENCH = (("2nd par.", "2e alinéa"), ("1st par.", "1er alinéa"), ("last sentence", "dernière phrase"), (" and ", " et "))


def rows(config: "Config") -> "list[law.Purpose]":
    """Return the purposes of which something is kept on this device, the proof of consents too."""
    return [row for row in law.PURPOSES if article.state(row, config) == "on"]


def paragraph(row: "law.Purpose", config: "Config", language: str) -> str:
    """Return the paragraph that a purpose stands under: of the wording that its ground is of."""
    section = config.purposes.get(row.name)
    text = row.in_force if section is not None and section.values.get("ground") == law.IN_FORCE else row.paragraph
    for english, french in _FRENCH if language == "fr" else ():
        text = text.replace(english, french)
    return text + (", RGPD 6.1 " if language == "fr" else ", GDPR 6.1 ") + _LAWFUL[row.name]


def long(row: "law.Purpose", config: "Config", language: str) -> str:
    """Return for how long a purpose keeps a record here."""
    seconds, text = article.lifetime(row, config), TEXTS[language]
    if row.custody == law.DEVICE:
        return text["remembered"] + words.span(row.ceiling, language)
    if row.custody == law.VOLATILE and not seconds:
        return text["own"] + words.span(row.ceiling, language)
    return text["most"] + words.span(seconds or row.ceiling, language)


def recipients(row: "law.Purpose", config: "Config", language: str) -> str:
    """Return who may get what a purpose keeps."""
    at = words.LANGUAGES.index(language)
    text = _RECIPIENTS[row.name][at]
    if row.grounds:
        return text.format(_AUTHORITIES[config.purposes[row.name].ground][at])
    return text.format(config.purposes[row.name].biller or _OPERATOR[at]) if row.name == "billing" else text


def responsible(config: "Config", text: "dict[str, str]") -> "list[str]":
    """Return who answers for the processing; what the configuration doesn't say is a blank, and `dpo 'none'` says that there is none."""
    told = [config.notice.values[name] or text["blank"] for name in ("controller", "contact", "dpo")]
    return [text["controller"] + told[0], text["contact"] + told[1], text["dpo"] + (text["nobody"] if told[2] == "none" else told[2])]


def lines(config: "Config", language: str) -> "list[str]":
    """Return the guests' notice, in `fr` or `en`."""
    text = TEXTS[language]
    found = rows(config)
    venue = config.notice.venue
    out = [text["title"] + (", " + venue if venue else "")] + responsible(config, text) + ["", text["rule"], text["present"]]
    out.append(text["kept"] if found else text["none"])
    for row in found:
        parts = [words.fields(row, language), long(row, config, language), text["basis"] + paragraph(row, config, language)]
        parts.append(text["recipients"] + recipients(row, config, language))
        name = words.PURPOSES[row.name][words.LANGUAGES.index(language)]
        out.append(
            text["proof" if row.custody == law.DEVICE else "for"] + name + (" : " if language == "fr" else ": ") + text["then"].join(parts)
        )
    if config.metrics:
        out.append(text["counting"])
    page = config.notice.page
    out += [text["transfers"], "", text["rights"], text["page"].format(page) if page else text["access"]]
    if config.metrics:
        out.append(text["object"])
    if any("consent" in row.needs for row in found):
        out.append(text["consent"])
    out.append(text["other"])
    if any(row.custody == law.CUSTODIAN for row in found):
        out.append(text["duty"])
    out.append(text["complaint"])
    return [words.typeset(line, language) for line in out]


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.config.config import Config
