# SPDX-License-Identifier: Apache-2.0
"""What is said of a gateway: words of closed lists, findings and their remedies, why a message is refused."""

FRENCH = {
    # words of closed lists
    "breach": "manquement",
    "warning": "à surveiller",
    "good": "en règle",
    "online": "en ligne",
    "lost": "perdue",
    "silent": "muette",
    "stopped": "arrêtée",
    "ok": "correcte",
    "misconfigured": "mal réglée",
    "no-lan": "sans réseau local",
    "unknown": "inconnue",
    "floor": "plancher",
    "trusted": "sûre",
    "whole": "entier",
    "cut": "coupé",
    "rewritten": "réécrit",
    "forked": "dédoublé",
    "portal": "portail",
    "radius": "RADIUS",
    "nat-log": "journal NAT",
    "oubli": "oubli",
    "none": "personne",
    "undeclared": "non déclarée",
    "arrivals": "arrivées par heure",
    "presence": "terminaux par quarts d'heure avec du trafic",
    "1": "1 quart d'heure",
    "2-4": "2 à 4 quarts d'heure",
    "5-8": "5 à 8 quarts d'heure",
    "9-16": "9 à 16 quarts d'heure",
    ">16": "plus de 16 quarts d'heure",
    "volume": "terminaux par volume",
    "<10": "moins de 10 Mio",
    "<100": "de 10 à 100 Mio",
    "<500": "de 100 à 500 Mio",
    "<2000": "de 500 à 2 000 Mio",
    ">=2000": "2 000 Mio et plus",
    "dayparts": "arrivées par quatre heures",
    "tenminutes": "arrivées par dix minutes",
    "stays": "terminaux par quarts d'heure avec du trafic, finement",
    "2": "2 quarts d'heure",
    "3-4": "3 à 4 quarts d'heure",
    "9-12": "9 à 12 quarts d'heure",
    "13-16": "13 à 16 quarts d'heure",
    "17-24": "17 à 24 quarts d'heure",
    "25-32": "25 à 32 quarts d'heure",
    ">32": "plus de 32 quarts d'heure",
    "traffic": "terminaux par volume, finement",
    "<3": "moins de 3 Mio",
    "3-10": "de 3 à 10 Mio",
    "10-30": "de 10 à 30 Mio",
    "30-100": "de 30 à 100 Mio",
    "100-200": "de 100 à 200 Mio",
    "200-500": "de 200 à 500 Mio",
    "500-1000": "de 500 à 1 000 Mio",
    "1000-2000": "de 1 000 à 2 000 Mio",
    "active": "terminaux actifs par tranche de quatre heures (UTC)",
    "classes": "terminaux par classe de service",
    "other": "autre",
    "mail": "courriel",
    "calls": "appels",
    "vpn": "VPN",
    "remote": "à distance",
    "files": "fichiers",
    "time": "heure",
    "push": "notifications",
    "icmp": "ICMP (ping)",
    # findings
    "A record outlived its deadline (late expiry)": "Un enregistrement a dépassé son terme (expiration tardive)",
    "The audit log was cut": "Le journal d'audit a été coupé",
    "The audit log was rewritten": "Le journal d'audit a été réécrit",
    "The audit log goes on in two ways": "Le journal d'audit se poursuit en deux branches",
    "No word for more than 24 hours": "Aucune nouvelle depuis plus de 24 heures",
    "Capture has stopped": "La capture s'est arrêtée",
    "No key is left for a custodian's store": "Plus aucune clé pour une réserve sous séquestre",
    "Two gateways use this id": "Deux passerelles utilisent cet identifiant",
    "The custodian's bundle runs out in {days} days": "Les clés du séquestre s'épuisent dans {days} jours",
    "The configuration isn't the accepted one": "La configuration n'est pas celle qui a été acceptée",
    "Capture is misconfigured": "La capture est mal réglée",
    "An interface of the guests is missing: nothing of them is recorded": (
        "Une interface des visiteurs manque : rien n'y est enregistré"
    ),
    "The gateway's flash refuses what is to be kept": (
        "La mémoire flash de la passerelle refuse ce qui doit être conservé"
    ),
    "The clock isn't trusted": "L'horloge n'est pas sûre",
    "Nobody is declared to answer authority requests": "Personne n'est déclaré pour répondre aux réquisitions",
    "Sends in plain text to another machine": "Envoie en clair à une autre machine",
    "The gateway's doctor found: {names}": "Le diagnostic de la passerelle a trouvé : {names}",
    "Sends figures that contradict those that are kept": "Envoie des chiffres qui contredisent ceux déjà reçus",
    "Messages were refused": "Des messages ont été refusés",
    "Retired, and speaks": "Retirée, et s'exprime",
    "Expected, and never spoke": "Attendue, et jamais entendue",
    "Not connected to the broker": "Pas reliée au courtier MQTT",
    "Says what this collector doesn't know ({names}): upgrade the collector": "Dit ce que ce collecteur ne connaît "
    "pas ({names}) : mettre le collecteur à jour",
    # what to do about them
    (
        "Run “oubli doctor” there; if the recorder stands still, "
        "“/etc/init.d/oubli restart” destroys what is due at once."
    ): (
        "Y lancer « oubli doctor » ; si l'enregistreur est arrêté, "
        "« /etc/init.d/oubli restart » détruit aussitôt ce qui est échu."
    ),
    (
        "Compare “oubli log --verify” there with “oubli-fleet verify”. "
        "Without a factory reset somebody removed lines: find out who."
    ): (
        "Y comparer « oubli log --verify » à « oubli-fleet verify ». Sans retour aux réglages d'usine, quelqu'un a "
        "retiré des lignes : trouver qui."
    ),
    "Somebody changed lines: keep the gateway's /etc/oubli as evidence, find out who, then press “Settled”.": (
        "Quelqu'un a modifié des lignes : garder /etc/oubli de la passerelle comme preuve, trouver qui, puis « Réglé »."
    ),
    "Two copies of one gateway go on, as after a restored backup: keep one of them, enrol the other anew.": "Deux "
    "copies d'une passerelle continuent, comme après une sauvegarde restaurée : en garder une, réinscrire l'autre.",
    "Look whether it has power and Internet; then “oubli doctor” there says why nothing leaves it.": "Vérifier son "
    "alimentation et son accès à Internet ; puis « oubli doctor » y dit pourquoi rien n'en sort.",
    "“/etc/init.d/oubli restart” there; “logread -e oubli” says why it ended.": "Y lancer « /etc/init.d/oubli restart "
    "» ; « logread -e oubli » dit pourquoi elle s'est arrêtée.",
    "Make a bundle with “oubli-custodian bundle” at once, and bring it there by “oubli bundle install”.": "Faire "
    "aussitôt un lot de clés par « oubli-custodian bundle », et l'y porter par « oubli bundle install ».",
    "A copied card or backup: run “oubli-fleet enrol” for the second gateway, and “oubli join” there.": "Une carte ou "
    "une sauvegarde copiée : « oubli-fleet enrol » pour la seconde passerelle, et « oubli join » sur elle.",
    "Make another bundle with “oubli-custodian bundle”, and bring it there by “oubli bundle install”.": "Faire un "
    "autre lot de clés par « oubli-custodian bundle », et l'y porter par « oubli bundle install ».",
    (
        "If the change is yours, press “Accept this configuration”; if not, "
        "compare /etc/config/oubli with what you wrote."
    ): (
        "Si le changement est de vous, « Accepter cette configuration » ; sinon, "
        "comparer /etc/config/oubli à ce que vous aviez écrit."
    ),
    "“oubli doctor” there names the line of /etc/config/oubli; the last accepted configuration goes on meanwhile.": (
        "« oubli doctor » y nomme la ligne de /etc/config/oubli ; "
        "la dernière configuration acceptée continue entre-temps."
    ),
    "Let gateway.lan in /etc/config/oubli name the guests' networks as /etc/config/network does, and bring them up.": (
        "Que gateway.lan de /etc/config/oubli nomme les réseaux des visiteurs comme /etc/config/network, "
        "et les activer."
    ),
    "Free space below /srv there, or mount it writable; then “/etc/init.d/oubli restart”.": "Y libérer de la place "
    "sous /srv, ou le monter en écriture ; puis « /etc/init.d/oubli restart ».",
    "Let ntpd reach a time server; “oubli doctor” there says whether it does.": "Laisser ntpd joindre un serveur de "
    "temps ; « oubli doctor » y dit s'il y parvient.",
    "Set gateway.duty there to who answers: portal, radius, nat-log, oubli or none.": "Y régler gateway.duty sur qui "
    "répond : portal, radius, nat-log, oubli ou none.",
    "Set mqtt.ca and mqtt.port to the broker's TLS, or run “oubli join” with an archive of “oubli-fleet enrol”.": (
        "Régler mqtt.ca et mqtt.port sur le TLS du courtier, "
        "ou lancer « oubli join » avec une archive de « oubli-fleet enrol »."
    ),
    "Two devices may send as this gateway, or its store was put back: look at both; the first figure stays.": "Deux "
    "appareils envoient peut-être sous ce nom, ou sa mémoire a été restaurée : voir les deux ; "
    "le premier chiffre reste.",
    "The reasons stand on the gateway's page. Another version, or another program, writes to its topics.": "Les "
    "raisons sont sur la page de la passerelle. Une autre version, ou un autre programme, écrit dans ses sujets.",
    "Bring it its archive and run “oubli join”; “oubli doctor” there says what is still missing.": "Y copier son "
    "archive et lancer « oubli join » ; « oubli doctor » y dit ce qui manque encore.",
    "If it is in use again, press “Take back”; if not, switch it off.": (
        "Si elle sert de nouveau, « Reprendre » ; sinon, l'éteindre."
    ),
    "It comes back by itself. If not: its Internet, then “oubli doctor” there.": "Elle revient d'elle-même. Sinon : "
    "son accès à Internet, puis « oubli doctor » sur elle.",
    "Upgrade this collector: the server first, then the gateways.": "Mettre à jour ce collecteur : le serveur "
    "d'abord, puis les passerelles.",
    # why a message is refused
    "a topic that no gateway has": "un sujet qu'aucune passerelle n'a",
    "larger than 4,096 octets": "plus de 4 096 octets",
    "no JSON": "pas du JSON",
    "not what the kind's schema says": "contraire au schéma",
    "a payload that names another gateway than its topic": "un contenu au nom d'une autre passerelle",
    "a number or text outside its range": "un nombre ou un texte hors limites",
    "times that can't be": "des heures impossibles",
    "another message with the key of one that is kept": "un autre message sous la clé d'un message reçu",
    "more than a gateway has to say": "plus de messages qu'une passerelle n'en a à envoyer",
    "what the store can't hold": "un contenu que la base ne peut pas garder",
}
