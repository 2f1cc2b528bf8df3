# SPDX-License-Identifier: Apache-2.0
"""The page's words, English and French.

The English text is the key; a test holds that each has its French and none is left over.

Why not gettext's catalogues: a compiled catalogue is a second, binary copy of these lines that goes stale without a
word. Django's own words (its dates, its forms' errors) come from Django's catalogues.
"""

from django.utils.translation import get_language

from tools.fleet.texts import fleet, gateways, people, verdicts
from tools.fleet.texts.english import ENGLISH

PAGES = (gateways, people, verdicts, fleet)
FRENCH = {english: french for page in PAGES for english, french in page.FRENCH.items()}


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
