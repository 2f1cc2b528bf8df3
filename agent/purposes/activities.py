# SPDX-License-Identifier: Apache-2.0
"""Every processing of personal data here, from the configuration: what notice, register and DPIA say (L34-VI-4).

One row each: what a purpose keeps, and what is held beside that (agent.cli.article). A purpose that is off and still
has something here is a row too, until that is gone. The rights follow from the legal basis (GDPR, articles 15 to 21):
those that the guests' page serves, and those that the controller is asked for. Which command serves each of them:
boards/README.md, "A guest asks". Not legal advice.
"""

from agent import law
from agent.cli import article
from agent.purposes import also_held, words
from agent.vault import stores

# What each processing rests on: the letter of GDPR 6.1. What the portal says, and ports, serve what is sealed.
LAWFUL = {
    "security": "f", "attribution": "c", "billing": "b", "services": "a", "location": "a", "consent": "c",
    "addresses": "f", "ports": "c", "counting": "f", "objection": "c", "emergency": "d", "page": "f",
    "requests": "c",
}  # fmt: skip
_CONSENTED = (("access", "portability", "erasure", "suspension", "withdrawal"), ())
# Rights that are used on the page, and those that the controller is asked for.
RIGHTS: "dict[str, tuple[tuple[str, ...], tuple[str, ...]]]" = {
    "security": (("access", "erasure"), ("objection", "restriction")),
    "attribution": ((), ("access", "rectification", "restriction")),
    "billing": ((), ("access", "portability", "rectification", "restriction")),
    "services": _CONSENTED,
    "location": _CONSENTED,
    "consent": (("access",), ("restriction",)),
    "addresses": (("access",), ("objection",)),
    "portal": (("access",), ()),
    "ports": (("access",), ()),
    "counting": (("access", "counting"), ()),
    "objection": (("access", "return"), ()),
    "requests": ((), ("access", "restriction")),
    "emergency": ((), ("access", "erasure")),
    "page": (("access",), ("objection",)),
}
# What ends soon after the terminal has left: nothing stays of it that could be erased or restricted (GDPR 17.1 a).
PASSING = ("addresses", "portal", "ports", "page")
NAMES = {
    "access": ("accès", "access"),
    "portability": ("portabilité", "portability"),
    "erasure": ("effacement", "erasure"),
    "suspension": ("limitation (suspension de l'accord)", "restriction (suspending the consent)"),
    "withdrawal": ("retrait", "withdrawal"),
    "objection": ("opposition", "objection"),
    "counting": ("opposition (efface aussitôt)", "objection (erases at once)"),
    "return": ("levée", "taking it back"),
    "rectification": ("rectification", "rectification"),
    "restriction": ("limitation", "restriction"),
}
_REPEALED = (
    " (rédaction de 2014 à 2021, abrogée : aucune base en vigueur)",
    " (wording of 2014 to 2021, repealed: no basis in force)",
)
# Of requests, where authorities ask on another basis
_ALSO = (" ; accès (15), injonctions (L34-1 III bis) : ", "; access (15), injunctions (L34-1 III bis): ")
_OF = (" pour « {} »", ' for "{}"')
_PLACES = {"emergency": "L34-1 V, ", "counting": "L34-1 II, "}  # of the article, for what is held beside the stores
NOBODY = ("aucun", "none")
_FOR = {
    "security": ("l'exploitant du réseau", "the network's operator"),
    "attribution": (
        "{}, tiers de confiance qui détient les clés ; {}, sur demande signée par deux agents",
        "{}, the trusted third party who has the keys; {}, on a request signed by two agents",
    ),
    "billing": (
        (
            "{}, tiers de confiance qui détient les clés ; {}, qui établit les factures ; en litige ou sur "
            "injonction, parties et autorités habilitées"
        ),
        (
            "{}, the trusted third party who has the keys; {}, who makes out the bills; in a dispute, or by an "
            "injunction, entitled parties and authorities"
        ),
    ),
    "services": (
        "l'exploitant du réseau, et les tiers nommés dans l'accord",
        "the network's operator, and the third parties named in the consent",
    ),
    "counting": ("aucun (seules des sommes, rendues anonymes par un bruit aléatoire, sont publiées)",
                 "none (only sums that random noise makes anonymous are published)"),
    "requests": ("le tiers de confiance", "the trusted third party"),
    "emergency": ("les services de secours, par l'exploitant", "the rescue services, by the operator"),
}  # fmt: skip
_FOR["location"] = _FOR["services"]
_ENTITLED = ("les autorités que la loi habilite", "the authorities that the law entitles")
# Who asks on a ground; who makes out the bills (L34-IV-3), where that is no name: one may be a ground's.
_ASKS = {
    "L336-3": ("l'Arcom", "Arcom"),
    "STAD": ("l'ANSSI", "ANSSI"),
    law.IN_FORCE: _ENTITLED,
    stores.UNKNOWN: words.BLANK,
}
_BILLS = {stores.NAMELESS: ("l'exploitant", "the operator"), stores.UNKNOWN: words.BLANK}
_AIM = ("pour ", "for ")
# Who gets personal data beside the operator, and may pass them on further than the gateway knows.
_OTHERS = {
    law.CUSTODIAN: ("le tiers de confiance", "the trusted third party"),
    "billing": ("celui qui établit les factures", "whoever makes out the bills"),
    "services": ("les tiers nommés dans l'accord", "the third parties named in the consent"),
}
_KEPT = {
    "most": ("au plus ", "at most "),
    "own": ("pour la durée de l'accord, au plus ", "as long as the consent, at most "),
    "remembered": (
        (
            "jusqu'à 30 jours après sa fin ou son retrait ; une empreinte, contre le rétablissement d'un accord "
            "retiré, suspendu ou terminé, jusqu'à 30 jours après la fin prévue (hors accès : la borne ne sait plus de "
            "qui) ; l'instant d'un retrait, contre un nouvel accord, 30 jours ; au plus "
        ),
        (
            "until 30 days after its end or withdrawal; a hash, against restoring a consent that was withdrawn, "
            "suspended or over, until 30 days after the end that was agreed (no access: the gateway no longer knows "
            "whose); the moment of a withdrawal, against a new consent, 30 days; at most "
        ),
    ),
    "unasked": (" ; plus aucun accord n'est recueilli", "; no consent is taken any more"),
}
# How each is kept from others.
_SAFE = {
    law.VOLATILE: (
        "en clair en mémoire vive, puis chiffré ; une coupure de courant l'efface",
        "in memory in clear, then encrypted; a power cut erases it",
    ),
    law.CUSTODIAN: (
        (
            "en clair en mémoire vive, puis scellé ; seul un tiers de confiance détient les clés, et les détruit à "
            "l'échéance"
        ),
        (
            "in memory in clear, then sealed; only a trusted third party has the keys, and destroys them when the "
            "time is over"
        ),
    ),
    "consent": (
        (
            "chiffré sous la clé de la borne ; un refus, et un retrait pendant 30 jours : une empreinte à clé et une "
            "date à la seconde, dans un nom de fichier"
        ),
        (
            "encrypted under the gateway's key; a refusal, and a withdrawal for 30 days: a keyed hash and a "
            "time to the second, as a file's name"
        ),
    ),
    "requests": (
        "non chiffré, lisible sur la borne par root et l'enregistreur",
        "not encrypted, for root and the recorder to read",
    ),
    "objection": (
        "une empreinte à clé et une date de fin, dans un nom de fichier",
        "a keyed hash and an end, as a file's name",
    ),
    "": ("en mémoire vive ; une coupure de courant l'efface", "in memory; a power cut erases it"),
}


