# SPDX-License-Identifier: Apache-2.0
"""Attacks on the custodian and on who gets what he seals: by the files that are carried to them."""
