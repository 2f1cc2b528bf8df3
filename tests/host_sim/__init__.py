# SPDX-License-Identifier: Apache-2.0
"""host_sim: the simulated world, and that its checks find each fault."""
