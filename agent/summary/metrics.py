# SPDX-License-Identifier: Apache-2.0
"""The published metrics as data (ANON-2): what one terminal may add in an agent-day bounds the noise.

b = L1 / epsilon, kept as an exact fraction. Every metric is read off the terminal rows, so its L1 bound holds by construction.
"""

HOUR = 3600


class Metric:
    """name, unit, `slots` messages an agent-day of `slot_seconds` each, L1 bound, default epsilon in thousandths."""

    def __init__(self, name: str, unit: str, slots: int, slot_seconds: int, l1: int, epsilon: int) -> None:
        self.name = name
        self.unit = unit
        self.slots = slots
        self.slot_seconds = slot_seconds
        self.l1 = l1
        self.epsilon = epsilon


METRICS = (Metric("arrivals", "terminals", 24, HOUR, 1, 250),)


def scale(l1: int, epsilon: int) -> "tuple[int, int]":
    """Return b = L1 / epsilon as a fraction in lowest terms; epsilon in thousandths."""
    numerator, denominator = l1 * 1000, epsilon
    a, b = numerator, denominator
    while b:
        a, b = b, a % b
    return numerator // a, denominator // a


def half_width(b: "tuple[int, int]") -> int:
    """Return the 95 % half-width ceil(3b) (ANON-3)."""
    return -(-3 * b[0] // b[1])


def display_threshold(b: "tuple[int, int]") -> int:
    """Return ceil(2b): what a person reads is "< this" below it (ANON-3)."""
    return -(-2 * b[0] // b[1])
