# SPDX-License-Identifier: Apache-2.0
"""Asks the agent's configuration for what the law forbids, and prints what it said as JSON.

L34-II-2, L34-III-1, L34-IV-2, ANON-5.

    python|micropython -m host_sim.checks.refusals FILE

FILE is written for each.
Runs on MicroPython too.
"""

import json
import sys

from agent.config import config
from agent.config.reader import ConfigError

_GATEWAY = "config gateway 'gateway'\n\toption id 'aaaaaaaaaaaaaaaa'\n"
FORBIDDEN = (
    ("security for 91 days", "config purpose 'security'\n\toption lifetime '91d'\n"),
    ("attribution for 366 days", "config purpose 'attribution'\n\toption enabled '1'\n\toption lifetime '366d'\n"),
    (
        "the ground that was struck down",
        "config purpose 'attribution'\n\toption enabled '1'\n\toption ground 'penal'\n",
    ),
    ("a purpose of one's own", "config purpose 'marketing'\n"),
    ("billing without a lifetime", "config purpose 'billing'\n\toption enabled '1'\n"),
    ("a field of one's own", "config purpose 'security'\n\toption names '1'\n"),
    ("more epsilon than the ceiling", "config summary 'summary'\n\toption epsilon_ceiling '2001'\n"),
)


def said(path: str, text: str) -> str:
    """Return what the configuration says to a text, written to a path: "accepted", or why not."""
    with open(path, "w") as file:
        file.write(_GATEWAY + text)
    try:
        config.load(path)
    except ConfigError as refusal:
        return str(refusal)
    return "accepted"


if __name__ == "__main__":
    print(json.dumps({what: said(sys.argv[1], text) for what, text in FORBIDDEN}))
