# SPDX-License-Identifier: Apache-2.0
"""The mail server for alerts: smtps://USER@HOST:PORT, its password in a file, checked before it is used."""

import ssl
from dataclasses import dataclass
from email.utils import parseaddr
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tools.fleet.broker import BrokerError, secret_in, trusting

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
ACCEPTED_MAIL = "smtps://[USER@]HOST[:PORT], or smtp:// (STARTTLS, or a server on this machine)"


@dataclass(frozen=True)
class Mail:
    """The server that takes mail, and whom it is from."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    whole: bool  # TLS from the first octet, else STARTTLS
    user: str
    password: str
    sender: str


def server(url: str, sender: str, password_file: Path | None = None, ca: Path | None = None) -> Mail:
    """Return a checked mail server; BrokerError names the option that is wrong."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    known = parts.scheme in {"smtp", "smtps"} and port != -1 and parts.path in {"", "/"}
    if not known or not parts.hostname or parts.password is not None:
        raise BrokerError(f"--smtp: not understood; accepted: {ACCEPTED_MAIL}, its password by --smtp-password-file")
    if not is_address(sender):
        raise BrokerError("--mail-from: no address; accepted: oubli@example.org")
    password = ""
    if password_file is not None:
        password = secret_in(password_file, "--smtp-password-file")
    if bool(parts.username) != (password_file is not None):
        raise BrokerError(
            "--smtp, --smtp-password-file: a user without a password, or the other way round; accepted: both, "
            "or neither"
        )
    context = trusting(ca, "--smtp-ca")
    whole = parts.scheme == "smtps"
    plain = not whole and parts.hostname in _LOOPBACK
    tls = None if plain else context
    return Mail(
        parts.hostname, port or (465 if whole else 25), tls, whole, unquote(parts.username or ""), password, sender
    )


def is_address(text: str) -> bool:
    """Return True if a text is one e-mail address."""
    name, address = parseaddr(text)
    local, sign, domain = address.rpartition("@")
    return (
        address == text
        and not name
        and bool(local and sign and domain)
        and text.isascii()
        and text.isprintable()
        and " " not in text
    )
