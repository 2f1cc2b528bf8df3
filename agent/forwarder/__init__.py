# SPDX-License-Identifier: Apache-2.0
"""From the spool to the broker: the side of oubli that holds a network socket and sees no terminal (L34-VI-2)."""
