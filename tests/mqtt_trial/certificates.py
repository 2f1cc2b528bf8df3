# SPDX-License-Identifier: Apache-2.0
"""Certificates for the trial, made when it runs: PEM (`.crt`, `.key`) and DER (`.der`, `.key.der`).

`ca` signs `server` (localhost, 127.0.0.1), `elsewhere` (another name), `expired`, `early` (not yet valid) and `gateway`
(a client). `other` is a certificate authority that signed none of them but `stranger`. `alone` is signed by itself.
"""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

LEAVES = {  # names, and days from now on which validity begins and ends
    "server": (("localhost", "127.0.0.1"), -1, 1),
    "elsewhere": (("broker.invalid",), -1, 1),
    "expired": (("localhost", "127.0.0.1"), -3, -2),
    "early": (("localhost", "127.0.0.1"), 2, 3),
    "gateway": (("gateway",), -1, 1),
}


def write(folder: Path, name: str, certificate: bytes, key: bytes) -> None:
    """Write a certificate and its key in both forms."""
    (folder / f"{name}.crt").write_bytes(certificate)
    (folder / f"{name}.der").write_bytes(ssl.PEM_cert_to_DER_cert(certificate.decode()))
    (folder / f"{name}.key").write_bytes(key)
    (folder / f"{name}.key.der").write_bytes(
        ssl.PEM_cert_to_DER_cert(key.decode().replace("EC PRIVATE KEY", "CERTIFICATE"))
    )


def make(folder: Path) -> Path:
    """Fill the folder and return it."""
    authorities = {name: trustme.CA() for name in ("ca", "other")}
    for name, authority in authorities.items():
        write(folder, name, authority.cert_pem.bytes(), authority.private_key_pem.bytes())
    now = datetime.now(UTC)
    for name, (names, begin, end) in LEAVES.items():
        leaf = authorities["ca"].issue_cert(
            *names, common_name=name, not_before=now + timedelta(days=begin), not_after=now + timedelta(days=end)
        )
        write(folder, name, leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes())
    leaf = authorities["other"].issue_cert("localhost", "127.0.0.1", common_name="stranger")
    write(folder, "stranger", leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes())
    write(folder, "alone", *_signed_by_itself(now))
    return folder


def _signed_by_itself(now: datetime) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1).public_key(key.public_key())
    made = made.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    form = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    certificate = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return certificate, key.private_bytes(serialization.Encoding.PEM, *form)


def tls(folder: Path, form: str, ca: str = "ca", own: bool = False) -> dict[str, str | None]:
    """Return the `tls` argument of a client that reads this form ("crt" or "der")."""
    key = "key" if form == "crt" else "key.der"
    return {
        "ca": str(folder / f"{ca}.{form}"),
        "certificate": str(folder / f"gateway.{form}") if own else None,
        "key": str(folder / f"gateway.{key}") if own else None,
    }
