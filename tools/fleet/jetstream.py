# SPDX-License-Identifier: Apache-2.0
"""Messages from NATS's JetStream: any number of consumers share a stream, and it outlives the loss of a node.

A NATS server acknowledges over MQTT what its own stream `$MQTT_msgs` has taken, and keeps there what a consumer waits
for. Figures and state, each of which must arrive, are read from there: `oubli-fleet streams` makes it as the server
would, and the consumer, before any gateway speaks. A stream of our own would only overhear what is published: what came
while it had no leader was acknowledged and gone. For health that is enough: the next one says better, and what is older
than ten minutes goes.

The client's library is asynchronous; its loop runs inside the calls, so nothing is acknowledged but by `acknowledge`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import nats
from nats.aio.client import Client
from nats.errors import AuthorizationError, Error
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StreamConfig
from nats.js.client import JetStreamContext
from nats.js.errors import BadRequestError, NotFoundError, ServiceUnavailableError

from tools.fleet.broker import Address, BrokerError
from tools.fleet.delivery import FIGURES, HEALTHS, STATES, STATUS, SUMMARIES, Arrival, Delivery, Lost
from tools.fleet.reading import LARGEST

STREAMS = {FIGURES: "$MQTT_msgs", STATUS: "OUBLI-HEALTH"}
DURABLE = "oubli-fleet"
WINDOW = 512  # messages that are handed over at once
ANSWER = 20  # seconds in which the server answers
AGAIN = 8  # seconds after which what a killed consumer had is handed to another
_MQTT = "$MQTT.msgs."  # before the subjects of the server's own stream
_FEW = 10005  # the server's error code: it knows of fewer nodes than there should be copies
T = TypeVar("T")

# Of each connection over TLS that ends asyncio would say that an answer of the library's has no effect.
logging.getLogger("asyncio").setLevel(logging.ERROR)


def _subject(topic: str) -> str:
    return topic.replace("/", ".").replace("+", "*")


_MADE = {
    FIGURES: StreamConfig(name=STREAMS[FIGURES], subjects=[_MQTT + ">"], retention=RetentionPolicy.INTEREST),
    STATUS: StreamConfig(
        name=STREAMS[STATUS], subjects=[_subject(HEALTHS)], retention=RetentionPolicy.WORK_QUEUE, max_age=600
    ),
}
_FILTERS = {FIGURES: [_MQTT + _subject(topic) for topic in (SUMMARIES, STATES)], STATUS: None}


class JetStream:
    """A consumer of the stream of one kind of messages."""

    def __init__(self, address: Address, kind: str, log: Callable[[str], None]) -> None:
        self._address, self._stream, self._log = address, STREAMS[kind], log
        self._runner: asyncio.Runner | None = None  # of a connection
        self._client: Client | None = None
        self._subscription: JetStreamContext.PullSubscription | None = None

    def _run(self, step: Coroutine[Any, Any, T]) -> T:
        if self._runner is None:
            step.close()
            raise Lost("not connected")
        try:
            return self._runner.run(asyncio.wait_for(step, ANSWER))
        except AuthorizationError:
            raise Lost(
                "the broker doesn't let this user in: see --broker USER@, --password-file, --certificate"
            ) from None
        except NotFoundError:
            raise BrokerError(
                f"--broker: it has no {self._stream} with a consumer; accepted: where `oubli-fleet streams` made them"
            ) from None
        except (Error, OSError, TimeoutError) as failure:
            raise Lost(f"the connection was cut ({type(failure).__name__})") from None

    def connect(self) -> None:
        """Connect, and see that the stream and its consumer are there."""
        self._runner = asyncio.Runner()
        self._run(self._connect())
        self._log("connected" + ("" if self._address.tls else " without TLS"))

    async def _connect(self) -> None:
        self._client = await connected(self._address)
        context = self._client.jetstream()
        await context.consumer_info(self._stream, DURABLE)
        self._subscription = await context.pull_subscribe_bind(DURABLE, self._stream)

    def receive(self, seconds: float) -> list[Delivery]:
        """Return what has come, after at most so many seconds."""
        return self._run(self._receive(seconds))

    async def _receive(self, seconds: float) -> list[Delivery]:
        if self._client is None or self._subscription is None or not self._client.is_connected:
            raise Lost("the connection was cut")
        try:
            found = await self._subscription.fetch(WINDOW, timeout=max(seconds, 0.05))
        except TimeoutError:  # nothing came: the library's own, or asyncio's
            return []
        except ServiceUnavailableError:  # a node died, and the others choose who hands out
            await asyncio.sleep(seconds)
            return []
        return [
            Delivery(
                Arrival(
                    one.subject.removeprefix(_MQTT).replace(".", "/"),
                    one.data[: LARGEST + 1],
                    again=one.metadata.num_delivered > 1,
                ),
                one,
            )
            for one in found
        ]

    def acknowledge(self, tokens: list[Any]) -> None:
        """Acknowledge these, and wait until the server has heard it."""
        if tokens:
            self._run(self._acknowledge(tokens))

    async def _acknowledge(self, tokens: list[Any]) -> None:
        for token in tokens:
            await token.ack()
        if self._client is not None:
            await self._client.flush(ANSWER)

    def drop(self) -> None:
        """Close; the server hands out again what wasn't acknowledged."""
        client, self._client, self._subscription = self._client, None, None
        if client is not None:
            with contextlib.suppress(Lost):
                self._run(client.close())
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    def close(self) -> None:
        """Say goodbye."""
        self.drop()


async def connected(address: Address, **more: float) -> Client:
    """Return a connection that isn't renewed by itself: who uses it comes back with pauses of its own.

    The library tries sixty times to make it, unless `more` says otherwise.
    """

    async def quiet(_: Exception) -> None:
        """Say nothing: what fails is raised where it was asked."""

    options: dict[str, Any] = {"tls": address.tls, "tls_hostname": address.host} if address.tls else {}
    options |= more
    return await nats.connect(
        f"{'tls' if address.tls else 'nats'}://{address.host}:{address.port}",
        name=DURABLE,
        user=address.username,
        password=address.password,
        allow_reconnect=False,
        connect_timeout=ANSWER,
        error_cb=quiet,
        **options,
    )


def make(address: Address, replicas: int) -> list[str]:
    """Make the streams and their consumers, or leave those that are there; return their names.

    BrokerError says what is wrong.
    """

    async def made() -> list[str]:
        client = await connected(address, max_reconnect_attempts=1, reconnect_time_wait=0.1)
        try:
            for kind in STREAMS:
                await _make(client.jetstream(), kind, replicas)
        finally:
            await client.close()
        return list(STREAMS.values())

    try:
        return asyncio.run(asyncio.wait_for(made(), 3 * ANSWER))
    except BadRequestError as failure:
        accepted = "a stream of the same shape, or none"
        if failure.err_code == _FEW:
            accepted = f"{replicas} nodes that it counts as its own (restart the one that /jsz doesn't name)"
        raise BrokerError(f"--broker: it makes no stream: {failure.description}; accepted: {accepted}") from None
    except (Error, OSError, TimeoutError) as failure:
        raise BrokerError(
            f"--broker: can't be used ({type(failure).__name__}); accepted: a NATS server with JetStream"
        ) from None


async def _make(context: JetStreamContext, kind: str, replicas: int) -> None:
    await context.add_stream(_MADE[kind].evolve(num_replicas=replicas))
    await context.add_consumer(
        STREAMS[kind],
        ConsumerConfig(
            durable_name=DURABLE,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=AGAIN,
            max_ack_pending=16 * WINDOW,
            filter_subjects=_FILTERS[kind],
        ),
    )
