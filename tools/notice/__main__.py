# SPDX-License-Identifier: Apache-2.0
"""`oubli-notice NOTICE PAGE`: writes the guests' notice that a gateway has told as one page of A4.

The gateway alone knows what its stores still hold, and what for: the sheet says what it says, and nothing else. Bad
input: exit 2, one line.
"""

from pathlib import Path
from typing import Annotated

import segno
import typer

from tools.commands import Program, bounded
from tools.notice.page import html, language_of

LIMIT = 262144  # octets, twenty times a notice with all that there is
_program = Program("oubli-notice")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=_program.command)
def main(
    notice: Annotated[Path, typer.Argument(help="What `oubli law --notice fr`, or en, says on the gateway.")],
    page: Annotated[
        str, typer.Argument(help="The page that is written, HTML; a browser prints it on one sheet of A4.")
    ],
) -> None:
    """Writes the notice that guests must be given (GDPR art. 13), as the gateway says it, with their page's QR code."""
    if notice.resolve() == Path(page).resolve():
        _program.refuse(f"PAGE: {page}: is the notice itself; accepted: another file")
    try:
        lines = bounded(notice, LIMIT).decode().splitlines()
    except (OSError, ValueError) as failure:
        _program.refuse(f"NOTICE: {notice}: {failure}")
    language = language_of(lines)
    if language is None:
        _program.refuse(f"NOTICE: {notice}: no notice, or not whole; accepted: what `oubli law --notice fr` says")
    try:
        made = html(lines, language)
    except segno.DataOverflowError:
        _program.refuse(f"NOTICE: {notice}: its page's address is too long for a QR code; accepted: a shorter one")
    _program.write(made, page, "PAGE")


if __name__ == "__main__":
    app()
