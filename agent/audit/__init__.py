# SPDX-License-Identifier: Apache-2.0
"""What was done and what was counted: the chained log of every act, its reader, counts of what was kept and lost."""
