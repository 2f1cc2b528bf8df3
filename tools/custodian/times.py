# SPDX-License-Identifier: Apache-2.0
"""Times as an answer writes them: UTC, and beside it Paris' time with its difference.

So an hour that comes twice is told apart.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

PARIS = ZoneInfo("Europe/Paris")


def utc(seconds: int) -> str:
    """Return seconds since the epoch as 2026-10-25T00:30:00Z."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def paris(seconds: int) -> str:
    """Return seconds since the epoch as 2026-10-25T02:30:00+02:00."""
    return datetime.fromtimestamp(seconds, PARIS).isoformat()


def french(seconds: int) -> str:
    """Return seconds since the epoch as a French reader writes them, in Paris time with its difference."""
    return f"{datetime.fromtimestamp(seconds, PARIS):%d/%m/%Y à %H:%M:%S (UTC%z)}"
