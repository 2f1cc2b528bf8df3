# SPDX-License-Identifier: Apache-2.0
"""What the recorder does for `attribution` and `billing`.

The two stores that only a custodian reads (L34-1 III; IV, 1st par.).

It holds what the two need besides their stores: the portal's sessions, the port blocks and the kernel's table of them,
the executor where requests are run. Nothing of it exists without a store of theirs. The two never meet: each has its
own store under its own keys (L34-III-3). One that is off answers requests until all in it is over; no terminal's record
comes to it.
"""

from agent.capture.connections import source_of
from agent.capture.lan import is_private
from agent.control import calls
from agent.purposes.attribution import attribution, nftables
from agent.purposes.attribution.blocks import Blocks
from agent.purposes.attribution.holdings import Holdings
from agent.purposes.attribution.record import UNKNOWN_MAC
from agent.purposes.believed_time import BelievedTime
from agent.purposes.billing import billing
from agent.purposes.portal.opennds import OpenNds
from agent.purposes.portal.sessions import Sessions
from agent.purposes.purposes import Purposes
from agent.purposes.requests import executor, requests
from agent.vault.segment import LATEST
from agent.vault.stores import kept_for, noted, place

_SECOND = 1000000000
PERIOD = 10  # seconds between two looks at blocks and sessions
SECOND_NAT = "a second NAT lies between: public ports can't be matched here"
COUNTED = {"kept": "attributed", attribution.COVERED: "in a block"}


class NoKernel:
    """Stand in for the kernel's table where there is no kernel to tell."""

    devices: "Sequence[str]" = ()

    def stands(self, *_: "object") -> bool:
        """Take note of nothing, and say that nothing was taken away."""
        return True

    load = remove = give = take = stands


