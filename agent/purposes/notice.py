# SPDX-License-Identifier: Apache-2.0
"""`oubli law --notice fr|en`: what guests are told (L34-VI-4).

It comes from the configuration that runs and the fields of the record formats (agent.purposes.activities): a purpose
that is off isn't named, unless something of it is still kept; a field that is kept is. Law 78-17 art. 48 and GDPR
art. 13 ask for it. Who answers for the processing is in the section `notice` of the configuration, else a blank to be
filled in. `oubli-notice` makes a page of this very text, to be hung up, on a host. Not legal advice.
"""

from agent import law
from agent.config.config import running
from agent.purposes import activities, also_held, duties, words
from agent.purposes.attribution import own_addresses
from agent.purposes.billing import billing

TEXTS: "dict[str, dict[str, str]]" = {
    "fr": {
        "title": "Information sur le réseau",
        "nobody": "aucun",
        "rule": "Le logiciel oubli de la borne n'enregistre ni le contenu de vos échanges, ni l'adresse ou le nom de "
        "ce que vous consultez (article L34-1, VI, du code des postes et des communications électroniques, CPCE). "
        "Cette notice porte sur ce qu'il note",
        "declared": " ; pour les demandes des autorités, le responsable a un autre traitement, sur lequel il vous "
        "renseigne : ",
        "kept": "Ce qui est conservé, et jusqu'à quand :",
        "none": "oubli ne conserve rien d'autre des connexions. Sans destinataire nommé : aucun.",
        "received": "Qui reçoit une réponse{} en garde les données selon ses règles.",
        "or sessions": " ou le relevé des sessions",
        "basis": "base : ",
        "recipients": "destinataires : ",
        "on page": "droits (page) : ",
        "asked": "droits (responsable) : ",
        "law": "L34-1 et R10-14 (au plus 3 mois pour la sécurité, 1 an pour la facturation) viennent du "
        "CPCE ; le RGPD est le règlement (UE) 2016/679. {} Aucune décision n'est automatisée. Rien n'oblige à "
        "utiliser ce réseau ; qui l'utilise fournit ces données{}.",
        "interest": "À l'article 6.1 f, l'intérêt légitime est la finalité indiquée.",
        "but agreed": ", hors celles d'un accord",
        "rights": "Vos droits (loi 78-17 du 6 janvier 1978 ; RGPD, articles 12 à 22). Un droit qui n'est pas nommé se "
        "demande au responsable ; l'effacement ne vaut pas pour une obligation légale, une facture ou une preuve (17.3 "
        "b et e), la portabilité sans accord ni contrat (20), l'opposition sans intérêt légitime (21). La borne efface "
        "d'elle-même, au terme indiqué, et non sur demande : {}.",
        "page": "- page : ouvrez {} avec votre appareil, sur ce réseau, sans compte ; pour cette borne, "
        "elle montre l'essentiel de ce dont l'accès est un droit « page », l'exporte et efface "
        "ce qui peut l'être{} ;",
        "unnamed": ", sauf les connexions sans appareil connu",
        "ask": "- responsable : écrivez au contact ci-dessus ; réponse dans le mois, ou dans les trois mois "
        "si l'on vous en avise dans le premier (12.3) ; réclamation : CNIL (www.cnil.fr) ;",
        "counting": "Opposition au comptage : à tout moment, sans motif, auprès du responsable ou sur la page ; "
        "enregistrée, elle exclut ici votre appareil du comptage{} (article 21) ; si la page ne la montre plus, "
        "refaites-la.",
        "suspends": ", et aucun accord de votre part n'est plus appliqué",
        "objected": "Opposition au comptage déjà reçue : tant qu'elle est retenue, aucun accord de votre part n'est "
        "appliqué ; vous pouvez la lever sur la page.",
        "objection": "Opposition ({}) : à tout moment, dites au responsable ce qui est particulier à votre situation ; "
        "il vous donne, s'il en a un, le motif légitime et impérieux qui l'emporte (21.1){} ; tout cela cesse, au "
        "terme indiqué, si vous quittez le réseau.",
        "against security": ", ou efface ce qui est conservé pour la sécurité (sauf une connexion sans appareil connu, "
        "sous la seule adresse IP, ou dont la borne apprend la fin ensuite){} ; les connexions "
        "suivantes sont conservées",
        "ends": " et met fin à vos accords",
        "restriction": "- limitation (18) : obtenue, le responsable n'utilise ce qu'elle vise que si vous le "
        "voulez, en preuve ou pour une autorité ;",
        "leave": "- reconnaissance : oubli note quel appareil a quelle adresse, pour savoir à qui sont les connexions "
        "et qui ouvre la page ; un appareil dont l'adresse MAC change est ici un autre, "
        "sans vos choix ; pour l'ancienne, voyez le responsable ;",
        "consent": "- accord : libre, pour le but du document accepté ; à suspendre ou à retirer à tout moment, "
        "gratuitement ; le retrait rend illisible ici ce qui a été conservé avec lui, et rien d'autre (ce qui précède "
        "reste licite) ; dites-le au responsable, pour qu'il en avertisse les tiers nommés ;",
        "soon": "sauf panne, au plus tard {} après que la borne a appris la fin de {}{} ; dès lors{}, ",
        "duty": "- scellement ({}) : {}ni la borne ni l'exploitant ne lisent ce qui est scellé sans le tiers de "
        "confiance ; nul ne peut effacer la part d'un appareil{} : les clés sont détruites à leur échéance "
        "; accès : deux agents du responsable signent votre demande, jour par jour, et le tiers de confiance y répond{}"
        " ; une injonction peut faire préserver une copie jusqu'à un an de plus (L34-1 III bis) ;",
        "even": ", même sans base en vigueur",
        "away": ", sauf tant que la borne ne voit pas ce qui en reste ({})",
        "attribution": "autorités",
        "billing": "facturation",
        "a connection": "la connexion",
        "a session": "la session",
        "and": " et ",
        "or": " ou de ",
        "idle": " ; l'usage d'un bloc de ports ou d'une adresse IPv6 finit au plus tard après {} sans connexion",
        "but ports": ", hors ce qui est dit sous « ports attribués »",
        "session": " ; une session finit au plus tard après {} sans paquet, au trafic d'un autre "
        "utilisateur, ou au premier signe après 1 h (2 h en été), heure de Paris",
        "rectification": "- rectification (16) : ce qui est faux est effacé si la borne le peut",
        "statement": ", votre déclaration jointe à ce qui est scellé",
        "bill": ", une facture corrigée",
        "death": "- après votre mort : selon vos directives sur ces données, remises au responsable et révocables à "
        "tout moment ; sans elles, par vos héritiers, pour la succession ou pour signaler le décès (loi 78-17, "
        "articles 84 et 85).",
        "then": " ; ",
    },
    "en": {
        "title": "Information on the network",
        "nobody": "none",
        "rule": "The gateway's software, oubli, records neither the content of what you exchange nor the address or "
        "name of what you look at (article L34-1, VI, of the French code of posts and electronic communications, "
        "CPCE). This notice is about what it notes",
        "declared": "; for authorities' requests the controller has another processing, of which he tells you: ",
        "kept": "What is kept, and until when:",
        "none": "oubli keeps nothing else of connections. Where no recipient is named, there is none.",
        "received": "Whoever gets an answer{} keeps its data by his own rules.",
        "or sessions": " or the list of sessions",
        "basis": "basis: ",
        "recipients": "recipients: ",
        "on page": "rights (page): ",
        "asked": "rights (controller): ",
        "law": "L34-1 and R10-14 (at most 3 months for security, 1 year for billing) are articles of the CPCE; the "
        "GDPR is regulation (EU) 2016/679. {} No automated decision is taken. You are free to use this network or not; "
        "whoever uses it provides these data{}.",
        "interest": "Where the basis is article 6.1 f, the legitimate interest is the purpose named.",
        "but agreed": ", but for those of a consent",
        "rights": "Your rights (law 78-17 of 6 January 1978; GDPR, articles 12 to 22). Ask the controller for a right "
        "that isn't named; there is no erasure of what a legal duty, a bill or a proof needs (17.3 b and e), no "
        "portability without consent or contract (20), no objection without a legitimate interest (21). The "
        "gateway erases by itself, at the end that is named, and not on request: {}.",
        "page": "- page: open {} on your device, in this network, without an account; of this gateway "
        'alone, it shows most of what has access as a right "page", exports it and erases what can be{};',
        "unnamed": ", but for connections of an unknown device",
        "ask": "- controller: write to the contact above; answer within a month, or three if you are told so by "
        "then (12.3); complaint: CNIL (www.cnil.fr);",
        "counting": "Objection to being counted: at any time, without a reason, to the controller or on the page; once "
        "it is entered, your device is counted here no more{} (article 21); where the page no longer shows it, make it "
        "again.",
        "suspends": ", and no consent of yours is applied any more",
        "objected": "Objection to being counted received before: as long as it is remembered, no consent of yours is "
        "applied; you can take it back on the page.",
        "objection": "Objection ({}): at any time, tell the controller what is particular to your situation; he tells "
        "you any compelling legitimate ground that overrides it (21.1){}; all of it ends, as told above, once "
        "you leave the network.",
        "against security": ", or erases what is kept for security (but for a connection whose device isn't known, "
        "kept under the IP address alone, or whose end the gateway learns of later){}; later connections are kept",
        "ends": " and ends your consents",
        "restriction": "- restriction (18): once granted, the controller uses what it covers only at your wish, "
        "as a proof or for an authority;",
        "leave": (
            "- which device has which address: oubli notes it to tell whose a connection is, and who opens the page; "
            "a device whose MAC address changes is another one here, without your choices; "
            "for the former one, ask the controller;"
        ),
        "consent": "- consent: free, for what the document accepted says alone; you can suspend or withdraw it at "
        "any time, free of charge; a withdrawal makes what was kept by that consent unreadable here, and nothing else; "
        "what was done before stays lawful; tell the controller, so that he tells the third parties named;",
        "soon": "what is kept is sealed, but for a fault, at the latest {} after the gateway has learned of the end of "
        "{}{}; from then on{} ",
        "duty": "- sealing ({}): {}neither the gateway nor the operator can read what is sealed without the trusted "
        "third party; nobody, not even that party, can erase one device's part of it{}: the keys are destroyed on "
        "their own date; for access, two agents of the controller sign your request, for a day at "
        "a time, and the trusted third party answers it{}; an injunction may have a copy preserved for up to a year "
        "more (L34-1 III bis);",
        "even": ", not even where no basis is in force",
        "away": ", but not as long as the gateway can't see what is left of it ({})",
        "attribution": "authorities",
        "billing": "billing",
        "a connection": "the connection",
        "a session": "the session",
        "and": " and ",
        "or": " or ",
        "idle": "; the use of a block of ports or of an IPv6 address ends at the latest after {} without a connection",
        "but ports": ', but for what stands under "ports given",',
        "session": "; a session ends at the latest after {} without a packet, at another user's traffic, or at the "
        "first sign after 01:00 (02:00 in summer), Paris time",
        "rectification": "- rectification (16): what is wrong is erased if the gateway can do so",
        "statement": ", your statement put beside what is sealed",
        "bill": ", a bill corrected",
        "death": "- after your death: by your directives on these data, given to the controller and revocable at any "
        "time; without them, by your heirs, for the estate or to tell of it (law 78-17, articles 84 and 85).",
        "then": "; ",
    },
}


