# SPDX-License-Identifier: Apache-2.0
"""How a lab's gateway is asked on an authority's request, and what the witness says of who stood behind a port."""

import json
from collections.abc import Sequence
from pathlib import Path

from host_sim.lab.custodian import Custodian
from host_sim.lab.lab import Lab
from host_sim.lab.witness import Seen


def ask(lab: Lab, custodian: Custodian, text: str) -> Path:
    """Run a request on the lab's gateway; returns the handover's path. LabError where it is refused."""
    if not (lab.device.root / "etc/oubli/agents").exists():
        for name in custodian.agents:
            key = lab.folder / "agent.pub"
            key.write_text(custodian.public(name))
            lab.device.command("request", "enrol", str(key))
    identity = json.loads(lab.device.command("request", "identity", "--json"))
    custodian.gateways = {bytes.fromhex(identity["key"]): identity["gateway"]}
    file = lab.folder / "request.toml"
    file.write_text(text)
    return Path(json.loads(lab.device.command("request", "run", str(file), "--json"))["export"])


def behind(seen: Sequence[Seen], one: Seen, moment: int) -> set[bytes]:
    """Return who was behind one connection's port at a time (s), by the witness's records of that port."""
    return {
        other.source
        for other in seen
        if other.protocol == one.protocol and other.start // 10**9 <= moment <= -(-other.end // 10**9)
    }
