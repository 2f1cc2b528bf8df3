# SPDX-License-Identifier: Apache-2.0
"""The qualified agents' side of a request: their keys, the document, their signatures (L34-II-4).

Each works on a machine of his own.

A private key is an Ed25519 seed behind a passphrase (tools/custodian/own_keys.py). The public one is a line `HEX NAME`,
which `oubli request enrol` and the custodian's keys file take. The document is agent/purposes/requests/requests.py's.
"""

import secrets
from datetime import datetime, timedelta
from pathlib import Path

from nacl.signing import SigningKey

from agent.purposes.requests import requests
from agent.purposes.requests.requests import Refused, Request
from tools import clock, disk
from tools.commands import bounded
from tools.custodian import own_keys
from tools.custodian.own_keys import LIMIT, AgentError, write_new

KIND = "oubli agent key 1"
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


def new_key(name: str, passphrase: bytes, path: Path) -> Path:
    """Make an agent's key at `path`, and its public half beside it (.pub), whose path is returned.

    Neither may be there already.
    """
    key = SigningKey.generate()
    return own_keys.write(KIND, name, bytes(key), bytes(key.verify_key), passphrase, path)


def load_key(path: Path, passphrase: bytes) -> SigningKey:
    """Return an agent's key; AgentError for another file or another passphrase."""
    return SigningKey(own_keys.read(KIND, path, passphrase, "an agent's key", "oubli-custodian request key"))


def new(fields: dict[str, str], path: Path, days: int) -> Request:
    """Write a document that nobody has signed, with a number of its own; it may be run for so many days from now."""
    now = clock.now()
    made = {
        "format": requests.FORMAT,
        "number": secrets.token_hex(16),
        "issued": _time(now),
        "expires": _time(now + timedelta(days=days)),
    }
    names = requests.names(fields["purpose"])
    if not names:
        raise AgentError(
            f"--purpose: {fields['purpose']!r}: not available (L34-II-4); accepted: {', '.join(requests.KINDS)}"
        )
    wrong = [f"{name}: missing" for name in names if name not in made | fields] + [
        f"{name}: not for it" for name in fields if name not in names
    ]
    if wrong:
        raise AgentError(f"--{wrong[0].replace('_', '-')}; accepted: for {fields['purpose']} {', '.join(names[3:])}")
    gateway("--gateway", fields["gateway"])
    request = understood(requests.document(made | fields))
    write_new(path, request.text.encode(), 0o644)
    return request


def gateway(option: str, identity: str) -> str:
    """Return a `gateway.id`; AgentError for what can't be one."""
    if len(identity) != 16 or any(letter not in _BASE32 for letter in identity):
        raise AgentError(f"{option}: {identity!r}: not a gateway's; accepted: 16 characters of a-z and 2-7")
    return identity


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def understood(text: str) -> Request:
    """Return a document's request; AgentError where the gateway would refuse it, whoever signed it."""
    try:
        return Request(text)
    except Refused as refusal:
        raise AgentError(refusal.args[0]) from None


def read(path: Path) -> Request:
    """Return the request of a file."""
    try:
        text = bounded(path, requests.LIMIT).decode()
    except OSError as failure:
        raise AgentError(f"{path}: can't be read ({failure.strerror}); accepted: a request") from None
    except UnicodeDecodeError as failure:
        raise AgentError(f"{path}: byte {failure.start}: not UTF-8; accepted: a request") from None
    return understood(text)


def sign(path: Path, key: SigningKey) -> Request:
    """Add an agent's signature to a document in place."""
    request = read(path)
    public = bytes(key.verify_key)
    if len(request.signatures) == 2:
        raise AgentError(f"{path}: two agents have signed it; accepted: a request with one signature or none")
    if public in [other for other, _ in request.signatures]:
        raise AgentError(f"{path}: this agent has signed it; accepted: another agent's key")
    number, signature = len(request.signatures) + 1, key.sign(request.signed).signature
    signed = understood(f'{request.text}agent_{number} = "{public.hex()}"\nsignature_{number} = "{signature.hex()}"\n')
    disk.write_by_rename(path, path.with_name(f".{path.name}.new"), signed.text.encode(), path.stat().st_mode & 0o777)
    return signed


def enrolled(path: Path) -> dict[bytes, str]:
    """Return the agents, or gateways, of a keys file (public key -> name): lines `HEX NAME`, as on the gateway."""
    try:
        return requests.agents_in(bounded(path, LIMIT).decode())
    except OSError as failure:
        raise AgentError(f"{path}: can't be read ({failure.strerror}); accepted: a keys file") from None
    except ValueError:
        raise AgentError(f"{path}: not a keys file; accepted: lines of 64 hexadecimal digits and a name") from None


def summary(request: Request) -> str:
    """Return a request in one line, for the agent who is about to sign it."""
    fields = request.fields
    scope = fields.get("subject") or f"{fields['public_address']} port {fields['port']} {fields['protocol']}"
    kept = f", to be kept until {fields['keep_until']}" if request.keep_until else ""
    who = f"{fields['authority']}, {fields['reference']}, ground {request.ground}"
    return f"{request.purpose} at {request.gateway}: {scope}, {fields['from']} to {fields['until']}{kept}; {who}"
