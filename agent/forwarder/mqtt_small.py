# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1 for a device that only publishes (L34-VI-2): one connection, one message in flight, every wait bounded.

The agent subscribes to nothing, so a broker has three things to say: CONNACK, PUBACK, PINGRESP. Each has one length, at
most four bytes; anything else ends the connection before it is read. That is the whole receive buffer. A connection
that failed in any way is dropped without DISCONNECT, so that the broker publishes the last will.

MicroPython's TLS knows no time-outs, so the socket never blocks. An operation is tried first and waited for only when
it has nothing to do, because TLS may hold bytes that poll can't see. Nothing of ours leaves before the TLS handshake is
over. By then the server's certificate and its dates are verified, and it is known to vouch for the host. TLS needs
MicroPython's `tls` module; all else runs on CPython too. Names such as MQTT-2.3.1-1 are the conformance statements of
the OASIS standard MQTT 3.1.1.
"""

import errno
import os
import select
import socket
import struct
import time

from agent.forwarder.errors import MqttError
from agent.outbox import jitter
from agent.runtime import files, process, x509
from agent.runtime.clocks import DeviceTime

CONNACK, PUBACK, PINGRESP = 0x20, 0x40, 0xD0
SIZES = {CONNACK: 4, PUBACK: 4, PINGRESP: 2}  # first byte -> bytes of the whole packet
PINGREQ, DISCONNECT = b"\xc0\x00", b"\xe0\x00"
MQTT_3_1_1 = b"\x00\x04MQTT\x04"
CLEAN_SESSION, WILL_RETAINED_AT_QOS_1, PASSWORD, USERNAME = 0x02, 0x04 | 0x08 | 0x20, 0x40, 0x80
HANDSHAKE_STEP = 100  # ms; how soon a TLS handshake is looked at again when nothing has arrived
PEM_LIMIT = 65536  # bytes of a certificate's or a key's file


def field(value: "str | bytes") -> bytes:
    """Return two bytes of length, then the bytes (MQTT 3.1.1, 1.5.3)."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(data)) + data


def framed(first: int, body: bytes) -> bytes:
    """Return a packet.

    That is its first byte, the remaining length in groups of seven bits, low ones first (2.2.3), and the body.
    """
    head = bytearray([first])
    rest = len(body)
    while rest > 0x7F:
        head.append(rest & 0x7F | 0x80)
        rest >>= 7
    head.append(rest)
    return bytes(head) + body


