# SPDX-License-Identifier: Apache-2.0
"""The frame of every page, and the pages of gateways: list, inventory, one gateway."""

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
    "another id; accepted: {ident}": "un autre identifiant ; accepté : {ident}",
    "a group; accepted: at most {n} printable characters": "un groupe ; accepté : {n} caractères imprimables au plus",
    "a time zone; accepted: Europe/Paris": "un fuseau horaire ; accepté : Europe/Paris",
    "{n} more would be beyond the limit; accepted: {m} gateways in all": "{n} de plus dépasseraient la limite ; "
    "accepté : {m} passerelles en tout",
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
}