class Activity:
    """One processing: its key, and as text what it is, which data, how long, on what basis, for whom, kept how.

    `aim`: what consented data are used for, as the configuration says it; else nothing.

    `on_page` and `asked` are keys of NAMES; `custody` as in agent.law, "" for what is in memory in clear.
    """

    def __init__(
        self, key: str, fields: "Sequence[str]", kept: str, basis: str, recipients: str, custody: str, at: int
    ) -> None:
        self.key = key
        self.what = words.PURPOSES[key][at]
        self.aim: "list[str]" = []
        self.data = ", ".join([words.FIELDS[name][at] for name in fields])
        self.kept = kept
        self.basis = basis
        self.recipients = recipients
        self.custody = custody
        self.safe = _SAFE[key if key in _SAFE else custody][at]
        self.on_page, self.asked = RIGHTS[key]


def activities(config: "Config", language: str, held: "Sequence[str]" = ()) -> "list[Activity]":
    """Return every processing, in `fr` or `en`; `held` as in agent.purposes.also_held."""
    at, repealed = words.LANGUAGES.index(language), ""
    found = []
    medium = also_held.on_medium(config, held)
    asked: "list[tuple[str, str]]" = []  # of what is sealed: its name, and what a request for it rests on
    for row in rows(config, held):
        told = kept_for(row.name, config) if row.grounds else [""]
        bases = [_basis(row, ground, config, at) for ground in told]
        repealed = bases[-1] if told[-1] in law.FORMER_GROUNDS else repealed
        basis, whom = newest_first(bases, at), _recipients(row, config, at)
        long = kept(row, config, language, held)
        found.append(Activity(row.name, row.fields, long, basis, whom, row.custody, at))
        if row.name == "attribution" and row.name not in held and not config.purposes[row.name].upstream_nat:
            found[-1].data += words.NAT[at]
        if row.name in stores.SEALED:
            on = [_basis(row, ground, config, at, "requests") for ground in told]
            asked.append((found[-1].what, newest_first(on, at)))
        if row.name in stores.BY_CONSENT:
            found[-1].aim = [_AIM[at] + config.notice.values[row.name]]
    for name, here, fields, _ in article.memory(config, held):
        if here:
            basis = _PLACES.get(name, "") + _letter(name, config, at)
            if repealed and name in ("ports", "portal") and "attribution" in config.purposes:
                bases = [basis, repealed] if name == "portal" and "billing" in config.purposes else [repealed]
                serves = ("billing", "attribution")[-len(bases) :]
                basis = _each([(words.PURPOSES[one][at], on) for one, on in zip(serves, bases)], at)
            if name == "requests":
                rest, basis = basis, _each(asked, at)
                basis += _ALSO[at] + rest if basis != rest else ""
            custody = law.DEVICE if name == "objection" else ""
            long = words.kept(name, at, medium)
            found.append(Activity(name, fields, long, basis, _FOR.get(name, NOBODY)[at], custody, at))
    return found


