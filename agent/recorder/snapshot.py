# SPDX-License-Identifier: Apache-2.0
"""What `oubli status` tells: the recorder's state for the person at the gateway, never for the wire.

Each purpose against its limits (L34-III-1), the kernel's settings, every loss by cause. Then the ledger of the
summaries (ANON-6) and what the forwarder says of itself.
"""

import json

from agent import law
from agent.base.dates import date
from agent.runtime import files

FORWARDER_LIMIT = 1024


def snapshot(recorder: "Recorder", monotonic: int) -> "dict[str, Any]":
    """Return what `oubli status` shows of a recorder whose clock says `monotonic` (ns)."""
    day, groups = recorder.day, recorder.groups
    purposes, consented, deferred = {}, groups.consented, groups.deferred
    for name in sorted(recorder.config.purposes):
        entry: "dict[str, Any]" = recorder.kept.by_name[name].status(monotonic)
        entry["paragraph"] = law.purpose(name).paragraph
        for part in groups.all:
            entry.update(part.shown(name))
        wording = law.other_wording(recorder.config.purposes[name].values.get("ground"))
        if wording:
            entry["wording"] = wording
        purposes[name] = entry
    return {
        "gateway": recorder.config.gateway.id,
        "duty": recorder.config.gateway.duty,
        "clock": recorder.clock.state,
        "capture": recorder.health.capture(),
        "missing": recorder.guests.missing,
        "deaf": recorder.health.deaf,
        "refused": recorder.config.refused,
        "refusing": recorder.refusing,
        "table": {"fill": recorder.streams.loss_free.fill, "loss_free": recorder.streams.loss_free.on},
        "purposes": purposes,
        "objections": consented.objections() if consented is not None else 0,
        "consents": consented.counts() if consented is not None else None,
        "requests": deferred.open_requests() if deferred is not None else [],
        "counters": dict(recorder.counters.values),
        "network": recorder.health.network(),
        "summary": {
            "metrics": sorted(recorder.config.metrics),
            "day": date(day.terminals.day) if day.terminals.day else None,
            "filled": day.terminals.filled(),
            "spent": day.ledger["spent"],
            "ceiling": recorder.config.summary.epsilon_ceiling,
            "tokens": day.ledger["tokens"],
            "silent_hours": day.ledger.silent,
            "powered_on_hours": day.ledger.age,
            "published": [figure.data() for figure in day.releases.published.newest()],
            "spooled": day.releases.spool.waiting(),
        },
        "forwarder": _forwarder(recorder.paths.run.forwarder),
        "tls": not recorder.config.exposed,
    }


def _forwarder(path: str) -> "dict[str, Any]":
    """Read the forwarder's word about itself as hostile input."""
    known = {"connected": False, "published": 0, "failures": 0, "waiting": 0, "unsendable": 0}
    try:
        said = json.loads(files.read_bounded(path, FORWARDER_LIMIT))
        for name in known:
            if type(said[name]) is not type(known[name]):
                raise ValueError
            known[name] = said[name]
    # The last two: nested deeper than the parser goes
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, MemoryError):
        return {"connected": False, "unknown": True}
    return known


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.recorder.recorder import Recorder
