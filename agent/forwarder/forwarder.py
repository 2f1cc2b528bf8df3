# SPDX-License-Identifier: Apache-2.0
"""The forwarder: holds the MQTT connection and sees nothing but the spool's finished messages (L34-VI-2).

It never parses or edits a message, and sends at moments drawn at random (`jitter`). One is in flight at a time. Its
file goes only after the broker's PUBACK, so what was cut off is sent again octet for octet. Reconnects back off with
full jitter. It subscribes to nothing.
"""

import os
import sys
import time

from agent import VERSION
from agent.base import canonical
from agent.base.paths import Paths
from agent.forwarder.errors import MqttError
from agent.outbox import jitter, topics
from agent.outbox.spool import Spool, due, metric
from agent.runtime import files, process, sockets
from agent.runtime.libc import reason
from agent.runtime.sodium import Sodium

try:
    from agent.forwarder.mqtt_paho import Client
except ImportError:
    # No paho-mqtt here: our own client speaks the same protocol on both interpreters.
    from agent.forwarder.mqtt_small import Client  # type: ignore[assignment]

_SECOND = 1000000000
HOLD = 720 * _SECOND  # the longest a message may be held back, whatever the wall clock says
BACKOFF_FIRST, BACKOFF_LAST = 1, 300  # seconds
MESSAGE_LIMIT, SECRET_LIMIT = 4096, 1024  # octets
PACE = 32  # messages a turn, so that a backlog is delivered in good order and a stop is heard
# What the former recorder said last: where both were started anew, the next one says better within RESTART.
CAPTURE_STOPPED, RESTART = b'"capture":"stopped"', 60 * _SECOND
LOST, STOPPED = b'{"state":"lost"}', b'{"state":"stopped"}'


def usable(path: "str | None", option: str, *, secret: bool = False) -> "str | None":
    """Return the path; MqttError names the option where the file can't be read, or is a secret that others can read."""
    if path is not None:
        try:
            with open(path, "rb"):
                mode = os.stat(path)[0]
        except OSError:
            raise MqttError(option + " can't be read")
        if secret and mode & 0o077:
            raise MqttError(option + " is open to others; accepted: mode 0600")
    return path


def password(path: "str | None") -> "str | None":
    """Return the text of a password file; MqttError where the file isn't one of a password."""
    path = usable(path, "mqtt.password_file", secret=True)
    try:
        return files.read_bounded(path, SECRET_LIMIT).decode().rstrip("\r\n") if path else None
    except (OSError, ValueError):  # not the error's own text: it may quote the password
        raise MqttError("mqtt.password_file isn't a short text")


