# SPDX-License-Identifier: Apache-2.0
"""The cover page of an answer, in French: what was asked, by whom, what was searched, what may be missing.

A single HTML file that prints on A4, without script and without anything from elsewhere. The manifest has its SHA-256.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from agent.base.dates import date as date_of
from tools.custodian import times
from tools.custodian.handovers import Handover

KINDS = {
    "judicial": "autorité judiciaire",
    "administrative": "autorité administrative",
    "arcom": "Autorité de régulation de la communication audiovisuelle et numérique (Arcom)",
    "anssi": "Agence nationale de la sécurité des systèmes d'information (ANSSI)",
    "party": "partie à une facture",
    "person": "personne concernée (droit d'accès)",
}
STORES = {
    "attribution": "données techniques d'identification de la source des connexions",
    "billing": "sessions conservées pour la facturation",
}
RESULTS = {
    "held": "Voici ce qui est conservé pour cette demande.",
    "nothing held": (
        "Rien n'est conservé pour cette demande : aucun équipement ne tenait ce qui est demandé durant cette période."
    ),
    "not known": "Ce qui est conservé ne permet pas de répondre pour toute la période. Personne n'est désigné.",
    "second NAT": "Une seconde traduction d'adresses se trouve entre la borne et Internet : un port public ne peut "
    "être rapproché d'un équipement ici. Cela ne signifie pas que rien ne s'est passé.",
}
ABOUT = {  # a device, or a user: the other one may be the same person's
    "held": "Voici ce qui est conservé sous {} pour cette période.",
    "nothing held": "Ce registre ne conserve rien sous {} pour cette période.",
    "not known": "Ce que ce registre conserve sous {} ne permet pas de répondre pour toute la période.",
}
INFORMED = (
    "Les autres informations que l'article 15 du RGPD garantit à la personne concernée (finalités, destinataires, "
    "transferts, durées, droits, réclamation auprès de la CNIL, absence de décision automatisée) figurent dans la "
    "notice de ce réseau : l'opérateur la joint à cette réponse."
)
_COLUMNS = {
    "from_paris": "de (heure de Paris)", "until_paris": "à (heure de Paris)",
    "from": "de (UTC)", "until": "à (UTC)", "end": "fin", "terminal_mac": "adresse MAC",
    "terminal_address": "adresse IP de l'équipement", "portal_user": "identifiant au portail",
    "protocol": "protocole (numéro)", "public_address": "adresse IP publique", "public_ports": "ports publics",
    "bytes_up": "octets envoyés", "bytes_down": "octets reçus",
}  # fmt: skip
_PAGE = """<!DOCTYPE html>
<html lang="fr"><head><meta charset="utf-8"><title>Réponse à la demande {number}</title><style>
@page{{size:A4;margin:2cm}} body{{font:11pt/1.4 serif;max-width:17cm;margin:auto}}
h1{{font-size:15pt}} h2{{font-size:12pt}}
table{{border-collapse:collapse;font-size:8pt;width:100%}}
td,th{{border:1px solid #666;padding:2pt 4pt;text-align:left;overflow-wrap:anywhere}}
dt{{font-weight:bold}} dd{{margin:0 0 4pt 1cm}}
</style></head><body>
<h1>Réponse à une demande de communication de données (article L34-1 du CPCE)</h1>
{body}
</body></html>
"""


def _list(pairs: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>\n" for name, value in pairs) + "</dl>"


def _scope(handover: Handover) -> str:
    scope, fields = handover.request.scope, handover.request.fields
    if scope.public:
        return f"adresse publique {fields['public_address']}, port {fields['port']}, protocole {fields['protocol']}"
    return f"identifiant au portail {scope.user.decode()}" if scope.user else f"adresse MAC {scope.mac.hex(':')}"


def _certainty(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return "Aucun enregistrement n'est communiqué ; la rubrique précédente dit si l'heure de la borne est en cause."
    unsure = sum(not row["clock_confirmed"] for row in rows)
    if unsure:
        return (
            f"Pour {unsure} enregistrement(s) sur {len(rows)}, l'heure n'est pas certaine : celle de la borne n'était "
            "pas confirmée, ou a été mise en doute depuis."
        )
    return (
        "L'heure de la borne était confirmée (par deux fois par le réseau, "
        "ou par une horloge sauvegardée) pour chaque enregistrement."
    )


def _table(rows: Sequence[dict[str, Any]]) -> str:
    names = [name for name in _COLUMNS if name in rows[0]]
    head = "".join(f"<th>{escape(_COLUMNS[name])}</th>" for name in names)
    lines = []
    for row in rows:
        certain = f" ; certain jusqu'à {row['until_paris']}" if row["clock_confirmed"] else ""
        end = "enregistrée" if row.get("end") == "recorded" else f"non enregistrée{certain}"
        told = row | {"end": end, "protocol": "tous" if row.get("protocol") is None else row["protocol"]}
        told |= {"terminal_mac": "inconnue"} if row["terminal_mac"] == "unknown" else {}
        cells = [str(told[name]) for name in names]
        lines.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>\n")
    return f"<table><tr>{head}</tr>\n{''.join(lines)}</table>"


def page(
    handover: Handover,
    days: tuple[int, int],
    result: str,
    rows: Sequence[dict[str, Any]],
    missing: Sequence[str],
    register: str,
    preserved: int,
) -> str:
    """Return the page.

    `missing`: what may be missing and why, in French; `days`: the first and last searched, since the epoch.

    `preserved`: how many records of orders to preserve were looked into.
    """
    request, fields = handover.request, handover.request.fields
    made = handover.statement["made"]
    asked = [
        ("Demande", f"n° {fields['number']}, du {times.french(request.issued)}"),
        ("Demandeur", f"{fields['authority']} ({KINDS[fields['authority_kind']]})"),
        ("Fondement", f"{request.ground} ; habilitation : {fields['basis']} ; référence : {fields['reference']}"),
        ("Objet", _scope(handover)),
        (
            "Période",
            (
                f"du {times.french(request.start)} au {times.french(request.end)}, "
                f"soit {fields['from']} à {fields['until']} (UTC)"
            ),
        ),
        ("Signée par deux agents habilités de l'opérateur", ", ".join(handover.agents)),
    ]
    searched = [
        ("Borne", request.gateway),
        ("Registre", STORES[request.store]),
        ("Jours examinés (UTC)", f"du {date_of(days[0])} au {date_of(days[1])}"),
        ("Fichiers scellés remis par la borne", ", ".join(sorted(handover.segments)) or "aucun"),
        *[("Copie préservée sur injonction (III bis)", f"{preserved} enregistrement(s) parcouru(s)")] * bool(preserved),
        ("Remis et signé par la borne", times.french(made)),
        ("Inscription au registre du dépositaire (SHA-256)", register or "—"),
    ]
    body = [
        "<h2>Ce qui a été demandé</h2>",
        _list(asked),
        "<h2>Ce qui a été examiné</h2>",
        _list(searched),
        "<h2>Réponse</h2>",
    ]
    told = RESULTS[result]
    if not request.scope.public:
        told = ABOUT.get(result, told).format("cet identifiant" if request.scope.user else "cette adresse MAC")
    body.append(f"<p>{escape(told)}</p>" + (_table(rows) if rows else ""))
    reasons = "".join(f"<li>{escape(text)}</li>\n" for text in missing) or "<li>Rien à signaler.</li>"
    body += ["<h2>Ce qui peut manquer, et pourquoi</h2>", f"<ul>{reasons}</ul>", "<h2>Certitude de l'horloge</h2>"]
    body.append(f"<p>{escape(_certainty(rows))}</p>")
    if fields["authority_kind"] in ("person", "party"):  # of billing a person's own access is a party's request
        body.append(f"<p>{escape(INFORMED)}</p>")
    body.append(
        "<p>Un équipement n'est pas une personne. L'adresse MAC est celle que l'équipement a présentée ; elle peut "
        "avoir été choisie. Aucune destination n'est conservée. Le manifeste signé (manifest.json, manifest.sig) "
        "contient l'empreinte de cette page.</p>"
    )
    return _PAGE.format(number=escape(fields["number"]), body="\n".join(body))
