# SPDX-License-Identifier: Apache-2.0
"""Messages from an MQTT broker by a session that outlives its connection: MQTT 5, or else 3.1.1.

What the broker can do is read from its CONNACK and SUBACK (MQTT 5, 3.2.2.3 and 3.9.3), never assumed. Subscriptions are
plain. Shared ones aren't used. Mosquitto hands messages to members of the share that are away, and forgets the share
at a restart. RabbitMQ grants one as a literal topic, NATS knows none. A second collector has a session of its own, gets
everything too, and the store's keys make that harmless.

State comes at QoS 1, so that what gateways say while the collector is away waits for it. Health comes at QoS 0, since
the next one is five minutes off. Both are retained and come once more when they are asked for: at most once an hour,
because a large fleet has 200,000.

No thread: paho's `loop` runs in `receive`, and nothing is acknowledged but by `acknowledge`.
"""

import contextlib
import select
import ssl
import time
from collections.abc import Callable
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tools.fleet import trouble
from tools.fleet.broker import Address, BrokerError
from tools.fleet.delivery import AWAY, FIGURES, HEALTHS, STATES, SUMMARIES, Arrival, Delivery, Lost
from tools.fleet.reading import LARGEST

WINDOW = 512  # messages that the broker hands over before it waits for an acknowledgement
# Octets of the largest packet we let the broker send: larger than ours by far, so that what is too large is counted
PACKET = 16 << 20
LONGEST = 1400  # octets of the longest packet that a gateway sends
TICKETS = 1.0  # seconds in which a broker that sends session tickets has done so
ANSWER = 20  # seconds in which the broker confirms a connection or a subscription
ASKED = 3600  # seconds in which retained messages aren't asked for again
TOPICS = {FIGURES: ((SUMMARIES, 1),), "status": ((STATES, 1), (HEALTHS, 0))}
_UNSUPPORTED = 0x84
# SUBACK: what another try doesn't change (MQTT 5, 3.9.3)
_FINAL = {
    0x87: "its access list doesn't let this user read",
    0x8F: "it takes no such topic filter",
    0xA2: "it has no wildcards",
}


def _heard(_client: paho.Client, _data: object, stream: Any) -> None:  # noqa: ANN401 (paho's)
    """Wait for the broker's first word after the handshake: tickets, or our certificate's refusal (TLS 1.3).

    Were CONNECT sent first, the connection would be reset and the alert lost. SSLError is the alert.
    """
    if isinstance(stream, ssl.SSLSocket) and select.select([stream], [], [], TICKETS)[0]:
        with contextlib.suppress(ssl.SSLWantReadError):
            stream.recv(1)  # no broker sends anything before CONNECT