def rows(config: "Config", held: "Sequence[str]" = ()) -> "list[law.Purpose]":
    """Return the purposes of which something is kept on this device, the proof of consents too."""
    return [row for row in law.PURPOSES if article.state(row, config) == "on" or row.name in held]


def transfers(found: "Sequence[Activity]", at: int) -> str:
    """Return what notice and register say of transfers out of the Union."""
    kinds = {one.custody for one in found} | {"services" if one.key == "consent" else one.key for one in found}
    names = [_OTHERS[kind][at] for kind in (law.CUSTODIAN, "billing", "services") if kind in kinds]
    return words.transfers(names, at)


def _letter(key: str, config: "Config", at: int) -> str:
    serves = [name for name in ("billing", "attribution") if name in config.purposes]  # the portal
    lawful = [LAWFUL[name] for name in serves if config.purposes[name].values.get("ground") not in law.FORMER_GROUNDS]
    return ("RGPD 6.1 ", "GDPR 6.1 ")[at] + (LAWFUL.get(key) or ", ".join(lawful))


def _basis(row: "law.Purpose", ground: str, config: "Config", at: int, key: str = "") -> str:
    """Return what a purpose rests on by a ground of its, or what is done with what it kept by that, named `key`."""
    if ground in law.FORMER_GROUNDS:
        return row.paragraph + _REPEALED[at]
    if ground == stores.UNKNOWN:
        return words.BLANK[at]
    return _letter(key, config, at) if key else f"{row.in_force}, {_letter(row.name, config, at)}"


def _each(bases: "list[tuple[str, str]]", at: int) -> str:
    """Return one basis where all have the same, else each with what it is of."""
    if len({basis for _, basis in bases}) == 1:
        return bases[0][1]
    return ", ".join([f"{basis}{_OF[at].format(what)}" for what, basis in bases])


def kept(row: "law.Purpose", config: "Config", language: str, held: "Sequence[str]") -> str:
    """Return for how long a purpose keeps a record here, and that it is off where it is; `held` as above."""
    seconds, at = article.lifetime(row, config), words.LANGUAGES.index(language)
    word = (
        "remembered" if row.custody == law.DEVICE else "own" if row.custody == law.VOLATILE and not seconds else "most"
    )
    seconds = seconds or row.ceiling
    span = words.within(row.name, seconds, language) if word == "most" else words.span(seconds, language)
    text = _KEPT[word][at] + span
    if row.name in held:  # who withdraws still leaves the day, and a refusal
        text = text + _KEPT["unasked"][at] if row.custody == law.DEVICE else words.OVER[at] + text
    return words.UNSEEN[at] + text if row.name in config.unseen else text


def _recipients(row: "law.Purpose", config: "Config", at: int) -> str:
    """Return who may get what a purpose keeps, by name; a custodian whom the configuration doesn't name is a blank."""
    text, custodian = _FOR.get(row.name, NOBODY)[at], config.notice.custodian or words.BLANK[at]
    told = kept_for(row.name, config)
    asks = _ASKS if row.grounds else _BILLS
    names = newest_first([asks[one][at] if one in asks else one for one in told], at)
    if row.grounds and told[-1] in law.FORMER_GROUNDS:
        names += (", et en cas d'injonction ", ", and by an injunction ")[at] + _ENTITLED[at]
    return text.format(custodian, names)


def kept_for(name: str, config: "Config") -> "list[str]":
    """Return what a store of the custodian's was kept for, as agent.vault.stores has it; nothing for any other."""
    return [word for _, word in stores.kept_for(name, config)] if name in stores.SEALED else []


def newest_first(texts: "list[str]", at: int) -> str:
    """Return what holds now, and what did before."""
    before: "list[str]" = []
    for one in texts[:-1]:
        if one not in before + texts[-1:]:
            before.append(one)
    earlier = (" (avant un changement : ", " (before a change: ")[at] + ", ".join(before) + ")"
    return "".join(texts[-1:]) + (earlier if before else "")


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

    from agent.config.config import Config
