# SPDX-License-Identifier: Apache-2.0
"""The clock that the host's commands judge by: keys that are due, expired requests, the age of a gateway's word.

It is read here and nowhere else, so that a test can set it: `monkeypatch.setattr(clock, "now", ...)`. No option and no
variable of the environment does: a custodian can't be told another day.
"""

from datetime import UTC, date, datetime


def now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


def seconds() -> float:
    """Return the seconds since the epoch."""
    return now().timestamp()


def today() -> date:
    """Return the day in UTC."""
    return now().date()
