# SPDX-License-Identifier: Apache-2.0
"""Consents, their stores and the radios behind a pipe (tests.support.pipe); octets travel as hex, times as seconds."""

from agent.control.calls import Refused
from agent.purposes.consent import consent_ring
from agent.purposes.consent import consents as room
from agent.purposes.device_key import DeviceKey
from agent.purposes.location import record as location
from agent.purposes.location import ubus
from agent.purposes.location.bus import Bus
from agent.purposes.location.emergency import Emergency
from agent.purposes.location.stations import Stations
from agent.purposes.location.stays import Stays
from agent.runtime import files, sockets
from agent.runtime.sodium import SealError, Sodium
from agent.vault import expiry
from agent.vault.keys import KeyRing
from agent.vault.stores import CONSENTS
from tests.support.pipe import serve

SECOND = 1000000000
_held: "dict[str, Any]" = {}


def _octets(text: str) -> bytes:
    return bytes([int(text[at : at + 2], 16) for at in range(0, len(text), 2)])


def _hex(data: "bytes | bytearray | memoryview") -> str:
    return "".join(["%02x" % octet for octet in data])


# Consents


def consents_open(root: str) -> "dict[str, Any]":
    """Open the consents below a folder; returns whether the key was made, how many can't be read, and the counts."""
    sodium = Sodium()
    files.make_folder(root + "/consents", 0o700)
    key = DeviceKey(root + "/device.key", sodium)
    _held["consents"] = made = room.Consents(root + "/consents", key, sodium)
    return {"made": key.made, "unreadable": made.unreadable, "counts": made.counts(None)}


def consents(call: str, *words: "Any") -> "Any":
    """Call a method; a terminal is hex. Returns its answer, or what refused."""
    given = [_octets(word[2:]) if isinstance(word, str) and word.startswith("0x") else word for word in words]
    try:
        return getattr(_held["consents"], call)(*given)
    except Refused as failure:
        return "refused: " + failure.args[0]
    except OSError as failure:
        return "errno " + str(failure.errno)


# A store


def store_open(root: str, purpose: int, budget: int, boot: str) -> "list[int]":
    """Open a purpose's store; returns the places that have a key."""
    sodium = Sodium()
    name = {4: "services", 5: "location"}[purpose]
    files.make_folder(root + "/var/run/oubli/vault/" + name, 0o700)
    _held["losses"] = []
    ring = KeyRing(root + "/var/run/oubli/keys", CONSENTS, boot, sodium)
    lose = lambda cause, records: _held["losses"].append([cause, records])  # noqa: E731 (a store takes a function)
    _held["ring"], _held["store"] = (
        ring,
        consent_ring.ConsentRing(root + "/var/run/oubli/vault/" + name, ring, sodium, purpose, budget, lose),
    )
    return sorted(_held["store"].places())


def store_put(place: int, octets: str, end: int, now: int, monotonic: int) -> str:
    """Keep one record under the consent at a place."""
    data = _octets(octets)
    _held["store"].plain[: len(data)] = data
    return _held["store"].append(place, len(data), end, now * SECOND, monotonic * SECOND)


def store(call: str, *words: "Any") -> "Any":
    """Call a method of the store."""
    if call == "tick":
        return _held["store"].tick(words[0] * SECOND, words[1] * SECOND, trusted=words[2])
    return getattr(_held["store"], call)(*words)


def store_losses() -> "list[list[Any]]":
    """Return what was lost, by cause, since the store was opened."""
    return _held["losses"]


def store_close() -> None:
    """Close the store and the ring of keys."""
    _held["store"].close()
    _held["ring"].close()


def store_read(root: str, purpose: str, now: "int | None", monotonic: int) -> "Any":
    """Return the records that can be read, packed."""
    try:
        wall = None if now is None else now * SECOND
        return [_hex(record) for record in consent_ring.read(root, purpose, wall, monotonic * SECOND)]
    except SealError:
        return "damaged"


def destroy_due(root: str, boot: str, monotonic: int) -> int:
    """Destroy what is due, as a start does first."""
    return expiry.destroy_due(root, boot, monotonic * SECOND)


