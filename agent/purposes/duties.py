# SPDX-License-Identifier: Apache-2.0
"""`oubli law --duties fr|en`: what L34-1 in force makes a hotspot's operator keep, or lets him (L34-II-3).

It says too who does it on this gateway.

Each row has its source. `MUST` are duties: this gateway meets them, somebody who is declared does, or nobody. `MAY` are
permissions. What couldn't be verified is said in `UNSURE`. Texts were read in November 2026; LAW.md says where.
Engineering, not legal advice.
"""

from agent import law
from agent.config.config import running
from agent.purposes import activities, also_held, words
from agent.vault import stores

MET, WITH, OTHER, NEVER, NOBODY, PARTLY = "met", "with", "other", "never", "nobody", "partly"
ON, OFF = "on", "off"
STATES = {
    MET: ("tenu ici : ", "met here: "),
    WITH: ("à la charge de l'exploitant, avec : ", "the operator's, with: "),
    OTHER: ("à la charge de l'exploitant, ailleurs : ", "the operator's, elsewhere: "),
    NEVER: ("jamais par oubli, par conception : ", "never by oubli, by design: "),
    NOBODY: ("PERSONNE : ", "NOBODY: "),
    PARTLY: ("EN PARTIE SEULEMENT : ", "IN PART ONLY: "),
    ON: ("permis, en service : ", "allowed, on: "),
    OFF: ("permis, hors service : ", "allowed, off: "),
}
# Who answers, as `gateway.duty` declares it.
DECLARED = {
    "portal": ("le portail", "the portal"),
    "radius": ("le serveur RADIUS", "the RADIUS server"),
    "nat-log": ("le journal de traduction d'adresses", "the log of address translation"),
}
HEAD = (
    (
        "Ce que l'article L34-1 du code des postes et des communications électroniques (CPCE), en vigueur depuis le "
        "31 juillet 2021, oblige ou autorise à conserver, et qui le fait ici. Ingénierie, non conseil juridique."
    ),
    (
        "What article L34-1 of the French code of posts and electronic communications (CPCE), in force since 31 July "
        "2021, makes or lets an operator keep, and who does it here. Engineering, not legal advice."
    ),
)
# Name, what it says in French and English, source.
MUST = (
    (
        "erase",
        (
            "effacer ou rendre anonymes les données de trafic, hors des exceptions de l'article ; "
            "aussi pour un accès gratuit ou accessoire"
        ),
        "erase or make anonymous traffic data, but for the article's exceptions; free or accessory access too",
        "L34-1 II",
    ),
    (
        "content",
        "ne jamais conserver le contenu des échanges ni ce qui est consulté",
        "never keep the content of what is exchanged, nor what is looked at",
        "L34-1 VI",
    ),
    (
        "procedures",
        "avoir des procédures internes pour répondre aux autorités",
        "have internal procedures that answer the authorities",
        "L34-1 II",
    ),
    (
        "identity",
        (
            "conserver l'identité civile (nom, naissance, adresses postale et électronique, téléphone) jusqu'à 5 ans "
            "après la fin du contrat, prépayé compris, et la vérifier comme un décret le dira"
        ),
        (
            "keep the civil identity (name, birth, postal and e-mail address, telephone) until 5 years after the end "
            "of the contract, a prepaid one too, and verify it as a décret will say"
        ),
        (
            "L34-1 II bis 1°, loi 2025-532 du 13 juin 2025 art. 29, R10-13 I (décret 2021-1361 du 20 octobre 2021), "
            "loi 2004-575 art. 6 et décret 2021-1362 du même jour"
        ),
    ),
    (
        "account",
        "conserver ce qui a été fourni au contrat ou au compte, et les paiements, jusqu'à 1 an après leur fin",
        "keep what was given for the contract or account, and payments, until 1 year after their end",
        "L34-1 II bis 2°, R10-13 II et III (décret 2021-1361), décret 2021-1362",
    ),
    (
        "source",
        (
            "conserver 1 an, depuis la connexion, ce qui identifie sa source ou l'équipement (criminalité grave, "
            "menaces graves)"
        ),
        (
            "keep for 1 year, from the connection, what identifies its source or the terminal (serious crime, "
            "serious threats)"
        ),
        "L34-1 II bis 3°, R10-13 IV (décret 2021-1361), décret 2021-1362",
    ),
    (
        "injunction",
        (
            "sur injonction du Premier ministre, conserver 1 an d'autres données de trafic et de localisation, "
            "destinataires compris ; celle du décret 2025-980 court du 21 octobre 2025, pour un an au plus"
        ),
        (
            "on an injunction of the Prime Minister, keep for 1 year other traffic and location data, recipients "
            "among them; that of décret 2025-980 runs from 21 October 2025, for a year at most"
        ),
        "L34-1 III, R10-13 V, décret 2025-980 du 15 octobre 2025",
    ),
    (
        "freeze",
        "sur injonction d'une autorité, préserver ce qui est déjà détenu",
        "on an authority's injunction, preserve what is held already",
        "L34-1 III bis",
    ),
)
MAY = (
    (
        "security",
        "conserver pour la sécurité du réseau, 3 mois",
        "keep for the network's security, 3 months",
        "L34-1 IV, R10-14 IV",
    ),
    ("billing", "conserver pour la facturation, 1 an", "keep for billing, 1 year", "L34-1 IV, R10-14 I et III"),
    (
        "services",
        "traiter pour d'autres services, avec accord exprès",
        "process for other services, by express consent",
        "L34-1 IV",
    ),
    ("location", "conserver la localisation, avec accord", "keep the location, by consent", "L34-1 V"),
)
UNSURE = (
    (
        "Non vérifié : la lettre de la loi 2025-532, lue chez des commentateurs seulement ; si son décret a paru ; si "
        "l'injonction a été renouvelée après le 21 octobre 2026 ; si un accès sans contrat ni compte doit recueillir "
        "une identité. Lire le texte en vigueur sur Légifrance."
    ),
    (
        "Not verified: the words of loi 2025-532, read in commentaries only; whether its décret is out; whether the "
        "injunction was renewed after 21 October 2026; whether access without contract or account must ask for an "
        "identity. Read the text in force on Légifrance."
    ),
)
_WHY = {
    "kept": (
        "rien n'est conservé sans finalité, et rien après son terme (oubli law)",
        "nothing is kept without a purpose, or late (oubli law)",
    ),
    "allow-list": (
        "ni destination, ni nom de site, ni contenu n'est conservé (L34-VI-1)",
        "no destination, name of a site or content is kept (L34-VI-1)",
    ),
    "custodian": (
        "le tiers de confiance, sur demande de deux agents (oubli request, oubli-custodian)",
        "the custodian, on a request of two agents (oubli request, oubli-custodian)",
    ),
    "sealed": ("sur ce qui est scellé ({}), ", "on what is sealed ({}), "),
    "else": ("sur le reste, personne : ", "on all else, nobody: "),
    "undeclared": ("gateway.duty ne nomme personne", "gateway.duty names nobody"),
    "off": (
        "gateway.duty nomme oubli, et attribution n'est pas en service",
        "gateway.duty names oubli, and attribution is off",
    ),
    "account": (
        "oubli ne demande ni identité, ni compte, ni paiement ; gateway.duty ne nomme aucun portail",
        "oubli asks for no identity, account or payment; gateway.duty names no portal",
    ),
    "short": ("attribution les efface avant un an : ", "attribution erases them before the year is over: "),
    "early": (
        (
            "attribution les efface avant la fin de l'an, d'au plus 1 jour (2 en année bissextile), 3 heures et une "
            "par démarrage, davantage si l'heure n'était pas confirmée, ne garde que l'adresse IP d'un appareil "
            "qu'elle ne reconnaît pas, et rien derrière un second NAT non déclaré"
        ),
        (
            "attribution erases them up to 1 day (2 in a leap year), 3 hours and one for each boot before the year is "
            "over, sooner still where nobody had confirmed the time, keeps the IP address alone of a terminal that "
            "isn't known, and nothing behind an unacknowledged second NAT"
        ),
    ),
    "former": (
        "attribution conserve, ou a conservé, des données sur un fondement abrogé ou inconnu",
        "attribution keeps, or kept, on a ground that is repealed or unknown",
    ),
    "away": (
        "sur ce que la borne ne voit pas ({}), personne tant qu'elle ne le voit pas",
        "on what the gateway can't see ({}), nobody as long as it can't",
    ),
    "line": (
        "aucune destination n'est conservée (L34-VI-1) ; à voir avec qui fournit la ligne",
        "no destination is kept (L34-VI-1); a matter for who provides the line",
    ),
    "empty": ("rien n'est conservé", "nothing is kept"),
    "freeze": ("le tiers de confiance (oubli-custodian freeze) ; ", "the custodian (oubli-custodian freeze); "),
    "forgotten": (
        "ce que la borne peut lire s'efface à son terme, injonction ou non",
        "what the gateway can read goes when its time is over, injunction or not",
    ),
    "second-nat": (
        "derrière la boîte d'un fournisseur d'accès, ce fournisseur seul relie un port public",
        "behind a provider's box that provider alone can match a public port",
    ),
}


