# SPDX-License-Identifier: Apache-2.0
"""Erasure of what is kept on one terminal (L34-VI-5)."""
