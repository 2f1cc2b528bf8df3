# SPDX-License-Identifier: Apache-2.0
"""Stores on flash for a custodian alone: keys, sealing, order of writes, what a cut of power left (EXP-3, EXP-6)."""
