# SPDX-License-Identifier: Apache-2.0
"""A fake peer: what of OpenWrt a package touches, in a root with busybox.

rc.common, functions.sh, procd.sh, ubus, procd.

`root/` has the shell half, which runs in busybox ash where the real one would. `procd` reads what it recorded, makes of
it the JSON that procd.sh would send as `service set`, and starts those commands as procd does. `gateway` makes the
root.
"""
