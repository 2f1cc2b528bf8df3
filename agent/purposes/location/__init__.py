# SPDX-License-Identifier: Apache-2.0
"""`location`: at which access point a consenting terminal was, and where one is in an emergency (L34-V-1, L34-V-5)."""