def _answering(config: "Config") -> "tuple[str, tuple[str, str]]":
    """Return who answers authorities on what identifies a connection's source."""
    duty = config.gateway.duty
    if "attribution" in config.purposes:
        return MET, _WHY["custodian"]
    if duty in DECLARED:
        return OTHER, DECLARED[duty]
    return NOBODY, _WHY["off" if duty == "oubli" else "undeclared"]


def _procedures(config: "Config", held: "Sequence[str]") -> "tuple[str, tuple[str, str]]":
    """Return who answers authorities: what is sealed, now or still, is the custodian's to open."""
    state, why = _answering(config)
    if state == MET and config.gateway.duty not in DECLARED:
        return WITH, why
    if state == MET:
        state, why = WITH, DECLARED[config.gateway.duty]
    left = [name for name in ("attribution", "billing") if name in config.purposes or name in held]
    if not left:
        return state, why
    names = _both(lambda one: ", ".join([words.PURPOSES[name][one] for name in left]))
    sealed = _both(lambda one: _WHY["sealed"][one].format(names[one]) + _WHY["custodian"][one])
    if state == NOBODY:
        return PARTLY, _both(lambda one: sealed[one] + (" ; ", "; ")[one] + _WHY["else"][one] + why[one])
    return state, _both(lambda one: why[one] + (" ; ", "; ")[one] + sealed[one])


