# SPDX-License-Identifier: Apache-2.0
"""What the soak's crowd reads off a gateway: the memory of each of oubli's processes."""

from __future__ import annotations

from tests.openwrt.stories import by_part

JAIL = "/sbin/ujail -n oubli-{0} -u -- /usr/bin/micropython -X heapsize=576k -m agent {0} "


def test_memory_is_of_every_process_of_oubli_and_of_no_other():
    """A jail has its daemon's words on its own command line; the watch is a shell."""
    rows = [
        f"700 {JAIL.format('recorder')}",
        "2100 /usr/bin/micropython -X heapsize=576k -m agent recorder ",
        "1900 /usr/bin/micropython -X heapsize=576k -m agent forwarder ",
        f"650 {JAIL.format('forwarder')}",
        "300 /bin/sh /usr/sbin/oubli-watch ",
        "900 /usr/sbin/dnsmasq -C /var/etc/dnsmasq.conf ",
        "40 ",
    ]
    assert by_part("\n".join(rows)) == {"recorder": 2800, "forwarder": 2550, "watch": 300}
