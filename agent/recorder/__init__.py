# SPDX-License-Identifier: Apache-2.0
"""The process that sees terminals: a connection's way from the kernel to the purposes, and what the clock brings."""
