# SPDX-License-Identifier: Apache-2.0
"""What the venue's portal tells: which of its users a terminal is logged in as.

The page that guests read is agent.purposes.consent.guest_page.
"""
