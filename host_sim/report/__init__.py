# SPDX-License-Identifier: Apache-2.0
"""A run's outcome, for a person: in the terminal, and as one page with plots."""
