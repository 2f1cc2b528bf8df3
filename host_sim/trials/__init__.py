# SPDX-License-Identifier: Apache-2.0
"""Whether the checks find what is wrong: mutants, searches, histories, kills."""
