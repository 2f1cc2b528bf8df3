# SPDX-License-Identifier: Apache-2.0
"""The world around one gateway: people, portal, radios, connection table, clocks, and the truth about them."""
