# SPDX-License-Identifier: Apache-2.0
"""The only place of the agent where a topic is spelled; who subscribes, and the broker's files, have patterns."""


def state(gateway: str) -> str:
    """Retained: online, or lost by last will."""
    return "oubli/1/" + gateway + "/state"


def health(gateway: str) -> str:
    """Retained: the fixed-shape health message."""
    return "oubli/1/" + gateway + "/health"


def summary(gateway: str, metric: str) -> str:
    """One message a slot."""
    return "oubli/1/" + gateway + "/summary/" + metric
