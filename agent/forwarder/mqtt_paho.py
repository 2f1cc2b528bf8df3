# SPDX-License-Identifier: Apache-2.0
"""The forwarder's MQTT client on CPython: paho-mqtt speaks the protocol, this module bounds its waits and its buffer.

No thread: paho's `loop_read`, `loop_write` and `loop_misc` run inside the calls. A connection that failed in any way is
dropped without DISCONNECT, so that the broker publishes the last will.
"""

import os
import select
import socket
import ssl
import time

from paho.mqtt import client as paho

from agent.forwarder.errors import MqttError
from agent.outbox import jitter

LONGEST = 2  # bytes after the remaining length in CONNACK and PUBACK; PINGRESP has none
STEP = 0.5  # seconds; how often paho looks whether an answer is overdue
_MS, _SECOND = 1_000_000, 1_000_000_000


class Session(paho.Client):
    """One connection of paho's, which takes no packet longer than the three a publisher is ever sent (L34-VI-2)."""

    def _sock_recv(self, bufsize: int) -> bytes:
        if bufsize > LONGEST:  # paho asks for the whole rest of a packet at once: up to 256 MiB
            raise ConnectionError
        return super()._sock_recv(bufsize)

    def _check_keepalive(self) -> None:
        """Leave out paho's own PINGREQ, at steady moments; that an answer is overdue `loop_misc` finds without it."""

    def ping(self) -> None:
        """Send PINGREQ now; nothing while the former one's answer is awaited."""
        if not self._ping_t:
            self._send_pingreq()

    def drop(self) -> None:
        """Close without a word."""
        self._sock_close()


