# SPDX-License-Identifier: Apache-2.0
"""What is kept by consent, and by what: wires consents, their stores and the radios for the recorder (L34-V).

A record of `services` or `location` is made only while its terminal's consent is active (L34-IV-1, L34-V-1). It is of
what began after that was given or resumed: there is no back-fill. Where neither purpose is on, consents that are still
remembered go on to their end and can be withdrawn. Where flash refuses them or their key, there are none until it
doesn't, and `oubli status` says so loudly (L34-V-2). What may be asked and done is in agent.purposes.consent.consented.
"""

from agent import law
from agent.control import calls
from agent.purposes.consent import consent_ring, consents, texts
from agent.purposes.device_key import DeviceKey
from agent.purposes.location import record as location
from agent.purposes.location.emergency import Emergency
from agent.purposes.location.stations import Stations
from agent.purposes.purposes import Purposes
from agent.purposes.services.record import Services
from agent.runtime import files, memory
from agent.runtime.libc import reason
from agent.runtime.sodium import KEY
from agent.vault.stores import BY_CONSENT, remembered

SECOND = 1000000000
LOOK = 30 * SECOND  # how often the ends of consents are looked at; expiry of what is kept has its own, exact clock


class ByConsent(Purposes):
    """`lose(cause, records)` and `log(text)` as in the recorder; `now()` is the present second, None: not trusted.

    `note(act, *words)` puts an act on the audit log, where it says which roles did it, never about whom (L34-VI-3).
    `bus(stations, wanted)` makes the connection to the radios, None where there is none (agent.purposes.location.bus).
    """

    def __init__(
        self,
        config: "Config",
        paths: "Paths",
        keys: "KeyRing",
        sodium: "Sodium",
        holders: "AddressTable",
        counters: "Counters",
        lose: "Callable[[str, int], None]",
        log: "Callable[[str], None]",
        now: "Callable[[], int | None]",
        note: "Callable[..., object]",
        bus: "Callable[[Stations, Callable[[], bool]], Bus | None]",
    ) -> None:
        self._paths = paths
        self._notice = config.notice
        self._holders = holders
        self._counters = counters.values
        self._lose = lose
        self._log = log
        self._now = now
        self._note = note
        self._look = self._wall = self._monotonic = self._stepped = 0
        self._unwritten = 0  # suspensions by a process without a role that the audit log and flash don't have yet
        self.stores: "dict[str, consent_ring.ConsentRing]" = {}
        for name in BY_CONSENT:
            folder = paths.vault + "/" + name
            if name in config.purposes:
                files.make_folder(folder, 0o700)
                self.stores[name] = consent_ring.ConsentRing(
                    folder, keys, sodium, law.number(name), config.purposes[name].budget, lose
                )
            elif files.exists(folder + "/ring"):
                files.remove(folder + "/ring")  # noise: the ring of keys has another size without the purpose
        self.stations = Stations(self._allowed, self._keep)
        self.emergency = Emergency(self.stations)
        self._bus = bus(self.stations, self.wanted)
        self._services = Services(self.stores["services"].plain) if "services" in self.stores else None
        self._sodium = sodium
        # Under it the page's forms are known to come from the page, as shown to this terminal
        self._token = memory.scratch(KEY)
        sodium.random(self._token.address, KEY)
        self._config = config
        self._counted = bool(config.metrics)
        self.table: "Terminals | None" = None  # of the day; the recorder says which
        self._consents: "consents.Consents | None" = None
        self._trouble = 0  # errno of what keeps consents from being read
        self._open()
        if self.stores and not texts.names(paths.texts):
            log("no text of consent is installed: none can be given (L34-V-2)")

    def _open(self, make: bool = False) -> None:
        """Read the consents; where flash refuses, there are none, and `tick` tries again.

        `make`: also where none were kept before.
        """
        paths = self._paths
        if self._consents is not None or not (make or self.stores or remembered(paths)):
            return
        try:
            files.make_folder(paths.consents, 0o700)
            key = DeviceKey(paths.device_key, self._sodium)
            try:
                self._consents = consents.Consents(paths.consents, key, self._sodium)
            except OSError:
                key.close()
                raise
        except OSError as failure:
            if self._trouble != failure.errno:
                why = reason(failure.errno)
                self._log(f"flash refuses the consents or their key{why}: all of them are suspended (L34-V-2)")
            self._trouble = failure.errno or 5
            return
        self._trouble = 0
        if key.made:
            self._log("made the device's key")
        if self._consents.unreadable:
            self._log("a consent can't be read: it counts as none (L34-V-2)")
        self._prune(None)

    def ready(self, descriptor: int, wall: int) -> bool:
        """Read from the radios where this descriptor is theirs; `wall` in ns."""
        return self._bus is not None and self._bus.ready(descriptor, wall // SECOND)

    def wanted(self) -> bool:
        """Return True if the radios are to be listened to."""
        if self.emergency.is_open:
            return True
        return (
            self._consents is not None
            and "location" in self.stores
            and self._consents.any_active("location", self._now())
        )

    def connection(
        self,
        decoder: "Decoder",  # noqa: ARG002
        connection: "Connection",
        terminal: "Holder | None",
        end: int,
    ) -> None:
        """Keep a connection for `services` where its terminal consents; `end` in ns."""
        register, packer = self._consents, self._services
        if register is None or packer is None or not connection.accounted:
            return
        place = register.active(terminal.mac(), "services", self._now()) if terminal is not None else -1
        if terminal is None or place < 0 or connection.start <= max(register.since(place) + 1, self._stepped) * SECOND:
            self._counters["services without consent"] += 1
            return
        size = packer.pack(connection, terminal, end)
        if self.stores["services"].append(place, size, register.end(place), self._wall, self._monotonic) == "kept":
            self._counters["services kept"] += 1

    def _allowed(self, mac: bytearray) -> int:
        if self._consents is None or "location" not in self.stores:
            return -1
        return self._consents.active(mac, "location", self._now())

    def _keep(self, place: int, mac: bytes, start: int, end: int, access_point: bytes) -> None:
        register, store = self._consents, self.stores.get("location")
        if register is None or store is None or not register.alive(place, "location", self._now()):
            return
        size = location.pack(store.plain, mac, start, end, access_point)
        if store.append(place, size, register.end(place), self._wall, self._monotonic) == "kept":
            self._counters["location kept"] += 1

    def tick(self, wall: int, monotonic: int, *, trusted: bool) -> None:
        """End what is over; the stores themselves are ticked by the recorder, as all are. Times in ns."""
        self._wall, self._monotonic = wall, monotonic
        if not trusted:
            # Neither a stay's times nor the end of its key could be told (L34-V-2, EXP-5).
            for place in self.stations.stays():
                self.stations.drop(place)
                self._lose("clock", 1)
        incident = self.emergency.tick(monotonic)
        if incident:
            self._note("emergency", "expired", incident, "recorder")
        if self._bus is not None:
            self._bus.tick(monotonic, wall // SECOND)
        while self._unwritten:
            self._unwritten -= 1
            self._look = monotonic
            self._note("consent", "suspended", calls.ANYONE)
        # An end is noted as soon as it has come, before flash is told that the time has:
        # no backup and no clock brings it back.
        if monotonic < self._look and (self._consents is None or not self._consents.due(self._now())):
            return
        self._look = monotonic + LOOK
        self._open()
        if self._consents is not None:
            try:
                self._consents.tick(self._now(), monotonic // SECOND)
            except OSError as failure:
                self._log("flash refused a change of consents" + reason(failure.errno))
            self._prune(self._now())

    def stepped(self, step: int, wall: int) -> None:
        """Take note that the wall clock was stepped by so many ns, and is at `wall` now.

        Stays keep their length; a connection from before it can't be held against the time of a consent: it isn't kept.
        """
        self._stepped = wall // SECOND
        self.stations.shift((step + SECOND // 2) // SECOND)

    def _prune(self, now: "int | None") -> None:
        """Drop what no consent allows any more: keys and stays."""
        register = self._consents
        if register is None:
            return
        for name, store in self.stores.items():
            for place in store.places():
                if not register.alive(place, name, now):
                    store.destroy(place)
        for place in self.stations.stays():
            if not register.alive(place, "location", now):
                self.stations.drop(place)

    def close(self, wall: int) -> None:
        """End every stay, and close; the stores are the recorder's to close, afterwards."""
        now = wall // SECOND
        self.emergency.close()
        self.stations.finish_all(now)
        if self._bus is not None:
            self._bus.close(now)
        self.stations.close()
        self._token.wipe()
        self._token.close()
        if self._consents is not None:
            self._consents.flush()
            self._consents.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.audit.counters import Counters
    from agent.base.paths import Paths
    from agent.capture.address_table import AddressTable
    from agent.capture.connections import Connection, Decoder
    from agent.config.config import Config
    from agent.purposes.location.bus import Bus
    from agent.runtime.sodium import Sodium
    from agent.summary.terminals import Terminals
    from agent.vault.keys import KeyRing
    from agent.vault.record import Holder
