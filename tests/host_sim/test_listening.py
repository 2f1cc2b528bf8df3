# SPDX-License-Identifier: Apache-2.0
"""A connection's end, where paho-mqtt's thread ends of itself at the worst moment."""

import threading

import pytest
from paho.mqtt import client as paho

from tools import listening


class Ending(paho.Client):
    """Its thread is there when `loop_stop` looks for it first, and gone before it is joined."""

    looks = 0

    @property
    def _thread(self) -> threading.Thread | None:
        self.looks += 1
        return threading.Thread() if self.looks < 3 else None

    @_thread.setter
    def _thread(self, thread: threading.Thread | None) -> None:
        """Take none: that it is gone is what this is about."""


def test_a_thread_that_ends_of_itself_meanwhile_is_no_failure() -> None:
    """With `loop_stop` alone it is one."""
    client = Ending(paho.CallbackAPIVersion.VERSION2)
    client.looks = 0
    with pytest.raises(AttributeError, match="join"):
        client.loop_stop()
    client.looks = 0
    listening.end(client)
    assert client.looks >= 3
