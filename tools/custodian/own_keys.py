# SPDX-License-Identifier: Apache-2.0
"""A person's own key pair: a private half behind a passphrase, a public half beside it (an agent's, a recipient's).

The private one is 32 octets in a secret box under a passphrase (Argon2id), in a JSON file of mode
0600. The public one is a line `HEX NAME`.
"""

import json
import secrets
from pathlib import Path

from nacl import pwhash, secret
from nacl.exceptions import CryptoError

from agent.purposes.requests import requests
from tools import disk
from tools.commands import bounded

LIMIT = 1 << 20  # octets of a file of keys


class AgentError(Exception):
    """A key or a document that can't be used; the text is the one line to show."""


def _box(passphrase: bytes, salt: bytes) -> secret.SecretBox:
    limits = (pwhash.argon2id.OPSLIMIT_MODERATE, pwhash.argon2id.MEMLIMIT_MODERATE)
    return secret.SecretBox(pwhash.argon2id.kdf(secret.SecretBox.KEY_SIZE, passphrase, salt, *limits))


def write(kind: str, name: str, private: bytes, public: bytes, passphrase: bytes, path: Path) -> Path:
    """Write a pair: the private half at `path`, the public one beside it (.pub), whose path is returned.

    Neither may be there already.
    """
    if not requests.agent_name(name):
        raise AgentError(
            f"NAME: {name!r} isn't a name; accepted: 1 to 60 letters and signs of western Europe, no blank at an end"
        )
    if not passphrase:
        raise AgentError("passphrase: empty; accepted: a passphrase that only the key's owner knows")
    beside = path.with_suffix(".pub")
    if beside == path:
        raise AgentError(
            f"{path}: ends as the public key's file does; accepted: another name, such as {path.with_suffix('.key')}"
        )
    salt = secrets.token_bytes(pwhash.argon2id.SALTBYTES)
    sealed = _box(passphrase, salt).encrypt(private)
    text = json.dumps({"kind": kind, "name": name, "salt": salt.hex(), "sealed": bytes(sealed).hex()}) + "\n"
    write_new(path, text.encode(), 0o600)
    try:
        write_new(beside, f"{public.hex()} {name}\n".encode(), 0o644)
    except AgentError:
        path.unlink()
        raise
    return beside


def read(kind: str, path: Path, passphrase: bytes, what: str, maker: str) -> bytes:
    """Return a private half; AgentError for a file that isn't one of this kind, or another passphrase.

    `what` it is, and what makes it.
    """
    try:
        said = json.loads(bounded(path, LIMIT))
        if said["kind"] != kind:
            raise ValueError
        salt, sealed = bytes.fromhex(said["salt"]), bytes.fromhex(said["sealed"])
    except OSError as failure:
        raise AgentError(f"{path}: can't be read ({failure.strerror}); accepted: {what}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise AgentError(f"{path}: not {what}; accepted: what {maker} makes") from None
    try:
        return _box(passphrase, salt).decrypt(sealed)
    except (CryptoError, ValueError):
        raise AgentError(f"{path}: the passphrase doesn't open it; accepted: the one it was made with") from None


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that must not be there yet, synced; none is left where that fails."""
    try:
        disk.write_new(path, data, mode)
    except FileExistsError:
        raise AgentError(f"{path}: it is there already; accepted: a new file") from None
    except OSError as failure:
        raise AgentError(f"{path}: can't be written ({failure.strerror}); accepted: a new file") from None
