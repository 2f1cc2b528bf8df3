# SPDX-License-Identifier: Apache-2.0
"""Requests of an authority: read, checked, run, handed over to the custodian (L34-II-4)."""
