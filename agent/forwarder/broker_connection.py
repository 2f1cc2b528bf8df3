# SPDX-License-Identifier: Apache-2.0
"""The connection to the broker: made with what the configuration names, kept, and tried again with full jitter.

It says "online" when it stands and "stopped" when it is left; the broker says "lost" where it is cut off.
"""

import os

from agent import VERSION
from agent.forwarder.errors import MqttError
from agent.outbox import topics
from agent.runtime import files
from agent.runtime.sodium import Sodium

try:
    from agent.forwarder.mqtt_paho import Client
except ImportError:
    # No paho-mqtt here: our own client speaks the same protocol on both interpreters.
    from agent.forwarder.mqtt_small import Client  # type: ignore[assignment]

BACKOFF_FIRST, BACKOFF_LAST = 1, 300  # seconds
SECRET_LIMIT = 1024  # octets
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


class BrokerConnection:
    """A client is made for each connection and replaced after every failure. `random(count)` draws octets."""

    def __init__(
        self,
        config: "Config",
        source: "TimeSource",
        log: "Callable[[str], None]",
        random: "Callable[[int], bytes]",
    ) -> None:
        self._config = config
        self._source = source
        self._log = log
        self._gateway = config.gateway.id
        self._topic = topics.state(self._gateway)
        self._client: "Any" = None
        self._backoff = BACKOFF_FIRST
        self._host = random(1)[0]  # which of the hosts is tried next: gateways begin at different ones
        self._retry = 0
        self.failures = 0
        digest = Sodium().digest(config.canonical.encode(), 8)
        self._online = (
            '{"state":"online","boot":"%s","version":"%s","config":"%s"}'
            % (source.boot, VERSION, "".join("%02x" % octet for octet in digest))
        ).encode()

    @property
    def stands(self) -> bool:
        """Return True if there is a connection, as far as is known."""
        return self._client is not None

    def waits(self) -> bool:
        """Return True if it is too early to try again."""
        return self._client is None and self._source.monotonic() < self._retry

    def client(self) -> "Any":
        """Return the client of the connection, which is made where there is none; MqttError where it can't be."""
        self._client = self._client or self._connect()
        return self._client

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
            self._topic,
            LOST,
            tls=tls,
            username=mqtt.username,
            password=password(mqtt.password_file),
        )
        client.connect()
        client.publish(self._topic, self._online, retain=True)
        # Only now: a broker that accepts and then refuses is not to be stormed. When it goes, a
        # whole fleet comes back within the window.
        self._backoff = BACKOFF_FIRST if self._config.here else mqtt.spread
        self._log("connected" + (" without TLS (insecure)" if self._config.exposed else ""))
        return client

    def failed(self, reason: str) -> None:
        """Take note that it failed: the next host is tried, after a wait that is drawn."""
        self._client = None
        self.failures += 1
        self._host += 1
        # Full jitter: a fleet whose broker comes back doesn't return in one instant.
        ceiling = self._backoff * 1000
        wait = int.from_bytes(os.urandom(4), "big") % ceiling + 100
        self._backoff = max(self._backoff, min(self._backoff * 2, BACKOFF_LAST))
        self._retry = self._source.monotonic() + wait * 1000000
        self._log("not connected (" + reason + "), next try in " + str(wait) + " ms")

    def leave(self) -> None:
        """Tell the broker "stopped"; the last will then stays unsent."""
        if self._client is not None:
            try:
                self._client.publish(self._topic, STOPPED, retain=True)
                self._client.close()
            except MqttError:
                pass
            self._client = None


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from agent.base.clock import TimeSource
    from agent.config.config import Config
