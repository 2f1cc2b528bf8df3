# SPDX-License-Identifier: Apache-2.0
"""`oubli law --notice fr|en`: what guests are told (L34-VI-4).

It comes from the configuration that runs and the fields of the record formats: a purpose that is off isn't named, a field that is kept is.
Each processing stands with the rights that follow from its legal basis (GDPR, articles 15 to 21), and each right with how it is used: on
the gateway's page, where that serves it, else by asking the controller. Law 78-17 art. 48 and GDPR art. 13 ask for it. Who answers for the
processing is in the section `notice` of the configuration, else a blank to be filled in. `oubli-notice` makes a page to be hung up of it,
on a host. Not legal advice.
"""

from agent import law
from agent.cli import article
from agent.config.config import load
from agent.purposes import words

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
        "l'utilise et que ses connexions durent (RGPD, article 6.1 f).",
        "none": "Aucune autre donnée de connexion n'est conservée.",
        "kept": "Sont conservés, puis effacés de manière automatique et irréversible :",
        "counting": "Pour compter les visiteurs (RGPD, article 6.1 f), une table en mémoire vive tient une ligne par appareil : "
        "empreinte de l'adresse MAC, "
        "heures de présence, volumes, types de service. Elle est effacée chaque jour à 3 h UTC. Seules des sommes rendues anonymes par "
        "un bruit aléatoire sont publiées ; personne ne peut y être reconnu. ",
        "for": "- pour ",
        "proof": "- ",
        "most": "au plus ",
        "own": "pour la durée de votre accord, au plus ",
        "remembered": "jusqu'à 30 jours après la fin prévue, au plus ",
        "basis": "base : ",
        "recipients": "destinataires : ",
        "on page": "droits, sur la page : ",
        "asked": "droits, auprès du responsable : ",
        "rights": "Pour exercer vos droits (loi 78-17 ; RGPD, articles 12 à 22) :",
        "page": "- sur la page : ouvrez http://{}:8450/ avec votre appareil, sur ce réseau, sans compte ; elle montre ce qui est conservé "
        "à son sujet, l'enregistre dans un fichier ou l'efface ;",
        "ask": "- auprès du responsable : écrivez au contact ci-dessus ; réponse en un mois ;",
        "consent": "- accord : vous pouvez le suspendre ou le retirer à tout moment, gratuitement ; le retrait "
        "rend illisible ce qui a été conservé avec votre accord, et rien d'autre ;",
        "duty": "- ce qui est conservé pour les autorités ou la facturation est scellé : ni la borne ni l'exploitant ne peuvent le lire, "
        "ni en effacer la part d'un seul appareil ;",
        "complaint": "- réclamation auprès de la CNIL (www.cnil.fr) ; directives sur vos données après votre mort (loi 78-17, article 85).",
        "transfers": "Aucune donnée personnelle n'est envoyée par la borne sur l'internet, ni hors de l'Union européenne.",
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
        "it and its connections last (GDPR, article 6.1 f).",
        "none": "No other connection data is kept.",
        "kept": "What is kept, and then erased automatically and for good:",
        "counting": "To count visitors (GDPR, article 6.1 f), a table in memory has one row a device: keyed hash of the MAC address, times "
        "of presence, volumes, kinds of service. It is erased each day at 03:00 UTC. Only sums made anonymous by random noise are "
        "published; nobody can be recognised in them. ",
        "for": "- for ",
        "proof": "- ",
        "most": "at most ",
        "own": "as long as your consent, at most ",
        "remembered": "until 30 days after the end that was agreed, at most ",
        "basis": "basis: ",
        "recipients": "recipients: ",
        "on page": "rights, on the page: ",
        "asked": "rights, from the controller: ",
        "rights": "To use your rights (law 78-17; GDPR, articles 12 to 22):",
        "page": "- on the page: open http://{}:8450/ on your device, in this network, without an account; it shows what is kept about your "
        "device, saves that in a file, or erases it;",
        "ask": "- from the controller: write to the contact above; an answer takes a month at most;",
        "consent": "- consent: you can suspend or withdraw it at any time, free of charge; a withdrawal makes what "
        "was kept by your consent unreadable, and nothing else;",
        "duty": "- what is kept for authorities or billing is sealed: neither the gateway nor the operator can read it, or erase one "
        "device's part of it;",
        "complaint": "- complaint to the CNIL (www.cnil.fr); directives on your data after your death (law 78-17, article 85).",
        "transfers": "The gateway sends no personal data over the internet, nor out of the European Union.",
        "then": "; ",
    },
}
# GDPR article 6.1: the letter on which each processing rests.
_LAWFUL = {"security": "f", "attribution": "c", "billing": "b", "services": "a", "location": "a", "consent": "c"}
# The rights that follow from each letter (GDPR art. 7.3, 15, 17, 18, 20, 21), and what they are called.
RIGHTS = {
    "a": ("access", "portability", "erasure", "suspension", "withdrawal", "restriction"),
    "b": ("access", "portability", "rectification", "restriction"),
    "c": ("access", "restriction"),
    "f": ("access", "erasure", "objection", "restriction"),
}
NAMES = {
    "access": ("accès", "access"),
    "portability": ("portabilité", "portability"),
    "erasure": ("effacement", "erasure"),
    "suspension": ("suspension de l'accord", "suspension of consent"),
    "withdrawal": ("retrait de l'accord", "withdrawal of consent"),
    "objection": ("opposition", "objection"),
    "counting": (
        "opposition au comptage, retenue pendant 13 mois sous une empreinte de l'adresse MAC",
        "objection to being counted, remembered for 13 months under a keyed hash of the MAC address",
    ),
    "rectification": ("rectification", "rectification"),
    "restriction": ("limitation", "restriction"),
}
# What the page serves, of a purpose that the gateway can read by itself; of counting, and of the proof of a consent.
ON_PAGE = ("access", "portability", "erasure", "suspension", "withdrawal")
_ON_PAGE = {law.VOLATILE: ON_PAGE, law.DEVICE: ("access",), law.CUSTODIAN: ()}
_COUNTING = (("counting",), ("access", "restriction"))
_RECIPIENTS = {
    "security": ("l'exploitant du réseau, pour sa sécurité", "the network's operator, for its security"),
    "attribution": (
        "{}, tiers de confiance qui détient les clés ; {}, sur demande signée par deux agents",
        "{}, the trusted third party who has the keys; {}, on a request signed by two agents",
    ),
    "billing": (
        "{}, tiers de confiance qui détient les clés ; {}, pour la facturation",
        "{}, the trusted third party who has the keys; {}, for billing",
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


def rights(row: "law.Purpose") -> "tuple[tuple[str, ...], tuple[str, ...]]":
    """Return the rights to what a purpose keeps: those that the page serves, and those that the controller is asked for."""
    every, served = RIGHTS[_LAWFUL[row.name]], _ON_PAGE[row.custody]
    return tuple([name for name in every if name in served]), tuple([name for name in every if name not in served])


def _offered(found: "tuple[tuple[str, ...], tuple[str, ...]]", page: bool, language: str) -> str:
    """Return rights in words, and where they are used; without a page all of them from the controller."""
    on_page, asked = found if page else ((), found[0] + found[1])
    at, text = words.LANGUAGES.index(language), TEXTS[language]
    parts = [(text["on page"], on_page), (text["asked"], asked)]
    return text["then"].join([word + ", ".join([NAMES[name][at] for name in names]) for word, names in parts if names])


def recipients(row: "law.Purpose", config: "Config", language: str) -> str:
    """Return who may get what a purpose keeps, by name; a custodian whom the configuration doesn't name is a blank."""
    at = words.LANGUAGES.index(language)
    text, custodian = _RECIPIENTS[row.name][at], config.notice.custodian or TEXTS[language]["blank"]
    if row.grounds:
        return text.format(custodian, _AUTHORITIES[config.purposes[row.name].ground][at])
    return text.format(custodian, config.purposes[row.name].biller or _OPERATOR[at]) if row.name == "billing" else text


def nobody(language: str) -> str:
    """Return who gets what nobody gets."""
    return _RECIPIENTS["consent"][words.LANGUAGES.index(language)]


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
        parts += [text["recipients"] + recipients(row, config, language), _offered(rights(row), bool(config.notice.page), language)]
        name = words.PURPOSES[row.name][words.LANGUAGES.index(language)]
        out.append(
            text["proof" if row.custody == law.DEVICE else "for"] + name + (" : " if language == "fr" else ": ") + text["then"].join(parts)
        )
    page = config.notice.page
    if config.metrics:
        offered = _offered(_COUNTING, bool(page), language)
        out.append(text["counting"] + offered[0].upper() + offered[1:] + ".")
    out += [text["transfers"], "", text["rights"]] + ([text["page"].format(page)] if page else []) + [text["ask"]]
    if any("consent" in row.needs for row in found):
        out.append(text["consent"])
    if any(row.custody == law.CUSTODIAN for row in found):
        out.append(text["duty"])
    out.append(text["complaint"])
    return [words.typeset(line, language) for line in out]


def run(line: "Line") -> int:
    """Show it."""
    print("\n".join(lines(load(line.config), line["--notice"])))
    return 0


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.cli.command import Line
    from agent.config.config import Config
