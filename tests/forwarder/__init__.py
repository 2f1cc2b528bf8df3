# SPDX-License-Identifier: Apache-2.0
"""agent/forwarder: its clients and brokers of every kind, over networks of every kind."""
