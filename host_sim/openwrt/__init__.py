# SPDX-License-Identifier: Apache-2.0
"""A real OpenWrt in QEMU between LAN and internet: `oubli-sim gateway`, and the tests of tests/openwrt.

`Network` has the wires, `Machine` the gateway, `Internet` what the WAN leads to,
`Lan` the terminals, `feeds` the packages.
"""