class Client:
    """A connection to one broker, for publishing at QoS 1.

    A method that raises `MqttError` has dropped the connection.
    """

    _raw: "Any" = None  # the TCP socket
    _stream: "Any" = None  # what is spoken through: TLS, or the TCP socket itself

    def __init__(
        self, host: str, port: int, client_id: str, will_topic: str, will_payload: bytes, *,
        tls: "dict[str, Any] | None" = None, username: "str | None" = None,
        password: "str | None" = None, keepalive: int = jitter.KEEPALIVE, connect_timeout: int = 20,
        acknowledge_timeout: int = 20, random: "Callable[[int], bytes]" = os.urandom,
    ) -> None:  # fmt: skip
        """Keep what a connection needs; times in seconds.

        `random(count)` gives octets, from which the moments of pings are drawn.

        `tls` holds the paths `ca`, `certificate` and `key`; the last two may be None. The files are DER, or PEM where
        MicroPython was built to read it. The server's certificate must carry `host`.
        """
        self._host, self._port, self._tls = host, port, tls
        flags = CLEAN_SESSION | WILL_RETAINED_AT_QOS_1
        fields = field(client_id) + field(will_topic) + field(will_payload)
        # No password alone (MQTT-3.1.2-22)
        for flag, value in ((USERNAME, username), (PASSWORD, username and password)):
            if value:
                flags |= flag
                fields += field(value)
        self._hello = framed(0x10, MQTT_3_1_1 + struct.pack("!BH", flags, keepalive) + fields)
        self._random = random
        self._keepalive, self._connect_timeout = keepalive * 1000, connect_timeout * 1000
        self._acknowledge_timeout = acknowledge_timeout * 1000
        self._clock = DeviceTime()
        self._identifier = 0  # of the last message, over all connections
        self._drop()

    def connect(self) -> None:
        """Connect, within `connect_timeout` of when the name is resolved, until the broker has accepted."""
        self._guard(self._connect)

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        """Hand one message to the broker; return when it has acknowledged, within `acknowledge_timeout` seconds."""
        self._guard(self._publish, topic, payload, retain)

    def idle(self, milliseconds: int) -> None:
        """Wait, and keep the connection alive. A dead one is found within two keepalives if calls follow closely."""
        self._guard(self._idle, milliseconds)

    def close(self) -> None:
        """Say DISCONNECT, so that the last will is not published, and close. Never raises."""
        try:
            self._send(DISCONNECT, self._now() + 1000)
        except (MqttError, OSError, ValueError):
            pass
        self._drop()

    def _guard(self, step: "Callable[..., None]", *arguments: object) -> None:
        """Run a step; if it fails, drop the connection and tell only the kind of failure."""
        try:
            return step(*arguments)
        except MqttError as error:
            reason = str(error)
        # The numbers of MicroPython's TLS are negative; so are a resolver's, where there are numbers
        except OSError as error:
            secure = self._stream is not self._raw and isinstance(error.errno, int) and error.errno < 0
            reason = "TLS failed" if secure else "the connection failed"
        except ValueError:  # MicroPython's word for a certificate that isn't accepted or isn't one
            reason = "TLS refused a certificate"
        except ImportError:
            reason = "this interpreter has no TLS"
        self._drop()
        raise MqttError(reason)

    def _drop(self) -> None:
        """Close and forget the connection, without DISCONNECT. Never raises."""
        for end in (self._stream, self._raw):  # TLS that has failed doesn't close the TCP socket below it
            try:
                if end is not None:
                    end.close()
            except OSError:
                pass
        self._raw = self._stream = None
        self._inbox = b""  # the beginning of one packet
        self._asked: int | None = None  # when a ping went out, if nothing has come since

    def _now(self) -> int:
        """Return ms since boot, as every `deadline` here is."""
        return self._clock.monotonic() // 1_000_000

    def _connect(self) -> None:
        """Do what `connect` says; MqttError, OSError or ValueError where it fails."""
        self._drop()
        addresses = socket.getaddrinfo(self._host, self._port, 0, socket.SOCK_STREAM)
        deadline = self._now() + self._connect_timeout
        for tried, address in enumerate(addresses):  # one that leads nowhere takes only its share of the time
            if self._reach(address, self._now() + (deadline - self._now()) // (len(addresses) - tried)):
                break
            self._drop()
        else:
            raise MqttError("no address of the broker answers")
        self._stream = self._raw
        if self._tls:
            self._stream = self._secure(self._raw, self._tls)
            self._shake_hands(deadline)
        self._send(self._hello, deadline)
        packet = self._await(CONNACK, deadline)
        if packet is None:
            raise MqttError("the broker did not answer in time")
        if packet[3] != 0:
            raise MqttError("the broker refused the connection")
        self._ping = jitter.ping(self._clock.monotonic(), self._keepalive // 1000, self._random)

    def _reach(self, address: "tuple[Any, ...]", deadline: int) -> bool:
        """Return True if TCP connects to an address of `getaddrinfo`, before `deadline` (ms since boot)."""
        raw = self._raw = socket.socket(address[0], address[1], address[2])
        raw.setblocking(False)
        try:
            raw.connect(address[-1])
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                return False
        return self._ready(select.POLLOUT, deadline) == select.POLLOUT  # else POLLERR or POLLHUP beside it, or 0

    def _secure(self, raw: "socket.socket", paths: "dict[str, Any]") -> "Any":
        """Return a TLS stream over `raw` before its handshake; ValueError for a file that is no certificate or key."""
        import tls

        context: "Any" = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)  # the stubs lack verify_mode
        process.quiet_tls()
        context.verify_mode = tls.CERT_REQUIRED
        context.load_verify_locations(files.read_bounded(paths["ca"], PEM_LIMIT))
        if paths["certificate"]:
            own = [files.read_bounded(paths[name], PEM_LIMIT) for name in ("certificate", "key")]
            context.load_cert_chain(own[0], own[1])
        return context.wrap_socket(raw, server_hostname=self._host, do_handshake_on_connect=False)

    def _shake_hands(self, deadline: int) -> None:
        """Finish the TLS handshake, which receiving does, and look at whom the server's certificate vouches for.

        `deadline` is in ms since boot. MqttError where it passes, or where the certificate isn't the host's.
        """
        while True:
            if self._try("recv", 1) is not None:
                raise MqttError("the broker closed the connection, or spoke before it was asked")
            certificate = self._stream.getpeercert(True)
            if certificate is not None:
                break
            if self._now() >= deadline:
                raise MqttError("the broker did not answer in time")
            self._ready(select.POLLIN, min(deadline, self._now() + HANDSHAKE_STEP))
        if not x509.vouches(certificate, self._host):
            raise MqttError("TLS refused a certificate")

    def _publish(self, topic: str, payload: bytes, retain: bool) -> None:
        """Do what `publish` says; MqttError where the message isn't acknowledged in time."""
        deadline = self._now() + self._acknowledge_timeout
        self._identifier = self._identifier % 0xFFFF + 1  # 1 to 65,535, never 0 (MQTT-2.3.1-1)
        identifier = struct.pack("!H", self._identifier)
        self._send(framed(0x33 if retain else 0x32, field(topic) + identifier + payload), deadline)
        packet = self._await(PUBACK, deadline)
        if packet is None:
            raise MqttError("a message was not acknowledged in time")
        if packet[2:] != identifier:
            raise MqttError("the broker acknowledged another message")

    def _idle(self, milliseconds: int) -> None:
        """Do what `idle` says; MqttError where a ping has no answer for a keepalive."""
        end = self._now() + milliseconds
        while True:
            if self._asked is None and self._now() >= self._ping // 1_000_000 - 1:
                self._ask()
            # To the ms before a ping's moment: poll knows no less, and waits for a whole one from now.
            self._await(
                PINGRESP,
                min(end, self._ping // 1_000_000 - 1 if self._asked is None else self._asked + self._keepalive),
            )
            if self._asked is not None and self._now() - self._asked >= self._keepalive:
                raise MqttError("the broker stopped answering")
            if self._now() >= end:
                return

    def _ask(self) -> None:
        """Send a ping at its moment, to the ns as well as this processor can, and draw the next one's."""
        time.sleep(max(0, self._ping - self._clock.monotonic()) / 1_000_000_000)
        self._send(PINGREQ, self._now() + self._keepalive)
        self._asked = self._now()
        # One that was overdue by a keepalive (the processor stood still) isn't made up for.
        self._ping = jitter.ping(
            max(self._ping, self._clock.monotonic() - self._keepalive * 1_000_000),
            self._keepalive // 1000,
            self._random,
        )

    def _send(self, packet: bytes, deadline: int) -> None:
        """Send a whole packet; MqttError where the broker doesn't take it before `deadline` (ms since boot)."""
        rest = memoryview(packet)
        while rest:
            count = self._try("send", rest)
            if count:
                rest = rest[count:]
            elif self._now() >= deadline:
                raise MqttError("the broker takes nothing more")
            else:
                self._ready(select.POLLOUT, deadline)

    def _await(self, kind: int, deadline: int) -> "bytes | None":
        """Return a packet of this kind, or None when `deadline` (ms since boot) comes first.

        Only a PINGRESP may come before it; MqttError for anything else, and where the broker closes.
        """
        while True:
            size = SIZES.get(self._inbox[0], 0) if self._inbox else 2
            if size == 0 or (len(self._inbox) > 1 and self._inbox[1] != size - 2):
                raise MqttError("the broker broke the protocol")
            if len(self._inbox) == size:
                packet, self._inbox, self._asked = self._inbox, b"", None
                if packet[0] == kind:
                    return packet
                if packet[0] != PINGRESP:
                    raise MqttError("the broker broke the protocol")
            data = self._try("recv", size - len(self._inbox))  # after a PINGRESP two bytes: the next beginning
            if data == b"":
                raise MqttError("the broker closed the connection")
            if data is not None:
                self._inbox += data
            elif not self._ready(select.POLLIN, deadline):
                return None
            if self._now() >= deadline:  # what TLS receives may be no data, and what a peer floods may be no answer
                return None

    def _try(self, name: str, argument: object) -> "Any":
        """Send or receive once: call `name` of the stream.

        Return what it returns, or None when nothing can be done now: TLS returns that, plain sockets raise EAGAIN.
        MqttError where there is no connection, OSError where it fails.
        """
        if self._stream is None:
            raise MqttError("not connected")
        try:
            return getattr(self._stream, name)(argument)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
        return None

    def _ready(self, events: int, deadline: int) -> int:
        """Wait for the TCP socket; return the events that came, 0 when `deadline` (ms since boot) comes first."""
        poll = select.poll()
        poll.register(self._raw, events)
        found = poll.poll(max(0, deadline - self._now()))
        return found[0][1] if found else 0


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any
