# SPDX-License-Identifier: Apache-2.0
"""What is well and what isn't with this gateway.

The health message, and what of it only the person at the gateway is told (ANON-4).
"""

from agent import law
from agent.doctor import verdict
from agent.outbox import jitter
from agent.runtime import files
from agent.runtime.libc import reason
from agent.summary import messages
from agent.vault import stores

_SECOND = 1000000000


class Health:
    """Looks at one recorder; `sysctl` and `network` are as in agent.recorder.recorder, `random(count)` gives moments.

    Times in ns since boot.
    """

    def __init__(
        self,
        recorder: "Recorder",
        sysctl: "Callable[[str], int | None]",
        network: "Callable[[], dict[str, int] | None]",
        random: "Callable[[int], bytes]",
        monotonic: int,
    ) -> None:
        self._recorder = recorder
        self._sysctl = sysctl
        self.network = network
        self._random = random
        self.next = monotonic  # when a message is due
        self._key_days: "int | None" = None  # of the custodian's keys, when it was last told
        self._heard, self._heard_at = 0, monotonic  # connections, and when there was the newest

    def tick(self, monotonic: int) -> None:
        """Write the message that is due.

        It tells the time at which it was due, not when this loop came to it (ANON-4).
        """
        if monotonic >= self.next:
            self.write(self.capture(), max(self.next, monotonic - jitter.HANG * _SECOND))
            self.next = jitter.health_made(monotonic, self._random)

    def hear(self, connections: int, monotonic: int) -> None:
        """Note how many connections there were."""
        if connections != self._heard:
            self._heard, self._heard_at = connections, monotonic

    def capture(self) -> str:
        """Return `ok`, `misconfigured` or `no-lan`.

        The kernel tells too little of connections, or an interface of the guests is missing.
        """
        for name in ("events", "acct", "timestamp"):
            if self._sysctl(name) != 1:
                return "misconfigured"
        return "no-lan" if self._recorder.guests.missing else "ok"

    def tracked(self) -> int:
        """Return how many connections the kernel's table has."""
        return self._sysctl("count") or 0

    @property
    def deaf(self) -> bool:
        """Return True if no connection has ended for a day although the kernel has some (told at the gateway alone)."""
        return self._recorder.turn.monotonic - self._heard_at >= law.DAY * _SECOND and self.tracked() > 0

    def findings(self) -> "list[str]":
        """Return doctor's names of what is wrong with the gateway itself and known at once: a closed list."""
        recorder = self._recorder
        found = ["configuration"] if recorder.config.refused else []
        if recorder.refusing or any(
            store.status(recorder.turn.monotonic).get("trouble") for store in recorder.kept.by_name.values()
        ):
            found.append("flash-refuses")
        return found

    def write(self, capture: str, due: int) -> None:
        """Write the message that was due at a time since boot."""
        recorder = self._recorder
        config, ledger, turn, kept = recorder.config, recorder.day.ledger, recorder.turn, recorder.kept.by_name
        wall = turn.wall if recorder.clock.trusted else None
        late = [name for name in kept if kept[name].late(wall, turn.monotonic)]
        days = stores.key_days(kept, config)
        self._note_bundle(days)
        facts = {
            "purposes": [(name, name in config.purposes, name in late) for name in law.CONFIGURABLE],
            "keys": days,
            "capture": capture,
            "clock": recorder.clock.state,
            "day": ledger["day"],
            "spent": ledger["spent"],
            "ceiling": config.summary.epsilon_ceiling,
            "duty": config.gateway.duty,
            "audit": recorder.audit.newest,
            "tls": not config.exposed,
            "doctor": verdict.with_own(verdict.newest(recorder.paths.verdict), self.findings()),
        }
        second = (turn.wall - turn.monotonic + due) // _SECOND
        text = messages.health(config.gateway.id, second, facts)
        try:
            files.write_atomic(recorder.paths.run.health, text, 0o640, durable=False)
        except OSError as failure:
            recorder.log("health can't be written" + reason(failure.errno))

    def _note_bundle(self, days: "int | None") -> None:
        """Put on the audit log that the custodian's keys reach further than before, or no further than today."""
        former, self._key_days = self._key_days, days
        if days is not None and former is not None and (days > former or days == 0 < former):
            self._recorder.audit.note("bundle", "installed" if days else "over", days)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.recorder.recorder import Recorder
