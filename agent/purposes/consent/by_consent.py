# SPDX-License-Identifier: Apache-2.0
"""What is kept by consent, and by what: wires consents, their stores and the radios for the recorder (L34-V).

A record of `services` or `location` is made only while its terminal's consent is active (L34-IV-1, L34-V-1). It is of
what began after that was given or resumed: there is no back-fill. Where neither purpose is on, consents that are still
remembered go on to their end and can be withdrawn. Where flash refuses them or their key, there are none until it
doesn't, and `oubli status` says so loudly (L34-V-2). What may be asked and done is in agent.purposes.consent.consented.
"""

from agent import law
from agent.control import calls
from agent.purposes.consent import consent_ring
from agent.purposes.consent.opened import Opened
from agent.purposes.location import record as location
from agent.purposes.location.emergency import Emergency
from agent.purposes.location.stations import Stations
from agent.purposes.location.stays import Stays
from agent.purposes.purposes import Purposes
from agent.purposes.services.record import Services
from agent.runtime import files
from agent.vault.stores import BY_CONSENT

SECOND = 1000000000
PERIOD = 30 * SECOND  # between two checks of the ends of consents; expiry of what is kept has its own, exact clock


class ByConsent(Purposes):
    """`now()` is the present second, None where it isn't trusted.

    `bus(stations, wanted)` makes the connection to the radios, None where there is none (agent.purposes.location.bus).
    Acts are put on the recorder's audit log, which says which roles did it, never about whom (L34-VI-3).
    """

    def __init__(
        self,
        recorder: "Recorder",
        sodium: "Sodium",
        now: "Callable[[], int | None]",
        bus: "Callable[[Stations, Callable[[], bool]], Bus | None]",
    ) -> None:
        config, paths = recorder.config, recorder.paths
        keys, self._lose = recorder.kept.keys, recorder.kept.lose
        self._counters, self._note = recorder.counters.values, recorder.audit.note
        self._now = now
        self._next_check = self._wall = self._monotonic = self._stepped = 0
        self._unwritten = 0  # suspensions by a process without a role that the audit log and flash don't have yet
        self.stores: "dict[str, consent_ring.ConsentRing]" = {}
        for name in BY_CONSENT:
            folder = paths.run.vault + "/" + name
            if name in config.purposes:
                files.make_folder(folder, 0o700)
                self.stores[name] = consent_ring.ConsentRing(
                    folder, keys, sodium, law.number(name), config.purposes[name].budget, self._lose
                )
            elif files.exists(folder + "/ring"):
                files.remove(folder + "/ring")  # noise: the ring of keys has another size without the purpose
        self.stations = Stations(self._allowed, Stays(self._keep))
        self.emergency = Emergency(self.stations)
        self._bus = bus(self.stations, self.wanted)
        self._services = Services(self.stores["services"].plain) if "services" in self.stores else None
        self._opened = Opened(paths, sodium, recorder.log)
        self._open()

    def _open(self, make: bool = False) -> None:
        """Read the consents, where they are kept; where flash refuses, there are none, and `tick` tries again.

        `make`: also where none were kept before.
        """
        if self._opened.read(make or len(self.stores) > 0):
            self._prune(None)

    def ready(self, descriptor: int, wall: int) -> bool:
        """Read from the radios where this descriptor is theirs; `wall` in ns."""
        return self._bus is not None and self._bus.ready(descriptor, wall // SECOND)

    def wanted(self) -> bool:
        """Return True if the radios are to be listened to."""
        if self.emergency.is_open:
            return True
        register = self._opened.consents
        return register is not None and "location" in self.stores and register.any_active("location", self._now())

    def connection(
        self,
        decoder: "Decoder",  # noqa: ARG002
        connection: "Connection",
        terminal: "Holder | None",
        end: int,
    ) -> None:
        """Keep a connection for `services` where its terminal consents; `end` in ns."""
        register, packer = self._opened.consents, self._services
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
        register = self._opened.consents
        if register is None or "location" not in self.stores:
            return -1
        return register.active(mac, "location", self._now())

    def _keep(self, place: int, mac: bytes, start: int, end: int, access_point: bytes) -> None:
        register, store = self._opened.consents, self.stores.get("location")
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
            for place in self.stations.stays.places():
                self.stations.stays.drop(place)
                self._lose("clock", 1)
        incident = self.emergency.tick(monotonic)
        if incident:
            self._note("emergency", "expired", incident, "recorder")
        if self._bus is not None:
            self._bus.tick(monotonic, wall // SECOND)
        while self._unwritten:
            self._unwritten -= 1
            self._next_check = monotonic
            self._note("consent", "suspended", calls.ANYONE)
        # An end is noted as soon as it has come, before flash is told that the time has:
        # no backup and no clock brings it back.
        register = self._opened.consents
        if monotonic < self._next_check and (register is None or not register.due(self._now())):
            return
        self._next_check = monotonic + PERIOD
        self._open()
        self._opened.tick(self._now(), monotonic // SECOND)
        self._prune(self._now())

    def stepped(self, step: int, wall: int) -> None:
        """Take note that the wall clock was stepped by so many ns, and is at `wall` now.

        Stays keep their length; a connection from before it can't be held against the time of a consent: it isn't kept.
        """
        self._stepped = wall // SECOND
        self.stations.stays.shift((step + SECOND // 2) // SECOND)

    def _prune(self, now: "int | None") -> None:
        """Drop what no consent allows any more: keys and stays."""
        register = self._opened.consents
        if register is None:
            return
        for name, store in self.stores.items():
            for place in store.places():
                if not register.alive(place, name, now):
                    store.destroy(place)
        for place in self.stations.stays.places():
            if not register.alive(place, "location", now):
                self.stations.stays.drop(place)

    def close(self, wall: int) -> None:
        """End every stay, and close; the stores are the recorder's to close, afterwards."""
        now = wall // SECOND
        self.emergency.close()
        self.stations.stays.finish_all(now)
        if self._bus is not None:
            self._bus.close(now)
        self.stations.stays.close()
        self._opened.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.capture.connections import Connection, Decoder
    from agent.purposes.location.bus import Bus
    from agent.recorder.recorder import Recorder
    from agent.runtime.sodium import Sodium
    from agent.vault.record import Holder
