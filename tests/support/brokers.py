# SPDX-License-Identifier: Apache-2.0
"""Brokers of other makers, each on free loopback ports, in a folder of its own.

RabbitMQ with its MQTT plugin, and NATS.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from host_sim.driver.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


def _await(port: int, process: subprocess.Popen[bytes], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=240)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def nats(folder: Path, own: int = 0, room: str = "") -> Iterator[int]:
    """Give the MQTT port of a NATS server; its MQTT needs JetStream. `own` is its clients' port, `room` a line."""
    port, own = free_port(), own or free_port()
    configuration = folder / "nats.conf"
    store = f'jetstream {{ store_dir: "{folder}/store"\n{room} }}'
    # By default what a killed client had waits for 30 s
    mqtt = f'mqtt {{ host: 127.0.0.1, port: {port}, ack_wait: "1s" }}'
    configuration.write_text(f"server_name: oubli\nhost: 127.0.0.1\nport: {own}\n{store}\n{mqtt}\n")
    process = subprocess.Popen(
        ["nats-server", "-c", configuration], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _await(port, process, 120)
        yield port
    finally:
        _end(process)


@contextmanager
def rabbitmq(folder: Path, port: int = 0, configuration: str = "") -> Iterator[int]:
    """Give the MQTT port of a RabbitMQ: in plain text for anybody, or as it is configured.

    Its name service (epmd) listens on a port of its own too, and ends with it.
    """
    port, names = port or free_port(), str(free_port())
    (folder / "enabled").write_text(
        "[rabbitmq_mqtt,rabbitmq_auth_mechanism_ssl].\n" if configuration else "[rabbitmq_mqtt].\n"
    )
    plain = f"listeners.tcp = none\nmqtt.listeners.tcp.1 = 127.0.0.1:{port}\n"
    (folder / "rabbitmq.conf").write_text((configuration or plain) + "log.file = false\n")
    variables = {
        "ERL_EPMD_PORT": names,
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"oubli-{names}@localhost",
        "RABBITMQ_MNESIA_BASE": str(folder / "db"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }
    environment = os.environ | variables
    process = subprocess.Popen(
        ["/usr/lib/rabbitmq/bin/rabbitmq-server"],
        env=environment,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await(port, process, 120)
        yield port
    finally:
        _end(process)
        subprocess.run([shutil.which("epmd") or "epmd", "-kill"], env=environment, check=False, capture_output=True)


BROKERS: dict[str, Callable[[Path], AbstractContextManager[int]]] = {"nats": nats, "rabbitmq": rabbitmq}
