# SPDX-License-Identifier: Apache-2.0
"""Anonymous sums: one row a terminal, metrics read off the rows, exact noise, a ledger (ANON-1 to ANON-8)."""
