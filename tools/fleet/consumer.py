# SPDX-License-Identifier: Apache-2.0
"""One consumer: an MQTT 5 session that outlives it, a shared subscription, and no acknowledgement before the store has committed.

Any number of consumers share the load, on one machine or several: the broker hands each summary to one of them ($share). What a consumer
hadn't acknowledged when it was killed, the broker hands out again; `Intake` makes that harmless. State and health come at QoS 0 and, being
retained, once more at each connection: a broker keeps the queue of a collector that is away for what counts only.

Mosquitto 2.0 keeps plain subscriptions over a restart, shared ones it forgets: what gateways publish between its start and our
subscription would be nobody's. So one consumer, the `keeper`, also has a plain one. What comes by it is stored until it is certain that
the shared one was there first: until a mark that the keeper sends itself after the broker has confirmed it has come round. From
then on it is acknowledged and dropped.

No thread: paho's `loop` runs here, so a batch is committed between two looks at the socket.
"""

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from django.db import close_old_connections
from django.db.utils import Error
from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.outbox import topics
from tools import clock
from tools.fleet import trouble
from tools.fleet.broker import Address
from tools.fleet.intake import Allowance, Arrival, Intake
from tools.fleet.reading import LARGEST

GROUP = "oubli-fleet"
BATCH = 256  # messages of one transaction
GATHER = 0.05  # seconds that a message waits for others
SESSION = 7 * 86_400  # seconds that the broker keeps for a consumer that is away
PACKET = 16 << 20  # octets of the largest packet we let the broker send: larger than ours by far, so that what is too large is counted
BACKOFF = (1, 60)  # seconds
_SUMMARIES, _STATES, _HEALTHS = topics.summary("+", "+"), topics.state("+"), topics.health("+")
_SHARED = (f"$share/{GROUP}/{_SUMMARIES}", 1), (f"$share/{GROUP}/{_STATES}", 0), (f"$share/{GROUP}/{_HEALTHS}", 0)
_RETAINED = (_STATES, 0), (_HEALTHS, 0)
_PLAIN, _SHARE = 1, 2  # subscription identifiers


