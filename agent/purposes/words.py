# SPDX-License-Identifier: Apache-2.0
"""French and English as a guest reads them: what purposes and fields are called, times, days, numbers (L34-VI-4).

`FIELDS` names each field of the record formats (`agent.law`): what has no word here can't be told, and a test fails for it.
"""

from agent import law
from agent.base import dates

LANGUAGES = ("fr", "en")
_MONTHS = ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre")
_UNITS = {
    "fr": {"d": ("jour", "jours"), "h": ("heure", "heures"), "m": ("minute", "minutes"), "s": ("seconde", "secondes")},
    "en": {"d": ("day", "days"), "h": ("hour", "hours"), "m": ("minute", "minutes"), "s": ("second", "seconds")},
}
PURPOSES = {
    "security": ("la sécurité du réseau", "security of the network"),
    "attribution": ("la réponse aux autorités", "answers to authorities"),
    "billing": ("la facturation", "billing"),
    "services": ("les services auxquels vous avez consenti", "services that you consented to"),
    "location": ("la localisation à laquelle vous avez consenti", "location that you consented to"),
    "consent": ("la preuve de votre accord", "the proof of your consent"),
}
FIELDS = {
    "start": ("heure de début", "start time"),
    "end": ("heure de fin", "end time"),
    "time": ("heure", "time"),
    "duration": ("durée", "duration"),
    "protocol": ("protocole", "protocol"),
    "mac": ("adresse MAC de votre appareil", "your device's MAC address"),
    "address": ("adresse IP locale", "local IP address"),
    "public_address": ("adresse IP publique", "public IP address"),
    "source_port": ("port local", "local port"),
    "translated_port": ("port public", "public port"),
    "service": ("type de service, d'après le protocole et le port", "kind of service, by protocol and port"),
    "bytes_up": ("octets envoyés", "bytes sent"),
    "bytes_down": ("octets reçus", "bytes received"),
    "packets_up": ("paquets envoyés", "packets sent"),
    "packets_down": ("paquets reçus", "packets received"),
    "portal_user": ("identifiant au portail", "identifier at the portal"),
    "access_point": ("point d'accès Wi-Fi utilisé", "Wi-Fi access point used"),
    "mac_hash": ("empreinte de l'adresse MAC", "keyed hash of the MAC address"),
    "categories": ("catégories de données", "categories of data"),
    "purposes": ("finalités", "purposes"),
    "third_parties": ("tiers nommés", "third parties named"),
    "text_hash": ("empreinte du texte montré", "hash of the text shown"),
    "state": ("état", "state"),
}


def fields(row: "law.Purpose", language: str) -> str:
    """Return what a record of a purpose holds, field by field."""
    return ", ".join([FIELDS[name][LANGUAGES.index(language)] for name in row.fields])


def span(seconds: int, language: str) -> str:
    """Return a number of seconds as 24 heures, 7 days."""
    written = law.duration(seconds)
    return counted(int(written[:-1]), _UNITS[language][written[-1]], language)


def counted(number: int, forms: "tuple[str, str]", language: str) -> str:
    """Return a number and its word; in French 0 and 1 are singular, in English 1 is."""
    few = number < 2 if language == "fr" else number == 1
    return str(number) + " " + forms[0 if few else 1]


def day(seconds: int, language: str) -> str:
    """Return the UTC day of seconds since the epoch: 27 novembre 2026, 2026-11-27."""
    text = dates.date(seconds // law.DAY)
    if language == "en":
        return text
    year, month, number = text.split("-")
    return ("1er" if number == "01" else number.lstrip("0")) + " " + _MONTHS[int(month) - 1] + " " + year


def typeset(text: str, language: str) -> str:
    """Return a text with the blanks that French puts before ; : ! ? and inside « », thin and not to be broken."""
    if language != "fr":
        return text
    for sign in ";:!?»":
        text = text.replace(" " + sign, "\u202f" + sign)
    return text.replace("« ", "«\u202f")
