# SPDX-License-Identifier: Apache-2.0
"""The one place that the custodian's commands take the time from."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the time, UTC."""
    return datetime.now(UTC)