class Forwarder:
    """Publishes what lies in the spool; a client is made for each connection and replaced after every failure."""

    def __init__(
        self,
        config: "Config",
        root: str,
        source: "TimeSource",
        log: "Callable[[str], None]",
        random: "Callable[[int], bytes]" = os.urandom,
    ) -> None:
        self._config = config
        self._paths = Paths(root)
        self._source = source
        self._log = log
        self._random = random
        self._gateway = config.gateway.id
        self._spool = Spool(self._paths.spool, config.mqtt.spool_bytes, config.mqtt.spool_days)
        # Of the oldest messages: when each is to be sent, ns since the epoch, and when at the latest, ns since boot.
        self._seen: "dict[str, tuple[int, int]]" = {}
        self._client: "Any" = None
        self._backoff = BACKOFF_FIRST
        self._host = random(1)[0]  # which of the hosts is tried next: gateways begin at different ones
        self._retry = 0
        self._health = b""
        self._next_health = jitter.health_sent(source.monotonic(), random)
        self._began = source.monotonic()
        self._said = ""
        self.published = self.failures = self.unsendable = 0
        digest = Sodium().digest(config.canonical.encode(), 8)
        self._online = (
            '{"state":"online","boot":"%s","version":"%s","config":"%s"}'
            % (source.boot, VERSION, "".join("%02x" % octet for octet in digest))
        ).encode()

    def _connect(self) -> "Any":
        mqtt = self._config.mqtt
        tls = None
        if not self._config.plain:
            tls = {
                "ca": usable(mqtt.ca, "mqtt.ca"),
                "certificate": usable(mqtt.certificate, "mqtt.certificate"),
                "key": usable(mqtt.key, "mqtt.key", secret=True),
            }
        client = Client(
            mqtt.host[self._host % len(mqtt.host)],
            mqtt.port,
            self._gateway,
            topics.state(self._gateway),
            LOST,
            tls=tls,
            username=mqtt.username,
            password=password(mqtt.password_file),
        )
        client.connect()
        client.publish(topics.state(self._gateway), self._online, retain=True)
        # Only now: a broker that accepts and then refuses is not to be stormed. When it goes, a
        # whole fleet comes back within the window.
        self._backoff = BACKOFF_FIRST if self._config.here else mqtt.spread
        self._log("connected" + (" without TLS (insecure)" if self._config.exposed else ""))
        return client

    def turn(self, milliseconds: int) -> None:
        """Publish what is due, then wait at most this long while the connection is served."""
        if self._client is None and self._source.monotonic() < self._retry:
            sockets.Poll().wait(milliseconds)
            return
        try:
            self._look()
            client = self._client = self._client or self._connect()
            wall, monotonic = self._source.wall(), self._source.monotonic()
            self._publish(client, wall, monotonic)
            self._idle(client, milliseconds, wall, monotonic)
        except MqttError as failure:
            self._fail(str(failure))
        except OSError as failure:  # the spool can't be used: say so to the broker too
            self._leave()
            self._fail("the spool: " + reason(failure.errno)[2:-1])
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

    def _fail(self, reason: str) -> None:
        self._client = None
        self.failures += 1
        self._host += 1
        # Full jitter: a fleet whose broker comes back doesn't return in one instant.
        ceiling = self._backoff * 1000
        wait = int.from_bytes(os.urandom(4), "big") % ceiling + 100
        self._backoff = max(self._backoff, min(self._backoff * 2, BACKOFF_LAST))
        self._retry = self._source.monotonic() + wait * 1000000
        self._log("not connected (" + reason + "), next try in " + str(wait) + " ms")

    def _publish(self, client: "Any", now: int, monotonic: int) -> None:
        end = self.published + PACE
        for name in sorted(self._seen):
            if self.published == end:
                break
            at, latest = self._seen[name]
            if at > now and latest > monotonic:
                continue
            path = self._paths.spool + "/" + name
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
        text = self._read(self._paths.health)
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
            os.rename(self._paths.spool + "/" + name, self._paths.spool + "/.unsendable-" + name)
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
                "connected": self._client is not None,
                "published": self.published,
                "failures": self.failures,
                "waiting": len(self._seen),
                "unsendable": self.unsendable,
            }
        )
        if said == self._said:
            return
        try:
            files.write_atomic(self._paths.forwarder, said.encode(), 0o640, durable=False)
            self._said = said
        except OSError:
            pass  # the recorder, which makes the folder, hasn't started yet: said again in the next turn

    def close(self) -> None:
        """Say goodbye to the broker and tell the recorder."""
        self._leave()
        self._report()

    def _leave(self) -> None:
        """Tell the broker "stopped"; the last will then stays unsent."""
        if self._client is not None:
            try:
                self._client.publish(topics.state(self._gateway), STOPPED, retain=True)
                self._client.close()
            except MqttError:
                pass
            self._client = None


def run(config: "Config", root: str, source: "TimeSource") -> int:
    """Run the daemon until SIGTERM; returns the exit code."""
    process.harden()

    def log(text: str) -> None:
        process.log("oubli forwarder: " + text)

    try:
        alone = files.hold_folder(Paths(root).spool)
    except OSError:
        alone = True  # the recorder, which makes the folder, hasn't started yet
    if not alone:
        # Both would take the same session at the broker from each other, for ever.
        sys.stderr.write("oubli forwarder: another forwarder runs below this root\n")
        return 1
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
