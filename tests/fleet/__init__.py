# SPDX-License-Identifier: Apache-2.0
"""The fleet: store, collector, page, and what an operator runs."""
