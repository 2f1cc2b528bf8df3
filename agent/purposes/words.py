# SPDX-License-Identifier: Apache-2.0
"""French and English as a guest reads them: what purposes and fields are called, times, days, numbers (L34-VI-4).

`FIELDS` names each field of the record formats (`agent.law`) and of what is held beside them (`agent.cli.article`):
what has no word here can't be told, and a test fails for it.
"""

from agent import law
from agent.base import dates

LANGUAGES = ("fr", "en")
# Of a store where nobody can look: no request reaches it
UNSEEN = (
    "la borne ne voit pas s'il en reste ; tant qu'elle ne le voit pas, elle n'en remet plus ; ",
    "the gateway can't see whether anything is left; until it can, it hands over nothing more of it; ",
)
# Of a purpose that is off, and still keeps something
OVER = ("à l'arrêt, plus rien ne s'y ajoute ; ", "stopped, nothing is added any more; ")
# Of what is forgotten by the confirmed time
_UNCONFIRMED = ("Tant que l'horloge de la borne n'est pas confirmée, ", "While the gateway's clock isn't confirmed, ")
_HOLDS = ("un refus vaut, mais aucun accord n'est appliqué ; ", "a refusal holds, but no consent is applied; ")
_LATER = ("ce qui est retenu {} peut expirer plus tard.", "what is remembered of {} may expire later.")
_CHOICES = ("des choix", "choices")
_REQUESTS = ("des demandes sur des données scellées", "requests for sealed data")
# From when a record's time runs, by purpose; else from its end (the fields `start` and `end`)
_RUNS = {"attribution": (" après le début", " after the start"), "": (" après la fin", " after the end")}
# Of attribution, where nobody has acknowledged a second NAT: of what there is no record, not for how long
NAT = (" (rien derrière un second NAT non déclaré)", " (nothing behind an unacknowledged second NAT)")
# What the configuration doesn't say
BLANK = ("____________________ (à compléter)", "____________________ (to be filled in)")
# Who answers, by the options of the section `notice`
ANSWERS = {
    "controller": ("Responsable du traitement : ", "Controller: "),
    "contact": ("Contact : ", "Contact: "),
    "dpo": ("Délégué à la protection des données : ", "Data protection officer: "),
}
_TRANSFERS = (
    "Transferts hors de l'Union européenne : aucun par la borne, qui n'envoie pas de donnée personnelle sur l'internet",
    "Transfers out of the European Union: none by the gateway, which sends no personal data over the internet",
)
_MONTHS = (
    "janvier",
    "février",
    "mars",
    "avril",
    "mai",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
)
_BETWEEN = ("et", "ou", "du", "and", "or", "of", "to")  # words that say nothing of the number before them
_UNITS = {
    "fr": {"d": ("jour", "jours"), "h": ("heure", "heures"), "m": ("minute", "minutes"), "s": ("seconde", "secondes")},
    "en": {"d": ("day", "days"), "h": ("hour", "hours"), "m": ("minute", "minutes"), "s": ("second", "seconds")},
}
PURPOSES = {
    "security": ("sécurité du réseau", "security of the network"),
    "attribution": ("demandes des autorités", "requests of authorities"),
    "billing": ("facturation", "billing"),
    "services": ("services avec accord", "services by consent"),
    "location": ("localisation avec accord", "location by consent"),
    "consent": ("preuve de l'accord", "proof of the consent"),
    "addresses": ("reconnaissance des appareils", "telling devices apart"),
    "portal": ("connexion au portail", "log-in at the portal"),
    "ports": ("ports attribués", "ports given"),
    "counting": ("comptage des visiteurs", "count of visitors"),
    "objection": ("opposition au comptage", "objection to being counted"),
    "requests": ("demandes sur des données scellées", "requests for sealed data"),
    "emergency": ("secours à une personne en danger", "rescue of somebody in danger"),
    "page": ("page des visiteurs", "guests' page"),
}
# Of requests, where a store is on a medium: while it is away nobody removes their documents from it
MEDIUM = (
    " ; sur un support : lisibles par qui le prend, et conservées jusqu'à son retour s'il est absent",
    "; on a medium: readable by whoever takes it, and kept until its return if away",
)
# For how long what is held beside the stores stays (agent.cli.article): `kept`.
KEPT = {
    "addresses": (
        "tant que durent des connexions de l'appareil, et au plus 24 heures après",
        "as long as connections of the device last, and at most 24 hours after that",
    ),
    "portal": (
        "jusqu'à ce que le portail signale la déconnexion de l'appareil, au plus 24 heures après son dernier signal",
        "until the portal tells that the device has logged out, at most 24 hours after it last told of it",
    ),
    "ports": (
        "au plus 3 heures sans connexion suivie par la borne",
        "at most 3 hours without a connection tracked by the gateway",
    ),
    "counting": (
        "un jour, jusque vers 4 h (5 h en été), heure de Paris",
        "a day, until about 04:00 (05:00 in summer), Paris time",
    ),
    "objection": ("13 mois, ou jusqu'à ce que la personne la lève", "13 months, or until the person takes it back"),
    "requests": (
        (
            "sur la borne, jusqu'à une heure de fonctionnement après l'échéance (31 jours au plus) ; chez le tiers de "
            "confiance, jusqu'à sa réponse, 31 jours après l'échéance au plus tard ; qui demande : sans terme fixé, au "
            "registre de ce tiers, comme preuve"
        ),
        (
            "on the gateway, until it has run for an hour after the expiry (31 days at most); at the trusted "
            "third party, until its answer, at the latest 31 days after the request expires; who asks: without a fixed "
            "end, in that party's register, as a proof"
        ),
    ),
    "emergency": ("au plus 4 heures, et seulement pendant un secours", "at most 4 hours, and during a rescue alone"),
    "page": ("au plus un jour après la dernière demande", "at most a day after the last request"),
}
FIELDS = {
    "start": ("début", "start"),
    "end": ("fin", "end"),
    "time": ("date et heure des choix", "date and time of choices"),
    "last": ("dernier signe", "last sign"),
    "arrival": ("premier signe (à 10 minutes près)", "first sign (to 10 minutes)"),
    "duration": ("durée", "duration"),
    "protocol": ("protocole", "protocol"),
    "mac": ("adresse MAC", "MAC address"),
    "address": ("adresse IP de l'appareil", "the device's IP address"),
    "public_address": ("adresse IP côté internet", "internet-side IP address"),
    "source_port": ("port local", "local port"),
    "translated_port": ("port côté internet", "internet-side port"),
    "service": ("type de service (d'après le port ou le protocole)", "kind of service (by its port or protocol)"),
    "bytes_up": ("octets envoyés", "bytes sent"),
    "bytes_down": ("octets reçus", "bytes received"),
    "packets_up": ("paquets envoyés", "packets sent"),
    "packets_down": ("paquets reçus", "packets received"),
    "portal_user": (
        "identifiant (nom, courriel) au portail",
        "identifier (name, e-mail) at the portal",
    ),
    "access_point": ("point d'accès Wi-Fi utilisé", "Wi-Fi access point used"),
    "mac_hash": ("empreinte à clé de l'adresse MAC", "keyed hash of the MAC address"),
    "categories": ("catégories de données", "categories of data"),
    "purposes": ("finalités", "purposes"),
    "third_parties": ("tiers nommés", "third parties named"),
    "text_hash": ("empreinte du texte montré", "hash of the text shown"),
    "state": ("état (en vigueur, suspendu, retiré, terminé)", "state (in force, suspended, withdrawn, ended)"),
    "presence": ("quarts d'heure de présence", "quarter-hours of presence"),
    "volume": ("volume", "volume"),
    "requests": ("nombre de demandes", "number of requests"),
    "asker": ("nom de qui demande, référence", "name of who asks, reference"),
}