class Mqtt:
    """A session named `name` that takes one kind of messages."""

    def __init__(self, address: Address, name: str, kind: str, log: Callable[[str], None]) -> None:
        self._address, self._name, self._kind, self._log = address, name, kind, log
        self._version = paho.MQTTv5
        self._known = False  # that the broker speaks this version
        self._client = self._made()
        self._arrived: list[Delivery] = []
        self._refused = 0  # the reason code by which the broker refused the connection or ended it
        self._reason = ""  # what the broker, or TLS, said of it
        self._answer: Properties | None = None  # what CONNACK says that the broker can do
        self._granted: list[ReasonCode] | None = None
        self._present = False  # whether the broker has kept the session
        self._asked = 0.0  # when retained messages were last asked for, monotonic

    def _made(self) -> paho.Client:
        client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            self._name,
            clean_session=False if self._version == paho.MQTTv311 else None,
            protocol=self._version,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.username_pw_set(self._address.username, self._address.password)
        if self._address.tls is not None:
            client.tls_set_context(self._address.tls)
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_message = self._came
        client.on_disconnect = self._ended
        client.on_log = self._noted
        client.on_socket_open = _heard
        return client

    def connect(self) -> None:
        """Connect, read what the broker can do, and subscribe unless the broker has kept the subscription."""
        self._arrived, self._refused, self._reason, self._answer, self._granted = [], 0, "", None, None
        properties = None
        if self._version == paho.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = AWAY
            properties.ReceiveMaximum = WINDOW
            properties.MaximumPacketSize = PACKET
        fresh = False if properties else paho.MQTT_CLEAN_START_FIRST_ONLY  # paho takes the other only for MQTT 5
        self._client.connect(
            self._address.host, self._address.port, keepalive=30, clean_start=fresh, properties=properties
        )
        try:
            self._await(lambda: self._answer is not None)
        except Lost:
            if self._refused == _UNSUPPORTED or not (self._reason or self._known):  # some close without a word instead
                self._version = paho.MQTTv311 if self._version == paho.MQTTv5 else paho.MQTTv5
                self.drop()
                self._client = self._made()
            raise
        self._known = True
        self._check()
        if not self._present or time.monotonic() > self._asked or self._kind == FIGURES:
            self._subscribe()
        self._log(self._words())

    def _words(self) -> str:
        """Return the line of a connection that stands, with what is less than was asked for."""
        words = ["connected"]
        if self._address.tls is None:
            words.append("without TLS")
        if self._version == paho.MQTTv311:
            words.append("by MQTT 3.1.1")
        kept = getattr(self._answer, "SessionExpiryInterval", AWAY)
        if kept < AWAY:
            words.append(f"(the broker keeps {kept // 3600} h for a collector that is away, not {AWAY // 3600})")
        return " ".join(words)

    def _check(self) -> None:
        """BrokerError where the broker lacks what nothing replaces."""
        answer = self._answer
        lacks = [
            (getattr(answer, "MaximumQoS", 1) < 1, "takes no message at QoS 1", "QoS 1"),
            (
                getattr(answer, "RetainAvailable", 1) < 1,
                "retains no message, and gateways publish their state so",
                "retained messages",
            ),
            (getattr(answer, "WildcardSubscriptionAvailable", 1) < 1, "has no wildcard subscriptions", "wildcards"),
            (
                getattr(answer, "MaximumPacketSize", LONGEST) < LONGEST,
                f"takes packets below {LONGEST} octets only",
                "longer ones",
            ),
            (
                getattr(answer, "SessionExpiryInterval", AWAY) < 1,
                "keeps no session while a collector is away",
                "persistent sessions",
            ),
        ]
        for lacking, what, wanted in lacks:
            if lacking:
                raise BrokerError(f"--broker: it {what}: nothing is taken from it; accepted: a broker with {wanted}")

    def _subscribe(self) -> None:
        self._client.subscribe(list(TOPICS[self._kind]))
        self._await(lambda: self._granted is not None)
        for code, (topic, qos) in zip(self._granted or (), TOPICS[self._kind], strict=True):
            if code.value in _FINAL:
                raise BrokerError(f"--broker: {_FINAL[code.value]} ({topic}); accepted: a user who may subscribe to it")
            if code.is_failure:
                raise Lost(f"the broker refuses a subscription: {code}")
            if code.value < qos:
                raise BrokerError(
                    f"--broker: it grants QoS 0 for {topic}: messages would be lost; accepted: "
                    "a broker that grants QoS 1"
                )
        self._asked = time.monotonic() + ASKED

    def _await(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + ANSWER
        while not done():
            self._loop(0.2)
            if time.monotonic() > end:
                raise Lost("the broker doesn't answer")

    def _loop(self, seconds: float) -> None:
        if self._client.loop(seconds) or self._reason:
            where = self._address
            reason = self._reason or trouble.of_cut(where.host, where.port, secure=where.tls is not None)
            raise Lost(reason, taken_over=self._refused == trouble.TAKEN_OVER)

    def receive(self, seconds: float) -> list[Delivery]:
        """Return what has come, after at most so many seconds."""
        if not self._arrived:
            self._loop(seconds)
        arrived, self._arrived = self._arrived, []
        return arrived

    def acknowledge(self, tokens: list[int]) -> None:
        """Send PUBACK for these."""
        for token in tokens:
            self._client.ack(token, 1)

    def drop(self) -> None:
        """Close without DISCONNECT."""
        self._arrived = []
        with contextlib.suppress(OSError):
            self._client._sock_close()  # noqa: SLF001 (disconnect would tell the broker that we go in order)

    def close(self) -> None:
        """Send DISCONNECT; the broker keeps the session."""
        self._client.disconnect()
        self.drop()

    def _connected(
        self,
        _client: paho.Client,
        _data: object,
        flags: Any,  # noqa: ANN401 (paho's)
        code: ReasonCode,
        answer: Properties | None,
    ) -> None:
        if code.is_failure:
            self._refused, self._reason = code.value, trouble.of_code(code.value, self._name, str(code))
            return
        self._present = flags.session_present
        self._answer = answer or Properties(PacketTypes.CONNACK)

    def _ended(
        self, _client: paho.Client, _data: object, flags: paho.DisconnectFlags, code: ReasonCode, _properties: object
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._refused, self._reason = code.value, trouble.of_code(code.value, self._name, str(code))

    def _noted(self, _client: paho.Client, _data: object, level: int, text: str) -> None:
        """Keep what TLS said: paho tells an error of a running connection to its log alone."""
        if level == paho.MQTT_LOG_ERR:
            self._reason = self._reason or trouble.of_alert(text)

    def _subscribed(
        self, _client: paho.Client, _data: object, _number: int, codes: list[ReasonCode], _properties: object
    ) -> None:
        self._granted = codes

    def _came(self, _client: paho.Client, _data: object, message: Any) -> None:  # noqa: ANN401 (paho's)
        payload = message.payload[: LARGEST + 1]  # enough to be refused for its size
        token = message.mid if message.qos else None
        self._arrived.append(Delivery(Arrival(message.topic, payload, message.retain, message.dup), token))
