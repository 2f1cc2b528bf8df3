# SPDX-License-Identifier: Apache-2.0
"""agent/capture: what the kernel says of connections, neighbours and leases."""
