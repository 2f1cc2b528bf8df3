# SPDX-License-Identifier: Apache-2.0
"""agent/purposes: the purposes that are off by default."""
