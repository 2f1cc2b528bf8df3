# SPDX-License-Identifier: Apache-2.0
"""Attacks on what an operator runs: broker, collector, store, page, files."""
