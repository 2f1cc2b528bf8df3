# SPDX-License-Identifier: Apache-2.0
"""Why a collector isn't connected to its broker, in one line: what is wrong, which option, what to do."""

import os
import socket
import ssl
from typing import Final

TAKEN_OVER = 0x8E  # MQTT 5.0, 3.14.2.1
_REFUSED = {
    0x84: "the broker doesn't speak MQTT 5: MQTT 3.1.1 is next",
    0x85: "the broker doesn't take this client's name: try another --name",
    0x86: "the broker doesn't know this user or password: see --broker USER@ and --password-file",
    0x87: (
        "the broker doesn't let this user in: its access list needs `user oubli-fleet`, "
        "its listener collectors.pem as cafile"
    ),
    0x8A: "the broker has banned this client",
    0x97: "the broker's quota for this client is spent",
    0x9F: "the broker takes no more connections for now",
}
_ALERTS = (
    ("CERTIFICATE_REQUIRED", "the broker asks for a certificate: see --certificate and --key"),
    (
        "UNKNOWN_CA",
        "the broker doesn't know who signed --certificate: at the collectors' listener its cafile is collectors.pem",
    ),
    ("CERTIFICATE_EXPIRED", "--certificate has ended: make another with `oubli-fleet enrol --collector`"),
    ("CERTIFICATE_REVOKED", "--certificate was revoked: make another with `oubli-fleet enrol --collector`"),
    (
        "BAD_CERTIFICATE",
        "the broker doesn't take --certificate: is it the collector's, of its authority, and in its time?",
    ),
    ("UNSUPPORTED_CERTIFICATE", "the broker doesn't take --certificate: it isn't one of a client"),
    ("PROTOCOL_VERSION", "the broker speaks no TLS 1.2: raise its tls_version"),
    ("WRONG_VERSION_NUMBER", "the broker speaks no TLS at this port: mqtts:// needs its TLS listener"),
)
_VERIFY = {
    10: "the broker's certificate has ended: make another with `oubli-fleet enrol --broker`",
    9: "the broker's certificate hasn't begun: is a clock wrong?",
    62: "the broker's certificate is for another name: --broker has to name the host that it was made for",
    64: "the broker's certificate is for another address: --broker has to name the host that it was made for",
}
_UNKNOWN: Final = "the broker's certificate isn't vouched for by --ca: that file has to be its authority's ca.pem"


def of_failure(failure: BaseException, host: str, port: int) -> str:
    """Return the line for an exception that ended a connection, or a try of one."""
    if isinstance(failure, socket.gaierror | UnicodeError):
        return f"{host}: no such host, or no name server answers: see --broker"
    if isinstance(failure, ssl.SSLCertVerificationError):
        return _VERIFY.get(failure.verify_code, _UNKNOWN)
    if isinstance(failure, ssl.SSLError):
        return of_alert(str(failure)) or f"TLS with {host}:{port} fails ({failure.reason or 'cut'})"
    if isinstance(failure, ConnectionRefusedError):
        return (
            f"{host}:{port}: nobody listens there: does the broker run, "
            "and is this the collectors' port (8884 as shipped)?"
        )
    if isinstance(failure, TimeoutError):
        return f"{host}:{port}: no answer: is a firewall between?"
    if isinstance(failure, OSError):
        return f"{host}:{port}: {os.strerror(failure.errno) if failure.errno else 'the connection was cut'}"
    return f"the store can't be used ({type(failure).__name__}): see --db"


def of_cut(host: str, port: int, *, secure: bool) -> str:
    """Return the line for a connection that ended without a word."""
    return f"{host}:{port}: the connection was cut" + (
        "" if secure else "; if that port speaks TLS, --broker is mqtts://"
    )


def of_alert(text: str) -> str:
    """Return the line for an alert of TLS that a text names, or nothing."""
    named = text.upper().replace(" ", "_")
    return next((line for word, line in _ALERTS if word in named), "")


def of_code(code: int, name: str, text: str) -> str:
    """Return the line for a reason code of the broker's (MQTT 5.0): its refusal, or why it ended the connection."""
    if code == TAKEN_OVER:
        return f"another collector is connected as {name!r}: give each its own --name"
    return _REFUSED.get(code, f"the broker says: {text}")
