# SPDX-License-Identifier: Apache-2.0
"""`oubli-notice CONFIG PAGE`: writes the guests' notice of a gateway's configuration as one page of A4.

Bad input: exit 2, one line.
"""

from pathlib import Path
from typing import Annotated

import typer

from agent import law
from agent.config.config import load
from agent.config.reader import ConfigError
from agent.purposes.words import LANGUAGES
from agent.vault.stores import by_consent
from tools.commands import Program
from tools.notice.page import html

STILL = (*(name for name in law.CONFIGURABLE if law.purpose(name).custody == law.CUSTODIAN), "consent", "objection")
_program = Program("oubli-notice")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=_program.command)
def main(
    config: Annotated[Path, typer.Argument(help="The gateway's /etc/config/oubli.")],
    page: Annotated[
        str, typer.Argument(help="The page that is written, HTML; a browser prints it on one sheet of A4.")
    ],
    language: Annotated[str, typer.Option(help=f"Of {', '.join(LANGUAGES)}.")] = LANGUAGES[0],
    held: Annotated[
        list[str] | None,
        typer.Option(
            help="A purpose that is off and still kept, as `oubli law` says on the gateway; again for another."
        ),
    ] = None,
) -> None:
    """Writes the notice that guests must be given (GDPR art. 13), by the configuration, with their page's QR code."""
    if language not in LANGUAGES:
        _program.refuse(f"--language: {language!r} unknown; accepted: {', '.join(LANGUAGES)}")
    for name in held or ():
        if name not in STILL:
            _program.refuse(f"--held: {name!r} unknown; accepted: {', '.join(STILL)}")
    try:
        read = load(str(config))
    except ConfigError as failure:
        _program.refuse(f"CONFIG: {failure}")
    for name in held or ():
        if name in read.purposes or (name == "consent" and by_consent(read)):
            _program.refuse(f"--held: {name!r} is on in CONFIG; accepted: what is off there, and still kept")
    _program.write(html(read, language, held or ()), page, "PAGE")


if __name__ == "__main__":
    app()