def location_row(mac: str, start: int, end: int, name: str) -> "list[Any]":
    """Pack a location and unpack it; returns its octets and its fields."""
    page = bytearray(consent_ring.LARGEST)
    size = location.pack(page, _octets(mac), start, end, name.encode())
    fields = location.unpack(memoryview(page)[:size])
    return [_hex(page[:size]), _hex(fields[0]), fields[1], fields[2], fields[3].decode()]


def services_rows(rows: "list[list[Any]]") -> "list[list[str]]":
    """Pack connections of `services`, all with one packer.

    Returns each one's octets, and what they read back as by themselves.
    """
    from agent.purposes.services import record as services
    from tests.support.remote import UNIT, _plain, connection, holder

    page = bytearray(consent_ring.LARGEST)
    packer, found = services.Services(page), []
    for row in rows:
        made, terminal = connection(row, UNIT), holder(row)
        if terminal is not None:
            octets = page[: packer.pack(made, terminal, row[11] * UNIT)]
            found.append([_hex(octets), _plain(services.unpack(octets))])
    return found


# The radios


def radios_open(path: str) -> None:
    """Make stations, the bus and an emergency; who may be followed is told by `radios_allow`."""
    _held["allowed"], _held["kept"], _held["wanted"] = {}, [], True

    def keep(place, mac, start, end, name):
        _held["kept"].append([place, _hex(mac), start, end, name.decode()])

    _held["stations"] = stations = Stations(lambda mac: _held["allowed"].get(_hex(mac), -1), Stays(keep))
    _held["emergency"] = Emergency(stations)
    _held["poll"] = sockets.Poll()
    _held["bus"] = Bus(path, _held["poll"], stations, lambda: _held["wanted"])


def radios_allow(mac: str, place: int) -> None:
    """Let a terminal be followed under the consent at a place, -1 for no more."""
    _held["allowed"][mac] = place


def radios_wanted(wanted: bool) -> None:
    """Return True if anybody is to be looked for."""
    _held["wanted"] = wanted


def radios_turn(monotonic: int, now: int, milliseconds: int = 0) -> "list[Any]":
    """Turn the loop once and return what happened.

    What was kept since, whose stays there are, radios, answered, refused, malformed, connected.
    """
    bus, stations = _held["bus"], _held["stations"]
    bus.tick(monotonic * SECOND, now)
    for descriptor in _held["poll"].wait(milliseconds):
        bus.ready(descriptor, now)
    kept, _held["kept"] = _held["kept"], []
    return [
        kept,
        stations.stays.places(),
        stations.radios,
        stations.answered,
        stations.refused,
        stations.malformed,
        bus.connected,
    ]


def radios(call: str, *words: "Any") -> "Any":
    """Call a method of the stations."""
    return getattr(_held["stations"], call)(*words)


def stays(call: str, *words: "Any") -> "Any":
    """Call a method of their stays."""
    return getattr(_held["stations"].stays, call)(*words)


def radios_feed(octets: str, now: int) -> "list[str]":
    """Hand one message to the stations; returns what they want to send."""
    data = bytearray(_octets(octets))
    if len(data) >= ubus.HEADER:
        _held["stations"].feed(data, len(data), now)
    out, _held["stations"].out = _held["stations"].out, []
    return [_hex(message) for message in out]


def emergency(call: str, *words: "Any") -> "Any":
    """Call a method of the emergency; a terminal is hex. Returns its answer, or what refused."""
    given = [_octets(word[2:]) if isinstance(word, str) and word.startswith("0x") else word for word in words]
    try:
        return getattr(_held["emergency"], call)(*given)
    except Refused as failure:
        return "refused: " + failure.args[0]


def emergency_memory() -> "list[Any]":
    """Return what is left in memory of an answer, and whom the stations look for."""
    sought = _held["stations"].sought
    return [_hex(_held["emergency"]._answer.view), None if sought is None else _hex(sought)]


CALLS = (
    consents_open, consents, store_open, store_put, store, store_losses, store_close,
    store_read, destroy_due, location_row, services_rows, radios_open, radios_allow,
    radios_wanted, radios_turn, radios, stays, radios_feed, emergency, emergency_memory,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

if __name__ == "__main__":
    serve(CALLS)
