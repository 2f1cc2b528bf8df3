# SPDX-License-Identifier: Apache-2.0
"""`oubli law --dpia fr|en`: the skeleton of an impact analysis from the running configuration (L34-VI-4).

The analysis is that of GDPR art. 35.

What is processed and why comes from the register; the measures are those that this software takes for what is on. What
a controller alone can say, how severe and how likely a risk is, is a blank. Not legal advice.
"""

from agent import law
from agent.config.config import running
from agent.purposes import activities, also_held, notice, register, words

TEXTS = {
    "fr": {
        "title": "Analyse d'impact relative à la protection des données (RGPD, article 35) : trame",
        "context": "1. Contexte",
        "need": "2. Nécessité et proportionnalité",
        "assessed": "{} ; évaluation du responsable (35.7 b) : ",
        "rights": "Information : oubli law --notice fr. Droits : oubli who, erase --mac ; s'il y a lieu, page des "
        "visiteurs, objection, consent, request.",
        "risks": "3. Risques",
        "access": "- accès illégitime aux données (la page des visiteurs n'est pas chiffrée entre l'appareil et la "
        "borne : ne l'offrir que par câble ou Wi-Fi chiffré{}) : ",
        "root": " ; sur la flash, root lit : ",
        "requests": "les demandes en clair",
        "consent": "la clé qui ouvre les accords",
        "objection": "la clé qui dit de quel appareil est une opposition",
        "change": "- modification non désirée de données : ",
        "loss": "- disparition de données : ",
        "blank": "sources, gravité, vraisemblance : ",
        "measures": "4. Mesures que le logiciel prend",
        "end": "5. Avis du délégué et des personnes concernées, décision du responsable : ",
    },
    "en": {
        "title": "Data protection impact assessment (GDPR, article 35): skeleton",
        "context": "1. Context",
        "need": "2. Necessity and proportionality",
        "assessed": "{}; the controller's assessment (35.7 b): ",
        "rights": "Information: oubli law --notice en. Rights: oubli who, erase --mac; where it applies, the guests' "
        "page, objection, consent, request.",
        "risks": "3. Risks",
        "access": "- illegitimate access to data (the guests' page isn't encrypted between device and gateway: offer "
        "it by cable or encrypted Wi-Fi alone{}): ",
        "root": "; on flash root reads: ",
        "requests": "requests in clear",
        "consent": "the key that opens consents",
        "objection": "the key that tells whose an objection is",
        "change": "- unwanted change of data: ",
        "loss": "- disappearance of data: ",
        "blank": "sources, severity, likelihood: ",
        "measures": "4. Measures that the software takes",
        "end": "5. Opinion of the DPO and of those concerned, decision of the controller: ",
    },
}
COUNTING = "counting"
FLASH = ("requests", "consent", "objection")  # what of it root can read on flash, or tell whose it is
# Each measure: what must be on for it ("": always), then its words in French and English.
MEASURES = (
    (
        "",
        "ni adresse de destination, ni contenu, ni nom de site n'est conservé (L34-VI-1)",
        "no destination address, content or name of a site is kept (L34-VI-1)",
    ),
    (
        "",
        (
            "le processus qui enregistre n'a pas d'accès au réseau ; celui qui envoie les sommes ne voit aucun "
            "appareil ; la page des visiteurs, troisième processus, répond sur le réseau et demande au premier ce qui "
            "concerne l'appareil qui l'ouvre (L34-VI-2)"
        ),
        (
            "the process that records has no network; the one that sends sums sees no terminal; the guests' page, a "
            "third process, answers on the network and asks the first about the terminal that opens it (L34-VI-2)"
        ),
    ),
    (
        "",
        (
            "journal chaîné des actes, sans donnée d'appareil ; d'une même sorte, hors accords donnés et retirés, 200 "
            "en quatre semaines, puis leur nombre seul (L34-VI-3)"
        ),
        (
            "a chained log of acts, without terminal data; of one kind, but for consents given and withdrawn, 200 in "
            "four weeks, then their number alone (L34-VI-3)"
        ),
    ),
    (
        law.VOLATILE,
        "chiffré en mémoire vive, clés écrasées à l'échéance (EXP-1, EXP-2)",
        "encrypted in memory, keys overwritten when the time is over (EXP-1, EXP-2)",
    ),
    (
        law.CUSTODIAN,
        "scellé pour un tiers de confiance ; deux signatures pour une demande (L34-II-4)",
        "sealed for a custodian; two signatures for a request (L34-II-4)",
    ),
    (
        "billing",
        "aucune demande pour le relevé des sessions, signé et scellé pour qui établit les factures (L34-IV-3)",
        "no request for the list of sessions, signed and sealed to whoever makes out the bills (L34-IV-3)",
    ),
    (
        law.DEVICE,
        "accords sous une empreinte à clé ; retrait et suspension immédiats (L34-V-3, L34-V-4)",
        "consents under a keyed hash; withdrawal and suspension at once (L34-V-3, L34-V-4)",
    ),
    (
        COUNTING,
        (
            "sommes bruitées : epsilon de {} par jour au plus, le double un jour où la table des appareils est "
            "pleine ; opposition retenue 13 mois (ANON-5, ANON-8, L34-VI-5)"
        ),
        (
            "noised sums: epsilon of {} a day at most, twice that on a day on which the table of devices is full; an "
            "objection remembered for 13 months (ANON-5, ANON-8, L34-VI-5)"
        ),
    ),
)


def impact(config: "Config", language: str, held: "Sequence[str]" = ()) -> "list[str]":
    """Return the skeleton, in `fr` or `en`; `held` as in agent.purposes.also_held."""
    text, at = TEXTS[language], words.LANGUAGES.index(language)
    found = activities.activities(config, language, held)
    out = [text["title"], "", text["context"]] + register.register(config, language, held)[1:] + ["", text["need"]]
    for one in found:
        facts = ", ".join([one.what] + register.aims(one, language) + [one.basis, one.kept])
        out.append("- " + text["assessed"].format(facts) + words.BLANK[at])
    readable = ", ".join([text[one.key] for one in found if one.key in FLASH])
    access = text["access"].format(text["root"] + readable if readable else "")
    out += (
        [notice.TEXTS[language]["interest"], text["rights"], "", text["risks"]]
        + [name + text["blank"] + words.BLANK[at] for name in (access, text["change"], text["loss"])]
        + ["", text["measures"]]
    )
    on = [one.custody for one in found if one.key != "objection"] + [one.key for one in found if one.key == "billing"]
    on += [COUNTING] if config.metrics else []
    whole, thousandths = divmod(config.summary.epsilon_ceiling, 1000)
    ceiling = (str(whole) + ",."[at] + "%03d" % thousandths).rstrip("0").rstrip(",.")
    out += ["- " + measure[1 + at].format(ceiling) for measure in MEASURES if measure[0] in on]
    return [words.typeset(line, language) for line in out + ["", text["end"] + words.BLANK[at]]]


def run(line: "Line") -> int:
    """Show it."""
    config = running(line.config, line.paths)
    print("\n".join(impact(config, line["--dpia"], also_held.told(config, line.paths))))
    return 0


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

    from agent.cli.command import Line
    from agent.config.config import Config