def _source(config: "Config") -> "tuple[str, tuple[str, str]]":
    section, duty = config.purposes.get("attribution"), config.gateway.duty
    if section is None:
        return _answering(config)
    if section.ground != law.IN_FORCE:
        short = _WHY["former"]
    elif section.lifetime < law.purpose("attribution").ceiling:
        short = _both(lambda one: _WHY["short"][one] + words.span(section.lifetime, words.LANGUAGES[one]))
    else:  # behind a second NAT he can be asked about a device, and not by a public port
        why = _WHY["second-nat" if section.upstream_nat else "early"]
        if duty in DECLARED:
            return OTHER, _both(lambda one: DECLARED[duty][one] + (" ; ", "; ")[one] + why[one])
        return PARTLY, why
    return (OTHER, DECLARED[duty]) if duty in DECLARED else (NOBODY, short)


def _erase(config: "Config", held: "Sequence[str]") -> "tuple[str, tuple[str, str]]":
    """Return whether all that is kept is among the exceptions of the article in force."""
    kept = "attribution" in config.purposes or "attribution" in held
    if kept and any(ground != law.IN_FORCE for ground in activities.kept_for("attribution", config)):
        return PARTLY, _WHY["former"]
    return MET, _WHY["kept"]


def _freeze(config: "Config", held: "Sequence[str]") -> "tuple[str, tuple[str, str]]":
    """Return who preserves what is held: the custodian what is sealed, nobody what the gateway can read."""
    if any(name in config.purposes or name in held for name in stores.SEALED):
        kept = "attribution" in config.purposes or "attribution" in held
        behind = kept and config.sections["attribution"].upstream_nat  # an order by a public port is refused there
        nat = _both(lambda one: _WHY["second-nat"][one] + (" ; ", "; ")[one] if behind else "")
        return MET, _both(lambda one: _WHY["freeze"][one] + nat[one] + _WHY["forgotten"][one])
    return NEVER, _WHY["forgotten"]