def responsible(config: "Config", language: str) -> "list[str]":
    """Return who answers for the processing; what isn't configured is a blank, `dpo 'none'` says there is none."""
    text, at = TEXTS[language], words.LANGUAGES.index(language)
    told = {name: config.notice.values[name] or words.BLANK[at] for name in words.ANSWERS}
    told["dpo"] = text["nobody"] if told["dpo"] == "none" else told["dpo"]
    return [words.ANSWERS[name][at] + told[name] for name in ("controller", "contact", "dpo")]


def address(config: "Config", at: int) -> str:
    """Return where the guests' page is; where it has no name, a blank."""
    line, _, blank = words.BLANK[at].partition(" ")
    return f"http://{config.notice.page or line}:8450/" + ("" if config.notice.page else " " + blank)


def offered(activity: "activities.Activity", language: str) -> "list[str]":
    """Return a processing's rights in words, and where they are used."""
    at, text = words.LANGUAGES.index(language), TEXTS[language]
    parts = [(text["on page"], activity.on_page), (text["asked"], activity.asked)]
    return [word + ", ".join([activities.NAMES[name][at] for name in names]) for word, names in parts if names]


def lines(config: "Config", language: str, held: "Sequence[str]" = ()) -> "list[str]":
    """Return the guests' notice, in `fr` or `en`; `held` as in agent.purposes.also_held."""
    text, at = TEXTS[language], words.LANGUAGES.index(language)
    found = activities.activities(config, language, held)
    venue, declared = config.notice.venue, duties.DECLARED.get(config.gateway.duty)
    about = text["rule"] + (text["declared"] + declared[at] if declared else "") + "."
    out = [text["title"] + (", " + venue if venue else "")] + responsible(config, language) + ["", about, text["kept"]]
    for one in found:
        parts = (
            one.aim
            + [one.data, one.kept, text["basis"] + one.basis]
            + ([text["recipients"] + one.recipients] if one.recipients != activities.NOBODY[at] else [])
            + offered(one, language)
        )
        out.append("- " + one.what + (" : " if at == 0 else ": ") + text["then"].join(parts))
    passing = ", ".join([one.what for one in found if one.key in activities.PASSING])
    keys, asked = [one.key for one in found], [name for one in found for name in one.asked]
    free = text["law"].format(text["interest"], text["but agreed"] if "consent" in keys else "")
    late = words.unconfirmed(keys, at)
    out.append(" ".join([text["none"]] + received(keys, language) + [free] + ([late] if late else [])))
    out.append(activities.transfers(found, at))
    # Apart from all else (GDPR 21.4).
    suspends, ended = [text[name] if "consent" in keys else "" for name in ("suspends", "ends")]
    counting = [text["counting"].format(suspends)] if "counting" in keys else []
    if not counting and "objection" in keys and suspends:  # nobody is counted any more: it is remembered all the same
        counting = [text["objected"]]
    named = ", ".join([one.what for one in found if "objection" in one.asked])
    security = text["against security"].format(ended) if "security" in keys else ""
    against = counting + [text["objection"].format(named, security)]
    unnamed = text["unnamed"] if "security" in keys or "attribution" in keys else ""
    out += (
        [""]
        + against
        + ["", text["rights"].format(passing)]
        + [text["page"].format(address(config, at), unnamed), text["ask"]]
    )
    sealed = [one for one in found if one.custody == law.CUSTODIAN]
    out += ([text["restriction"]] if "restriction" in asked else []) + [text["leave"]]
    if "consent" in keys:
        out.append(text["consent"])
    if sealed:
        on = config.purposes
        ends = text["session"].format(words.span(billing.IDLE, language)) if "billing" in on else ""
        if "ports" in keys:  # a row answers for all connections of a block, or of an address
            ends += text["idle"].format(words.span(own_addresses.IDLE, language))
        ports = text["but ports"] if "ports" in keys else ""
        late = words.span(config.vault.sync_minutes * 60, language)
        of = [what for key, what in (("attribution", "a connection"), ("billing", "a session")) if key in on]
        about = text["and"].join([text[one.key] for one in sealed])
        soon = text["soon"].format(late, text["or"].join([text[what] for what in of]), ends, ports) if of else ""
        former = any(ground in law.FORMER_GROUNDS for ground in activities.kept_for("attribution", config))
        even = text["even"] if "attribution" in keys and former else ""
        away = ", ".join([text[one.key] for one in sealed if one.key in config.unseen])
        out.append(text["duty"].format(about, soon, even, text["away"].format(away) if away else ""))
    mended = (text["bill"] if "billing" in keys else "") + (text["statement"] if sealed else "")
    out += [text["rectification"] + mended + text["then"].rstrip(), text["death"]]
    return [words.typeset(line, language) for line in out]


def received(keys: "Sequence[str]", language: str) -> "list[str]":
    """Return what is said of whom the custodian answers, or seals sessions to; nothing where nothing is sealed."""
    text = TEXTS[language]
    return [text["received"].format(text["or sessions"] if "billing" in keys else "")] if "requests" in keys else []


def run(line: "Line") -> int:
    """Show it."""
    config = running(line.config, line.paths)
    print("\n".join(lines(config, line["--notice"], also_held.told(config, line.paths))))
    return 0


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

    from agent.cli.command import Line
    from agent.config.config import Config
