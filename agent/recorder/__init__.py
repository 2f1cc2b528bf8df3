# SPDX-License-Identifier: Apache-2.0
"""The process that sees terminals: a connection's way from the kernel's word to the purposes, and what is done by the clock."""
