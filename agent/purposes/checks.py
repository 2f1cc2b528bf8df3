# SPDX-License-Identifier: Apache-2.0
"""What `attribution` and `billing` need here: two agents, large blocks, the custodian's keys (L34-II-4, EXP-3).

And what the configuration rests on, where two wordings of the article differ (L34-III-1).
"""

from agent import law
from agent.capture import kernel_stats
from agent.cli.status import WARNING
from agent.config import uci
from agent.doctor import catalogue, service
from agent.doctor.catalogue import ERROR, NOTE
from agent.doctor.catalogue import WARNING as WARNED
from agent.purposes import activities, also_held, duties
from agent.purposes.custodian.bundle import Bundle
from agent.purposes.requests import executor, requests
from agent.runtime.sodium import Sodium
from agent.vault import stores

ROWS = {
    "agents": (
        WARNED,
        "a request needs two agents who are enrolled here, in a file that root alone can write (L34-II-4)",
        "oubli request enrol KEY as root, for each; owner root and mode 0644 for /etc/oubli/agents",
    ),
    "block-full": (
        WARNED,
        (
            "a terminal whose block is full loses new connections silently; "
            "another cause is a burst of the same connection (L34-II-4)"
        ),
        (
            "raise attribution.block_size; fewer terminals then have a block, "
            "the others are recorded connection by connection"
        ),
    ),
    "bundle-missing": (
        ERROR,
        "a store that only the custodian can open keeps nothing without his key of the day (EXP-3)",
        "oubli bundle install FILE, with a bundle that oubli-custodian bundle made",
    ),
    "bundle-ending": (
        WARNED,
        "after the last key's day that store keeps nothing (EXP-3)",
        "oubli bundle install FILE; a bundle reaches 35 days ahead, so renew it from day 20 on",
    ),
    "bundle-refused": (
        ERROR,
        "only keys that the custodian signed count, and only root may say who he is (EXP-3)",
        "put the custodian's public signing key into /etc/oubli/custodian.pub, mode 0644, and install his bundle again",
    ),
    "notice": (
        NOTE,
        "guests must be told who answers for the processing, and how he is reached, by GDPR 13.1 a (L34-VI-4)",
        "set notice.controller and notice.contact; oubli law --notice fr shows what guests read",
    ),
    "page-blocked": (
        WARNED,
        "a guest can't see what is held on his device, suspend or withdraw without an account (L34-V-4)",
        (
            "uci add_list opennds.@opennds[0].users_to_router='allow tcp port 8450'; uci commit opennds; "
            "/etc/init.d/opennds restart"
        ),
    ),
    "store": (
        WARNED,
        "where a sealed store lies, and what for, is root's note once the configuration says no more (EXP-1, L34-VI-4)",
        "mount its medium, or mend /srv/oubli-root/store-NAME (tools/custodian/README.md); remove it if all is gone",
    ),
    "wording": (
        NOTE,
        "what is recorded today must rest on the law of today (L34-III-1)",
        "ask whoever ordered the recording, and set attribution.ground and reference anew",
    ),
}


class Finding(catalogue.Finding):
    """One thing found that may have its row here."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(name, what, None, ROWS.get(name))


def found(gateway: "Gateway") -> "Iterator[Finding]":
    """Look for duties that nobody serves (L34-II-3), at blanks of the notice, and at all that the two need."""
    config = gateway.config
    held = also_held.told(config, gateway.paths)
    for text in duties.unserved(config, held):
        yield Finding("duty", text)
    sealed = [name for name in stores.SEALED if name in config.purposes or name in held]
    for name in sealed:
        if name in config.unseen or stores.UNKNOWN in activities.kept_for(name, config):
            yield Finding("store", name + ": what was kept isn't known")
    blank = ["notice." + name for name in ("controller", "contact") if gateway.config.notice.values[name] is None]
    if blank:
        yield Finding("notice", "not set: " + ", ".join(blank))
    if service.runs(gateway, "/opennds\0") and not _reached(gateway.paths.root + "/etc/config/opennds"):
        yield Finding("page-blocked", "openNDS lets no guest reach port " + str(service.PAGE))
    if sealed:
        for check in (purposes, keys, wording) if set(sealed) - set(held) else (purposes,):
            for finding in check(gateway):
                yield finding


def _reached(path: str) -> bool:
    """Return False where openNDS's configuration at `path` keeps guests from the page; True where it can't be read."""
    found = [words[1:] for _, _, words in uci.sections(path)]
    rules = [rule[1].split() for rule in found if len(rule) == 2 and rule[0] == "users_to_router"]
    opened = [rule for rule in rules if str(service.PAGE) in rule or rule == ["allow", "all"]]
    return not found or len(opened) > 0 or ["users_to_router_passthrough", "1"] in found


def purposes(gateway: "Gateway") -> "Iterator[Finding]":
    """Look at what authorities' requests rest on."""
    attribution = gateway.config.purposes.get("attribution")
    try:
        names = set(executor.agents_at(gateway.paths.etc.agents).values())
    except requests.Refused as refusal:
        yield Finding("agents", refusal.args[0].split(" (")[0])
    else:
        if len(names) < 2:
            yield Finding("agents", "one agent alone is enrolled")
    if attribution is not None and attribution.mode == "blocks":
        network = kernel_stats.read(gateway.proc + "/net/stat/nf_conntrack")
        if network and network["insert_failed"]:
            yield Finding(
                "block-full", "connections that the kernel could give no port: " + str(network["insert_failed"])
            )


def keys(gateway: "Gateway") -> "Iterator[Finding]":
    """Check that each purpose of custodian custody has keys, and for how long."""
    names = [name for name in gateway.config.purposes if law.purpose(name).custody == law.CUSTODIAN]
    try:
        bundle = Bundle(gateway.paths.flash.bundles, gateway.paths.etc.anchor, Sodium())
    except (OSError, AttributeError):
        return  # `libsodium` says so
    for text in bundle.refused:
        yield Finding("bundle-refused", text)
    for name in names:
        left = bundle.days_left(name, gateway.wall() // 1000000000 // law.DAY, gateway.config.purposes[name].lifetime)
        if not left:
            yield Finding("bundle-missing", name + ": no key of the custodian for today")
        elif left <= WARNING:
            yield Finding("bundle-ending", name + ": days with keys of the custodian: " + str(left))


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
