# SPDX-License-Identifier: Apache-2.0
"""What an attacker with the source would try, one file a target, on the real parts. SECURITY.md lists them."""
