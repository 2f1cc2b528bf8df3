# SPDX-License-Identifier: Apache-2.0
"""The forwarder: holds the MQTT connection and sees nothing but the spool's finished messages (L34-VI-2).

It never parses or edits a message, and sends at moments drawn at random (`jitter`). One is in flight at a time. Its
file goes only after the broker's PUBACK, so what was cut off is sent again octet for octet. Reconnects back off with
full jitter (`broker_connection`). It subscribes to nothing.
"""

import os
import sys
import time

from agent.base import canonical
from agent.base.paths import Paths
from agent.forwarder.broker_connection import BrokerConnection
from agent.forwarder.errors import MqttError
from agent.outbox import jitter, topics
from agent.outbox.spool import Spool, due, metric
from agent.runtime import files, process, sockets
from agent.runtime.libc import reason

_SECOND = 1000000000
HOLD = 720 * _SECOND  # the longest a message may be held back, whatever the wall clock says
MESSAGE_LIMIT = 4096  # octets
PACE = 32  # messages a turn, so that a backlog is delivered in good order and a stop is heard
# What the former recorder said last: where both were started anew, the next one says better within RESTART.
CAPTURE_STOPPED, RESTART = b'"capture":"stopped"', 60 * _SECOND


class Forwarder:
    """Publishes what lies in the spool, and health."""

    def __init__(
        self,
        config: "Config",
        root: str,
        source: "TimeSource",
        log: "Callable[[str], None]",
        random: "Callable[[int], bytes]" = os.urandom,
    ) -> None:
        self._paths = Paths(root)
        self._source = source
        self._log = log
        self._random = random
        self._gateway = config.gateway.id
        self._spool = Spool(self._paths.flash.spool, config.mqtt.spool_bytes, config.mqtt.spool_days)
        # Of the oldest messages: when each is to be sent, ns since the epoch, and when at the latest, ns since boot.
        self._seen: "dict[str, tuple[int, int]]" = {}
        self.broker = BrokerConnection(config, source, log, random)
        self._health = b""
        self._next_health = jitter.health_sent(source.monotonic(), random)
        self._began = source.monotonic()
        self._said = ""
        self.published = self.unsendable = 0

    def turn(self, milliseconds: int) -> None:
        """Publish what is due, then wait at most this long while the connection is served."""
        if self.broker.waits():
            sockets.Poll().wait(milliseconds)
            return
        try:
            self._look()
            client = self.broker.client()
            wall, monotonic = self._source.wall(), self._source.monotonic()
            self._publish(client, wall, monotonic)
            self._idle(client, milliseconds, wall, monotonic)
        except MqttError as failure:
            self.broker.failed(str(failure))
        except OSError as failure:  # the spool can't be used: say so to the broker too
            self.broker.leave()
            self.broker.failed("the spool: " + reason(failure.errno)[2:-1])
        self._report()

    def _look(self) -> None:
        seen = {}
        for name in self._spool.names():
            seen[name] = self._seen.get(name) or self._moment(due(name) * _SECOND)
        self._seen = seen

    def _moment(self, due: int) -> "tuple[int, int]":
        """Return when a message that is seen first is sent: at once where it has waited longer than it had to."""
        late = self._source.wall() >= due
        return (due if late else due + jitter.drawn(self._random, jitter.SENT), self._source.monotonic() + HOLD)

    def _idle(self, client: "Any", milliseconds: int, now: int, monotonic: int) -> None:
        """Wait at most so long, and to the first moment after `now`: its ms with the connection, then the moment."""
        left = milliseconds * 1000000
        for wait in [self._next_health - monotonic] + [at - now for at, _ in self._seen.values()]:
            if 0 < wait < left:
                left = wait
        left = max(0, left + monotonic - self._source.monotonic())
        if left < 1000000:
            time.sleep(left / _SECOND)
        client.idle(left // 1000000)

    def _publish(self, client: "Any", now: int, monotonic: int) -> None:
        end = self.published + PACE
        for name in sorted(self._seen):
            if self.published == end:
                break
            at, latest = self._seen[name]
            if at > now and latest > monotonic:
                continue
            path = self._paths.flash.spool + "/" + name
            text = self._read(path)
            if text:
                client.publish(topics.summary(self._gateway, metric(name)), text)
                files.remove(path)
                self.published += 1
                del self._seen[name]
            elif files.exists(path):
                self._set_aside(name)
        if self._health and monotonic < self._next_health:
            return
        if monotonic >= self._next_health:
            self._next_health = jitter.health_sent(monotonic, self._random)
        text = self._read(self._paths.run.health)
        if (
            text is not None
            and text != self._health
            and not (CAPTURE_STOPPED in text and monotonic < self._began + RESTART)
        ):
            client.publish(topics.health(self._gateway), text, retain=True)
            self._health = text

    def _set_aside(self, name: str) -> None:
        """Take what can't be sent out of the queue, count it, and leave it to the recorder's next sweep."""
        try:
            os.rename(self._paths.flash.spool + "/" + name, self._paths.flash.spool + "/.unsendable-" + name)
        except OSError:
            return  # it stays where it is, in nobody's way, until it is too old
        del self._seen[name]
        self.unsendable += 1
        self._log("set aside a message that can't be read")

    def _read(self, path: str) -> "bytes | None":
        """Return a message, or None.

        None: the recorder has dropped it meanwhile, or it isn't there yet, or it is none of ours.
        """
        try:
            return files.read_bounded(path, MESSAGE_LIMIT)
        except OSError:
            return None

    def _report(self) -> None:
        """Tell the recorder how it goes, by one small file."""
        said = canonical.dumps(
            {
                "connected": self.broker.stands,
                "published": self.published,
                "failures": self.broker.failures,
                "waiting": len(self._seen),
                "unsendable": self.unsendable,
            }
        )
        if said == self._said:
            return
        try:
            files.write_atomic(self._paths.run.forwarder, said.encode(), 0o640, durable=False)
            self._said = said
        except OSError:
            pass  # the recorder, which makes the folder, hasn't started yet: said again in the next turn

    def close(self) -> None:
        """Say goodbye to the broker and tell the recorder."""
        self.broker.leave()
        self._report()


def run(config: "Config", root: str, source: "TimeSource") -> int:
    """Run the daemon until SIGTERM; returns the exit code."""
    process.harden()

    def log(text: str) -> None:
        process.log("oubli forwarder: " + text)

    try:
        alone = files.hold_folder(Paths(root).flash.spool)
    except OSError:
        alone = True  # the recorder, which makes the folder, hasn't started yet
    if not alone:
        # Both would take the same session at the broker from each other, for ever.
        sys.stderr.write("oubli forwarder: another forwarder runs below this root\n")
        return 1
    try:
        files.remove(Paths(root).run.forwarder)  # what one that was killed said
    except OSError:
        pass  # nothing was said
    stop = process.stop_descriptor()
    poll = sockets.Poll()
    poll.add(stop)
    forwarder = Forwarder(config, root, source, log)
    log("started")
    while not poll.wait(0):
        forwarder.turn(1000)
    forwarder.close()
    log("stopped")
    return 0


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from agent.base.clock import TimeSource
    from agent.config.config import Config