def _away(config: "Config", held: "Sequence[str]") -> "tuple[str, str] | None":
    """Return that nobody answers on what is sealed where the gateway can't look, nor preserves it; None for nothing."""
    names = [name for name in held if name in config.unseen]
    if not names:
        return None
    return _both(lambda one: _WHY["away"][one].format(", ".join([words.PURPOSES[name][one] for name in names])))


def _both(text: "Callable[[int], str]") -> "tuple[str, str]":
    return text(0), text(1)


def who(name: str, config: "Config", held: "Sequence[str]" = ()) -> "tuple[str, tuple[str, str]]":
    """Return who serves a duty here, or whether a permission is used: a state, its words in French and English.

    `held` as in agent.purposes.also_held.
    """
    away = _away(config, held) if name in ("procedures", "freeze") else None
    if away is not None:
        state, why = who(name, config, [one for one in held if one not in config.unseen])
        state = NOBODY if state in (NOBODY, NEVER) else PARTLY
        return state, _both(lambda one: why[one] + (" ; ", "; ")[one] + away[one])
    if name in ("identity", "account"):
        duty = config.gateway.duty
        return (OTHER, DECLARED[duty]) if duty in ("portal", "radius") else (NOBODY, _WHY["account"])
    if name == "freeze":
        return _freeze(config, held)
    if name == "procedures":
        return _procedures(config, held)
    if name == "source":
        return _source(config)
    if name in law.CONFIGURABLE:
        on = name in config.purposes
        if not on and name not in held:
            return OFF, _WHY["empty"]
        row = law.purpose(name)
        return (ON if on else OFF), _both(lambda one: activities.kept(row, config, words.LANGUAGES[one], held))
    if name == "erase":
        return _erase(config, held)
    return (MET, _WHY["allow-list"]) if name == "content" else (NEVER, _WHY["line"])


def unserved(config: "Config", held: "Sequence[str]" = ()) -> "list[str]":
    """Return the duties that nobody serves, or not wholly, in English, each with why; `held` as in `who`."""
    out, away = [], _away(config, held)
    seen = [name for name in held if name not in config.unseen]
    for name, _, english, source in MUST:
        state, why = who(name, config, seen if name in ("procedures", "freeze") else held)
        found = [why] if state in (NOBODY, PARTLY) else []
        if away is not None and name in ("procedures", "freeze"):
            found.append(away)
        out += [english + " (" + source + "): " + one[1] for one in found]
    return out


def data(config: "Config", language: str, held: "Sequence[str]" = ()) -> "list[dict[str, str]]":
    """Return each duty and permission as `--json` shows it."""
    at = words.LANGUAGES.index(language)
    out = []
    for kind, rows in (("must", MUST), ("may", MAY)):
        for row in rows:
            state, why = who(row[0], config, held)
            out.append(
                {"kind": kind, "name": row[0], "what": row[1 + at], "source": row[3], "state": state, "by": why[at]}
            )
    return out


def lines(config: "Config", language: str, held: "Sequence[str]" = ()) -> "list[str]":
    """Return them as text, in `fr` or `en`."""
    at = words.LANGUAGES.index(language)
    out = [HEAD[at], ""]
    for one in data(config, language, held):
        out += ["- " + one["what"] + " (" + one["source"] + ")", "  " + STATES[one["state"]][at] + one["by"]]
    return [words.typeset(line, language) for line in out + ["", UNSURE[at]]]


def run(line: "Line") -> int:
    """Show them."""
    config, language = running(line.config, line.paths), line["--duties"]
    held = also_held.told(config, line.paths)
    return line.show(data(config, language, held), lines(config, language, held))


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Sequence

    from agent.cli.command import Line
    from agent.config.config import Config
