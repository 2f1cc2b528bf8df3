# SPDX-License-Identifier: Apache-2.0
"""What happens to a gateway, told in English and in French: a row each, with the figures that it names."""

from datetime import UTC, datetime
from typing import NamedTuple

from host_sim.venue.device_clock import SECOND

SENTENCES = {
    "boot": ("the gateway boots, its clock shows {shown}", "la passerelle démarre, son horloge indique {shown}"),
    "clock": ("the wall clock is set by {step:+.0f} s, to {shown}", "l'horloge est réglée de {step:+.0f} s, à {shown}"),
    "trusted": ("the time is confirmed: the clock is trusted", "l'heure est confirmée : l'horloge est fiable"),
    "power cut": (
        "power cut: {minutes:g} minutes without power",
        "coupure de courant : {minutes:g} minutes sans courant",
    ),
    "firmware update": (
        "firmware update: {minutes:g} minutes without power",
        "mise à jour du micrologiciel : {minutes:g} minutes sans courant",
    ),
    "crash": (
        "the recorder is killed, for {minutes:g} minutes nobody listens",
        "l'enregistreur est tué, personne n'écoute pendant {minutes:g} minutes",
    ),
    "restart": ("the recorder starts again", "l'enregistreur redémarre"),
    "suspend": (
        "suspended for {minutes:g} minutes: no timer runs",
        "en veille pendant {minutes:g} minutes : aucune minuterie ne court",
    ),
    "uplink lost": (
        "the uplink is lost for {minutes:g} minutes",
        "la liaison montante est perdue pendant {minutes:g} minutes",
    ),
    "uplink back": ("the uplink is back", "la liaison montante est revenue"),
    "broker down": (
        "the broker can't be reached for {minutes:g} minutes",
        "le courtier est injoignable pendant {minutes:g} minutes",
    ),
    "look": ("a guest asks what is held on the own terminal", "un client demande ce qui est gardé de son terminal"),
    "port scan": (
        "port scan: a guest opens {amount:,} connections within {minutes:g} minutes",
        "balayage de ports : un client ouvre {amount:,} connexions en {minutes:g} minutes",
    ),
    "connection flood": (
        "connection flood: a guest opens {amount:,} connections within {minutes:g} minutes",
        "inondation : un client ouvre {amount:,} connexions en {minutes:g} minutes",
    ),
    "mac flood": (
        "a guest shows {amount:,} MACs within {minutes:g} minutes",
        "un client présente {amount:,} adresses MAC en {minutes:g} minutes",
    ),
    "address flood": (
        "a guest takes {amount:,} IPv6 addresses within {minutes:g} minutes",
        "un client prend {amount:,} adresses IPv6 en {minutes:g} minutes",
    ),
    "forged neighbour": (
        "a guest claims another terminal's address for {minutes:g} minutes",
        "un client usurpe l'adresse d'un autre terminal pendant {minutes:g} minutes",
    ),
    "forged lease": (
        "a guest has a lease made out to another terminal's MAC for {minutes:g} minutes",
        "un client fait établir un bail au nom d'une autre adresse MAC pendant {minutes:g} minutes",
    ),
    "operator look": (
        "the operator looks at what is held on a terminal, whose owner has agreed",
        "l'exploitant regarde ce qui est gardé d'un terminal, avec l'accord de la personne",
    ),
    "erase": ("the operator erases all that is kept", "l'exploitant efface tout ce qui est gardé"),
    "erase terminal": ("what is kept of one terminal is erased", "ce qui est gardé d'un terminal est effacé"),
    "standstill": (
        "the recorder's process is stopped for {minutes:g} minutes",
        "le processus de l'enregistreur est arrêté pendant {minutes:g} minutes",
    ),
    "factory reset": (
        "a factory reset: {minutes:g} minutes without power, then installed anew",
        "retour aux réglages d'usine : {minutes:g} minutes sans courant, puis une nouvelle installation",
    ),
    "restored ledger": (
        "a ledger of {minutes:g} minutes ago is put back, while there is no power",
        "un registre de budget vieux de {minutes:g} minutes est remis en place, sans courant",
    ),
    "restored log": (
        "an audit log of {minutes:g} minutes ago is put back, while there is no power",
        "un journal d'audit vieux de {minutes:g} minutes est remis en place, sans courant",
    ),
    "restored consents": (
        "consents of {minutes:g} minutes ago are put back, while there is no power",
        "des consentements vieux de {minutes:g} minutes sont remis en place, sans courant",
    ),
    "restored backup": (
        "a backup of {minutes:g} minutes ago is put back, while there is no power",
        "une sauvegarde vieille de {minutes:g} minutes est remise en place, sans courant",
    ),
    "reinstallation": (
        "oubli is removed, and installed anew {minutes:g} minutes later",
        "oubli est désinstallé, puis réinstallé {minutes:g} minutes plus tard",
    ),
    "full ledger": (
        "flash has no room for the ledger, for {minutes:g} minutes",
        "la mémoire flash est pleine pour le registre de budget, pendant {minutes:g} minutes",
    ),
    "full log": (
        "flash has no room for the audit log, for {minutes:g} minutes",
        "la mémoire flash est pleine pour le journal d'audit, pendant {minutes:g} minutes",
    ),
    "full consents": (
        "flash has no room for consents, for {minutes:g} minutes",
        "la mémoire flash est pleine pour les consentements, pendant {minutes:g} minutes",
    ),
    "full spool": (
        "flash has no room for messages that wait, for {minutes:g} minutes",
        "la mémoire flash est pleine pour les messages en attente, pendant {minutes:g} minutes",
    ),
    "full stores": (
        "flash has no room for what only a custodian may open, for {minutes:g} minutes",
        "la mémoire flash est pleine pour ce que seul un tiers de confiance peut ouvrir, pendant {minutes:g} minutes",
    ),
    "full flash": (
        "flash is full, for {minutes:g} minutes",
        "la mémoire flash est pleine, pendant {minutes:g} minutes",
    ),
    "first boot cut": (
        "a factory reset: {minutes:g} minutes without power, then the first boot is cut off",
        "retour aux réglages d'usine : {minutes:g} minutes sans courant, puis le premier démarrage est interrompu",
    ),
    "custodian clock": (
        "the custodian destroys what is due, by a clock that is wrong by {seconds:+,.0f} s",
        "le tiers de confiance détruit ce qui est dû, avec une horloge fausse de {seconds:+,.0f} s",
    ),
    "no address": (
        "the DHCP pool is exhausted: a newcomer gets no address",
        "la réserve DHCP est épuisée : un arrivant reste sans adresse",
    ),
}


class Happening(NamedTuple):
    """One: when (true ns since the epoch), and both sentences."""

    at: int
    english: str
    french: str


def happening(at: int, kind: str, **figures: object) -> Happening:
    """Return what happened, of a kind of SENTENCES."""
    english, french = (sentence.format(**figures) for sentence in SENTENCES[kind])
    return Happening(at, english, french)


def clock_text(wall: int, *, date: bool = False) -> str:
    """Return a time in ns since the epoch as the demo shows it."""
    return datetime.fromtimestamp(wall // SECOND, UTC).strftime("%Y-%m-%d %H:%M" if date else "%a %H:%M")
