# SPDX-License-Identifier: Apache-2.0
"""Consents: who agreed to what, the store that lives by them, and the page to suspend and withdraw (L34-V)."""
