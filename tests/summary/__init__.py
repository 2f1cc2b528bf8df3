# SPDX-License-Identifier: Apache-2.0
"""agent/summary: the sums, their noise, and what one terminal changes in them."""
