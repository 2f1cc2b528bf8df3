# SPDX-License-Identifier: Apache-2.0
"""Messages from RabbitMQ's quorum queues (AMQP 0.9.1): consumers share one, and it outlives a node's loss.

The MQTT plugin publishes what gateways send to the exchange `amq.topic`, with dots for slashes.
`tools/fleet/rabbitmq/definitions.json` binds two queues to it, declared before any collector exists, so that what is
published then waits. State is in the queue of the figures: each must arrive. Health has a queue of its own, of which
what is older than ten minutes goes: the next one says better.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import pika
from pika.credentials import ExternalCredentials, PlainCredentials
from pika.exceptions import AMQPError, ChannelClosedByBroker, ProbableAccessDeniedError, ProbableAuthenticationError

from tools.fleet.broker import Address, BrokerError
from tools.fleet.delivery import FIGURES, STATUS, Arrival, Delivery, Lost
from tools.fleet.reading import LARGEST

QUEUES = {FIGURES: "oubli-figures", STATUS: "oubli-health"}
WINDOW = 512  # messages that the broker hands over before it waits for an acknowledgement
HEARTBEAT = 30  # seconds
ANSWER = 20  # seconds in which the broker confirms a connection
_SHIPPED = "accepted: the queues of tools/fleet/rabbitmq/definitions.json, and a user who may read them"
_NOT_FOUND, _REFUSED = 404, 403  # AMQP 0.9.1, 1.2 (reply codes)


class Amqp:
    """A consumer of the queue of one kind of messages."""

    def __init__(self, address: Address, kind: str, log: Callable[[str], None]) -> None:
        self._queue, self._log = QUEUES[kind], log
        self._plain = address.tls is None
        certified = address.tls is not None and address.username is None  # the certificate says who we are (EXTERNAL)
        self._parameters = pika.ConnectionParameters(
            host=address.host,
            port=address.port,
            credentials=ExternalCredentials()
            if certified
            else PlainCredentials(address.username or "guest", address.password or "guest"),
            ssl_options=None if address.tls is None else pika.SSLOptions(address.tls, address.host),
            heartbeat=HEARTBEAT,
            socket_timeout=ANSWER,
            stack_timeout=ANSWER,
            blocked_connection_timeout=ANSWER,
        )
        self._connection: Any = None
        self._channel: Any = None  # pika has no types
        self._arrived: list[Delivery] = []

    def connect(self) -> None:
        """Connect, see that the queue is there, and consume."""
        self._arrived = []
        try:
            self._connection = pika.BlockingConnection(self._parameters)
            self._channel = self._connection.channel()
            self._channel.basic_qos(prefetch_count=WINDOW)
            self._channel.queue_declare(self._queue, passive=True)
            self._channel.basic_consume(self._queue, self._came)
        except (ProbableAuthenticationError, ProbableAccessDeniedError):
            raise Lost(
                "the broker doesn't let this user in: see --broker USER@, --password-file, --certificate"
            ) from None
        except ChannelClosedByBroker as failure:
            if failure.reply_code in {_NOT_FOUND, _REFUSED}:
                raise BrokerError(f"--broker: it gives no queue {self._queue}; {_SHIPPED}") from None
            raise Lost(f"the broker closes the queue ({failure.reply_code})") from None
        except AMQPError as failure:
            raise Lost(_said(failure)) from None
        self._log("connected" + (" without TLS" if self._plain else ""))

    def receive(self, seconds: float) -> list[Delivery]:
        """Return what has come, after at most so many seconds."""
        if self._connection is None:
            raise Lost("not connected")
        try:
            self._connection.process_data_events(time_limit=seconds)
        except AMQPError as failure:
            raise Lost(_said(failure)) from None
        if self._channel is None or not self._channel.is_open or not self._channel.consumer_tags:
            raise Lost("the broker ended the queue's consumer")  # its leader moved, or it was deleted
        arrived, self._arrived = self._arrived, []
        return arrived

    def acknowledge(self, tokens: list[int]) -> None:
        """Acknowledge these and all before: they are acknowledged in the order in which they came."""
        if tokens and self._channel is not None:
            try:
                self._channel.basic_ack(tokens[-1], multiple=True)
            except AMQPError as failure:
                raise Lost(_said(failure)) from None

    def drop(self) -> None:
        """Close; the broker hands out again what wasn't acknowledged."""
        connection, self._connection, self._channel, self._arrived = self._connection, None, None, []
        if connection is not None and connection.is_open:
            with contextlib.suppress(AMQPError, OSError):
                connection.close()

    def close(self) -> None:
        """Say goodbye."""
        self.drop()

    def _came(self, _channel: Any, method: Any, _properties: Any, body: bytes) -> None:  # noqa: ANN401 (pika's)
        arrival = Arrival(method.routing_key.replace(".", "/"), body[: LARGEST + 1], again=method.redelivered)
        self._arrived.append(Delivery(arrival, method.delivery_tag))


def _said(failure: AMQPError) -> str:
    return f"the connection was cut ({type(failure).__name__})"
