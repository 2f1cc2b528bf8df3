# SPDX-License-Identifier: Apache-2.0
"""Who gets an answer or invoice: his X25519 key pair, and how he opens what was sealed to it (L34-II-4, L34-IV-3)."""

from pathlib import Path

from nacl.public import PrivateKey, PublicKey
from nacl.signing import VerifyKey

from agent.purposes.requests import requests
from tools.commands import bounded
from tools.custodian import own_keys, signed_folder
from tools.custodian.own_keys import AgentError
from tools.custodian.signed_folder import FolderError

KIND = "oubli recipient key 1"
LARGEST = 1 << 30  # octets of a sealed file


def new_key(name: str, passphrase: bytes, path: Path) -> Path:
    """Make a recipient's key at `path`, and its public half beside it (.pub), whose path is returned.

    Neither may be there already.
    """
    key = PrivateKey.generate()
    return own_keys.write(KIND, name, bytes(key), bytes(key.public_key), passphrase, path)


def load_key(path: Path, passphrase: bytes) -> PrivateKey:
    """Return a recipient's key; AgentError for another file or another passphrase."""
    return PrivateKey(own_keys.read(KIND, path, passphrase, "a recipient's key", "oubli-custodian recipient key"))


def public(option: str, path: Path) -> tuple[PublicKey, str]:
    """Return a recipient's public key, and his name, "" where the file has none: a line `HEX` or `HEX NAME`.

    AgentError.
    """
    digits, _, name = _text(option, path).partition(" ")
    if name and not requests.agent_name(name):
        raise AgentError(f"{option}: {path}: the name isn't one; accepted: 64 hexadecimal digits (X25519) and a name")
    return PublicKey(_key(option, path, digits, "X25519")), name


def custodian(option: str, path: Path) -> VerifyKey:
    """Return the custodian's public signing key: what `oubli-custodian new` printed, and /etc/oubli/custodian.pub is.

    AgentError.
    """
    return VerifyKey(_key(option, path, _text(option, path), "Ed25519"))


def _text(option: str, path: Path) -> str:
    try:
        return bounded(path, own_keys.LIMIT).decode().strip()
    except OSError as failure:
        raise AgentError(f"{option}: {path}: can't be read ({failure.strerror}); accepted: a public key") from None
    except UnicodeDecodeError as failure:
        raise AgentError(f"{option}: {path}: byte {failure.start}: not UTF-8; accepted: a public key") from None


def _key(option: str, path: Path, digits: str, kind: str) -> bytes:
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if len(key) != PublicKey.SIZE:
        raise AgentError(f"{option}: {path}: not a public key; accepted: 64 hexadecimal digits ({kind})")
    return key


def open_sealed(path: Path, private: PrivateKey, signed_by: VerifyKey, out: Path) -> list[str]:
    """Write the files of a sealed one into a new folder; returns their names. AgentError: nothing is written."""
    if out.exists() or out.is_symlink():
        raise AgentError(f"{out}: it is there already; accepted: a new folder")
    try:
        files = signed_folder.unseal(bounded(path, LARGEST), private, signed_by)
    except FolderError as failure:
        raise AgentError(f"{path}: {failure}; accepted: what --to or --to-key sealed, as it was written") from None
    except OSError as failure:
        raise AgentError(f"{path}: can't be read ({failure.strerror}); accepted: a sealed answer or invoice") from None
    try:
        signed_folder.write(out, files)
    except OSError as failure:
        raise AgentError(f"{out}: can't be made ({failure.strerror}); accepted: a new folder") from None
    return sorted(files)
