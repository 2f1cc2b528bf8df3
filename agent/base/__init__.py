# SPDX-License-Identifier: Apache-2.0
"""What every part stands on: dates, clocks, paths, JSON of one form."""