class Consumer:
    """Takes messages from a broker into the store. `name` is its session: one name, one consumer at a time."""

    def __init__(self, address: Address, name: str, log: Callable[[str], None], *, keeper: bool) -> None:
        self._address = address
        self._log = log
        self._intake = Intake()
        self._pending: list[tuple[Arrival, int]] = []  # with the id to acknowledge, 0 for QoS 0
        self._since = 0.0
        self._name = name
        self._refusal = ""  # what the broker, or TLS, said of why it ends the connection
        self._said = ""  # the last reason that was logged, and how often it came since
        self._again = 0
        self._taken_over = False
        self._mark = f"{GROUP}/mark/{name}" if keeper else ""
        self._certain = True  # that the shared subscription was there before what now comes by the plain one
        self._requests: dict[int, str] = {}  # what a confirmation of the broker's is about
        client = self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, f"{GROUP}-{name}", protocol=paho.MQTTv5, manual_ack=True, reconnect_on_failure=False
        )
        client.username_pw_set(address.username, address.password)
        if address.tls is not None:
            client.tls_set_context(address.tls)
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_message = self._arrived
        client.on_disconnect = self._ended
        client.on_log = self._noted

    def run(self, stopped: Callable[[], bool]) -> None:
        """Consume until `stopped` says so; come back with growing, jittered pauses when broker or store can't be reached."""
        pause = BACKOFF[0]
        while not stopped():
            try:
                self._connect()
                pause = self._serve(stopped, pause)
            except (OSError, ValueError, Error) as failure:
                self._lose(trouble.of_failure(failure, self._address.host, self._address.port))
            if self._taken_over:  # two who take a session from each other would go on for ever
                pause = BACKOFF[1]
            if not stopped():
                wait = random.uniform(0.1, pause)
                pause = min(2 * pause, BACKOFF[1])
                end = time.monotonic() + wait
                while time.monotonic() < end and not stopped():
                    time.sleep(0.1)
        self._client.disconnect()

    def _connect(self) -> None:
        close_old_connections()
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = SESSION
        properties.ReceiveMaximum = 2 * BATCH
        properties.MaximumPacketSize = PACKET
        self._pending = []
        self._intake.allowance = Allowance()  # the broker hands out again what it had no acknowledgement of: nothing is counted twice
        self._refusal = ""
        self._taken_over = False
        self._certain = False
        self._requests = {}
        self._client.connect(self._address.host, self._address.port, keepalive=30, clean_start=False, properties=properties)

    def _serve(self, stopped: Callable[[], bool], pause: int) -> int:
        while not stopped():
            failure = self._client.loop(GATHER if self._pending else 0.5)
            if failure:
                self._lose(self._refusal or trouble.of_cut(self._address.host, self._address.port, secure=self._address.tls is not None))
                return pause
            if self._pending and (len(self._pending) >= BATCH or time.monotonic() > self._since + GATHER):
                self._commit()
                pause = BACKOFF[0]
        self._commit()
        return pause

    def _commit(self) -> None:
        """Store what has come, then acknowledge it."""
        pending, self._pending = self._pending, []
        if pending:
            self._intake.take([arrival for arrival, _ in pending], int(clock.seconds()))
            for _, number in pending:
                if number:
                    self._client.ack(number, 1)

    def _lose(self, reason: str) -> None:
        """Drop the connection without a word; the broker still has what wasn't acknowledged."""
        self._pending = []
        self._client._sock_close()  # noqa: SLF001 (disconnect would tell the broker that we go in order)
        self._again = self._again + 1 if reason == self._said else 0
        self._said = reason
        if not self._again & self._again - 1:  # the first, second, third, fifth, ninth: a night without a broker is a few lines
            self._log(f"not connected: {reason}; trying again")

    def _connected(self, _client: paho.Client, _data: object, _flags: object, code: ReasonCode, _properties: object) -> None:
        if code.is_failure:
            self._refusal = trouble.of_code(code.value, self._name, str(code))
            return
        self._said = ""
        self._log("connected" + ("" if self._address.tls else " without TLS"))
        if self._mark:
            self._subscribe("mark", ((self._mark, 1),))
            self._subscribe("plain", ((_SUMMARIES, 1),), _PLAIN)
        self._subscribe("shared", _SHARED, _SHARE)
        self._subscribe("retained", _RETAINED)

    def _ended(self, _client: paho.Client, _data: object, flags: paho.DisconnectFlags, code: ReasonCode, _properties: object) -> None:
        if flags.is_disconnect_packet_from_server:
            self._refusal = trouble.of_code(code.value, self._name, str(code))
            self._taken_over = code.value == trouble.TAKEN_OVER

    def _noted(self, _client: paho.Client, _data: object, level: int, text: str) -> None:
        """Keep what TLS said: paho tells an error of a running connection to its log alone."""
        if level == paho.MQTT_LOG_ERR:
            self._refusal = self._refusal or trouble.of_alert(text)

    def _subscribe(self, what: str, wanted: Sequence[tuple[str, int]], identifier: int = 0) -> None:
        properties = Properties(PacketTypes.SUBSCRIBE)
        if identifier:
            properties.SubscriptionIdentifier = identifier
        _, number = self._client.subscribe([(topic, SubscribeOptions(qos=qos)) for topic, qos in wanted], properties=properties)
        if number is not None:
            self._requests[number] = what

    def _subscribed(self, client: paho.Client, _data: object, number: int, codes: list[ReasonCode], _properties: object) -> None:
        what = self._requests.pop(number, "")
        if any(code.is_failure for code in codes):
            self._log(f"the broker refuses a subscription ({what}): its access list doesn't know this user")
        elif what == "shared" and self._mark:
            client.publish(self._mark, b"", qos=1)
        elif what == "retained":  # it is on its way: from now on the shared subscription speaks
            client.unsubscribe([topic for topic, _ in _RETAINED])

    def _arrived(self, client: paho.Client, _data: object, message: Any) -> None:  # noqa: ANN401 (paho's)
        number = message.mid if message.qos else 0
        if message.topic == self._mark:
            self._certain = True
            client.ack(number, 1)
            return
        if self._certain and _PLAIN in getattr(message.properties, "SubscriptionIdentifier", ()):
            client.ack(number, 1)
            return
        if not self._pending:
            self._since = time.monotonic()
        payload = message.payload[: LARGEST + 1]  # enough to be refused for its size
        self._pending.append((Arrival(message.topic, payload, message.retain, message.dup), number))
