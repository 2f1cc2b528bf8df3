# SPDX-License-Identifier: Apache-2.0
"""The JSON schema of each kind of message, one file a kind and version: `<kind>-<version>.json` is schema `oubli/<kind>/<version>`."""

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent
KINDS = tuple(sorted(path.stem.rsplit("-", 1)[0] for path in _FOLDER.glob("*-1.json")))


def schema(kind: str, version: int = 1) -> dict[str, Any]:
    """Return the schema of a kind; FileNotFoundError where there is none."""
    return json.loads((_FOLDER / f"{kind}-{version}.json").read_text())
