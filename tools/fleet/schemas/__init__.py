# SPDX-License-Identifier: Apache-2.0
"""The JSON schema of each kind of message: `<kind>-<version>.json` is schema `oubli/<kind>/<version>`.

A gateway sends the newest that it knows; the collector takes every version that is
here, so gateways are upgraded one by one.
"""

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent
KINDS = tuple(sorted(path.stem.rsplit("-", 1)[0] for path in _FOLDER.glob("*-1.json")))
VERSIONS = {kind: sorted(int(path.stem.rsplit("-", 1)[1]) for path in _FOLDER.glob(f"{kind}-*.json")) for kind in KINDS}


def schema(kind: str, version: int | None = None) -> dict[str, Any]:
    """Return the schema of a kind, the newest unless a version is named; KeyError or FileNotFoundError."""
    return json.loads((_FOLDER / f"{kind}-{version or VERSIONS[kind][-1]}.json").read_text())
