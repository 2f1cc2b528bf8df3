# SPDX-License-Identifier: Apache-2.0
"""agent/audit: the log of every act."""
