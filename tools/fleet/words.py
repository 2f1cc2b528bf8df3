# SPDX-License-Identifier: Apache-2.0
"""The page's words, English and French.

The English text is the key; a test holds that each has its French and none is left over.

Why not gettext's catalogues: a compiled catalogue is a second, binary copy of these lines that goes stale without a
word. Django's own words (its dates, its forms' errors) come from Django's catalogues.
"""

from django.utils.translation import get_language

FRENCH = {
    # the frame
    "Skip to content": "Aller au contenu",
    "Pages": "Pages",
    "Gateways": "Passerelles",
    "Fleet": "Parc",
    "Compliance": "Conformité",
    "Log in": "Se connecter",
    "Log out": "Se déconnecter",
    "Name": "Nom",
    "Password": "Mot de passe",
    "Too many attempts: wait five minutes.": "Trop d'essais : attendez cinq minutes.",
    "Previous": "Précédent",
    "Next": "Suivant",
    "Pages of the list": "Pages de la liste",
    # the list
    "Find": "Chercher",
    "name, id or tag": "nom, identifiant ou étiquette",
    "Group": "Groupe",
    "all": "toutes",
    "Show": "Afficher",
    "How they stand": "Leur état",
    "No gateway is like that.": "Aucune passerelle ne correspond.",
    "There is no gateway yet. Enrol the first by “oubli-fleet enrol”, bring it its archive, and run “oubli join” "
    "there: boards/INSTALL.md has every line.": "Il n'y a encore aucune passerelle. Inscrire la première par « "
    "oubli-fleet enrol », y copier son archive et lancer « oubli join » : boards/INSTALL.md donne chaque ligne.",
    "Gateways, the worst first": "Les passerelles, les plus graves d'abord",
    "Gateway": "Passerelle",
    "Stands": "Situation",
    "Last seen": "Vue",
    "last seen": "vue",
    "State": "État",
    "Version": "Version",
    "Version, configuration": "Version, configuration",
    "Configuration": "Configuration",
    "Clock": "Horloge",
    "Expiry": "Expiration",
    "Capture": "Capture",
    "Keys": "Clés",
    "Ledger": "Registre",
    "Audit log": "Journal d'audit",
    "Duty": "Réponse due par",
    "and more": "et d'autres",
    "changed": "modifiée",
    "late": "en retard",
    "on time": "à temps",
    "{n} days": "{n} jours",
    "{n} s ago": "il y a {n} s",
    "{n} min ago": "il y a {n} min",
    "{n} h ago": "il y a {n} h",
    "{n} days ago": "il y a {n} jours",
    "never": "jamais",
    # the inventory
    "Inventory": "Inventaire",
    "{n} gateways changed": "Passerelles modifiées : {n}",
    "With those that are marked": "Avec celles qui sont cochées",
    "Group, tags or time zone": "Groupe, étiquettes ou fuseau horaire",
    "Set the time zone": "Fixer le fuseau horaire",
    "Put into the group": "Mettre dans le groupe",
    "Add tags": "Ajouter les étiquettes",
    "Take tags away": "Enlever les étiquettes",
    "all {n} that the search found, marked or not": "toutes celles de la recherche ({n}), cochées ou non",
    "Gateways by group and name": "Les passerelles par groupe et par nom",
    "Tag": "Étiquette",
    "Tags": "Étiquettes",
    "Take a list in": "Importer une liste",
    "CSV with a head: gateway, name, group, tags. What it names is expected from now on; an empty cell leaves what "
    "there was. One line that is wrong, and nothing is taken.": "Un CSV avec un en-tête : gateway, name, group, tags. "
    "Ce qu'il nomme est attendu désormais ; une case vide ne change rien. Une seule ligne fausse, "
    "et rien n'est importé.",
    "File": "Fichier",
    "Take in": "Importer",
    "a file; accepted: CSV of at most {n} MiB": "un fichier ; accepté : un CSV de {n} Mio au plus",
    "line {n}: {said}": "ligne {n} : {said}",
    "no UTF-8; accepted: CSV in UTF-8, with a head: gateway, name, group, tags": "pas de l'UTF-8 ; accepté : un CSV "
    "en UTF-8, avec un en-tête : gateway, name, group, tags",
    "no CSV ({why}); accepted: a head with gateway, name, group, tags, and a line a gateway": "pas un CSV ({why}) ; "
    "accepté : un en-tête avec gateway, name, group, tags, et une ligne par passerelle",
    "no head; accepted: names of columns: gateway, name, group, tags": "pas d'en-tête ; accepté : des noms de "
    "colonnes : gateway, name, group, tags",
    "{ident} is there twice; accepted: 16 characters of a-z2-7": (
        "{ident} y est deux fois ; accepté : 16 caractères parmi a-z2-7"
    ),
    "{ident} is no id; accepted: 16 characters of a-z2-7": (
        "{ident} n'est pas un identifiant ; accepté : 16 caractères parmi a-z2-7"
    ),
    "{ident} is no id; accepted: 16 characters of a-z2-7, or nothing": "{ident} n'est pas un identifiant ; accepté : "
    "16 caractères parmi a-z2-7, ou rien",
    "a name or group; accepted: at most {n} printable characters": (
        "un nom ou un groupe ; accepté : {n} caractères imprimables au plus"
    ),
    "tags; accepted: words of at most {n} printable characters, at most {m} together": "des étiquettes ; accepté : "
    "des mots de {n} caractères imprimables au plus, {m} en tout",
    "a group; accepted: at most {n} printable characters": "un groupe ; accepté : {n} caractères imprimables au plus",
    "a time zone; accepted: Europe/Paris": "un fuseau horaire ; accepté : Europe/Paris",
    "{n} more would be beyond the limit; accepted: {m} gateways in all": "{n} de plus dépasseraient la limite ; "
    "accepté : {m} passerelles en tout",
    # people
    "People": "Personnes",
    "{name} logs in with this password, shown once:": (
        "{name} se connecte avec ce mot de passe, montré une seule fois :"
    ),
    "Who may do what": "Qui peut faire quoi",
    "A viewer looks. An operator changes gateways and alerts too. An administrator says who is what.": (
        "Un lecteur regarde. Un exploitant modifie aussi les passerelles et les alertes. "
        "Un administrateur dit qui est quoi."
    ),
    "Role": "Rôle",
    "Last log-in": "Dernière connexion",
    "Remove": "Enlever",
    "Add somebody": "Ajouter quelqu'un",
    "What was done here": "Ce qui a été fait ici",
    "When (UTC)": "Quand (UTC)",
    "Who": "Qui",
    "What": "Quoi",
    "Nothing yet.": "Rien encore.",
    "viewer": "lecteur",
    "operator": "exploitant",
    "administrator": "administrateur",
    "Your account": "Votre compte",
    "Name, password or code isn't right; the code is for those who have a second factor.": "Nom, mot de passe ou code "
    "incorrect ; le code est demandé à ceux qui ont un second facteur.",
    "Code, if you have a second factor": "Code, si vous avez un second facteur",
    "Second factor": "Second facteur",
    "Take the second factor away": "Retirer le second facteur",
    "That isn't your password, or not the code.": "Ce n'est pas votre mot de passe, ou pas le code.",
    "That isn't the code; a moment after a wrong one, even the right one isn't taken.": "Ce n'est pas le code ; juste "
    "après un code faux, même le bon n'est pas accepté.",
    "Recovery codes, shown once: each logs you in once instead of a code. Keep them away from the telephone.": "Codes "
    "de secours, montrés une seule fois : chacun remplace un code, une fois. "
    "Les garder ailleurs que sur le téléphone.",
    "Let an authenticator application read this, or type the key in; then enter the code that it shows.": "Faire lire "
    "ceci par une application d'authentification, ou y saisir la clé ; puis entrer le code qu'elle affiche.",
    "QR code of the key": "Code QR de la clé",
    "Code": "Code",
    "It is on: whoever logs in as you needs a code of your authenticator application, or a recovery code.": "Il est "
    "actif : pour se connecter à votre nom, il faut un code de votre application d'authentification, "
    "ou un code de secours.",
    "Recovery codes left: {n}": "Codes de secours restants : {n}",
    "Code, or a recovery code": "Code, ou un code de secours",
    "Other recovery codes": "D'autres codes de secours",
    (
        "It is off. With it, whoever learns your password still can't log in: "
        "a code of your authenticator application is asked for too."
    ): (
        "Il n'est pas actif. Avec lui, qui apprend votre mot de passe ne peut pas se connecter : un code de votre "
        "application d'authentification est demandé aussi."
    ),
    "Set it up": "Le mettre en place",
    "API tokens": "Jetons d'API",
    "Tokens": "Jetons",
    "The token, shown once:": "Le jeton, montré une seule fois :",
    "A program sends one as “Authorization: Bearer TOKEN”, and may read what it is for, as long as your role may. "
    "Another password ends no token.": "Un programme l'envoie par « Authorization: Bearer JETON » et lit ce pour quoi "
    "il est fait, tant que votre rôle le permet. Changer de mot de passe ne met fin à aucun jeton.",
    "Whose": "À qui",
    "For": "Pour",
    "Made (UTC)": "Créé (UTC)",
    "Last used": "Dernier usage",
    "There is none.": "Il n'y en a pas.",
    "A token more": "Un jeton de plus",
    "Make it": "Le créer",
    "gateways: how each stands, its findings, its last health": "gateways : la situation de chaque passerelle, ses "
    "constats, son dernier état",
    "figures: what gateways published, sums, means, each with its band": "figures : ce que les passerelles ont "
    "publié, sommes, moyennes, chacune avec sa bande",
    "metrics: /metrics, for Prometheus": "metrics : /metrics, pour Prometheus",
    "deeds: what people did on the page": "deeds : ce que des personnes ont fait sur la page",
    "Accepted: a name of 1 to 64 printable characters.": "Accepté : un nom de 1 à 64 caractères imprimables.",
    "Choose what it is for.": "Choisir à quoi il sert.",
    "There are {n} tokens, which is the most: end one first.": (
        "Il y a {n} jetons, le maximum : mettre fin à l'un d'eux d'abord."
    ),
    "Your password": "Votre mot de passe",
    "It is changed. Wherever else you were logged in, you are no more.": (
        "Il est changé. Partout ailleurs, vous êtes déconnecté."
    ),
    "The one you have": "L'actuel",
    "Another one": "Le nouveau",
    "The same again": "Le nouveau, encore une fois",
    "That isn't your password.": "Ce n'est pas votre mot de passe.",
    "Accepted: {n} characters or more, twice the same.": "Accepté : {n} caractères ou plus, deux fois les mêmes.",
    "There is somebody of that name, or nobody; accepted: 1 to 150 printable characters.": (
        "Quelqu'un porte déjà ce nom, ou personne ; accepté : de 1 à 150 caractères imprimables."
    ),
    "There are as many people as there may be.": "Le nombre maximal de personnes est atteint.",
    "Make {name} administrator": "Faire de {name} un administrateur",
    "Your own password": "Votre propre mot de passe",
    "Nobody removes the own account, or resets the own second factor here.": (
        "Personne n'enlève son propre compte, ni ici son propre second facteur."
    ),
    "too large; accepted: {n} columns, {m} lines": "trop grand ; accepté : {n} colonnes, {m} lignes",
    "Somebody has to be administrator.": "Il faut un administrateur.",
    "Not here": "Pas ici",
    "There is no such page, or no such gateway any more.": (
        "Cette page n'existe pas, ou cette passerelle n'existe plus."
    ),
    "Nothing to see here": "Rien à voir ici",
    "This address takes a form and shows nothing: go back to the page that the form is on.": "Cette adresse reçoit un "
    "formulaire et n'affiche rien : revenir à la page du formulaire.",
    "A moment, please": "Un instant",
    "Too many people log in at once: try again in a few seconds.": "Trop de personnes se connectent à la fois : "
    "réessayer dans quelques secondes.",
    "Not for you": "Pas pour vous",
    "Your role isn't for this, or the page was open for too long: go back, load it again, try once more.": (
        "Votre rôle ne le permet pas, ou la page est restée ouverte trop longtemps : revenir, la recharger, réessayer."
    ),
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
    # what the list's columns say
    "What the columns say": "Ce que disent les colonnes",
    "In breach of what the law or oubli promises, worth a look, or in order; the worst findings below.": "En "
    "manquement à la loi ou aux promesses d'oubli, à surveiller, ou en règle ; les pires constats dessous.",
    "When its last message came, and the state that it told.": (
        "Quand son dernier message est arrivé, et l'état annoncé."
    ),
    "The oubli that runs there, and the first signs of its configuration's fingerprint.": "La version d'oubli qui y "
    "tourne, et le début de l'empreinte de sa configuration.",
    "Whether its time is confirmed: deadlines are kept by it.": "Si son heure est confirmée : les termes en dépendent.",
    "Whether every record was destroyed at its deadline.": "Si chaque enregistrement a été détruit à son terme.",
    "Whether connections are recorded.": "Si les connexions sont enregistrées.",
    "Days until a custodian's bundle of keys runs out, where there is one.": "Jours avant l'épuisement du lot de clés "
    "d'un séquestre, s'il y en a un.",
    "Privacy budget that was spent of the day's ceiling (epsilon).": (
        "Budget de confidentialité dépensé, sur le plafond du jour (epsilon)."
    ),
    "Whether its log of deeds goes on unbroken, as compared with the checkpoints that came here.": "Si son journal "
    "d'audit se poursuit intact, comparé aux points de contrôle reçus ici.",
    "Who answers the authorities' requests at this place.": "Qui répond aux réquisitions en ce lieu.",
    # a gateway
    "Findings": "Constats",
    "since": "depuis",
    "Settled": "Réglé",
    "Accept this configuration": "Accepter cette configuration",
    "As it last spoke": "Selon son dernier message",
    "Terminals a day": "Terminaux par jour",
    "Terminals a day, each with the band that holds the truth with 95 %": "Terminaux par jour, chacun avec la bande "
    "qui contient la vérité à 95 %",
    "day": "jour",
    "Day": "Jour",
    "Published for": "Publié pour le",
    "Day before": "Jour précédent",
    "Day after": "Jour suivant",
    "View": "Vue",
    "terminals on a mean day of the week to": "terminaux un jour moyen de la semaine jusqu'au",
    "{n} figures are nothing but noise and not drawn.": "{n} chiffres ne sont que du bruit et ne sont pas tracés.",
    "{n} figures are nothing but noise and not drawn; over {days} days, or at {times} times as many gateways, the "
    "largest would tell something.": "{n} chiffres ne sont que du bruit et ne sont pas tracés ; sur {days} jours, ou "
    "sur {times} fois plus de passerelles, le plus grand dirait quelque chose.",
    "combined": "combiné",
    "smoothed": "lissé",
    "estimate, with 95 %": "estimé, à 95 %",
    "{title}: estimates": "{title} : estimations",
    "An agent-day runs from 03:00 to 03:00 UTC. A bar is an estimate from up to eight weeks: what the day told, and "
    "what its day of the week and its hour usually are. The pale band holds the truth with 95 %; of a single unusual "
    "day at a small venue it holds less often: “combined” knows nothing of other days.": "Un jour va de 03:00 à 03:00 "
    "UTC. La barre est une estimation sur huit semaines au plus : ce que le jour a dit, et ce que sont d'habitude ce "
    "jour de la semaine et cette heure. La bande pâle contient la vérité à 95 % ; pour un jour isolé hors du commun, "
    "dans un petit lieu, elle la contient moins souvent : « combiné » ignore les autres jours.",
    "An estimate needs figures of 28 days.": "Une estimation demande les chiffres de 28 jours.",
    "An ordinary week, as it is now": "Une semaine ordinaire, telle qu'elle est maintenant",
    "Estimated arrivals in a week without anything unusual; the pale band holds them with 95 %.": "Arrivées estimées "
    "d'une semaine sans rien d'inhabituel ; la bande pâle les contient à 95 %.",
    "published": "publié",
    "An agent-day runs from 03:00 to 03:00 UTC. A bar is the best estimate from all that was published of the day, "
    "whose cells have one total; the pale band around its end holds the truth with 95 %. Below what noise alone may "
    "give, only “< n” is said.": "Un jour va de 03:00 à 03:00 UTC. La barre est la meilleure estimation tirée de tout "
    "ce qui a été publié du jour, dont les cases ont un même total ; la bande pâle autour de son bout contient la "
    "vérité à 95 %. Sous ce que le bruit seul peut donner, on dit seulement « < n ».",
    "An agent-day runs from 03:00 to 03:00 UTC. A bar is what was published; the pale band around its end holds the "
    "truth with 95 %. Below what noise alone may give, only “< n” is said.": "Un jour va de 03:00 à 03:00 UTC. La "
    "barre est le chiffre publié ; la bande pâle autour de son bout contient la vérité à 95 %. Sous ce que le bruit "
    "seul peut donner, on dit seulement « < n ».",
    "Nothing was published for this day.": "Rien n'a été publié pour ce jour.",
    "came late": "arrivé en retard",
    "cell": "case",
    "The figures": "Les chiffres",
    "published, with 95 %": "publié, à 95 %",
    "drawn": "dessiné",
    "The last 30 days": "Les 30 derniers jours",
    "{n} messages refused": "{n} messages refusés",
    "Name, group, tags, time zone": "Nom, groupe, étiquettes, fuseau horaire",
    "Save": "Enregistrer",
    "When it is no more": "Quand elle n'est plus en service",
    "Retired, it leaves the list, and what it published stays in the sums; if it speaks again, it is back. "
    "Deleted, its figures go too.": "Retirée, elle quitte la liste, et ses chiffres restent dans les sommes ; si elle "
    "s'exprime de nouveau, elle y revient. Supprimée, ses chiffres partent aussi.",
    "Retire": "Retirer",
    "Take back": "Reprendre",
    "Delete with its figures": "Supprimer avec ses chiffres",
    "Type its id to delete it": "Saisir son identifiant pour la supprimer",
    "retired": "retirées",
    "What this collector doesn't know": "Ce que ce collecteur ne connaît pas",
    "The gateway's version is newer. What is known of its messages counts as ever; the rest is shown as it came.": (
        "La passerelle a une version plus récente. Ce qui est connu de ses messages compte comme toujours ; le "
        "reste est montré tel quel."
    ),
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
    # the fleet
    "without a group": "sans groupe",
    "Nothing was published yet.": "Rien n'a encore été publié.",
    "terminals on": "terminaux le",
    (
        "told by {n} gateways. One phone that changes its address counts as several; "
        "somebody at two gateways counts twice."
    ): (
        "selon {n} passerelles. Un téléphone qui change d'adresse compte pour plusieurs ; une personne vue à deux "
        "passerelles compte deux fois."
    ),
    "Mean day of each week": "Jour moyen de chaque semaine",
    "The same gateways in all of these weeks:": "Les mêmes passerelles dans toutes ces semaines :",
    "Gateways that told, of all": "Passerelles qui ont parlé, sur toutes",
    "week from": "semaine du",
    "Groups, mean day of the last week": "Groupes, jour moyen de la dernière semaine",
    "Arrivals in the hours of the week": "Arrivées selon l'heure de la semaine",
    "Mean of the last four weeks of these days, all gateways together, hours in {zone}.": "Moyenne des quatre "
    "dernières semaines de cette période, toutes passerelles ensemble, heures de {zone}.",
    "Hours in {zone}.": "Heures de {zone}.",
    "too small to say": "trop petit pour être dit",
    "Days": "Jours",
    "From": "Du",
    "The week to {day}, against others": "La semaine jusqu'au {day}, comparée à d'autres",
    "Terminals on a mean day": "Terminaux un jour moyen",
    "Against": "Comparée à",
    "Then": "Alors",
    "Now": "Maintenant",
    "Difference": "Différence",
    "Gateways that told in both": "Passerelles ayant parlé dans les deux",
    "the week before": "la semaine d'avant",
    "the same week a year ago": "la même semaine il y a un an",
    "{n} more": "{n} de plus",
    "{n} fewer": "{n} de moins",
    "A picture for elsewhere": "Une image pour ailleurs",
    "An address at which anybody who has it sees this group's name and first chart, nothing else. After its end, "
    "browsers may show the picture for an hour more.": "Une adresse où quiconque l'a voit le nom de ce groupe et son "
    "premier graphique, rien d'autre. Après sa fin, des navigateurs peuvent montrer l'image une heure encore.",
    "Address": "Adresse",
    "Make an address": "Créer une adresse",
    "hour": "heure",
    "The last seven days together": "Les sept derniers jours ensemble",
    "Mon": "lun.",
    "Tue": "mar.",
    "Wed": "mer.",
    "Thu": "jeu.",
    "Fri": "ven.",
    "Sat": "sam.",
    "Sun": "dim.",
    # compliance
    "Export as CSV": "Exporter en CSV",
    "{clean} of {count} gateways are without finding, {breached} in breach": "{clean} passerelles sur {count} sans "
    "constat, {breached} en manquement",
    "Open": "En cours",
    "Nothing is wrong.": "Rien à signaler.",
    "There is no gateway yet: nothing was looked at.": "Il n'y a encore aucune passerelle : rien n'a été examiné.",
    "What is wrong now, the worst first": "Ce qui ne va pas, le plus grave d'abord",
    "Finding": "Constat",
    "Since (UTC)": "Depuis (UTC)",
    "Until (UTC)": "Jusqu'à (UTC)",
    "Over, in the last {n} days": "Terminé, ces {n} derniers jours",
    "The newest {n}; the file has all.": "Les {n} plus récents ; le fichier les contient tous.",
    "What was wrong and is over": "Ce qui n'allait pas et qui est terminé",
    "Was": "Était",
    "gateway": "passerelle",
    "name": "nom",
    "group": "groupe",
    "grade": "situation",
    "finding": "constat",
    "since (UTC)": "depuis (UTC)",
    "until (UTC)": "jusqu'à (UTC)",
    # alerts
    "Alerts": "Alertes",
    "Channels": "Destinataires",
    "Nobody is told anything yet: add a channel below.": (
        "Personne n'est encore prévenu : ajouter un destinataire ci-dessous."
    ),
    "To": "Vers",
    "Tells of": "Annonce",
    "Change": "Modifier",
    "every breach": "tout manquement",
    "after {n} min": "après {n} min",
    "again after {n} h": "de nouveau après {n} h",
    "quiet": "silencieux",
    "switched off": "désactivé",
    "takes nothing": "ne reçoit rien",
    "on": "actif",
    "{n} open, {m} waiting": "{n} en cours, {m} en attente",
    "{n} dropped": "{n} perdus",
    "Test": "Essayer",
    "Switch off": "Désactiver",
    "Switch on": "Activer",
    "Delete": "Supprimer",
    "A channel more": "Un destinataire de plus",
    "Form": "Forme",
    "e-mail": "courriel",
    "webhook (JSON)": "webhook (JSON)",
    "Address or URL": "Adresse ou URL",
    "Only this group": "Seulement ce groupe",
    "Tells of (none chosen: every breach)": "Annonce (aucun choix : tout manquement)",
    "Minutes that something is wrong before it is told": "Minutes d'anomalie avant l'annonce",
    "Hours until it is told again (0: never)": "Heures avant une nouvelle annonce (0 : jamais)",
    "Tell too when it is over": "Annoncer aussi la fin",
    "Quiet from": "Silencieux de",
    "until": "jusqu'à",
    "Time zone": "Fuseau horaire",
    "Language": "Langue",
    "Silenced": "Mis en silence",
    "all gateways": "toutes les passerelles",
    "acknowledged": "pris en compte",
    "End it": "Y mettre fin",
    "Nothing is silenced.": "Rien n'est mis en silence.",
    "Hours": "Heures",
    "Reason": "Motif",
    "Silence": "Mettre en silence",
    "Acknowledge": "Prendre en compte",
    "No e-mail address; accepted: name@example.org": "Pas une adresse de courriel ; accepté : nom@example.org",
    "No URL; accepted: https://...": "Pas une URL ; accepté : https://...",
    "The topic is missing; accepted: https://HOST/TOPIC": "Le sujet manque ; accepté : https://HÔTE/SUJET",
    "No time of day; accepted: 22:00": "Pas une heure ; accepté : 22:00",
    "One without the other; accepted: both, or neither": "L'une sans l'autre ; accepté : les deux, ou aucune",
    "No time zone; accepted: Europe/Paris": "Pas un fuseau horaire ; accepté : Europe/Paris",
    "There are {n} channels, which is the most": "Il y a {n} destinataires, le maximum",
    "A test: alerts reach you": "Un essai : les alertes vous parviennent",
    "{n} resolved": "{n} terminés",
    "{name}: {said}": "{name} : {said}",
    "{n} findings, {breaches} in breach": "{n} constats, dont {breaches} manquements",
    "and {n} more": "et {n} autres",
    "Nothing is wrong: somebody pressed the test button.": "Tout va bien : quelqu'un a demandé un essai.",
    "resolved": "terminé",
}

