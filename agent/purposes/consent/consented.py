# SPDX-License-Identifier: Apache-2.0
"""What is done by consent, and what is asked in an emergency: wires consents, their stores and the radios for the recorder (L34-V).

A record of `services` or `location` is made only while its terminal's consent is active (L34-IV-1, L34-V-1), of what began after
that was given or resumed: there is no back-fill. A withdrawal overwrites the keys first and asks flash afterwards; so does a
suspension end a stay first. Where neither purpose is on, consents that are still remembered go on to their end and can be withdrawn.
Where flash refuses them or their key, there are none until it doesn't, and `oubli status` says so loudly (L34-V-2).
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
from agent.vault.stores import BY_CONSENT

_SECOND = 1000000000
LOOK = 30 * _SECOND  # how often the ends of consents are looked at; expiry of what is kept has its own, exact clock


class Consented(Purposes):
    """`lose(cause, records)` and `log(text)` as in the recorder; `now()` answers the present second, None while it isn't trusted.

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
                self.stores[name] = consent_ring.ConsentRing(folder, keys, sodium, law.number(name), config.purposes[name].budget, lose)
            elif files.exists(folder + "/ring"):
                files.remove(folder + "/ring")  # noise: the ring of keys has another size without the purpose
        self.stations = Stations(self._allowed, self._keep)
        self.emergency = Emergency(self.stations)
        self._bus = bus(self.stations, self.wanted)
        self._services = Services(self.stores["services"].plain) if "services" in self.stores else None
        self._sodium = sodium
        self._token = memory.scratch(KEY)  # under it the page's forms are known to come from the page, as shown to this terminal
        sodium.random(self._token.address, KEY)
        self._without = [
            [name, config.purposes[name].lifetime] for name in law.CONFIGURABLE if name in config.purposes and name not in BY_CONSENT
        ]
        self._counted = bool(config.metrics)
        self._consents: "consents.Consents | None" = None
        self._trouble = 0  # errno of what keeps consents from being read
        self._open()
        if self.stores and not texts.names(paths.texts):
            log("no text of consent is installed: none can be given (L34-V-2)")

    def _open(self, make: bool = False) -> None:
        """Read the consents; where flash refuses, there are none, and `tick` tries again. `make`: also where none were kept before."""
        paths = self._paths
        if self._consents is not None or not (make or self.stores or files.exists(paths.consents)):
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
                self._log("flash refuses the consents or their key" + reason(failure.errno) + ": all of them are suspended (L34-V-2)")
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
        return self._bus is not None and self._bus.ready(descriptor, wall // _SECOND)

    def wanted(self) -> bool:
        """Return True if the radios are to be listened to."""
        if self.emergency.is_open:
            return True
        return self._consents is not None and "location" in self.stores and self._consents.any_active("location", self._now())

    # What comes in

    def connection(self, decoder: "Decoder", connection: "Connection", terminal: "Holder | None", end: int) -> None:  # noqa: ARG002
        """Keep a connection for `services` where its terminal consents; `end` in ns."""
        register, packer = self._consents, self._services
        if register is None or packer is None or not connection.accounted:
            return
        place = register.active(terminal.mac(), "services", self._now()) if terminal is not None else -1
        if terminal is None or place < 0 or connection.start <= max(register.since(place) + 1, self._stepped) * _SECOND:
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

    # Time

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
            self._bus.tick(monotonic, wall // _SECOND)
        while self._unwritten:
            self._unwritten -= 1
            self._look = monotonic
            self._note("consent", "suspended", calls.ANYONE)
        # An end is noted as soon as it has come, before flash is told that the time has: no backup and no clock brings it back.
        if monotonic < self._look and (self._consents is None or not self._consents.due(self._now())):
            return
        self._look = monotonic + LOOK
        self._open()
        if self._consents is not None:
            try:
                self._consents.tick(self._now())
            except OSError as failure:
                self._log("flash refused a change of consents" + reason(failure.errno))
            self._prune(self._now())

    def stepped(self, step: int, wall: int) -> None:
        """Take note that the wall clock was stepped by so many ns, and is at `wall` now.

        Stays keep their length; a connection from before it can't be held against the time of a consent: it isn't kept.
        """
        self._stepped = wall // _SECOND
        self.stations.shift((step + _SECOND // 2) // _SECOND)

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

    # Calls

    def _consents_or_refuse(self) -> "consents.Consents":
        if self._trouble:
            raise calls.Refused("flash refuses" + reason(self._trouble) + ": every consent is suspended; accepted: once it can be read")
        if self._consents is None:
            raise calls.Refused("neither services nor location is on (L34-IV-1); accepted: a purpose section with enabled '1'")
        return self._consents

    def terminal(self, fields: "dict[str, Any]") -> bytes:
        """Return the MAC that a call names, by itself or by an address that it holds now."""
        return calls.named(fields, self._holders.holder)

    def grant(self, fields: "dict[str, Any]", by: str) -> "dict[str, Any]":
        """Take a consent."""
        register, now = self._consents_or_refuse(), self._now()
        off = [name for name in fields["purposes"] if name not in self.stores]
        if off:
            raise calls.Refused("purposes: one isn't on (L34-II-1); accepted: " + ", ".join(sorted(self.stores)))
        named = fields["purposes"], fields["third_parties"], fields["days"]
        if not texts.known(self._paths.texts, fields["text"], named[0], named[1], named[2], self._notice):
            raise calls.Refused("text: not the hash of a document for this consent (L34-V-2); accepted: of one with " + self._texts())
        end = (now or 0) + fields["days"] * law.DAY
        mac = self.terminal(fields)
        words = (fields["purposes"], fields["categories"], fields["third_parties"])
        try:
            place = register.grant(mac, words[0], words[1], words[2], end, _hex(fields["text"]), now)
        except consents.Refused as failure:
            raise calls.Refused(failure.args[0])
        except OSError as failure:
            raise calls.Refused("flash refuses to keep a consent" + reason(failure.errno) + ": there is none")
        self._note("consent", "granted", by)
        self.stations.ask()
        return {"number": place, "end": end}

    def document(self, fields: "dict[str, Any]") -> "dict[str, Any]":
        """Return the document to be shown before a consent, a line each, and its hash."""
        if fields["name"] not in texts.names(self._paths.texts):
            raise calls.Refused("name: no text of this device; accepted: " + self._texts())
        words = fields["purposes"], fields["third_parties"], fields["days"]
        try:
            lines, digest = texts.document(self._paths.texts, fields["name"], words[0], words[1], words[2], self._notice)
        except (OSError, ValueError):
            raise calls.Refused("name: that text can't be read; accepted: a file in UTF-8")
        return {"document": lines, "text": digest}

    def _texts(self) -> str:
        return ", ".join(["consent-" + name + ".txt" for name in texts.names(self._paths.texts)]) or "none, for none is installed"

    def withdraw(self, fields: "dict[str, Any]", by: str) -> "dict[str, Any]":
        """End a terminal's consents, or what they say of one purpose: the keys go first, at once."""
        return self._withdraw(self._consents_or_refuse(), self.terminal(fields), fields["purpose"], by)

    def _withdraw(self, register: "consents.Consents", mac: bytes, purpose: "str | None", by: str) -> "dict[str, Any]":
        now = self._now()
        places = register.withdraw(mac, now, purpose)
        destroyed = 0
        for place in places:
            if not register.alive(place, "location", now):
                self.stations.drop(place)
            for name in self.stores:
                if not register.alive(place, name, now):
                    destroyed += self.stores[name].destroy(place)
        self._counters["withdrawn"] += destroyed
        if places:
            self._note("consent", "withdrawn", by)
        return {"withdrawn": len(places), "destroyed": destroyed, "durable": register.flush()}

    def forget(self, mac: bytes, by: str) -> "dict[str, Any]":
        """End a terminal's consents where any are kept, as a part of its erasure."""
        if self._trouble:
            self._consents_or_refuse()
        if self._consents is None:
            return {"withdrawn": 0, "destroyed": 0, "durable": True}
        return self._withdraw(self._consents, mac, None, by)

    # Objections

    def objects(self, mac: "int | bytes") -> bool:
        """Return True if a terminal, 6 octets or where they stand in memory, is not to be counted; nobody is, where that can't be read."""
        return self._trouble > 0 if self._consents is None else self._consents.objects(mac)

    def object(self, fields: "dict[str, Any]", by: str) -> "tuple[bytes, dict[str, Any]]":
        """Take a terminal's objection to being counted; returns whose it is, and the answer. Its consents are suspended, too."""
        self._open(make=True)
        register, mac = self._consents_or_refuse(), self.terminal(fields)
        try:
            new = register.object(mac, self._now())
        except consents.Refused as failure:
            raise calls.Refused(failure.args[0])
        if new:
            self._note("objection", "made", by)
        return mac, {"objected": new, "durable": self._suspend(register, mac, by)["durable"]}

    def accept(self, fields: "dict[str, Any]", by: str) -> "dict[str, Any]":
        """Take an objection back; consents stay suspended until they are resumed."""
        register = self._consents_or_refuse()
        try:
            ended = register.accept(self.terminal(fields), self._now())
        except consents.Refused as failure:
            raise calls.Refused(failure.args[0])
        except OSError as failure:
            raise calls.Refused("flash refuses" + reason(failure.errno) + ": the objection goes on")
        if ended:
            self._note("objection", "ended", by)
        return {"accepted": ended}

    def suspend(self, fields: "dict[str, Any]", by: str) -> "dict[str, Any]":
        """Suspend a terminal's consents, until they are resumed.

        A process without a role hears the same whatever there was: neither the answer nor how long flash took to write says
        whether a terminal is here, or has consented. Flash is written in the next tick then.
        """
        register = self._consents_or_refuse()
        try:
            mac = self.terminal(fields)
        except calls.Refused:
            if by != calls.ANYONE or fields["address"] is None:
                raise
            return dict(_HEARD)
        return self._suspend(register, mac, by)

    def _suspend(self, register: "consents.Consents", mac: bytes, by: str) -> "dict[str, Any]":
        now = self._now()
        places = register.suspend(mac, now)
        for place in places:
            if now is None:
                self.stations.drop(place)
            else:
                self.stations.finish(place, now)
        if by == calls.ANYONE:
            self._unwritten += bool(places)
            return dict(_HEARD)
        if places:
            self._note("consent", "suspended", by)
        return {"suspended": len(places), "durable": register.flush()}

    def resume(self, fields: "dict[str, Any]", by: str) -> "dict[str, Any]":
        """Resume what was suspended."""
        register = self._consents_or_refuse()
        try:
            places = register.resume(self.terminal(fields), self._now())
        except consents.Refused as failure:
            raise calls.Refused(failure.args[0])
        except OSError as failure:
            raise calls.Refused("flash refuses" + reason(failure.errno) + ": it stays suspended")
        if places:
            self._note("consent", "resumed", by)
        self.stations.ask()
        return {"resumed": len(places)}

    def own(self, fields: "dict[str, Any]") -> "dict[str, Any]":
        """Return the consents of the terminal that asks, what is kept without them (purpose, seconds), and a token for its forms."""
        mac = self.terminal(fields)
        digest = bytearray(_TOKEN)
        self._sodium.keyed_digest(digest, _TOKEN, mac, self._token.address)
        token = "".join([chr(97 + (octet >> shift & 15)) for octet in digest for shift in (4, 0)])  # letters: a form's field holds no other
        found = self._consents.of_terminal(mac, self._now()) if self._consents is not None else []
        objects = self._consents is not None and self._consents.objects(mac)
        return {"consents": found, "kept": self._without, "counted": self._counted, "objects": objects, "token": token}

    def listed(self, first: "int | None") -> "dict[str, Any]":
        """Return how many consents are in which state, and a page of them, without whose they are."""
        register, now = self._consents_or_refuse(), self._now()
        return {"counts": register.counts(now), "consents": register.listed(first or 0, PAGE, now)}

    # Emergency

    def open_emergency(self, fields: "dict[str, Any]", by: str) -> "dict[str, Any]":
        """Begin to look for one terminal."""
        self.emergency.open(self.terminal(fields), fields["incident"], self._monotonic)
        self._note("emergency", "opened", fields["incident"], by)
        return self.emergency.status(self._monotonic)

    def where(self, again: bool) -> "dict[str, Any]":
        """Return where the terminal of the open emergency is; `again`: ask the radios once more first."""
        if again:
            self.emergency.again()
        return self.emergency.status(self._monotonic)

    def close_emergency(self, by: str) -> "dict[str, Any]":
        """Overwrite whom it looked for and the answer."""
        incident = self.emergency.close()
        if incident:
            self._note("emergency", "closed", incident, by)
        return {"closed": incident > 0}

    # Figures

    def counts(self) -> "dict[str, int] | None":
        """Return how many consents are in which state, or with which `errno` flash refuses all; None where none are kept."""
        if self._trouble:
            return {"errno": self._trouble}
        return self._consents.counts(self._now()) if self._consents is not None else None

    def objections(self) -> int:
        """Return how many terminals object to being counted (local use only)."""
        return self._consents.objections if self._consents is not None else 0

    def close(self, wall: int) -> None:
        """End every stay, and close; the stores are the recorder's to close, afterwards."""
        now = wall // _SECOND
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


_TOKEN = 16  # octets
_HEARD = {"heard": True}
PAGE = 100  # consents in one answer of `list`


def _hex(digits: str) -> bytes:
    return bytes([int(digits[at : at + 2], 16) for at in range(0, len(digits), 2)])


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from agent.audit.counters import Counters
    from agent.base.paths import Paths
    from agent.capture.address_table import AddressTable
    from agent.capture.connections import Connection, Decoder
    from agent.config.config import Config
    from agent.purposes.location.bus import Bus
    from agent.runtime.sodium import Sodium
    from agent.vault.keys import KeyRing
    from agent.vault.record import Holder
