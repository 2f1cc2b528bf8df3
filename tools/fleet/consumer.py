# SPDX-License-Identifier: Apache-2.0
"""One consumer: takes one kind of messages from a broker, and acknowledges none before the store has committed it.

What a consumer hadn't acknowledged when it was killed, the broker hands out again; `Intake` makes that harmless. A
broker that can't do what is needed, or a fleet that is larger than was said, ends the consumer by BrokerError: nothing
is acknowledged, the exit code says so.
"""

import random
import time
from collections.abc import Callable

from django.db import close_old_connections
from django.db.utils import Error

from tools import clock
from tools.fleet import trouble
from tools.fleet.amqp import Amqp
from tools.fleet.broker import Address, BrokerError
from tools.fleet.delivery import FIGURES, GATEWAYS, STATUS, Delivery, Lost, Transport
from tools.fleet.intake import Allowance, FullError, Intake
from tools.fleet.jetstream import JetStream
from tools.fleet.mqtt import Mqtt

BATCH = {FIGURES: 256, STATUS: 500}  # messages of one transaction
GATHER = {FIGURES: 0.05, STATUS: 1.0}  # seconds that a message waits for others
BACKOFF = (1, 10)  # seconds: a fleet has a few collectors, and while they wait nothing is stored
TAKEN_OVER = 60  # seconds at most before a try to take a session back
NAME = "oubli-fleet"


def _transport(address: Address, name: str, kind: str, log: Callable[[str], None]) -> Transport:
    if address.way == "amqp":
        return Amqp(address, kind, log)
    if address.way == "nats":
        return JetStream(address, kind, log)
    return Mqtt(address, name, kind, log)


class Consumer:
    """Takes messages of one kind from a broker into the store.

    `name` is its session: one name, one consumer at a time.
    """

    def __init__(
        self, address: Address, name: str, kind: str, log: Callable[[str], None], *, gateways: int = GATEWAYS
    ) -> None:
        self._transport = _transport(address, f"{NAME}-{name}", kind, log)
        self._log = log
        self._batch, self._gather = BATCH[kind], GATHER[kind]
        self._pause = BACKOFF[0]  # seconds, at most, before the next try
        self._address = address
        self._said = ""  # the last reason that was logged, and how often it came since
        self._again = 0
        self.intake = Intake(gateways)
        self._gateways = gateways

    def run(self, stopped: Callable[[], bool]) -> None:
        """Consume until `stopped`; come back with growing, jittered pauses when broker or store are away.

        BrokerError: no other try will help.
        """
        while not stopped():
            try:
                close_old_connections()
                self._transport.connect()
                self._said = ""
                # What the broker had no acknowledgement of comes again: nothing is counted twice.
                self.intake.allowance = Allowance(limit=self._gateways)
                self._serve(stopped)
            except Lost as failure:
                if failure.taken_over:  # two who take a session from each other would go on for ever
                    self._pause = TAKEN_OVER
                self._lose(str(failure))
            except (OSError, ValueError, Error) as failure:
                self._lose(trouble.of_failure(failure, self._address.host, self._address.port))
            except FullError as failure:
                self._transport.drop()
                raise BrokerError(str(failure)) from None
            except BrokerError:
                self._transport.drop()
                raise
            if not stopped():
                end = time.monotonic() + random.uniform(0.1, self._pause)
                self._pause = min(2 * self._pause, max(self._pause, BACKOFF[1]))
                while time.monotonic() < end and not stopped():
                    time.sleep(0.1)
        self._transport.close()

    def _lose(self, reason: str) -> None:
        """Drop the connection without a word; the broker still has what wasn't acknowledged."""
        self._transport.drop()
        self._again = self._again + 1 if reason == self._said else 0
        self._said = reason
        # The first, second, third, fifth, ninth: a night without a broker is a few lines
        if not self._again & self._again - 1:
            self._log(f"not connected: {reason}; trying again")

    def _serve(self, stopped: Callable[[], bool]) -> None:
        """Store what comes, a batch a transaction, until stopped."""
        pending: list[Delivery] = []
        since = 0.0
        while not stopped():
            came = self._transport.receive(self._gather if pending else 0.5)
            if came and not pending:
                since = time.monotonic()
            pending += came
            if pending and (len(pending) >= self._batch or time.monotonic() > since + self._gather):
                batch, pending = pending[: self._batch], pending[self._batch :]
                self._commit(batch)
                since = time.monotonic()
                self._pause = BACKOFF[0]
        self._commit(pending)

    def _commit(self, batch: list[Delivery]) -> None:
        """Store what has come, then acknowledge it."""
        if batch:
            self.intake.take([one.arrival for one in batch], int(clock.seconds()))
            self._transport.acknowledge([one.token for one in batch if one.token is not None])