def fields(row: "law.Purpose", language: str) -> str:
    """Return what a record of a purpose holds, field by field."""
    return ", ".join([FIELDS[name][LANGUAGES.index(language)] for name in row.fields])


def kept(name: str, at: int, medium: object) -> str:
    """Return for how long something beside the stores stays; `medium`: whether a custodian's store is on one."""
    return KEPT[name][at] + (MEDIUM[at] if medium and name == "requests" else "")


def transfers(names: "Sequence[str]", at: int, by_them: "tuple[str, str]" = BLANK) -> str:
    """Return what is told of transfers out of the Union, here and by those who get data (GDPR 13.1 f, 30.1 e)."""
    by = (" ; par ", "; by ")[at] + ", ".join(names) + (" : ", ": ")[at] + by_them[at] if names else ""
    return _TRANSFERS[at] + by + "."


def span(seconds: int, language: str) -> str:
    """Return a number of seconds as 24 heures, 7 days."""
    written = law.duration(seconds)
    return counted(int(written[:-1]), _UNITS[language][written[-1]], language)


def within(name: str, seconds: int, language: str) -> str:
    """Return how long a purpose keeps a record, and from when that runs: 24 hours after the end."""
    return span(seconds, language) + _RUNS.get(name, _RUNS[""])[LANGUAGES.index(language)]


def unconfirmed(kinds: "Sequence[str]", at: int) -> str:
    """Return what is said of a clock that isn't confirmed, where these are held; nothing where it changes nothing."""
    chosen = "consent" in kinds or "objection" in kinds
    parts = ([_CHOICES[at]] if chosen else []) + ([_REQUESTS[at]] if "requests" in kinds else [])
    later = _LATER[at].format((" et ", " and ")[at].join(parts))
    return _UNCONFIRMED[at] + (_HOLDS[at] if "consent" in kinds else "") + later if parts else ""


def counted(number: int, forms: "tuple[str, str]", language: str) -> str:
    """Return a number and its word; in French 0 and 1 are singular, in English 1 is."""
    few = number < 2 if language == "fr" else number == 1
    return str(number) + " " + forms[0 if few else 1]


def day(seconds: int, language: str) -> str:
    """Return the UTC day of seconds since the epoch: 27 novembre 2026, 2026-11-27."""
    return written(dates.date(seconds // law.DAY), language)


def written(day: str, language: str) -> str:
    """Return a day, such as 2026-11-27 or (2026-11-27, as it is written; any other text as it is."""
    text = day.lstrip("(")
    mark, parts = day[: len(day) - len(text)], text.split("-")
    if language == "en" or [len(part) for part in parts if part.isdigit()] != [4, 2, 2] or not 0 < int(parts[1]) < 13:
        return day
    year, month, number = parts
    return mark + ("1er" if number == "01" else number.lstrip("0")) + " " + _MONTHS[int(month) - 1] + " " + year


def typeset(text: str, language: str) -> str:
    """Return a text whose lines don't end between a number, or that of an article, and what it counts or names.

    French has thin blanks before ; : ! ? and inside « », not to be broken either.
    """
    parts = text.split(" ")
    text = parts[0]
    for place in range(1, len(parts)):
        before, after = parts[place - 1].lstrip("("), parts[place]
        number = (before[-1:].isdigit() or before == "1er") and before[before[0] in "LR" :][:1].isdigit()
        text += ("\u00a0" if number and "A" <= after[:1] <= "z" and after not in _BETWEEN else " ") + after
    if language != "fr":
        return text
    for sign in ";:!?»":
        text = text.replace(" " + sign, "\u202f" + sign)
    return text.replace("« ", "«\u202f")


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence
