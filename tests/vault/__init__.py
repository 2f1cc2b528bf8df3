# SPDX-License-Identifier: Apache-2.0
"""agent/vault: what is kept goes on time, and nothing of it is left."""