# What is a name in a message and reads badly as a title: each of these has its French above.
ENGLISH = {
    "no-lan": "a guests' interface is missing",
    "floor": "not confirmed",
    "radius": "RADIUS",
    "nat-log": "NAT log",
    "none": "nobody",
    "arrivals": "terminals first heard of in each hour",
    "presence": "terminals by quarter-hours with traffic",
    "1": "1 quarter-hour",
    "2-4": "2 to 4 quarter-hours",
    "5-8": "5 to 8 quarter-hours",
    "9-16": "9 to 16 quarter-hours",
    ">16": "more than 16 quarter-hours",
    "volume": "terminals by data carried",
    "<10": "under 10 MiB",
    "<100": "10 to 100 MiB",
    "<500": "100 to 500 MiB",
    "<2000": "500 to 2,000 MiB",
    ">=2000": "2,000 MiB and more",
    "dayparts": "terminals first heard of in each four hours",
    "tenminutes": "terminals first heard of in each ten minutes",
    "stays": "terminals by quarter-hours with traffic, finely",
    "2": "2 quarter-hours",
    "3-4": "3 to 4 quarter-hours",
    "9-12": "9 to 12 quarter-hours",
    "13-16": "13 to 16 quarter-hours",
    "17-24": "17 to 24 quarter-hours",
    "25-32": "25 to 32 quarter-hours",
    ">32": "more than 32 quarter-hours",
    "traffic": "terminals by data carried, finely",
    "<3": "under 3 MiB",
    "3-10": "3 to 10 MiB",
    "10-30": "10 to 30 MiB",
    "30-100": "30 to 100 MiB",
    "100-200": "100 to 200 MiB",
    "200-500": "200 to 500 MiB",
    "500-1000": "500 to 1,000 MiB",
    "1000-2000": "1,000 to 2,000 MiB",
    "active": "terminals active in each four hours (UTC)",
    "classes": "terminals by class of service",
    "vpn": "VPN",
    "remote": "remote access",
    "time": "time (NTP)",
    "push": "notifications",
    "icmp": "ICMP (ping)",
}


def language() -> str:
    """Return the reader's language: `en` or `fr`."""
    return "fr" if (get_language() or "").startswith("fr") else "en"


def say(text: str, **values: object) -> str:
    """Return a text in the reader's language with its values; one in neither table (a name) stays as it is."""
    spoken = (FRENCH if language() == "fr" else ENGLISH).get(text, text)
    return spoken.format(**values) if values else spoken


def general(text: str) -> str:
    """Return a text in the reader's language without the numbers and names that would fill it in."""
    return say(text).partition("{")[0].rstrip(" (:")
