# SPDX-License-Identifier: Apache-2.0
"""What `attribution` and `billing` need on this gateway: two agents, blocks that are large enough (L34-II-4)."""

from agent.capture import trouble
from agent.control import desk, requests
from agent.doctor.catalogue import Finding


def purposes(gateway: "Gateway") -> "Iterator[Finding]":
    """Look at what authorities' requests rest on."""
    attribution = gateway.config.purposes.get("attribution")
    if attribution is None and "billing" not in gateway.config.purposes:
        return
    try:
        names = set(desk.agents_at(gateway.paths.agents).values())
    except requests.Refused as refusal:
        yield Finding("agents", refusal.args[0].split(" (")[0])
    else:
        if len(names) < 2:
            yield Finding("agents", "one agent alone is enrolled")
    if attribution is not None and attribution.mode == "blocks":
        network = trouble.read(gateway.proc + "/net/stat/nf_conntrack")
        if network and network["insert_failed"]:
            yield Finding("block-full", "connections that the kernel could give no port: " + str(network["insert_failed"]))


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from agent.doctor.gateway import Gateway
