# SPDX-License-Identifier: Apache-2.0
"""What is held on one terminal beside the stores: addresses, the portal's word, public ports, its row of the day's table (GDPR art. 15).

Asked in the copy of the recorder's process that answers a look (agent.recorder.access), whose changes are nobody else's.
"""

from agent.purposes.beside import sealed as stores
from agent.summary.metrics import QUARTERS
from agent.summary.services import CLASSES
from agent.summary.terminals import QUARTERS_AT, Row


def beside(recorder: "Recorder", mac: bytes, written: "Callable[[bytes], str]") -> "dict[str, Any]":
    """Return the first line of a look: the sealed stores with their ends, and what else is held. `written` writes an address."""
    sealed = [{"purpose": name, "lifetime_seconds": seconds} for name, seconds in stores(recorder.config, recorder.paths)]
    return {"sealed": sealed, "held": of(recorder, mac, written)}


def of(recorder: "Recorder", mac: bytes, written: "Callable[[bytes], str]") -> "dict[str, Any]":
    """Return what is held beside the stores, by the names of agent.cli.article; what there is nothing of isn't named."""
    found: "dict[str, Any]" = {"addresses": [written(address) for address in recorder.guests.holders.of(mac)]}
    deferred = recorder.deferred
    if deferred is not None:
        found["portal"] = deferred.sessions.user(mac).decode()
        blocks = deferred.attribution.blocks if deferred.attribution is not None else None
        found["ports"] = ["%d-%d" % ports for ports in blocks.of(mac)] if blocks is not None else []
    terminals = recorder.terminals
    terminals.objects = lambda _mac: True  # a look makes no row
    at = terminals.row_of(mac, 0)
    if at:
        view, table = terminals.in_place()
        row = Row(view, table, terminals.rank)
        row.at = at
        quarters = [number for number in range(QUARTERS) if view[at + QUARTERS_AT + (number >> 3)] >> (number & 7) & 1]
        names = [CLASSES[number] for number in range(len(CLASSES)) if row.uses(number)]
        found["counting"] = {"quarter_hours": quarters, "kib": row.kib(), "services": names}
    return {name: found[name] for name in found if found[name]}


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from agent.recorder.recorder import Recorder
