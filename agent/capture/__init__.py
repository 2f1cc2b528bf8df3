# SPDX-License-Identifier: Apache-2.0
"""What the kernel says about connections and neighbours: the only source of traffic data (L34-I-2)."""
