# SPDX-License-Identifier: Apache-2.0
"""The verbs of `oubli-sim`, one file a group; each imports its module when it runs: a replay needs no broker."""
