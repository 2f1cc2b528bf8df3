# SPDX-License-Identifier: Apache-2.0
"""What `attribution` and `billing` need on this gateway: two agents, large enough blocks, the custodian's keys (L34-II-4, EXP-3).

And what the configuration rests on, where two wordings of the article differ (L34-III-1).
"""

from agent import law
from agent.capture import kernel_stats
from agent.cli.status import WARNING
from agent.doctor.catalogue import Finding
from agent.purposes.custodian.bundle import Bundle
from agent.purposes.requests import executor, requests
from agent.runtime.sodium import Sodium


def purposes(gateway: "Gateway") -> "Iterator[Finding]":
    """Look at what authorities' requests rest on."""
    attribution = gateway.config.purposes.get("attribution")
    try:
        names = set(executor.agents_at(gateway.paths.agents).values())
    except requests.Refused as refusal:
        yield Finding("agents", refusal.args[0].split(" (")[0])
    else:
        if len(names) < 2:
            yield Finding("agents", "one agent alone is enrolled")
    if attribution is not None and attribution.mode == "blocks":
        network = kernel_stats.read(gateway.proc + "/net/stat/nf_conntrack")
        if network and network["insert_failed"]:
            yield Finding("block-full", "connections that the kernel could give no port: " + str(network["insert_failed"]))


def keys(gateway: "Gateway") -> "Iterator[Finding]":
    """Check that each purpose of custodian custody has keys, and for how long."""
    names = [name for name in gateway.config.purposes if law.purpose(name).custody == law.CUSTODIAN]
    try:
        bundle = Bundle(gateway.paths.bundles, gateway.paths.anchor, Sodium())
    except (OSError, AttributeError):
        return  # `libsodium` says so
    for text in bundle.refused:
        yield Finding("bundle-refused", text)
    for name in names:
        left = bundle.days_left(name, gateway.wall() // 1000000000 // law.DAY, gateway.config.purposes[name].lifetime)
        if not left:
            yield Finding("bundle-missing", name + ": no key of the custodian for today")
        elif left <= WARNING:
            yield Finding("bundle-ending", name + ": keys of the custodian for " + str(left) + " days")


def wording(gateway: "Gateway") -> "Iterator[Finding]":
    """Tell of a ground that only the wording of 2014-2021 knows (L34-III-1)."""
    for section in gateway.config.purposes.values():
        said = law.other_wording(section.values.get("ground"))
        if said:
            yield Finding("wording", said)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from agent.doctor.gateway import Gateway
