# SPDX-License-Identifier: Apache-2.0
"""The pages of people, of the own account and of what has gone wrong with a request."""

FRENCH = {
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
}
