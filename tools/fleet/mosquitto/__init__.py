# SPDX-License-Identifier: Apache-2.0
"""A Mosquitto by the configuration shipped beside this file, with other paths and port, for demo and tests."""

import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

SHIPPED = Path(__file__).parent
_TLS = (
    "cafile",
    "certfile",
    "keyfile",
    "require_certificate",
    "use_identity_as_username",
    "use_username_as_clientid",
    "tls_version",
)


class BrokerError(Exception):
    """No broker could be started; the text is one line for the person who asked."""


class Mosquitto:
    """A broker on free loopback ports: `port` is the gateways', `collectors` the collectors'.

    With `certificates` (ca.pem, collectors.pem, broker.pem, broker.key) as shipped; without, anonymous plain text.
    """

    def __init__(self, folder: Path, certificates: Path | None = None) -> None:
        if shutil.which("mosquitto") is None:
            raise BrokerError("mosquitto isn't on this machine; accepted: Debian's package mosquitto")
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as other:
            self.port: int = free.getsockname()[1]
            self.collectors: int = other.getsockname()[1]
        text = (SHIPPED / "oubli.conf").read_text()
        text = text.replace("listener 8883", f"user root\nlistener {self.port} 127.0.0.1")
        text = text.replace("listener 8884", f"listener {self.collectors} 127.0.0.1")
        text = text.replace("/etc/mosquitto/oubli.acl", str(SHIPPED / "oubli.acl"))
        text = text.replace("/etc/mosquitto/oubli/", f"{certificates}/")
        text = text.replace("/var/lib/mosquitto/", f"{folder}/")
        if certificates is None:
            text = re.sub(rf"(?m)^({'|'.join(_TLS)}|acl_file) .*\n", "", text)
            text = text.replace("allow_anonymous false", "allow_anonymous true")
        self._configuration = folder / "mosquitto.conf"
        self._configuration.write_text(text)
        self.start()

    def start(self) -> None:
        """Start it and wait until it listens."""
        log = self.folder / "mosquitto.log"
        with log.open("wb") as file:
            words = ["mosquitto", "-c", str(self._configuration)]
            self.process = subprocess.Popen(
                words, stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True
            )
        deadline = time.monotonic() + 30
        while b" running\n" not in log.read_bytes():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise BrokerError(f"mosquitto didn't start: {' '.join(log.read_text(errors='replace').split())[-300:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it in order: it saves what it holds."""
        self.process.terminate()
        self.process.wait(30)

    def __enter__(self) -> "Mosquitto":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
