# SPDX-License-Identifier: Apache-2.0
"""What a gateway hands over for a request: a tar file of the request, its own word, sealed segments (L34-II-4).

It comes from a venue on somebody's stick: nothing in it is believed before the two agents' signatures and the gateway's
own fit, and nothing is unpacked to disk. Who has a bundle of public keys could make segments; only the gateway can sign
them.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from nacl import bindings
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from agent.purposes.requests import archive, requests
from agent.purposes.requests.requests import Refused, Request
from tools.custodian import tars

LARGEST = 4 << 30  # octets of a handover
GRACE = 31 * 86400  # seconds after its end in which a request that was run in time may still be answered
SMALL = 65536  # octets of what isn't a segment
WORD = ("request.toml", "gateway.json", archive.SIGNATURE)


class HandoverError(Exception):
    """A file that can't be answered; the text is the one line to show, `reason` a word for the register."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass
class Handover:
    """The request with its two good signatures, who signed, what the gateway says, and segments by name."""

    request: Request
    agents: list[str]
    statement: dict[str, Any]
    segments: dict[str, bytes] = field(repr=False)


def signed(signature: bytes, data: bytes, key: bytes) -> bool:
    """Return True if an Ed25519 signature fits."""
    try:
        VerifyKey(key).verify(data, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def verified(text: str, agents: Mapping[bytes, str]) -> tuple[Request, list[str]]:
    """Return a document's request and who signed it; HandoverError where no two qualified agents did."""
    try:
        request = Request(text)
        return request, requests.verify(request, dict(agents), signed)
    except Refused as refusal:
        raise HandoverError(refusal.reason, refusal.args[0]) from None


def read(path: Path, agents: Mapping[bytes, str], gateways: Mapping[bytes, str]) -> Handover:
    """Return a handover, verified against the custodian's lists of agents and gateways.

    A list is public key -> name, or gateway.id. No segment is read before all signatures fit.
    """
    try:
        with path.open("rb") as file:
            return _read(path, file, agents, gateways)
    except OSError as failure:
        raise HandoverError(
            "malformed", f"{path}: can't be read ({failure.strerror}); accepted: a handover (.tar)"
        ) from None
    except tars.BROKEN:
        raise HandoverError(
            "malformed", f"{path}: not a tar file of plain members; accepted: what oubli request run wrote"
        ) from None


def _read(path: Path, file: BinaryIO, agents: Mapping[bytes, str], gateways: Mapping[bytes, str]) -> Handover:
    octets = os.fstat(file.fileno()).st_size
    if octets > LARGEST:
        raise HandoverError("malformed", f"{path}: too large; accepted: at most {LARGEST} octets")
    members = tars.plain(file, octets)
    if not members or members[-1][0] != archive.SIGNATURE:
        raise HandoverError("unsigned", f"{path}: the gateway hasn't signed it; accepted: what oubli request run wrote")
    small = {name: _content(file, begin, size) for name, begin, size in members if name in WORD and size <= SMALL}
    try:
        text, statement = small["request.toml"].decode(), json.loads(small["gateway.json"])
        said = (statement["gateway"], statement["made"], statement["second_nat"], statement["unbroken"])
        signature = small[archive.SIGNATURE]
    except (KeyError, ValueError, TypeError, RecursionError):
        raise HandoverError(
            "malformed", f"{path}: no request or no word of the gateway in it; accepted: what oubli request run wrote"
        ) from None
    request, names = verified(text, agents)
    if (
        said[0] != request.gateway
        or not isinstance(said[1], int)
        or not isinstance(said[2], bool)
        or not isinstance(said[3], int)
    ):
        raise HandoverError("another gateway", f"{path}: another gateway's; accepted: one of {request.gateway}")
    keys = [key for key, name in gateways.items() if name == request.gateway]
    if not _by_gateway(file, members[-1][1] - tars.BLOCK, signature, keys):
        raise HandoverError(
            "unsigned",
            f"{path}: not signed by {request.gateway}, or changed since; accepted: the file as it was written, "
            "and that gateway's line of `oubli request identity` in --gateways",
        )
    others = [one for one in members if one[0] not in WORD]
    if not all(name.startswith(f"{request.store}/") for name, _, _ in others):
        raise HandoverError(
            "malformed", f"{path}: a member that doesn't belong there; accepted: segments of {request.store}"
        )
    segments = {name.removeprefix(f"{request.store}/"): _content(file, begin, size) for name, begin, size in others}
    return Handover(request, names, statement, segments)


def _by_gateway(file: BinaryIO, size: int, signature: bytes, keys: list[bytes]) -> bool:
    """Return True if the first `size` octets of a file carry a gateway's Ed25519ph signature."""
    if len(signature) != bindings.crypto_sign_BYTES:
        return False
    for key in keys:
        state = bindings.crypto_sign_ed25519ph_state()
        file.seek(0)
        left = size
        while left:
            part = file.read(min(left, 1 << 20))
            if not part:
                return False
            bindings.crypto_sign_ed25519ph_update(state, part)
            left -= len(part)
        try:
            if bindings.crypto_sign_ed25519ph_final_verify(state, signature, key):
                return True
        except BadSignatureError:
            continue
    return False


def _content(file: BinaryIO, begin: int, size: int) -> bytes:
    file.seek(begin)
    return file.read(size)
