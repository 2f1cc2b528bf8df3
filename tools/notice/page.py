# SPDX-License-Identifier: Apache-2.0
"""A sheet of A4, HTML by itself, of what `oubli law --notice` says, with a QR code to the guests' page.

Made on a host, where there is a printer and a library for QR codes (segno); a gateway has neither. Its letters are as
large as lets one page have it all, so that it can be hung on a wall. Names that are too long for that go over to a
second one. The browser that prints measures nothing, so their size follows from how much there is to say.
"""

import re
from html import escape

import segno

from agent.purposes import notice, words

_ADDRESS = re.compile(r"http://[^_/\s][^/\s]*:8450/")  # of the guests' page; a blank has none
LARGEST, SMALLEST = 11.0, 8.0  # points; below 8 no French credit contract may be (code de la consommation, R312-10)
CAPTION = {"fr": "Votre page", "en": "Your page"}
_ABOUT = 60  # letters
_END = 20  # letters by which a notice's end is known
_ACROSS = 556  # points of a line of 196 mm
_AREA = 460_000  # square points of text that a page holds at most, as Chromium measures with a wide font (tests/notice)
_PAGE = """<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
@page {{ size: A4; margin: 7mm 7mm }}
body {{ font: {size:.2f}pt/1.12 sans-serif; margin: 0 auto; max-width: 196mm; color: #000; background: #fff }}
h1 {{ font-size: 1.7em; margin: 0 0 .4em }}
h1, p, li {{ overflow-wrap: anywhere; break-inside: avoid }}
p {{ margin: .2em 0 }}
ul {{ margin: .2em 0; padding-left: 1em }}
figure {{ float: right; margin: 0 0 .5em 1em; text-align: center }}
figure svg {{ display: block; width: 32mm; height: 32mm }}
figcaption {{ font-size: .9em }}
</style>
</head>
<body>
<main>
{figure}<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""


def language_of(lines: list[str]) -> str | None:
    """Return in which language a gateway's notice is; None for another text, and for one that was cut off."""
    for language, text in notice.TEXTS.items():
        last, _, end = words.typeset(text["death"], language).partition(":")
        begins = bool(lines) and lines[0].startswith(text["title"]) and lines[-1].startswith(last)
        if begins and lines[-1].endswith(end[-_END:]):
            return language
    return None


def address(lines: list[str], language: str) -> str:
    """Return where a guest finds the page, as a gateway's notice says it; "" where that has a blank."""
    start = words.typeset(notice.TEXTS[language]["page"], language).partition("{")[0]
    found = [_ADDRESS.match(line.removeprefix(start)) for line in lines if line.startswith(start)]
    return found[0][0] if found and found[0] else ""


def html(notice_lines: list[str], language: str) -> str:
    """Return the page of a notice's lines, as a gateway has them in `fr` or `en`."""
    title, *lines = notice_lines
    parts: list[str] = []
    for line in lines:
        item = line.startswith("- ")
        if item and not (parts and parts[-1].startswith("<li>")):
            parts.append("<ul>")
        if not item and parts and parts[-1].startswith("<li>"):
            parts.append("</ul>")
        if line:
            parts.append(f"<li>{_text(line[2:])}</li>" if item else f"<p>{_text(line)}</p>")
    parts += ["</ul>"] if parts[-1].startswith("<li>") else []
    return _PAGE.format(
        language=language, title=escape(title), figure=_figure(address(lines, language), language),
        body="\n".join(parts), size=size(lines)
    )  # fmt: skip


def _text(line: str) -> str:
    """Return a line as HTML: what it is about in bold."""
    about, colon, rest = line.partition(":")
    return f"<b>{escape(about)}</b>{colon}{escape(rest)}" if rest and len(about) < _ABOUT else escape(line)


def size(lines: list[str]) -> float:
    """Return the letters' size in points, so that all lines are on one page where they can be."""
    sizes = [tenths / 10 for tenths in range(round(LARGEST * 10), round(SMALLEST * 10), -1)]
    return next((points for points in sizes if _needed(lines, points) <= _AREA), SMALLEST)


def _needed(lines: list[str], points: float) -> float:
    """Return the area that lines take: half of its last line is lost to each."""
    across = _ACROSS / (0.5 * points)  # letters in a line
    return sum(len(line) // across + 1.4 for line in lines) * 1.15 * points * _ACROSS


def _figure(found: str, language: str) -> str:
    """Return the QR code with the page's address below it, if it has one."""
    if not found:
        return ""
    code = segno.make(found, error="m", micro=False).svg_inline(scale=1, border=4, omitsize=True, title=found)
    return f"<figure>{code}<figcaption>{CAPTION[language]}<br>{escape(found)}</figcaption></figure>\n"
