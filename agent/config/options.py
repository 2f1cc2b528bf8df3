# SPDX-License-Identifier: Apache-2.0
"""Every option of /etc/config/oubli: how its text is read, and what it is where it isn't given (L34-II-2)."""

from agent import law
from agent.config import kinds
from agent.summary.metrics import PROFILES

EPSILON_LIMIT = 2000  # thousandths: the guarantee for an agent-day (ANON-5)
MOST = 999999999  # octets of a budget
_BUDGET = (kinds.between(262144, MOST), 4194304)
BLOCK = 64  # ports of the smallest block
OPTIONS: "dict[str, dict[str, tuple[Callable[[str], Any], Any]]]" = {
    "gateway": {
        "id": (kinds.identity, None),
        "duty": (kinds.choice(*law.DUTIES), "undeclared"),
        "lan": (kinds.text, ("lan",)),
        "wan": (kinds.text, ("wan",)),
        "hardware_clock": (kinds.flag, False),
    },
    "security": {
        "enabled": (kinds.flag, True),
        "lifetime": (kinds.lifetime, law.DAY),
        "destination": (kinds.choice("none"), "none"),
        "budget": _BUDGET,
    },
    "attribution": {
        "enabled": (kinds.flag, False),
        "ground": (kinds.ground, None),
        "reference": (kinds.person, None),
        "wording": (kinds.choice("repealed"), None),
        "lifetime": (kinds.lifetime, 365 * law.DAY),
        "mode": (kinds.choice("blocks", "connections"), "blocks"),
        "block_size": (kinds.between(BLOCK, 4096), 512),
        "storage": (kinds.path, None),
        "upstream_nat": (kinds.choice("acknowledged"), None),
        "budget": _BUDGET,
    },
    "billing": {
        "enabled": (kinds.flag, False),
        "lifetime": (kinds.lifetime, None),
        "biller": (kinds.person, None),
        "budget": _BUDGET,
    },
    "services": {"enabled": (kinds.flag, False), "budget": _BUDGET},
    "location": {"enabled": (kinds.flag, False), "budget": (_BUDGET[0], 524288)},
    "summary": {
        "enabled": (kinds.flag, True),
        "profile": (kinds.choice(*sorted(PROFILES)), "medium"),
        "epsilon": (kinds.between(1, EPSILON_LIMIT), 1000),
        "epsilon_ceiling": (kinds.between(1, EPSILON_LIMIT), 2000),
        "rows": (kinds.between(64, 65536), 4096),
    },
    "vault": {"sync_minutes": (kinds.between(1, 1440), 15), "path": (kinds.path, None)},
    "notice": {
        "venue": (kinds.person, None),
        "controller": (kinds.person, None),
        "contact": (kinds.person, None),
        "dpo": (kinds.officer, None),
        "custodian": (kinds.person, None),
        "services": (kinds.person, None),
        "location": (kinds.person, None),
        "page": (kinds.host, None),
    },
    "metric": {"enabled": (kinds.flag, True), "epsilon": (kinds.between(1, EPSILON_LIMIT), None)},
    "mqtt": {
        "host": (kinds.text, ()),
        "port": (kinds.between(1, 65535), 8883),
        "ca": (kinds.text, None),
        "certificate": (kinds.text, None),
        "key": (kinds.text, None),
        "username": (kinds.text, None),
        "password_file": (kinds.text, None),
        "insecure": (kinds.flag, False),
        "spread": (kinds.between(1, 3600), 60),
        "spool_days": (kinds.between(1, 365), 7),
        "spool_bytes": (kinds.between(65536, 67108864), 1048576),
    },
}
LISTS = ("lan", "wan", "host")
_REQUIRED_BY = {
    "epsilon": "ANON-2",
    "profile": "ANON-2",
    "epsilon_ceiling": "ANON-5",
    "duty": "L34-II-3, L34-1 II",
    "ground": "L34-III-1, L34-1 III",
    "destination": "L34-VI-1, L34-1 VI",
}


def required_by(kind: str, name: str = "") -> str:
    """Return the requirement and the paragraph that an option stands under."""
    if name in _REQUIRED_BY:
        return _REQUIRED_BY[name]
    if kind == "notice":
        return "L34-VI-4"
    return "L34-II-2, " + law.purpose(kind).paragraph if kind in law.CONFIGURABLE else "L34-II-2"


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable
