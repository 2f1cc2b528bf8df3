# SPDX-License-Identifier: Apache-2.0
"""What stands on the guests' page, in French and English, and its frame (agent.purposes.consent.guest_page)."""

from agent.purposes.words import UNSEEN

WORDS = {
    "unseen": UNSEEN,
    "title": ("Vos données", "Your data"),
    "other": ("English", "Français"),
    "see": ("Voir ce qui est conservé au sujet de votre appareil", "See what is kept about your device"),
    "export": ("Enregistrer cela dans un fichier", "Save that in a file"),
    "erase": (
        "Effacer ce que la borne peut effacer au sujet de votre appareil",
        "Erase what the gateway can erase about your device",
    ),
    "and withdraw": (", et retirer votre accord", ", and withdraw your consent"),
    "and suspend": (", et suspendre votre accord", ", and suspend your consent"),
    "record": ("enregistrement", "record"),
    "records": ("enregistrements", "records"),
    "newest": (
        "Les plus récents d'abord ; tous sont dans le fichier.",
        "The newest first; all of them are in the file.",
    ),
    "times": (
        "Les heures sont celles de l'horloge de la borne, qui a pu être fausse.",
        "Times are those of the gateway's clock, which may have been wrong.",
    ),
    "sealed": (
        "la borne ne peut pas lire ces données ; {}chacune devient illisible au plus tard",
        "the gateway can't read it; {}each record becomes unreadable at the latest",
    ),
    "answered": ("seul un tiers peut les ouvrir, et ", "a third party alone can open it, and "),
    "once sealed": (", après scellement", ", once sealed"),
    "preserved": (
        ", hors copie remise, ou injonction de conservation (un an supplémentaire au maximum)",
        ", but for copies handed on, or an injunction to preserve (for a year more at most)",
    ),
    "consents": ("Votre accord", "Your consent"),
    "kept": ("Conservé sans votre accord", "Kept without your consent"),
    "without": (
        "Lisible jusqu'à quand (début, fin : de chaque enregistrement ; hors copies remises) :",
        "Readable until when (start, end: of each record; but for copies handed on):",
    ),
    "unnamed": (
        (
            "Une connexion dont la borne ne sait pas de quel appareil elle est (par exemple commencée avant un "
            "redémarrage, ou dont l'adresse a changé d'appareil) reste jusqu'à son terme sous la seule adresse IP : "
            "elle n'est ni montrée ni effacée ici, ni dans le fichier."
        ),
        (
            "A connection whose device the gateway can't tell (for instance begun before a restart, "
            "or whose address changed devices) stays until its end under the IP address alone: it is neither shown "
            "nor erased here, nor in the file."
        ),
    ),
    "uncounted": (
        ("Votre appareil n'est pas compté. Cela est retenu pendant 13 mois, sous une empreinte à clé de son adresse."),
        ("Your device isn't counted. That is remembered for 13 months, under a keyed hash of its address."),
    ),
    "since": ("Opposition au comptage reçue le", "Objection to being counted received on"),
    "most": ("au plus", "at most"),
    "active": ("en vigueur jusqu'au", "in force until"),
    "not applied": (
        (
            "donné, mais non appliqué tant que l'horloge de la borne n'est pas confirmée, ou montre de nouveau une "
            "heure passée ; fin le"
        ),
        "given, but not applied while the gateway's clock isn't confirmed, or shows a past time again; ends on",
    ),
    "turned off": (" ; l'exploitant a arrêté ce traitement", "; the operator has turned this off"),
    "suspended": ("suspendu ; fin le", "suspended; ends on"),
    "withdrawn": ("retiré le", "withdrawn on"),
    "was withdrawn": ("retiré", "withdrawn"),
    "ended": ("terminé ; fin prévue le", "over; agreed end on"),
    "proof": (
        (
            "Un accord ne vaut que pour le but du document accepté. Sa preuve est conservée jusqu'à 30 jours après "
            "sa fin ou son retrait ; s'il est retiré, suspendu ou terminé, une empreinte, qui empêche qu'une ancienne "
            "copie le rétablisse, est conservée jusqu'à 30 jours après la fin prévue. Après un retrait, l'empreinte de "
            "votre appareil et l'instant du retrait sont conservés au moins 30 jours, pour refuser un nouvel accord."
        ),
        (
            "A consent holds for what the document accepted says alone. Its proof is kept until 30 days after it "
            "ended or was withdrawn; if it is withdrawn, suspended or over, a hash that keeps an old copy from "
            "restoring it stays until 30 days after the agreed end. After a withdrawal your device's hash and "
            "the moment of it stay for at least 30 days, to refuse a new consent."
        ),
    ),
    "aim": ("but indiqué aujourd'hui :", "purpose as told today:"),
    "given": ("Accord donné le", "Consent given on"),
    "third": ("données transmises à :", "data passed on to:"),
    "nobody": ("personne", "nobody"),
    "suspend": ("Suspendre votre accord", "Suspend your consent"),
    "resume": ("Rétablir votre accord", "Resume your consent"),
    "withdraw": (
        "Retirer votre accord, et effacer ce que la borne a conservé avec lui",
        "Withdraw your consent, and erase what the gateway kept by it",
    ),
    "withdraw only": ("Retirer votre accord pour :", "Withdraw your consent for:"),
    "object": ("Ne plus compter votre appareil", "Stop counting your device"),
    "accept": ("Lever votre opposition au comptage", "Take your objection to being counted back"),
    "done suspend": (
        (
            "Votre accord est suspendu : rien de nouveau n'est conservé avec lui. Ce qui l'était déjà peut le rester "
            "jusqu'à son terme ou à votre retrait."
        ),
        (
            "Your consent is suspended: nothing new is kept by it. What was kept may stay until its end, or until you "
            "withdraw."
        ),
    ),
    "done resume": ("Votre accord est rétabli.", "Your consent is no longer suspended."),
    "done withdraw": (
        "Votre accord est retiré : ce que la borne avait conservé avec lui est illisible.",
        "Your consent is withdrawn: what the gateway kept by it is unreadable.",
    ),
    "done withdraw only": (
        (
            "Votre accord est retiré pour une seule finalité : ce que la borne avait conservé pour elle est illisible. "
            "Le reste n'a pas changé."
        ),
        (
            "Your consent is withdrawn for one purpose: what the gateway kept for it is unreadable. The rest of it is "
            "as before."
        ),
    ),
    "tell": (
        "Dites votre choix au responsable, pour qu'il en avertisse les tiers nommés.",
        "Tell the controller what you chose, so that he tells the third parties named.",
    ),
    "done object": ("Votre appareil n'est plus compté.", "Your device is counted no more."),
    "none applied": ("Aucun accord de votre part n'est appliqué.", "No consent of yours is applied."),
    "done accept": ("Votre opposition au comptage est levée.", "Your objection to being counted is taken back."),
    "stays suspended": (
        "Un accord suspendu le reste jusqu'à ce que vous le rétablissiez.",
        "A consent that was suspended stays so until you resume it.",
    ),
    "done erase": (
        "Votre demande d'effacement a été prise en compte.",
        "Your request for erasure has been received.",
    ),
    "stays": ("Voyez plus bas ce qui reste conservé.", "What stays stands below."),
    "left": (
        (
            "Voyez plus bas ce qui reste conservé, et ce qui peut l'être des connexions dont la borne apprend la fin "
            "ensuite."
        ),
        "What stays, and what may be kept of connections whose end the gateway learns of later, stands below.",
    ),
    "look": ("« Retour » montre ce qui est en vigueur.", '"Back" shows what is in force.'),
    "erasing": (
        (
            "L'effacement prend quelques minutes. « Voir ce qui est conservé » montre ce qui reste sous l'adresse MAC "
            "de votre appareil. Si la borne ou son logiciel redémarre avant, redemandez-le."
        ),
        (
            'The erasure takes some minutes. "See what is kept" shows what is left under your device\'s MAC. '
            "If the gateway or its software restarts before, ask again."
        ),
    ),
    "unchanged": ("Rien n'a changé.", "Nothing has changed."),
    "not withdrawn": (
        "Aucun accord n'est retiré : redemandez l'effacement dès que la borne pourra lire les accords.",
        "No consent is withdrawn: ask for the erasure again once the gateway can read consents.",
    ),
    "not erased": (
        "Ceci n'est pas effacé avant son terme, scellé ou non :",
        "This isn't erased before its end, sealed or not:",
    ),
    "counting stays": (
        (
            "La ligne de votre appareil dans le comptage des visiteurs, s'il en a une, reste ; « Ne plus compter votre "
            "appareil » l'efface."
        ),
        'Your device\'s row in the count of visitors, if it has one, stays; "Stop counting your device" erases it.',
    ),
    "not durable": (
        "Ce n'est pas encore écrit en mémoire permanente : si la borne ou son logiciel redémarre, vérifiez ici.",
        "It isn't in permanent memory yet: if the gateway or its software restarts, look here again.",
    ),
    "refused": ("Cela n'a pas pu être fait. Réessayez.", "That could not be done. Try again."),
    "often": (
        "Vous avez demandé plusieurs changements aujourd'hui : revenez demain. Suspendre ou retirer reste possible.",
        "You asked for several changes today: come back tomorrow. Suspending and withdrawing stay possible.",
    ),
    "full": (
        "Il n'y a plus de place ici : adressez-vous au responsable.",
        "There is no place left here: turn to the controller.",
    ),
    "busy": (
        "Trop de demandes en ce moment. Réessayez dans une minute.",
        "Too many requests at present. Try again in a minute.",
    ),
    "closed": (
        ("La borne ne répond pas en ce moment. Rouvrez cette page bientôt : elle montre ce qui est en vigueur."),
        "The gateway doesn't answer at present. Open this page again soon: it shows what is in force.",
    ),
    "unknown": (
        "Votre appareil n'est pas reconnu ici. Réessayez dans une minute ; si cela dure, voyez le responsable.",
        "Your device isn't known here. Try again in a minute; if that lasts, turn to the controller.",
    ),
    "untimed": (
        (
            "L'horloge de la borne n'est pas confirmée, ou montre de nouveau une heure passée : ce qui est suspendu le "
            "reste. Réessayez plus tard."
        ),
        (
            "The gateway's clock isn't confirmed, or shows a past time again: what is suspended stays so. "
            "Try again later."
        ),
    ),
    "unreadable": (
        (
            "La borne ne peut pas lire les accords ni les oppositions en ce moment : tous les accords sont suspendus, "
            "ce qui est conservé avec eux ne peut pas être effacé, et aucun nouvel appareil n'est compté."
        ),
        (
            "The gateway can't read consents and objections at present: every consent is suspended, what is kept by "
            "them can't be erased, and no further device is counted."
        ),
    ),
    "bad": ("La demande n'a pas été comprise.", "The request isn't understood."),
    "elsewhere": (
        "Ouvrez cette page à l'adresse indiquée dans la notice.",
        "Open this page at the address in the notice.",
    ),
    "uncounted first": (
        "Vous vous êtes opposé au comptage : levez d'abord cette opposition.",
        "You objected to being counted: take that back first.",
    ),
    "present": (
        (
            "Cette page ne connaît que cette borne, et l'adresse MAC actuelle de votre appareil. S'il en a changé, vos "
            "choix d'avant ne valent plus pour lui. Pour l'ancienne, ou une autre borne : auprès du responsable."
        ),
        (
            "This page knows this gateway, and your device's present MAC address, alone. If it had another one, what "
            "you chose then holds for it no more. The controller is asked about that one, or another gateway."
        ),
    ),
    "more rights": (
        (
            "Finalités, bases, destinataires : voir la notice de ce réseau. Autres droits : auprès du responsable. "
            "Réclamation : CNIL (www.cnil.fr)."
        ),
        (
            "Purposes, bases, recipients: see this network's notice. Other rights: from the controller. "
            "Complaint: CNIL (www.cnil.fr)."
        ),
    ),
    "again": ("Cette page a expiré. Ouvrez-la de nouveau.", "This page has expired. Open it again."),
    "back": ("Retour", "Back"),
    "from": ("adresse", "address"),
    "request": ("demande récente", "recent request"),
    "requests": ("demandes récentes", "recent requests"),
    "changes": (
        "demandes du jour (rétablir un accord, lever une opposition) :",
        "asked today (to resume a consent, to take an objection back):",
    ),
    "quarter": ("quart d'heure de présence", "quarter-hour of presence"),
    "quarters": ("quarts d'heure de présence", "quarter-hours of presence"),
    "kib": ("Kio", "KiB"),
    "port": ("port local", "local port"),
    "outside": ("port côté internet", "internet-side port"),
    "bytes": ("octets envoyés et reçus :", "bytes sent and received:"),
    "packets": ("paquets :", "packets:"),
    "going on": ("toujours en cours", "still going on"),
    "unsealed": (", avant scellement", ", not sealed yet"),
    "user": ("identifiant au portail", "identifier at the portal"),
    "public": ("adresse côté internet", "internet-side address"),
    "point": ("point d'accès", "access point"),
}
# The same of several consents.
SEVERAL = {
    "and withdraw": (", et retirer vos accords", ", and withdraw your consents"),
    "and suspend": (", et suspendre vos accords", ", and suspend your consents"),
    "consents": ("Vos accords", "Your consents"),
    "suspend": ("Suspendre vos accords", "Suspend your consents"),
    "resume": ("Rétablir vos accords", "Resume your consents"),
    "withdraw": (
        "Retirer vos accords, et effacer ce que la borne a conservé avec eux",
        "Withdraw your consents, and erase what the gateway kept by them",
    ),
    "done suspend": (
        (
            "Vos accords sont suspendus : rien de nouveau n'est conservé avec eux. Ce qui l'était déjà peut le rester "
            "jusqu'à son terme ou à votre retrait."
        ),
        (
            "Your consents are suspended: nothing new is kept by them. What was kept may stay until its end, or until "
            "you withdraw."
        ),
    ),
    "done resume": ("Vos accords sont rétablis.", "Your consents are no longer suspended."),
    "done withdraw": (
        "Vos accords sont retirés : ce que la borne avait conservé avec eux est illisible.",
        "Your consents are withdrawn: what the gateway kept by them is unreadable.",
    ),
}
# Service classes in French; in English they are their own names.
CLASSES = {
    "other": "autre", "mail": "courriel", "calls": "appels", "remote": "accès à distance",
    "files": "fichiers", "time": "heure", "push": "notifications",
}  # fmt: skip
PAGE = """<!DOCTYPE html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
body {{ font: 1.1em/1.5 sans-serif; max-width: 34em; margin: 0 auto; padding: 1em }}
button {{ font: inherit; width: 100%; padding: .8em; margin: .3em 0 }}
li {{ overflow-wrap: anywhere }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p><a href="/?lang={to}" lang="{to}">{other}</a></p>
{body}
</main>{foot}
</body>
</html>
"""
