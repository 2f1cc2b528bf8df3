# SPDX-License-Identifier: Apache-2.0
"""What a recorder does for those who ask it: looks, erasure, objection, and root's words.

Who may ask for what: agent.control.calls.
"""

from agent import law
from agent.control import calls
from agent.runtime import memory


class Orders:
    """The answers to one recorder's callers; `by` is a caller's role.

    Refused says what was wrong and what is accepted.
    """

    _access: "RightOfAccess | None" = None

    def __init__(self, recorder: "Recorder") -> None:
        self._recorder = recorder
        self.children: "list[int]" = []  # process ids of those that answer somebody who looks

    def new_device(self) -> "dict[str, Any]":
        """Take root's word that nobody was ever counted here (ANON-6)."""
        recorder = self._recorder
        try:
            new = recorder.day.ledger.begin()
        except OSError:
            raise calls.Refused("new-device: flash refuses; accepted: once it takes the ledger")
        if not new:
            raise calls.Refused(
                "new-device: a ledger was here before; accepted: on a gateway that never counted anybody"
            )
        recorder.audit.note("ledger", "new")
        return {"tokens": recorder.day.ledger["tokens"]}

    def access(self, fields: "dict[str, Any]", by: str) -> "Generator[dict[str, Any]]":
        """Look at what is held on a terminal, for the person at it."""
        recorder = self._recorder
        if self._access is None:
            from agent.recorder.right_of_access import RightOfAccess

            self._access = RightOfAccess(recorder, recorder.guests.holders.holder)
        return self._access.look(fields, by)

    def lookup(self, fields: "dict[str, Any]", by: str) -> "Generator[dict[str, Any]]":
        """Look at what `security` has of a port or a terminal, for the security of the network (L34-II-6)."""
        recorder = self._recorder
        try:
            from agent.purposes import lookup
            from agent.recorder.right_of_access import row_of
        except ImportError:
            raise calls.Refused(law.PACKAGE + " isn't installed; accepted: on a gateway that has it")
        return lookup.begin(
            recorder, recorder.guests.holders.holder, row_of, fields, by, second_nat=recorder.guests.lan.behind
        )

    def erase(self, purpose: str, by: str) -> "dict[str, Any]":
        """Destroy what a purpose keeps, or "all" of them; `by` is the caller's role."""
        recorder, stores = self._recorder, self._recorder.kept.by_name
        if purpose != "all" and purpose not in stores:
            raise calls.Refused("purpose isn't kept; accepted: " + ", ".join(["all"] + sorted(stores)))
        records = 0
        refused = []  # one store's flash keeps no other store from being erased
        for name in stores if purpose == "all" else (purpose,):
            store = stores[name]
            before = store.status(recorder.turn.monotonic)["records"]
            try:
                records += store.erase()
            except OSError:
                refused.append(name)
                records += before - store.status(recorder.turn.monotonic)["records"]
            try:
                for part in recorder.groups.all:
                    part.erase(name)
            except OSError:
                refused.append(name)
        recorder.counters.add("erased", records)
        recorder.tick()
        memory.overwrite_freed()
        recorder.log("erased by order")
        recorder.audit.note("erase", purpose, by)
        if refused:
            names = ", ".join(refused)
            raise calls.Refused(
                f"{names}: flash refuses, not everything is erased; accepted: once more when it is writable"
            )
        return {"erased": records}

    def object(self, fields: "dict[str, Any]", by: str) -> "dict[str, Any]":
        """Take a terminal's objection: its row of the day's table counts nothing any more, and it gets no other one."""
        recorder = self._recorder
        mac, answer = recorder.groups.by_consent().object(fields, by)
        recorder.day.terminals.forget(mac)
        return answer

    def enrolled(self, digest: bytes) -> "dict[str, Any]":
        """Take note that root has enrolled an agent, by the digest of his key's line."""
        recorder = self._recorder
        recorder.audit.note("request", "enrolled", digest)
        return {}


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Generator

    from agent.recorder.recorder import Recorder
    from agent.recorder.right_of_access import RightOfAccess
