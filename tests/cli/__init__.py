# SPDX-License-Identifier: Apache-2.0
"""agent/cli: the command line, and the table of the law."""
