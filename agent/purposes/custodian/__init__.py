# SPDX-License-Identifier: Apache-2.0
"""Stores on flash that only a custodian can read: keys, sealing, order of writes, what a cut of power left (EXP-3, EXP-6)."""
