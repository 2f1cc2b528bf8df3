# SPDX-License-Identifier: Apache-2.0
"""What may be asked and done about consents, objections and an emergency, over the control socket (L34-V, L34-VI-5).

A withdrawal overwrites the keys first and asks flash afterwards; so does a suspension end a stay first. An act is on
the audit log, never about whom (L34-VI-3).
"""

from agent import law
from agent.base import canonical
from agent.control import calls
from agent.purposes import also_held
from agent.purposes.consent import consents, texts
from agent.purposes.consent.by_consent import SECOND, ByConsent
from agent.purposes.consent.kept_consents import RESERVED
from agent.runtime import memory
from agent.runtime.libc import reason
from agent.runtime.sodium import KEY


class Consented(ByConsent):
    """The purposes by consent and the calls about them: `fields` as agent.control.calls has them, `by` the role."""

    def __init__(
        self,
        recorder: "Recorder",
        sodium: "Sodium",
        now: "Callable[[], int | None]",
        bus: "Callable[[Stations, Callable[[], bool]], Bus | None]",
    ) -> None:
        super().__init__(recorder, sodium, now, bus)
        self._config, self._paths, self._sodium = recorder.config, recorder.paths, sodium
        self._holders, self._table = recorder.guests.holders, recorder.day.terminals
        self._source = recorder.clock.source
        # Under it the page's forms are known to come from the page, as shown to this terminal
        self._token = memory.scratch(KEY)
        sodium.random(self._token.address, KEY)
        if self.stores and not texts.offered(self._paths.texts):
            recorder.log("no text of consent is installed: none can be given (L34-V-2)")

    def close(self, wall: int) -> None:
        """End every stay, and close; the stores are the recorder's to close, afterwards."""
        super().close(wall)
        self._token.wipe()
        self._token.close()

    def _consents_or_refuse(self) -> "consents.Consents":
        if self._opened.trouble:
            raise calls.Refused(
                "flash refuses"
                + reason(self._opened.trouble)
                + ": every consent is suspended; accepted: once it can be read"
            )
        if self._opened.consents is None:
            raise calls.Refused(
                "neither services nor location is on (L34-IV-1); accepted: a purpose section with enabled '1'"
            )
        return self._opened.consents

    def terminal(self, fields: "dict[str, Any]") -> bytes:
        """Return the MAC that a call names, by itself or by an address that it holds now."""
        return calls.named(fields, self._holders.holder)

    def _on_or_refuse(self, fields: "dict[str, Any]") -> None:
        if any(name not in self.stores for name in fields["purposes"]):
            on = ", ".join(sorted(self.stores)) or "none, for none is on"
            raise calls.Refused("purposes: one isn't on (L34-II-1); accepted: " + on)

    def grant(self, fields: "dict[str, Any]", by: str) -> "dict[str, Any]":
        """Take a consent."""
        register, now = self._consents_or_refuse(), self._now()
        self._on_or_refuse(fields)
        named = fields["purposes"], fields["third_parties"], fields["days"]
        if not texts.known(self._paths.texts, fields["text"], named[0], named[1], named[2], self._config.notice):
            raise calls.Refused(
                "text: the document has changed, or is another consent's: read it again (L34-V-2); accepted: the hash "
                "of one with " + self._texts()
            )
        end = (now or 0) + fields["days"] * law.DAY
        mac = self.terminal(fields)
        words = (fields["purposes"], fields["categories"], fields["third_parties"])
        try:
            place = register.grant(mac, words[0], words[1], words[2], end, _hex(fields["text"]), now, _spare(by))
        except OSError as failure:
            raise calls.Refused("flash refuses to keep a consent" + reason(failure.errno) + ": there is none")
        self._note("consent", "granted", by)
        self.stations.ask()
        return {"number": place, "end": end}

    def document(self, fields: "dict[str, Any]") -> "dict[str, Any]":
        """Return the document to be shown before a consent, a line each, and its hash."""
        self._on_or_refuse(fields)
        if fields["name"] not in texts.names(self._paths.texts):
            raise calls.Refused("name: no text of this device; accepted: " + self._texts())
        words = fields["purposes"], fields["third_parties"], fields["days"]
        consents.named_or_refuse(words[1])
        consents.lasting_or_refuse(words[0], 0, words[2] * law.DAY)
        try:
            lines, digest = texts.document(
                self._paths.texts, fields["name"], words[0], words[1], words[2], self._config.notice
            )
        except (OSError, ValueError):
            raise calls.Refused("name: that text can't be read; accepted: a file in UTF-8")
        return {"document": lines, "text": digest}

    def _texts(self) -> str:
        return (
            ", ".join(["consent-" + name + ".txt" for name in texts.offered(self._paths.texts)])
            or "none, for none is installed"
        )

    def withdraw(self, fields: "dict[str, Any]", by: str) -> "dict[str, Any]":
        """End a terminal's consents, or what they say of one purpose: the keys go first, at once."""
        return self._withdraw(self._consents_or_refuse(), self.terminal(fields), fields["purpose"], by)

    def _withdraw(self, register: "consents.Consents", mac: bytes, purpose: "str | None", by: str) -> "dict[str, Any]":
        now = self._now()
        places = register.withdraw(mac, now, purpose)
        destroyed = 0
        for place in places:
            if not register.alive(place, "location", now):
                self.stations.stays.drop(place)
            for name in self.stores:
                if not register.alive(place, name, now):
                    destroyed += self.stores[name].destroy(place)
        self._counters["withdrawn"] += destroyed
        if destroyed:
            memory.overwrite_freed()
        if places:
            self._note("consent", "withdrawn", by)
        return {"withdrawn": len(places), "destroyed": destroyed, "durable": register.flush()}

    def forget(self, mac: bytes, by: str) -> "dict[str, Any]":
        """End a terminal's consents where any are kept, as a part of its erasure."""
        if self._opened.trouble:
            self._consents_or_refuse()
        if self._opened.consents is None:
            return {"withdrawn": 0, "destroyed": 0, "durable": True}
        return self._withdraw(self._opened.consents, mac, None, by)

    # Objections

    def objects(self, mac: "int | bytes") -> bool:
        """Return True if a terminal (6 octets, or where they are) isn't to be counted; none, where unreadable."""
        return self._opened.trouble > 0 if self._opened.consents is None else self._opened.consents.objects(mac)

    def object(self, fields: "dict[str, Any]", by: str) -> "tuple[bytes, dict[str, Any]]":
        """Take a terminal's objection to being counted; returns whose it is, and the answer.

        Its consents are suspended, too.
        """
        self._open(make=True)
        register, mac = self._consents_or_refuse(), self.terminal(fields)
        new = register.object(mac, self._now(), _spare(by))
        if new:
            self._note("objection", "made", by)
        return mac, {"objected": new, "durable": self._suspend(register, mac, by)["durable"]}

    def accept(self, fields: "dict[str, Any]", by: str) -> "dict[str, Any]":
        """Take an objection back; consents stay suspended until they are resumed."""
        register = self._consents_or_refuse()
        try:
            ended = register.accept(self.terminal(fields), self._now(), _spare(by))
        except OSError as failure:
            raise calls.Refused("flash refuses" + reason(failure.errno) + ": the objection goes on")
        if ended:
            self._note("objection", "ended", by)
        return {"accepted": ended}

    def suspend(self, fields: "dict[str, Any]", by: str) -> "dict[str, Any]":
        """Suspend a terminal's consents, until they are resumed.

        A process without a role hears the same whatever there was: neither the answer nor how long flash took to write
        says whether a terminal is here, or has consented. Flash is written in the next tick then.
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
                self.stations.stays.drop(place)
            else:
                self.stations.stays.finish(place, now)
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
            places = register.resume(self.terminal(fields), self._now(), _spare(by))
        except OSError as failure:
            raise calls.Refused("flash refuses" + reason(failure.errno) + ": it stays suspended")
        if places:
            self._note("consent", "resumed", by)
        self.stations.ask()
        return {"resumed": len(places)}

    def own(self, fields: "dict[str, Any]") -> "dict[str, Any]":
        """Return the asking terminal's consents, what is kept without them (purpose, s), and tokens for its forms.

        The form that undoes a refusal has a token of its own, good for that refusal alone: a page of before that a
        browser sends once more undoes none.
        """
        mac = self.terminal(fields)
        register = self._opened.consents
        found: "list[dict[str, Any]]" = []
        objects: "list[int]" = []
        since: "list[int]" = []
        changes = 0
        if register is not None:
            found, objects = register.of_terminal(mac, self._now()), register.objection(mac)
            changes, since = register.changes(mac), [register.since(one["number"]) for one in found]
        refused = canonical.dumps([changes, objects, since, [[one["number"], one["state"]] for one in found]])
        wall = self._over(found)
        for one, begun in zip(found, since):  # of which purposes this clock dates what would be kept now
            late = begun > wall  # it was set back since: a connection can't be held against that moment
            dated = one["purposes"] if self._now() is not None else []
            one["timed"] = [name for name in dated if name != "services" or not late]
        if objects and objects[0] > wall:
            objects[0] = 0
        security = self._config.purposes.get("security")
        sealed = also_held.sealed(self._config, self._paths)
        kept = ([("security", security.lifetime, False)] if security else []) + sealed
        held = [one[0] for one in sealed]
        more = [row[0] for row in also_held.memory(self._config, held) if row[1] and row[0] != "objection"]
        names = (["counting"] if self._table.day else []) + ["addresses"] + more
        counted, unreadable = bool(self._config.metrics) and not self._opened.trouble, self._opened.trouble > 0
        flags: "dict[str, Any]" = {"counted": counted, "objects": objects, "changes": changes, "unreadable": unreadable}
        flags.update({"consents": found, "on": sorted(self.stores), "kept": kept, "beside": names})
        flags["over"] = [one[0] for one in kept if one[0] not in self._config.purposes]
        attribution = self._config.purposes.get("attribution")
        flags["nat"] = attribution is not None and not attribution.upstream_nat
        flags["medium"] = also_held.on_medium(self._config, held)
        flags.update({"token": self._signed(mac), "undoes": self._signed(mac + refused.encode())})
        return flags

    def _over(self, found: "list[dict[str, Any]]") -> int:
        """Tell no time still to come of what was done, for a clock ran ahead; returns what it shows now, in s."""
        wall = self._source.wall() // SECOND
        for one in found:
            for name in ("given", "since", "withdrawn_since"):
                one[name] = one[name] if one[name] <= wall else 0
        return wall

    def _signed(self, what: bytes) -> str:
        digest = bytearray(_TOKEN)
        self._sodium.keyed_digest(digest, _TOKEN, what, self._token.address)
        # Letters: a form's field holds no other
        return "".join([chr(97 + (octet >> shift & 15)) for octet in digest for shift in (4, 0)])

    def listed(self, first: "int | None") -> "dict[str, Any]":
        """Return how many consents are in which state, and a page of them, without whose they are."""
        register, now = self._consents_or_refuse(), self._now()
        found = register.listed(first or 0, PAGE, now)
        self._over(found)
        return {"counts": register.counts(now), "consents": found}

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

    def counts(self) -> "dict[str, int] | None":
        """Return how many consents are in which state, or by which `errno` flash refuses; None where none are kept."""
        if self._opened.trouble:
            return {"errno": self._opened.trouble}
        return self._opened.consents.counts(self._now()) if self._opened.consents is not None else None

    def objections(self) -> int:
        """Return how many terminals object to being counted (local use only)."""
        return self._opened.consents.objections if self._opened.consents is not None else 0


_TOKEN = 16  # octets
_HEARD = {"heard": True}
PAGE = 100  # consents in one answer of `list`


def _spare(by: str) -> int:
    """Return the room that a caller of this role leaves to the operator."""
    return 0 if by in calls.STAFF else RESERVED


def _hex(digits: str) -> bytes:
    return bytes([int(digits[at : at + 2], 16) for at in range(0, len(digits), 2)])


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from agent.purposes.location.bus import Bus
    from agent.purposes.location.stations import Stations
    from agent.recorder.recorder import Recorder
    from agent.runtime.sodium import Sodium
