# SPDX-License-Identifier: Apache-2.0
"""The lab's custodian and agents: keys, a bundle on its gateway, requests that are really signed (EXP-3, L34-II-4)."""

import secrets
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from agent.purposes.requests import authorities, requests
from host_sim.lab.device import GATEWAY_ID, Device
from tools import clock
from tools.custodian import answers, bundles, handovers

STORES = ("attribution", "billing")
GROUND = "IIbis-3"
LIFETIME = 30  # days

ATTRIBUTION = f"""
config purpose 'attribution'
	option enabled '1'
	option ground '{GROUND}'
	option reference 'the lab'
	option lifetime '{LIFETIME}d'
	option budget '999999999'
"""
BILLING = f"""
config purpose 'billing'
	option enabled '1'
	option lifetime '{LIFETIME}d'
"""


class Custodian:
    """Holds the keys of one lab's gateway, and two agents' signing keys with it."""

    def __init__(self, device: Device) -> None:
        self.signing = SigningKey.generate()
        self.gateways: dict[bytes, str] = {}  # as `oubli request identity` told
        self.agents = {"A. Martin": SigningKey.generate(), "B. Durand": SigningKey.generate()}
        self._keys: dict[tuple[str, date], PrivateKey] = {}
        today = clock.today()
        rows = []
        for store in STORES:
            for days in range(-2, 4):
                day = today + timedelta(days=days)
                key = self._keys[store, day] = PrivateKey.generate()
                rows.append(bundles.Row(store, day, bytes(key.public_key), day + timedelta(days=LIFETIME)))
        self._write(device.root / "srv/oubli/bundles/lab", bundles.write(today - timedelta(days=2), rows, self.signing))
        self._write(device.root / "etc/oubli/custodian.pub", bytes(self.signing.verify_key).hex().encode() + b"\n")

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o644)

    def key(self, store: str, day: date, _destroy: date) -> PrivateKey | None:
        """Return the private key of a store's day."""
        return self._keys.get((store, day))

    def public(self, name: str) -> str:
        """Return an agent's public key as the file that `request enrol` takes."""
        return f"{bytes(self.agents[name].verify_key).hex()} {name}\n"

    def request(self, store: str, begin: int, end: int, *signed_by: str, **scope: str) -> str:
        """Return a request for a window (s since the epoch), signed by these agents, both where none is named."""
        ground = {"attribution": GROUND, "billing": "IV-1"}.get(store, "IIIbis")
        fields = {
            "format": requests.FORMAT, "number": secrets.token_hex(16), "gateway": GATEWAY_ID, "purpose": store,
            "ground": ground, "authority_kind": "judicial", "basis": authorities.AUTHORITIES[ground]["judicial"][0],
            "authority": "Procureur de la République près le tribunal judiciaire d'Évry", "reference": "lab",
            "from": _time(begin), "until": _time(end), "issued": _time(end),
            "expires": _time(end + 7 * 86400),
        }  # fmt: skip
        return self.sign(requests.document(fields | scope), *signed_by)

    def sign_again(self, text: str) -> str:
        """Return a document that was changed, signed anew by both agents."""
        return self.sign(text[: text.index("agent_1 = ")])

    def sign(self, text: str, *signed_by: str) -> str:
        """Return a document, signed by these agents, both where none is named."""
        signed = b"oubli request 1\n" + text.encode()
        for place, name in enumerate(signed_by or self.agents, 1):
            key = self.agents[name]
            text += (
                f'agent_{place} = "{bytes(key.verify_key).hex()}"\n'
                f'signature_{place} = "{key.sign(signed).signature.hex()}"\n'
            )
        return text

    def read(self, path: Path) -> handovers.Handover:
        """Verify a handover."""
        known = {bytes(key.verify_key): name for name, key in self.agents.items()}
        return handovers.read(path, known, self.gateways)

    def answer(self, path: Path) -> answers.Answer:
        """Answer a handover."""
        return answers.answer(self.read(path), self.key)

    def records(self, path: Path) -> tuple[list[bytes], dict[str, Any]]:
        """Return the octets of every record of a handover, and what the gateway says."""
        read = self.read(path)
        return [one for part in answers.opened(read, self.key)[0].values() for one in part], read.statement


def _time(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