class DeferredPurposes(Purposes):
    """The two purposes of one recorder.

    `stores` are its stores by name, `table` the kernel's (agent.purposes.attribution.nftables.Table).

    `count(name)` counts, `note(act, *words)` writes on the audit log.
    """

    def __init__(
        self,
        config: "Config",
        paths: "Paths",
        stores: "dict[str, Any]",
        lan: "Lan",
        holders: "AddressTable",
        sodium: "Sodium",
        table: "nftables.Table | NoKernel",
        count: "Callable[[str], None]",
        note: "Callable[..., bool]",
        clock: "Clock",
        monotonic: int,
    ) -> None:
        self._section = section = config.purposes.get("attribution")
        self._stores = stores
        self._lan = lan
        self._holders = holders
        self._count = count
        self._next = 0
        self.sessions = Sessions()
        self._portal = OpenNds(self.sessions, paths.portal)
        self.billing: "billing.Billing | None" = None
        grounds: "dict[str, list[tuple[int, str]] | None]" = {}
        append = _nowhere
        if "attribution" in stores:
            config.notes["attribution"] = noted("attribution", paths)
            grounds["attribution"] = kept_for("attribution", config)
            append = stores["attribution"].amend if section is None else stores["attribution"].append
        self.attribution = attribution.Attribution(append, self._user)
        self._time = BelievedTime(clock, self.attribution, self._seal, monotonic // _SECOND)
        if section is not None:
            stores["attribution"].mark = self._mark
            if section.mode == "blocks":
                path, flash = paths.run.blocks, paths.flash.ports
                keep = self._row_kept
                made = Blocks(path, flash, section.block_size, table, keep, self._user, self._time.now)
                own = (self.attribution.keep_row, self._user, holders.known_since)
                self.attribution.holdings = Holdings(made, *own)
                lan.holder_changed = self.holder_changed
        if "billing" in stores:
            grounds["billing"] = None
        if "billing" in config.purposes:
            self.billing = billing.Billing(paths.run.billing, stores["billing"].append, self._user)
        self._gateway = config.gateway.id
        places = {name: place(name, config, paths)[0] + "/handovers" for name in grounds}
        at = executor.RequestExecutor(
            paths.etc.agents, paths.flash.requests, places, self._gateway, grounds, sodium.signatures.valid
        )
        running = executor.RunningRequest(at, self._gateway, sodium, paths.flash.device_key, note)
        self.requests: "executor.RunningRequest" = running  # said for agent.control.calls, which this file imports
        self._lines = clock.lines

    def _mark(self) -> None:
        if not self.suspended and self._stores["attribution"].key_days():
            self._time.mark()

    def _seal(self) -> None:
        if "attribution" in self._stores:
            self._stores["attribution"].stepped()

    def _row_kept(self, record: "Any") -> bool:
        return self.suspended or self.attribution.keep_row(record)

    @property
    def on(self) -> bool:
        """Return True if one of the two is on; else they answer requests about what is left, and that is all."""
        return self._section is not None or self.billing is not None

    # A second NAT

    @property
    def second_nat(self) -> bool:
        """Return True if the WAN address is one that the internet can't see (L34-II-4)."""
        return self._lan.behind

    @property
    def suspended(self) -> bool:
        """Return True if `attribution` keeps nothing: it is off, or below a second NAT that nobody has acknowledged."""
        return self._section is None or (self.second_nat and not self._section.upstream_nat)

    def refusal(self) -> str:
        """Return why the recorder may not start with this, "" where it may."""
        if self._section is None or not self.suspended:
            return ""
        return "attribution: " + SECOND_NAT + " (L34-II-4); accepted: upstream_nat 'acknowledged', or enabled '0'"

    # Connections and terminals

    def _user(self, mac: bytes, start: int) -> bytes:
        """Return who was logged in at a terminal by `start` (s since the epoch), and is still."""
        # Both clocks and the log-in are known to the second: in doubt it came after the start
        return self.sessions.user(mac, start - self._time.wall + self._time.now - 2)

    def _holder(self, address: bytes) -> bytes:
        return self._holders.user(address) or b""

    def holder_changed(self, address: bytes) -> None:
        """Take note that the kernel has somebody at an address, who may be another one than before, or not known."""
        mac = self._holder(address) or UNKNOWN_MAC
        self.attribution.holdings.hold(address, mac, self._time.wall, self._time.now)

    def _used(self, address: bytes) -> None:
        """Take note that somebody uses an address: the kernel doesn't tell anew of who has become active again."""
        if self._holder(address):
            self.holder_changed(address)

    def connection(self, decoder: "Decoder", connection: "Connection", terminal: "Terminal | None", end: int) -> None:
        """Keep a connection that has ended, for each of the two."""
        if not 0 <= end < LATEST:
            self.lost()
            return
        if not self.suspended:
            self._attribute(decoder, connection, terminal, end)
        elif self._section is not None:
            self._count("second NAT")
        if self.billing is not None and terminal is not None:
            start, last = connection.start // _SECOND, end // _SECOND
            up, down = connection.bytes_up, connection.bytes_down
            self.billing.connection(terminal.mac(), start, last, up, down, self._time.wall)
            self._count("billed")

    def _attribute(self, decoder: "Decoder", connection: "Connection", terminal: "Terminal | None", end: int) -> None:
        source, public = source_of(connection), decoder.public()
        if public == source and len(source) == 4 and is_private(source):
            self._count("no public address")  # to the gateway itself, such as its resolver: nobody can ask for it
            return
        result = self.attribution.connection(
            connection, source, public, terminal, end, self._time.now, exact=self._exact()
        )
        if result != attribution.COVERED:
            self._used(source)
        if result != "lost":
            self._count(COUNTED.get(result, result))

    def _exact(self) -> bool:
        """Return True if a step of the clock leaves no doubt when the connection at hand began."""
        return not self._lines.stepped or self._lines.doubt < _SECOND

    def alive(self, decoder: "Decoder", connection: "Connection", terminal: "Terminal | None", last: int) -> None:
        """Take note of a connection that lasts."""
        mac, newest = (terminal.mac(), terminal.newest) if terminal is not None else (UNKNOWN_MAC, False)
        time = self._time
        if not self.suspended:
            start, port = connection.start // _SECOND, connection.translated_port
            source = source_of(connection)
            if not self.attribution.holdings.covers(
                source,
                decoder.public(),
                port,
                mac,
                start,
                time.wall,
                time.now,
                exact=newest and self._exact(),
            ):
                self._used(source)
                if decoder.public() != source or not is_private(source):
                    packet, exact = -(-last // _SECOND), self._exact()
                    self.attribution.last(connection, source, decoder.public(), mac, time.wall, packet, exact=exact)
        if self.billing is not None and terminal is not None:
            self.billing.alive(mac, connection.start // _SECOND, last // _SECOND, time.wall)

    def list_ended(self, monotonic: int) -> None:
        """Take note that a whole list of what lasts has ended, which was begun then."""
        time = self._time
        if time.trusted and monotonic >= time.steady:
            # Never later than it was: three roundings
            self.attribution.split(time.wall - (time.now - monotonic // _SECOND) - 1)

    def lost(self) -> None:
        """Take note that connections were lost."""
        self.attribution.lost()

    # Time

    def tick(self, wall: int, monotonic: int, *, trusted: bool) -> None:
        """Do what is due; times in ns.

        A trusted clock that was stepped isn't believed before the time is confirmed anew (L34-II-4).
        """
        time = self._time
        time.tick(wall, monotonic, trusted=trusted, behind=self.second_nat)
        for purpose in (self.attribution, self.billing):
            if purpose is not None:
                purpose.confirmed = time.trusted
        if self.on:
            self._portal.tick(monotonic)
        holdings = self.attribution.holdings
        holdings.leave_by(self._lan.outs, self._lan.public, time.wall, time.now, self._holder)
        if not self.suspended:
            holdings.deal(time.wall, time.now, self._holder)
        if time.now < self._next and not self.sessions.changed:
            return
        self._next, self.sessions.changed = time.now + PERIOD, False
        if time.trusted and not self.requests.executor.tidied:  # it may have been off as requests expired
            self._tidy()
        self.sessions.tick(time.now)
        if self.billing is not None:
            self.billing.tick(time.wall)
        self.sessions.changed |= holdings.tick(time.wall, time.now, self._holder)

    def hour(self) -> None:
        """Do what is done each powered-on hour."""
        self.attribution.holdings.hour()
        self._mark()
        self._tidy()

    def _tidy(self) -> None:
        """Remove the documents of requests that have expired."""
        try:
            self.requests.executor.tidy(self._time.least())
        except OSError:
            pass  # the next hour, or the next request, tries again

    def stepped(self, step: int, wall: int) -> None:
        """Take note that the wall clock was stepped by so many ns."""
        self._mark()
        self._time.stepped(step // _SECOND, wall // _SECOND)
        if self.billing is not None:
            self.billing.finish(self._time.wall)

    # Calls

    def session(self, mac: bytes, user: "str | None") -> "dict[str, Any]":
        """Take the portal's word that a user is logged in at a terminal; None: nobody is any more."""
        if user is None:
            self.sessions.end(mac)
        elif not self.sessions.begin(mac, user, self._time.now):
            raise calls.Refused("session.user: not understood; accepted: 1 to 64 octets without a control character")
        return {"sessions": len(self.sessions.macs())}

    def request(self, text: str, latest: int) -> "dict[str, Any]":
        """Begin to run a request of an authority; `work` does it, `handover` tells (L34-II-4).

        `latest` is the latest time that was ever known, in seconds since the epoch.
        """
        latest = max(latest, self._time.reached)
        return self.requests.begin(text, self._time.wall, latest, self._closed, trusted=self._time.trusted)

    def _closed(self, request: "requests.Request") -> "tuple[list[str], dict[str, Any]]":
        """Close a request's store; returns the segments and the statement that are handed over.

        Refused where flash refuses.
        """
        store, kept, time = self._stores[request.store], self.attribution, self._time
        if self.billing is not None and request.store == "billing":
            self.billing.finish(time.wall)
        if not self.suspended:
            kept.holdings.tick(time.wall, time.now, self._holder, 0)
        if not store.seal() or time.owed:
            raise requests.Refused(
                "flash", "flash refuses: what is kept can't be closed now; accepted: once more when it is writable"
            )
        time.mend()
        statement = {
            "gateway": self._gateway,
            "made": time.wall,
            "second_nat": self.second_nat,
            "alive": kept.lasting,
            "listed": kept.listed,
            "unbroken": time.unbroken,
        }
        return store.held(*executor.days(request)), statement

    def work(self, monotonic: int) -> bool:  # noqa: ARG002
        """Write a part of a handover where one is being made; True where there is more to do."""
        return self.requests.work(self._time.wall)

    # For the person at the gateway

    def shown(self, name: str) -> "dict[str, Any]":
        """Return what `oubli status` shows of a purpose beside its store."""
        entry = self._state(name)
        if self._portal.failures and entry:
            entry["portal_failures"] = self._portal.failures
            text = "openNDS's list failed or didn't come %d times: sessions may lack their user"
            entry["notes"].append(text % self._portal.failures)
        return entry

    def open_requests(self) -> "list[dict[str, Any]] | None":
        """Return what `oubli status` shows of requests that haven't expired; None where flash refuses."""
        return self.requests.executor.open(self._time.wall)

    def _state(self, name: str) -> "dict[str, Any]":
        if name == "attribution" and self._section is not None:
            section = self._section
            notes: "list[str]" = []
            if self.second_nat:
                notes.append(SECOND_NAT + (": nothing is kept" if self.suspended else ""))
            entry: "dict[str, Any]" = {"mode": section.mode, "notes": notes}
            held = self.attribution.holdings.status()
            if held:
                entry["blocks"] = held
                notes.append("port blocks: %(held)d held, %(resting)d resting, %(free)d free" % held)
                if held["without"]:
                    text = (
                        "1 terminal has none: its" if held["without"] == 1 else "%(without)d terminals have none: their"
                    )
                    text = text % held + " connections are kept one by one"
                    notes.append(text + ("" if held["free"] else "; lower block_size"))
            return entry
        if name == "billing" and self.billing is not None:
            return {
                "notes": [
                    str(len(self.billing)) + (" session is" if len(self.billing) == 1 else " sessions are") + " open"
                ]
            }
        return {}

    def erase(self, name: str) -> None:
        """Forget what a purpose holds outside its store, handovers of it too. OSError where flash refuses."""
        self.requests.erase(name)
        if name == "billing" and self.billing is not None:
            self.billing.erase()
        elif name == "attribution":
            self._time.begin_anew()

    def close(self, wall: int) -> None:  # noqa: ARG002
        """Let go; blocks and open sessions stay for the next process."""
        self.requests.close()
        self._portal.close()
        self.sessions.close()
        self.attribution.holdings.close()
        if self.billing is not None:
            self.billing.close()


def _nowhere(_begins: int, _record: bytes, **_owed: bool) -> str:
    """Keep nothing: there is no store."""
    return "due on arrival"


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence

    from agent.base.clock import Clock
    from agent.base.paths import Paths
    from agent.capture.address_rows import Terminal
    from agent.capture.address_table import AddressTable
    from agent.capture.connections import Connection, Decoder
    from agent.capture.lan import Lan
    from agent.config.config import Config
    from agent.runtime.sodium import Sodium
