# SPDX-License-Identifier: Apache-2.0
"""oubli, the agent: what is flashed on a hotspot gateway (article L34-1 of the French CPCE)."""

VERSION = "1.0.0"
BUILT = 0  # seconds since the epoch; the package of a device carries its own build date here (EXP-5)