class Client:
    """A connection to one broker, for publishing at QoS 1.

    A method that raises `MqttError` has dropped the connection.
    """

    def __init__(
        self, host: str, port: int, client_id: str, will_topic: str, will_payload: bytes, *,
        tls: "dict[str, Any] | None" = None, username: "str | None" = None,
        password: "str | None" = None, keepalive: int = jitter.KEEPALIVE, connect_timeout: int = 20,
        acknowledge_timeout: int = 20, random: "Callable[[int], bytes]" = os.urandom,
    ) -> None:  # fmt: skip
        """Keep what a connection needs; times in seconds.

        `random(count)` gives octets, from which the moments of pings are drawn.

        `tls` holds the paths `ca`, `certificate` and `key` of PEM files; the last two may be None. The server's
        certificate must carry `host`.
        """
        self._host, self._port, self._client_id, self._tls = host, port, client_id, tls
        self._will_topic, self._will_payload = will_topic, will_payload
        self._username, self._password = username, password
        self._keepalive = max(1, keepalive * 3 // 4)  # paho needs two of its own to find a half-open connection
        self._connect_timeout, self._acknowledge_timeout = connect_timeout, acknowledge_timeout
        self._random = random
        self._session: Session | None = None
        self._ping = 0  # when the next one is sent, monotonic ns

    def connect(self) -> None:
        """Connect, within `connect_timeout` of when the name is resolved, until the broker has accepted."""
        self._guard(self._connect)

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        """Hand one message to the broker; return when it has acknowledged, within `acknowledge_timeout` seconds."""
        self._guard(self._publish, topic, payload, retain)

    def idle(self, milliseconds: int) -> None:
        """Wait, and keep the connection alive. A dead one is found within two keepalives if calls follow closely."""
        self._guard(self._idle, time.monotonic_ns() + milliseconds * _MS)

    def close(self) -> None:
        """Say DISCONNECT, so that the last will is not published, and close. Never raises."""
        if self._session is not None:
            try:
                self._session.disconnect()
            except (OSError, ValueError):
                pass
        self._drop()

    def _guard(self, step: "Callable[..., object]", *arguments: object) -> None:
        """Run a step; if it fails, drop the connection and tell only the kind of failure."""
        try:
            step(*arguments)
            return
        except MqttError as error:
            reason = str(error)
        except ssl.SSLCertVerificationError:
            reason = "TLS refused a certificate"
        except ssl.SSLError:
            reason = "TLS failed"
        except (OSError, ValueError, RuntimeError):  # what paho lets through
            reason = "the connection failed"
        self._drop()
        raise MqttError(reason)

    def _drop(self) -> None:
        if self._session is not None:
            self._session.drop()
        self._session = None

    def _connect(self) -> None:
        self._drop()
        addresses = socket.getaddrinfo(self._host, self._port, 0, socket.SOCK_STREAM)
        deadline = time.monotonic() + self._connect_timeout
        session = self._session = Session(
            paho.CallbackAPIVersion.VERSION2, self._client_id, protocol=paho.MQTTv311, reconnect_on_failure=False
        )
        # For each address, and for the TLS handshake
        session.connect_timeout = self._connect_timeout / (len(addresses) + 1)
        session.will_set(self._will_topic, self._will_payload, qos=1, retain=True)
        session.username_pw_set(self._username, self._password)
        if self._tls is not None:
            session.tls_set_context(self._context(self._tls))
        session.connect(self._host, self._port, self._keepalive)
        if not self._serve(session.is_connected, deadline):
            raise MqttError("the broker did not answer in time")
        self._ping = jitter.ping(time.monotonic_ns(), self._keepalive, self._random)

    def _context(self, paths: "dict[str, Any]") -> ssl.SSLContext:
        """Return what verifies a server's authority, dates, and name in subjectAltName (RFC 9525, 2)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.hostname_checks_common_name = False
        context.load_verify_locations(paths["ca"])
        if paths["certificate"]:
            context.load_cert_chain(paths["certificate"], paths["key"])
        return context

    def _publish(self, topic: str, payload: bytes, retain: bool) -> None:
        if self._session is None:
            raise MqttError("not connected")
        deadline = time.monotonic() + self._acknowledge_timeout
        message = self._session.publish(topic, payload, qos=1, retain=retain)
        if not self._serve(message.is_published, deadline):
            raise MqttError("a message was not acknowledged in time")

    def _idle(self, end: int) -> None:
        """Wait until `end` (monotonic ns), and ping at the moments that are drawn for it."""
        while True:
            # To the ms before a ping's moment: poll knows no less.
            self._serve(lambda: False, min(end, self._ping - 2 * _MS) / _SECOND)
            if self._ping - time.monotonic_ns() < 3 * _MS:
                self._ask()
            if time.monotonic_ns() >= end:
                return

    def _ask(self) -> None:
        """Send a ping at its moment, to the ns as well as this processor can, and draw the next one's."""
        time.sleep(max(0, self._ping - time.monotonic_ns()) / _SECOND)
        if self._session is not None:
            self._session.ping()
        # One that was overdue by a keepalive (the processor stood still) isn't made up for.
        self._ping = jitter.ping(
            max(self._ping, time.monotonic_ns() - self._keepalive * _SECOND), self._keepalive, self._random
        )

    def _serve(self, done: "Callable[[], bool]", deadline: float) -> bool:
        """Let paho read, write and ping until it's done (true) or the deadline (false)."""
        poll, session = select.poll(), self._session
        while not done():
            stream = session.socket() if session is not None else None
            if session is None or stream is None:
                raise MqttError("the connection is lost")
            left = deadline - time.monotonic()
            poll.register(stream, select.POLLIN | select.POLLOUT * session.want_write())
            if not (isinstance(stream, ssl.SSLSocket) and stream.pending()):  # poll can't see what TLS holds
                poll.poll(max(0.0, min(left, STEP)) * 1000)
            failure = session.loop_read() or session.loop_write() or session.loop_misc()
            if failure == paho.MQTT_ERR_CONN_REFUSED:
                raise MqttError("the broker refused the connection")
            if failure and not done():
                raise MqttError("the connection is lost")
            if left <= 0:
                return done()
        return True


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any
