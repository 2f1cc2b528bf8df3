# SPDX-License-Identifier: Apache-2.0
"""Tests on the real kernel: network namespaces, nftables, conntrack and a real broker, as root."""
