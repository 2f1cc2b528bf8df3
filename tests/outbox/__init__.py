# SPDX-License-Identifier: Apache-2.0
"""agent/outbox: the folder between the daemons."""
