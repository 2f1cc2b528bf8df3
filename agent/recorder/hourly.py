# SPDX-License-Identifier: Apache-2.0
"""What a recorder writes on flash at each powered-on hour: the hour itself, losses, the audit log's checkpoint."""

from agent.base.clock import HOUR
from agent.runtime.libc import reason
from agent.summary.metrics import METRICS

_SECOND = 1000000000


class Hourly:
    """The hours of one recorder."""

    def __init__(self, recorder: "Recorder") -> None:
        self._recorder = recorder
        self._noted = dict(recorder.counters.values)  # what the audit log has of losses
        self.refusing = False  # flash refused what each hour writes

    def boot(self) -> None:
        """Count a boot, with the hours since it."""
        self.refusing = self._write(self._recorder.day.ledger.boot, self._recorder.turn.monotonic // HOUR)

    def run(self) -> None:
        """Count a powered-on hour on flash; drop what the spool can't hold."""
        recorder, spool = self._recorder, self._recorder.day.releases.spool
        now = recorder.turn.wall // _SECOND if recorder.clock.trusted else 0
        recorder.clock.floor = max(recorder.clock.floor, now)
        refused = self._write(recorder.day.ledger.hour, now)
        self.refusing = self._write(spool.trim, now) or refused
        if spool.stuck:
            stuck = spool.stuck
            recorder.log(f"the spool holds {stuck} entries that are no messages and that only root can remove")
        self.note_losses()
        for name in recorder.kept.by_name:  # flash that refused at the start, or came later, is put in order later
            recorder.kept.note_torn(name)
        recorder.audit.hour()
        for metric in METRICS:  # whatever the spool was made to hold besides is nobody's loss
            count = spool.dropped.get(metric.name, 0)
            recorder.counters.add("messages dropped", count)
            recorder.counters.add("messages dropped: " + metric.name, count)
        spool.dropped = {}
        for part in recorder.groups.all:
            part.hour()

    def note_losses(self) -> None:
        """Put what was lost since the last time on the audit log, a line a cause."""
        recorder = self._recorder
        for name in recorder.counters.values:
            lost = recorder.counters.values[name] - self._noted[name]
            if lost and name.startswith("lost: "):
                recorder.audit.note("loss", name[6:].replace(" ", "-"), lost)
        self._noted = dict(recorder.counters.values)

    def _write(self, write: "Callable[..., None]", *values: int) -> bool:
        """Write something on flash; True where that refuses."""
        try:
            write(*values)
        except OSError as failure:
            self._recorder.log("flash refused a write" + reason(failure.errno))
            return True
        return False


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.recorder.recorder import Recorder
