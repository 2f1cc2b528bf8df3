# SPDX-License-Identifier: Apache-2.0
"""The custodian's store behind a pipe, as `tests.support.remote` has the other modules.

The same test on each interpreter.
"""

from agent.purposes.custodian.bundle import Bundle, BundleError, install
from agent.purposes.custodian.custodian import Custodian
from agent.runtime import files
from agent.runtime.sodium import Sodium
from agent.vault.keys import KeyRing
from tests.support import remote
from tests.support.pipe import serve

_held: "dict[str, Any]" = {}


def opened(root: str, boot: str, facts: "dict[str, Any]") -> "dict[str, Any]":
    """Open a store of `attribution` below a root. `facts`: lifetime, budget, sync (s), hours, floor."""
    sodium = Sodium()
    files.make_folder(root + "/run", 0o700)
    ring = KeyRing(root + "/run/keys", 8, boot, sodium)
    bundle = Bundle(root + "/bundles", root + "/custodian.pub", sodium)
    lost: "list[list[Any]]" = []
    _held["facts"] = dict(facts)
    store = Custodian(
        "attribution",
        root + "/flash/attribution",
        root + "/run/attribution",
        ring,
        sodium,
        bundle,
        facts["lifetime"],
        facts["budget"],
        facts["sync"],
        boot,
        lambda: _held["facts"]["hours"],
        lambda: _held["facts"]["floor"],
        lambda cause, records: lost.append([cause, records]),
    )
    _held["store"] = store, ring, lost
    return {"torn": store.torn, "lost": remote._taken(lost), "refused": bundle.refused}


def facts(changed: "dict[str, int]") -> None:
    """Change what the store is told: hours, floor."""
    _held["facts"].update(changed)


def append(records: "list[list[Any]]") -> "dict[str, Any]":
    """Append records, each [begins, octets]; returns what became of each."""
    store, _, lost = _held["store"]
    return {
        "results": [store.append(begins, remote._octets(text)) for begins, text in records],
        "lost": remote._taken(lost),
    }


def amend(begins: int, text: str) -> str:
    """Keep what speaks of a time, where nothing else is kept any more."""
    return _held["store"][0].amend(begins, remote._octets(text), owed=True)


def tick(wall: int, monotonic: int, trusted: bool) -> "dict[str, Any]":
    """Let the timer run."""
    store, _, lost = _held["store"]
    gone = store.tick(wall, monotonic, trusted=trusted)
    late = store.late(wall if trusted else None, monotonic)
    return {"gone": gone, "late": late, "lost": remote._taken(lost), "status": store.status(monotonic)}


def seal() -> bool:
    """Close what is open."""
    return _held["store"][0].seal()


def held(first: int, last: int) -> "list[str]":
    """Return the paths of segments by day."""
    return _held["store"][0].held(first, last)


def erase() -> int:
    """Destroy everything."""
    return _held["store"][0].erase()


def close() -> None:
    """Stop in order."""
    store, ring, _ = _held.pop("store")
    store.close()
    ring.close()


def installed(source: str, root: str, lifetimes: "dict[str, int]", today: int) -> str:
    """Install a bundle; returns what is said of it."""
    try:
        return install(source, root + "/bundles", root + "/custodian.pub", lifetimes, today, Sodium())
    except BundleError as failure:
        return "refused: " + str(failure)


def found(root: str, purpose: str, days: "list[int]", lifetime: int) -> "dict[str, Any]":
    """Look keys up."""
    bundle = Bundle(root + "/bundles", root + "/custodian.pub", Sodium())
    keys = [bundle.find(purpose, day, lifetime) for day in days]
    rows = [[remote._hex(key[0]), key[1]] if key else None for key in keys]
    return {"keys": rows, "left": bundle.days_left(purpose, days[0], lifetime), "refused": bundle.refused}


CALLS = opened, facts, append, amend, tick, seal, held, erase, close, installed, found, remote.die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

if __name__ == "__main__":
    serve(CALLS)
