# SPDX-License-Identifier: Apache-2.0
"""Options of the verbs of `oubli-fleet`: those that several have, and what `serve` is told in many words."""

from pathlib import Path
from typing import Annotated

import typer

from tools.commands import output

Db = Annotated[
    str,
    typer.Option(
        "--db", metavar="URL", envvar="OUBLI_FLEET_DB", help="sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME."
    ),
]
Json = Annotated[str | None, output("--json", "FILE", "Write the answer as JSON; - is standard output.")]
# How the broker is reached
Broker = Annotated[
    str,
    typer.Option(
        metavar="URL",
        help="mqtts://, amqps:// or nats+tls://[USER@]HOST[:PORT]; mqtt://, amqp://, nats:// on loopback.",
    ),
]
PasswordFile = Annotated[Path | None, typer.Option(help="The broker's password, a file of mode 0600.")]
Ca = Annotated[Path | None, typer.Option(help="Who vouches for the broker, PEM; else the system's list.")]
Certificate = Annotated[Path | None, typer.Option(help="Our certificate for the broker, PEM.")]
Key = Annotated[Path | None, typer.Option(help="Its key, PEM, mode 0600.")]
Insecure = Annotated[bool, typer.Option("--insecure", help="Plain text to a broker on another machine.")]
# Where the page is
Host = Annotated[
    list[str] | None, typer.Option(help="A name the page answers to, if not the address; may be given again.")
]
TlsCertificate = Annotated[Path | None, typer.Option(help="The page's certificate, PEM.")]
TlsKey = Annotated[Path | None, typer.Option(help="Its key, PEM, mode 0600.")]
PlainHttp = Annotated[bool, typer.Option("--plain-http", help="No TLS beyond loopback: a proxy of yours does it.")]
Proxy = Annotated[
    list[str] | None, typer.Option(metavar="ADDRESS", help="That proxy, if on another machine; may be given again.")
]
# What alerts go out by
Smtp = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="The mail server for alerts: smtps://[USER@]HOST[:PORT], or smtp:// with STARTTLS."
    ),
]
SmtpPasswordFile = Annotated[Path | None, typer.Option(help="Its user's password, a file of mode 0600.")]
SmtpCa = Annotated[Path | None, typer.Option(help="Who vouches for the mail server, PEM; else the system's list.")]
MailFrom = Annotated[str, typer.Option(metavar="ADDRESS", help="Whom alerts by e-mail are from.")]
Alerts = Annotated[
    bool, typer.Option("--alerts/--no-alerts", help="Send alerts; off where another collector of the store does.")
]
Gateways = Annotated[
    int, typer.Option(min=1, max=10_000_000, help="How many gateways there may be; one more ends it, loudly.")
]
ROLES = ("viewer", "operator", "administrator")  # of people on the page
HERE = "sqlite:///oubli-fleet.sqlite"
OPERATOR = "operator"  # the first person, where none is named
