# SPDX-License-Identifier: Apache-2.0
"""The document that informs before a consent, shown and hashed whole (L34-V-2), with a text of this device.

A text is a file that only root writes, `consent-NUMBER.LANGUAGE.txt`; it is never changed, another wording is another
file beside it. What stands above it follows from the consent itself and from the section `notice` of the configuration:
venue, who answers for it, purposes with every field that is kept, what for, for how long, third parties, rights (GDPR
13). A consent is taken only with the SHA-256 of a document that this device makes for just that consent. So it is
known for as long as the consent what was shown.

Text 2 says of the withdrawal of one purpose that it makes all unreadable. Its document is still made, to the octet, for
consents that were given by it; none is taken by it any more. Text 3's document for `services` had "public port" in it
until 2026-12-01, before anything was released.
"""

import hashlib
import os
from binascii import hexlify

from agent import law
from agent.purposes import words
from agent.runtime import files
from agent.vault.stores import BY_CONSENT

LIMIT = 16384  # octets of a text
FILES = 32
FORMER = ("2.en", "2.fr")  # texts by which no consent is taken any more
# Words of today, and those that stand in their document instead
_THEN = (
    ((" ou le protocole", ""), ("port côté internet", "port public")),
    ((" or protocol", ""), ("internet-side port", "public port")),
)
_HEAD = {
    "fr": {
        "title": "Accord facultatif sur vos données",
        "services": "- « services » : {} ; pour : {}",
        "location": "- « localisation » : {} ; pour : {}",
        "span": "Durée : {} à partir de votre accord",
        "third": "Transmis à : ",
        "nobody": "personne",
        "page": "Votre page : http://{}:8450/",
        "rights": "Base : votre accord (RGPD 6.1 a). Vos droits : accès, portabilité, effacement, suspension et "
        "retrait de l'accord à tout moment (ce qui le précède reste licite), sur votre page ; rectification, "
        "limitation, et directives après votre mort, auprès du responsable ; réclamation auprès de la CNIL "
        "(www.cnil.fr)",
    },
    "en": {
        "title": "Optional consent on your data",
        "services": '- "services": {}; for: {}',
        "location": '- "location": {}; for: {}',
        "span": "Duration: {} from your consent",
        "third": "Passed on to: ",
        "nobody": "nobody",
        "page": "Your page: http://{}:8450/",
        "rights": "Basis: your consent (GDPR 6.1 a). Your rights: access, portability, erasure, suspension and "
        "withdrawal of the consent at any time (what was done before stays lawful), on your page; rectification, "
        "restriction, and directives after your death, from the controller; complaint to the CNIL (www.cnil.fr)",
    },
}

_ASK = ("demandez-le au responsable avant d'accepter", "ask the controller before you agree")


def names(folder: str) -> "list[str]":
    """Return the names of the texts there, without "consent-" and ".txt": 3.en, 3.fr."""
    try:
        found = os.listdir(folder)
    except OSError:
        return []
    return sorted([name[8:-4] for name in found if name.startswith("consent-") and name.endswith(".txt")])[:FILES]


def offered(folder: str) -> "list[str]":
    """Return the names of the texts by which a consent is taken."""
    return [name for name in names(folder) if name not in FORMER]


def document(
    folder: str, name: str, purposes: "Sequence[str]", third_parties: str, days: int, notice: "Section"
) -> "tuple[list[str], str]":
    """Return `rendered` with a text of the folder.

    OSError where that can't be read, ValueError where it isn't UTF-8.
    """
    text = files.read_bounded(folder + "/consent-" + name + ".txt", LIMIT).decode()
    return rendered(text, name, purposes, third_parties, days, notice)


def rendered(
    text: str, name: str, purposes: "Sequence[str]", third_parties: str, days: int, notice: "Section"
) -> "tuple[list[str], str]":
    """Return the lines of the document that a terminal's holder is shown, and its SHA-256 in 64 hexadecimal digits.

    The hash is of these lines in UTF-8, each with a line's end.
    """
    language = "fr" if name.endswith(".fr") else "en"
    say, at = _HEAD[language], words.LANGUAGES.index(language)
    out = [say["title"] + (", " + notice.venue if notice.venue else "")]
    told = [who for who in ("controller", "contact", "dpo") if notice.values[who] not in (None, "none")]
    out += [words.ANSWERS[who][at] + notice.values[who] for who in told]
    for purpose in BY_CONSENT:
        if purpose in purposes:
            fields = words.fields(law.purpose(purpose), language)
            for now, then in _THEN[at] if name in FORMER else ():
                fields = fields.replace(now, then)
            out.append(say[purpose].format(fields, notice.values[purpose]))
    third = [third_parties] if third_parties != "none" else []
    out += [say["span"].format(words.span(days * law.DAY, language)), say["third"] + "".join(third or [say["nobody"]])]
    out.append(words.transfers(third, at, _ASK))
    if notice.page:
        out.append(say["page"].format(notice.page))
    out.append(say["rights"])
    out = [words.typeset(line, language) for line in out + [""] + text.rstrip("\n").split("\n")]
    made = hashlib.sha256("".join([line + "\n" for line in out]).encode())
    return out, hexlify(made.digest()).decode()


def known(folder: str, shown: str, purposes: "Sequence[str]", third_parties: str, days: int, notice: "Section") -> bool:
    """Return True if a hash is of a document that this device makes for such a consent, by a text that is offered."""
    for name in offered(folder):
        try:
            if document(folder, name, purposes, third_parties, days, notice)[1] == shown:
                return True
        except (OSError, ValueError):
            continue
    return False


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

    from agent.config.reader import Section
