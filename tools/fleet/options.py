# SPDX-License-Identifier: Apache-2.0
"""Options that several verbs of `oubli-fleet` have."""

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
Gateways = Annotated[
    int, typer.Option(min=1, max=10_000_000, help="How many gateways there may be; one more ends it, loudly.")
]
ROLES = ("viewer", "operator", "administrator")  # of people on the page
HERE = "sqlite:///oubli-fleet.sqlite"
