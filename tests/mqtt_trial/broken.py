# SPDX-License-Identifier: Apache-2.0
"""Clients with one known fault each: a trial that finds nothing must be able to find something.

Each is this repository's own client with one part replaced, and runs on both interpreters.
"""

import struct

from agent.forwarder import mqtt_small
from agent.forwarder.errors import MqttError

__all__ = ["MqttError"]


class Unwilled(mqtt_small.Client):
    """Says that it has a will with retain off."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        hello = bytearray(self._hello)
        hello[hello.index(b"MQTT") + 5] &= ~0x20
        self._hello = bytes(hello)


class Zeroing(mqtt_small.Client):
    """Lets the packet id go from 65,535 to 0."""

    _last = 0

    @property
    def _identifier(self):
        return self._last

    @_identifier.setter
    def _identifier(self, value):
        self._last = 0 if self._last == 0xFFFF else value


class Credulous(mqtt_small.Client):
    """Accepts any certificate."""

    def _secure(self, raw, _paths):
        import tls  # noqa: PLC0415 (only MicroPython has it)

        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.verify_mode = tls.CERT_NONE
        return context.wrap_socket(raw, server_hostname=self._host, do_handshake_on_connect=False)


class Nameless(mqtt_small.Client):
    """Verifies the certificate, not whose it is: asks for one name whatever the configuration says."""

    def _secure(self, raw, paths):
        self._host = "broker.invalid"
        return super()._secure(raw, paths)


class Patient(mqtt_small.Client):
    """Waits for an acknowledgement for ever."""

    def _await(self, kind, deadline):
        return super()._await(kind, deadline + 3_600_000)


class Deaf(mqtt_small.Client):
    """Sends pings and does not mind that nothing answers."""

    def _await(self, kind, deadline):
        packet = super()._await(kind, deadline)
        self._asked = None
        return packet


class Blocking(mqtt_small.Client):
    """Does the TLS handshake on a blocking socket."""

    def _secure(self, raw, paths):
        raw.setblocking(True)
        stream = super()._secure(raw, paths)
        stream.write(self._hello)
        raw.setblocking(False)
        return stream


class Undone(mqtt_small.Client):
    """Takes the end of the connection for an acknowledgement."""

    def _publish(self, topic, payload, retain):
        try:
            super()._publish(topic, payload, retain)
        except MqttError as error:
            if "closed" not in str(error):
                raise


class Confused(mqtt_small.Client):
    """Takes an acknowledgement of anything for its own."""

    def _await(self, kind, deadline):
        packet = super()._await(kind, deadline)
        if packet and kind == mqtt_small.PUBACK:
            packet = packet[:2] + struct.pack("!H", self._identifier)
        return packet


class Greedy(mqtt_small.Client):
    """Reads on until it is acknowledged, whatever comes and however long."""

    def _await(self, kind, deadline):
        packet = super()._await(kind, deadline)
        while packet is None and kind == mqtt_small.PUBACK:
            packet = super()._await(kind, deadline + 1000)
        return packet


class Single(mqtt_small.Client):
    """Gives the first address of a name all the time there is."""

    def _reach(self, address, deadline):
        return super()._reach(address, deadline + 60_000)


class Leaking(mqtt_small.Client):
    """Trusts TLS to close the TCP socket."""

    def _drop(self):
        if self._stream is not None:
            self._raw = None
        super()._drop()


class Talkative(mqtt_small.Client):
    """Says in its errors whom it talked to."""

    def _guard(self, step, *arguments):
        try:
            super()._guard(step, *arguments)
        except MqttError as error:
            raise MqttError(f"{error} ({self._host})") from None
