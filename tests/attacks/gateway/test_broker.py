# SPDX-License-Identifier: Apache-2.0
"""Who may stand in the broker's place: whom a certificate of the right authority vouches for."""

from __future__ import annotations

import ipaddress
import ssl
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.forwarder.test_forwarder import until
from tests.forwarder.test_tls import secured, tries
from tests.mqtt_trial import certificates
from tests.mqtt_trial.peers import Connection, Peer
from tests.support.interpreters import INTERPRETERS

if TYPE_CHECKING:
    from pathlib import Path

ADDRESS, NAME = "127.0.0.1", "localhost"
# Whom the forwarder is to reach, the certificate's common name, its subjectAltName, and whether that is he.
CASES: dict[str, tuple[str, str, list[x509.GeneralName] | None, bool]] = {
    "address": (ADDRESS, "x", [x509.DNSName("x"), x509.IPAddress(ipaddress.ip_address(ADDRESS))], True),
    "name": (NAME, "x", [x509.IPAddress(ipaddress.ip_address("192.0.2.1")), x509.DNSName("LocalHost")], True),
    "address as a name": (ADDRESS, "x", [x509.DNSName(ADDRESS)], False),
    "address as a common name": (ADDRESS, ADDRESS, None, False),
    "common name": (NAME, NAME, None, False),
    "common name beside another": (NAME, NAME, [x509.DNSName("elsewhere")], False),
    "URI": (NAME, NAME, [x509.UniformResourceIdentifier(NAME)], False),
    "another address": (
        ADDRESS,
        ADDRESS,
        [x509.DNSName(ADDRESS), x509.IPAddress(ipaddress.ip_address("127.0.0.2"))],
        False,
    ),
}
EACH = [
    "cpython",
    pytest.param("micropython", marks=pytest.mark.needs("micropython-1.28")),
    pytest.param("debian", marks=pytest.mark.needs("debian")),
]


def issue(files: Path, name: str, common: str, others: list[x509.GeneralName] | None) -> ssl.SSLContext:
    """Have our authority sign a certificate with these names; return the context of a server that has it."""
    authority = x509.load_pem_x509_certificate((files / "ca.crt").read_bytes())
    signer = serialization.load_pem_private_key((files / "ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)]))
    made = made.issuer_name(authority.subject).serial_number(x509.random_serial_number()).public_key(key.public_key())
    made = made.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    if others is not None:
        made = made.add_extension(x509.SubjectAlternativeName(others), critical=False)
    form = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    (files / f"{name}.crt").write_bytes(made.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    (files / f"{name}.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / f"{name}.crt", files / f"{name}.key")
    return context


@pytest.mark.parametrize("name", EACH)
def test_a_certificate_vouches_for_nobody_but_whom_it_names(name: str, tmp_path: Path) -> None:
    """L34-VI-2, RFC 9525: an address as iPAddress, a name as dNSName.

    No packet, no password, leaves for anybody else.
    """
    files = certificates.make(tmp_path)
    (files / "gateway.key").chmod(0o600)
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "password").chmod(0o600)
    with ExitStack() as stack:
        peers = {}
        for number, (case, (host, common, others, _)) in enumerate(CASES.items()):
            peer = peers[case] = stack.enter_context(
                Peer(Connection.greet, issue(files, f"case-{number}", common, others))
            )
            more = {"host": host, "username": "gateway", "password_file": tmp_path / "password"}
            gateway = secured(tmp_path / f"gateway-{number}", files, peer.port, **more)
            with gateway.forwarder(INTERPRETERS[name]):
                if CASES[case][3]:
                    until(lambda peer=peer: any(one.packets for one in peer.connections))  # type: ignore[misc]
                else:
                    until(lambda gateway=gateway: "next try" in gateway.log)  # type: ignore[misc]
                    assert tries(gateway), case
        for case, peer in peers.items():
            assert any(connection.packets for connection in peer.connections) is CASES[case][3], case
