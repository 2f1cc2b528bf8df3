# SPDX-License-Identifier: Apache-2.0
"""A recorder of `attribution` and `billing` behind a pipe: what is kept, asked, handed over. Octets travel as hex."""

import json

from agent.control import calls
from agent.purposes.attribution import record
from tests.support import remote
from tests.support.attribution_stage import pack_attribution
from tests.support.pipe import serve


def _recorder() -> "Any":
    return remote._held["recorder"][0]


def keep(rows: "list[list[Any]]") -> "list[str]":
    """Keep rows of `attribution` as if their connections had come."""
    kept = _recorder().groups.deferred.attribution
    return [kept.keep(record.unpack(remote._octets(pack_attribution(row)))) for row in rows]


def vouch() -> None:
    """Write a mark, and let all that waits be written."""
    _recorder().groups.deferred._mark()
    _recorder().kept.by_name["attribution"].seal()


def ask(call: str, fields: "dict[str, Any]") -> "Any":
    """Make root's call of the control socket."""
    return calls.answer(_recorder(), json.dumps(dict(fields, v=1, call=call)).encode(), (calls.ROOT, calls.ANYONE))


def run(document: str, number: str) -> "Any":
    """Run a request to its end; returns the answer."""
    said = ask("request", {"document": document})
    while "error" not in said and "segments" in said and _recorder().work():
        pass
    return ask("request state", {"number": number}) if "error" not in said else said


def held(store: str) -> "list[str]":
    """Return the names of a store's segments."""
    return [path.rsplit("/", 1)[1] for path in _recorder().kept.by_name[store].held(0, 1 << 20)]


def told() -> "list[int]":
    """Return how many groups hear of each connection, and how many are logged in by the portal's word."""
    recorder = _recorder()
    return [len(recorder.streams.pipeline.purposes), len(recorder.groups.deferred.sessions.macs())]


CALLS = (
    remote.recorder_open, remote.recorder, remote.recorder_close, remote.die, keep, vouch, ask, run, held, told,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

if __name__ == "__main__":
    serve(CALLS)
