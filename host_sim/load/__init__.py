# SPDX-License-Identifier: Apache-2.0
"""Very many gateways' forwarders at one broker."""
