# SPDX-License-Identifier: Apache-2.0
"""A real OpenWrt x86-64 for QEMU, built from pinned sources: `python -m tools.openwrt`.

README.md says what in it isn't real.
"""
