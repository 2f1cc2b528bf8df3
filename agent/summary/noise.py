# SPDX-License-Identifier: Apache-2.0
"""The discrete Laplace distribution, sampled exactly in integers (ANON-2).

Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy" (2020), algorithms 1 and 2. P(x) is
proportional to exp(-|x| / b) for a rational b. There is no float anywhere: what a float's low bits tell about the true
value is a known attack. Randomness is handed in as a function of a number of octets, `os.urandom` on a device.
`agent.summary.releases` draws, once for each cell.
"""


class Sampler:
    """Draws integers; `random(n)` gives n octets."""

    def __init__(self, random: "Callable[[int], bytes]") -> None:
        self._random = random

    def below(self, bound: int) -> int:
        """Return an integer uniform on 0..bound-1, by rejection: no modulo bias."""
        octets, ceiling = 1, 256
        while ceiling < bound:
            octets += 1
            ceiling <<= 8
        limit = ceiling - ceiling % bound
        while True:
            value = 0
            for octet in self._random(octets):
                value = value << 8 | octet
            if value < limit:
                return value % bound

    def _exp_minus(self, numerator: int, denominator: int) -> bool:
        """Return True with probability exp(-numerator / denominator), for a fraction from 0 to 1."""
        k = 1
        while self.below(denominator * k) < numerator:
            k += 1
        return k & 1 == 1

    def laplace(self, b: "tuple[int, int]") -> int:
        """Return discrete Laplace noise of scale b, a fraction in lowest terms."""
        t, s = b
        while True:
            u = self.below(t)
            if not self._exp_minus(u, t):
                continue
            v = 0
            while self._exp_minus(1, 1):
                v += 1
            magnitude = (u + t * v) // s
            negative = self.below(2) == 1
            # Zero has one sign only, or it would be drawn twice as often.
            if negative and magnitude == 0:
                continue
            return -magnitude if negative else magnitude


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable
