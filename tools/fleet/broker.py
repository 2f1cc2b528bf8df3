# SPDX-License-Identifier: Apache-2.0
"""The broker as an operator names it: SCHEME://USER@HOST:PORT.

What is secret comes in files, and all is checked before anybody connects.
"""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

ACCEPTED = (
    "mqtts://, amqps:// or nats+tls://[USER@]HOST[:PORT], or mqtt://, amqp:// or nats:// on loopback or with --insecure"
)
PORTS = {"mqtt": 1883, "mqtts": 8883, "amqp": 5672, "amqps": 5671, "nats": 4222, "nats+tls": 4222}
_SECURE = {"mqtts", "amqps", "nats+tls"}
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_SECRET = 4096  # octets of a password file


class BrokerError(Exception):
    """A broker that can't be used; `args[0]` is the one line to show, without a secret."""


@dataclass(frozen=True)
class Address:
    """Where the broker is and how to speak to it; `tls` is None for plain text. `way`: mqtt, amqp or nats."""

    host: str
    port: int
    username: str | None
    password: str | None
    tls: ssl.SSLContext | None
    way: str = "mqtt"


def address(
    url: str,
    *,
    password_file: Path | None = None,
    ca: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    insecure: bool = False,
) -> Address:
    """Return a checked address; BrokerError names the option that is wrong."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in PORTS or not parts.hostname or port == -1 or parts.path not in {"", "/"}:
        raise BrokerError(f"--broker: not understood; accepted: {ACCEPTED}")
    if parts.password is not None:
        raise BrokerError("--broker: a password in a command line is everybody's; accepted: --password-file, mode 0600")
    secure = parts.scheme in _SECURE
    if not secure and parts.hostname not in _LOOPBACK and not insecure:
        raise BrokerError(f"--broker: plain text to another machine; accepted: {ACCEPTED}")
    return Address(
        parts.hostname,
        port or PORTS[parts.scheme],
        unquote(parts.username) if parts.username else None,
        None if password_file is None else secret_in(password_file, "--password-file"),
        _tls(ca, certificate, key) if secure else None,
        parts.scheme[:4],
    )


def secret(path: Path, option: str) -> Path:
    """Return the path of a secret that only its owner can read; BrokerError names the option."""
    try:
        mode = path.stat().st_mode
    except OSError as failure:
        raise BrokerError(
            f"{option}: {path}: {os.strerror(failure.errno or 0)}; accepted: a file of mode 0600"
        ) from None
    if mode & 0o077:
        raise BrokerError(f"{option}: {path}: open to others; accepted: a file of mode 0600")
    return path


def secret_in(path: Path, option: str) -> str:
    """Return the one line of such a file; BrokerError names the option."""
    try:
        with secret(path, option).open("rb") as file:
            return file.read(_SECRET).decode().rstrip("\r\n")
    except OSError as failure:
        raise BrokerError(f"{option}: {path}: {os.strerror(failure.errno or 0)}; accepted: a file") from None
    except ValueError:
        raise BrokerError(f"{option}: {path}: no text; accepted: UTF-8") from None


def trusting(ca: Path | None, option: str) -> ssl.SSLContext:
    """Return TLS that trusts the certificates of a file, or the system's; BrokerError names option and file."""
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as failure:
        raise BrokerError(f"{option}: {ca}: {_wrong(failure, 'no certificate in it')}; accepted: PEM") from None


def present(context: ssl.SSLContext, certificate: tuple[Path, str], key: tuple[Path | None, str]) -> None:
    """Have a certificate shown to the other side, by its key; BrokerError names the file that is wrong.

    Each is a file and its option. Without a file of its own the key is in the certificate's.
    """
    trusting(*certificate)  # it holds one
    try:
        context.load_cert_chain(certificate[0], key[0], password="")  # a key with a passphrase would be asked for
    except OSError as failure:
        wrong = _wrong(failure, "not that certificate's key, or it has a passphrase")
        raise BrokerError(f"{key[1]}: {key[0] or certificate[0]}: {wrong}; accepted: its key, PEM") from None


def _wrong(failure: OSError, otherwise: str) -> str:
    return otherwise if isinstance(failure, ssl.SSLError) else os.strerror(failure.errno or 0)


def _tls(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    if key is not None:
        secret(key, "--key")
        if certificate is None:
            raise BrokerError("--key: without --certificate; accepted: both, or neither")
    context = trusting(ca, "--ca")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        present(context, (certificate, "--certificate"), (key, "--key"))
    return context
