# SPDX-License-Identifier: Apache-2.0
"""The end of a connection that paho-mqtt serves in a thread of its own."""

from contextlib import suppress

from paho.mqtt import client as paho


def end(client: paho.Client) -> None:
    """Disconnect, and wait for the thread of `loop_start`.

    It ends of itself then: where that is while `loop_stop` looks for it, paho 2.1 asks None to join.
    """
    client.disconnect()
    with suppress(AttributeError):
        client.loop_stop()
