# SPDX-License-Identifier: Apache-2.0
"""`oubli-sim`: the gateway's days without hardware.

`--json FILE` everywhere, `-` is standard output; bad input: exit 2, one line.
"""

import typer

from host_sim.commands import labs, runs, trials, venues
from host_sim.commands.options import PROGRAM

app = typer.Typer(
    cls=PROGRAM.group,
    help="Runs the agent without hardware: simulated days, recorded datagrams, a lab of network namespaces.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
for group in (venues, runs, trials, labs):
    group.add(app)

if __name__ == "__main__":
    app()
