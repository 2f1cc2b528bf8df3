# SPDX-License-Identifier: Apache-2.0
"""The purposes that are off by default, and all that only they need: the package `oubli-purposes`."""
