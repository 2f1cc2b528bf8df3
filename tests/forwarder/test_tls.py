# SPDX-License-Identifier: Apache-2.0
"""Brokers that the forwarder must not speak to (L34-VI-2, L34-II-5).

Refused, a line without a secret for each try, tried again slowly.
"""

from __future__ import annotations

import re
import shutil
import socket
import ssl
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, cast

import pytest

from host_sim.driver.ports import free_port
from tests.forwarder.test_delivery import untiring
from tests.forwarder.test_forwarder import STATE, Gateway, state, until
from tests.mqtt_trial import certificates
from tests.mqtt_trial.broker import Subscriber, broker
from tests.mqtt_trial.peers import Connection, Peer
from tests.support.interpreters import INTERPRETERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.interpreters import Interpreter

pytestmark = pytest.mark.needs("mosquitto")

REASONS = {"old": "TLS failed", "plain": "the connection failed|TLS failed"}  # the others' certificates are refused
SHUT_OUT = re.compile(
    r"not connected \((TLS failed|the connection is lost|the connection failed|the broker closed the connection)\)"
)
SERVERS = ("server", "stranger", "expired", "early", "elsewhere", "alone")


def old(files: Path) -> ssl.SSLContext:
    """Return a server's context that speaks TLS 1.1 and nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.warns(DeprecationWarning, match=r"TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(files / "server.crt", files / "server.key")
    return context


def secured(folder: Path, files: Path, port: int, **options: object) -> Gateway:
    """Return a gateway with its own certificate, and one message in its spool."""
    names = certificates.tls(files, "crt", own=True)
    gateway = Gateway(folder, port, **{"insecure": 0, **names, **options})
    gateway.put(60, b"message")
    return gateway


def tries(gateway: Gateway, reason: str = "TLS refused a certificate") -> list[int]:
    """Return the waits that it told, in ms: each whole line is of one failed try, for this reason, no more."""
    said = gateway.log.split("\n")[1:-1]
    found = [
        re.fullmatch(rf"oubli forwarder: not connected \((?:{reason})\), next try in (\d+) ms", line) for line in said
    ]
    assert all(found), said
    return [int(one[1]) for one in found if one]


def test_the_peer_that_speaks_only_tls_1_1_does(tmp_path: Path):
    """Else its refusal would say nothing."""
    files = certificates.make(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(files / "ca.crt")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match=r"TLSv1_1"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with (
        Peer(Connection.greet, old(files)) as peer,
        socket.create_connection(("127.0.0.1", peer.port)) as end,
        context.wrap_socket(end, server_hostname="localhost") as stream,
    ):
        assert stream.version() == "TLSv1.1"


EACH = [
    "cpython",
    pytest.param("micropython", marks=pytest.mark.needs("micropython-1.28")),
    pytest.param("debian", marks=pytest.mark.needs("debian")),
]


@pytest.mark.parametrize("name", EACH)
def test_tls_1_3_is_spoken_and_the_library_writes_nothing(name: str, tmp_path: Path):
    """MicroPython 1.28 lets Mbed TLS print what it does, where that can.

    Keys and octets of messages among it (L34-II-5).
    """
    files = certificates.make(tmp_path)
    (files / "gateway.key").chmod(0o600)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "server.crt", files / "server.key")
    spoken = []

    def takes_two(connection: Connection) -> None:
        spoken.append(cast("ssl.SSLSocket", connection.stream).version())
        connection.greet()
        for _ in range(2):
            connection.acknowledge(connection.message()[0])
        connection.stay()

    with Peer(takes_two, context) as peer:
        gateway = secured(tmp_path / "gateway", files, peer.port)
        with gateway.forwarder(INTERPRETERS[name]):
            until(lambda: not list(gateway.spool.iterdir()))
    assert spoken == ["TLSv1.3"]
    assert gateway.log == "oubli forwarder: started\noubli forwarder: connected\n"


def test_a_broker_that_cannot_be_trusted_is_refused_and_tried_again_slowly(interpreter: Interpreter, tmp_path: Path):
    """Another authority's, expired, not begun, another name, signed by itself, a CA that changed, TLS 1.1, plain text.

    Not one message.

    Real Mosquitto, but for TLS 1.1, which it no longer speaks. The spool keeps what it
    has; a broker with our authority's is taken.
    """
    files = certificates.make(tmp_path)
    for path in files.glob("*.key"):
        path.chmod(0o600)
    with ExitStack() as stack:
        real = stack.enter_context(broker(tmp_path, files, servers=SERVERS))
        subscriber = stack.enter_context(Subscriber(real.port))
        peer = stack.enter_context(Peer(Connection.greet, old(files)))
        cases: dict[str, tuple[int, dict[str, object]]] = {name: (real.ports[name], {}) for name in SERVERS[1:]}
        cases |= {
            "old": (peer.port, {}),
            "plain": (real.port, {}),
            "changed": (real.ports["server"], {"ca": files / "other.crt"}),
        }
        gateways = {}
        for name, (port, options) in cases.items():
            gateway = gateways[name] = secured(tmp_path / f"gateway-{name}", files, port, **options)
            stack.enter_context(gateway.forwarder(interpreter))
        for name, gateway in gateways.items():
            until(lambda gateway=gateway: gateway.log.count("next try") >= 2)  # type: ignore[misc]
            waits = tries(gateway, *([REASONS[name]] if name in REASONS else []))
            assert all(100 <= wait < 100 + 1000 * 2**tried for tried, wait in enumerate(waits)), (name, waits)
            assert len(list(gateway.spool.iterdir())) == 1, name
        assert subscriber.next(0.1) is None
        assert not any(connection.packets for connection in peer.connections)
        stack.enter_context(secured(tmp_path / "gateway-good", files, real.ports["server"]).forwarder(interpreter))
        online = subscriber.next()
        assert online
        assert (online.topic, state(online.payload)) == (STATE, "online")


def test_a_change_of_authority_shuts_out_who_has_the_former_ones_certificate(interpreter: Interpreter, tmp_path: Path):
    """Either side: refused until it is given files of the new authority.

    Nothing is restarted, and what waited arrives.
    """
    files = certificates.make(tmp_path)
    own = tmp_path / "own"
    own.mkdir()
    for name in ("ca.crt", "gateway.crt", "gateway.key"):
        shutil.copy(files / name, own / name)
    (own / "gateway.key").chmod(0o600)
    port = free_port()
    gateway = secured(tmp_path / "gateway", own, port)
    log = tmp_path / "said"
    with untiring(interpreter, gateway, log):
        with moved(tmp_path, files, port, "ca"):
            until(lambda: not list(gateway.spool.iterdir()))
        message = gateway.put(30, b"again")
        with moved(tmp_path, files, port, "other"):
            until(lambda: "TLS refused a certificate" in log.read_text())
            (own / "ca.crt").write_bytes((files / "other.crt").read_bytes())
            told = len(log.read_text())
            until(lambda: SHUT_OUT.search(log.read_text()[told:]))
            assert message.exists()
            for kind in ("crt", "key"):
                (own / f"gateway.{kind}").write_bytes((files / f"stranger.{kind}").read_bytes())
            until(lambda: not message.exists())
    assert "BEGIN" not in log.read_text()


@contextmanager
def moved(folder: Path, files: Path, port: int, authority: str) -> Iterator[None]:
    """Run a broker of which everything is this authority's."""
    name = {"ca": "server", "other": "stranger"}[authority]
    with broker(folder, files, servers=(name,), authority=authority, tls_port=port):
        yield
