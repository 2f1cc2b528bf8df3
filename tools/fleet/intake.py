# SPDX-License-Identifier: Apache-2.0
"""What takes messages into the store, a batch a transaction: each once, also sent twice, late or in disorder.

`Intake.take` returns when the batch is committed, and only then does the consumer acknowledge it to the broker. So a
collector that is killed gets the batch again, and the keys make that harmless. Totals of the fleet grow in the same
transaction as the messages, and only by those that were new. Rows of one batch are written in the order of their keys,
so that two consumers wait for each other and never for good.

No gateway stops another's messages. What the store can't hold, though every schema took it, is found by storing the
batch message by message. It is left out and counted for its gateway. A gateway that sends more than its `Allowance` is
refused the rest.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import F
from django.db.utils import DataError, IntegrityError

from tools.fleet import checkpoints, daily, grouped
from tools.fleet.delivery import GATEWAYS, Arrival
from tools.fleet.episodes import Episodes
from tools.fleet.models import CELLS, VALUES, Gateway, Message
from tools.fleet.reading import METRIC, Reading, Refused, addressed, read

SILENT = 86_400  # seconds without a word after which a gateway counts as silent
AGAIN = 3600  # seconds after which a retired gateway that speaks is in the list again
BOOTS = 4  # boot ids that are remembered: as many as the column holds whole
ALTERNATING = 2  # boot ids that came back within a day: two gateways have one id
# Of one gateway at once, and seconds until one more; it sends 28 a day, and a spool of a year at once
SUMMARIES = 12_000, 30
WORDS = 60, 120  # state and health together; it sends 288 healths a day
UNKNOWN = 16  # kinds of messages of which what isn't known is kept
# The message's fault: the same again whenever it is tried
_UNFIT = (DataError, IntegrityError, ValueError, OverflowError)
_DAY = 86_400
_KEY = ("gateway_id", "metric", "day", "slot")
_COLUMNS = (*_KEY, "start", '"end"', "b_over", "b_under", "received", "late", *VALUES)
Fates = Counter[tuple[str | None, str]]  # how many messages of a gateway (None: not told apart) had a fate
_TOTAL_KEY = ("metric", "day", "slot", '"group"', "b_over", "b_under")


class FullError(Exception):
    """A gateway beyond the limit speaks: nothing of the batch is stored, so nothing of it may be acknowledged."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"--gateways: {limit} are known and another one speaks: nothing of it was taken or acknowledged; "
            "accepted: a larger number"
        )


class Allowance:
    """What one consumer takes of each gateway: so many messages at once, then one in so many seconds.

    Bounded: `limit` gateways.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, limit: int = GATEWAYS) -> None:
        self._monotonic = monotonic
        self._limit = limit
        self._left: OrderedDict[tuple[str, tuple[int, int]], tuple[float, float]] = OrderedDict()

    def grants(self, gateway: str, kind: str) -> bool:
        """Take one message off what is left for its gateway; False if nothing is left."""
        rate = WORDS if kind in _SPOKEN else SUMMARIES
        most, seconds = rate
        now = self._monotonic()
        left, since = self._left.pop((gateway, rate), (float(most), now))
        left = min(left + (now - since) / seconds, most)
        granted = left >= 1
        self._left[gateway, rate] = (left - granted, now)
        if len(self._left) > 2 * self._limit:
            self._left.popitem(last=False)
        return granted


class Intake:
    """Takes batches; `fates` counts what became of every message of this process. One's own files need no allowance."""

    def __init__(self, limit: int = GATEWAYS) -> None:
        self._limit = limit
        self.allowance: Allowance | None = None
        self.fates: Counter[str] = Counter()

    def take(self, arrivals: Iterable[Arrival], now: int) -> Counter[str]:
        """Store a batch that came at `now`, seconds since the epoch; return how many had which fate.

        FullError: nothing of it is stored. Django's errors pass through.
        """
        refused: Fates = Counter()
        readings: list[tuple[Arrival, Reading]] = []
        for arrival in arrivals:
            try:
                readings.append((arrival, self._read(arrival, now)))
            except Refused as reason:
                refused[reason.gateway, reason.reason] += 1
        total: Counter[str] = Counter()
        for (_, fate), count in self._stored(readings, refused, now).items():
            total[fate] += count
        self.fates += total
        return total

    def _read(self, arrival: Arrival, now: int) -> Reading:
        if self.allowance is not None:
            kind, gateway = addressed(arrival.topic)
            if not self.allowance.grants(gateway, kind):
                raise Refused("flood", gateway)
        return read(arrival.topic, arrival.payload, now)

    def _stored(self, readings: list[tuple[Arrival, Reading]], refused: Fates, now: int) -> Fates:
        """Store a batch, or each message by itself but for one that the store can't hold; return all fates."""
        try:
            return self._committed(readings, refused, now)
        except _UNFIT:
            fates = self._committed([], refused, now)
        for one in readings:
            try:
                fates += self._committed([one], Counter(), now)
            except _UNFIT:
                fates += self._committed([], Counter({(one[1].gateway, "store"): 1}), now)
        return fates

    def _committed(self, readings: list[tuple[Arrival, Reading]], refused: Fates, now: int) -> Fates:
        fates = refused.copy()
        with transaction.atomic():
            self._store(readings, fates, now)
        return fates

    def _store(self, readings: list[tuple[Arrival, Reading]], fates: Fates, now: int) -> None:
        gateways = self._gateways(
            {reading.gateway for _, reading in readings}, {name for name, _ in fates if name}, now
        )
        spoke: set[int] = set()  # primary keys of those that are alive
        changed: set[int] = set()  # and of those whose row, or how they stand, is something else now
        healthy: set[int] = set()  # and of those whose health says what the one before said
        episodes = Episodes({gateways[one.gateway].pk for _, one in readings if one.kind in _SPOKEN}, now)
        told: list[checkpoints.Told] = []
        rows: dict[tuple[int, int, int, int], tuple[Any, ...]] = {}
        for arrival, reading in readings:
            gateway = gateways[reading.gateway]
            if _set_apart(gateway, reading, now):
                changed.add(gateway.pk)
            if reading.raw:
                fates[None, "raw"] += 1
            elif reading.kind == "state":
                _state(gateway, reading.content, arrival, episodes, now)
                fates[None, "state"] += 1
                changed.add(gateway.pk)
            elif reading.kind == "health":
                {"same": healthy, "new": changed, "old": set()}[
                    _health(gateway, reading.content, arrival, episodes, told, now)
                ].add(gateway.pk)
                fates[None, "health"] += 1
            else:
                row = _row(gateway.pk, reading, now)
                if row[:4] in rows:
                    _seen_before(fates, reading.gateway, same=_compared(row) == _compared(rows[row[:4]]))
                else:
                    rows[row[:4]] = row
            if not arrival.retained:
                spoke.add(gateway.pk)
        self._summaries([rows[key] for key in sorted(rows)], {one.pk: one for one in gateways.values()}, fates)
        for gateway in gateways.values():
            if gateway.pk in spoke and _heard(gateway, episodes, now):
                changed.add(gateway.pk)
        checkpoints.note(told, episodes, now)
        episodes.save()
        changed |= {gateways[name].pk for name, _ in fates if name in gateways}  # of those a message was refused
        rows_of = sorted((one for one in gateways.values() if one.pk in changed), key=lambda one: one.pk)
        for one in rows_of:
            one.due = 0
        Gateway.objects.bulk_create(rows_of, update_conflicts=True, unique_fields=["id"], update_fields=_TOLD)
        for quiet, times in (
            ((healthy & spoke) - changed, {"seen": now, "health_at": now}),
            (spoke - healthy - changed, {"seen": now}),
        ):
            if quiet:
                Gateway.objects.filter(pk__in=quiet).update(**times, due=F("due"))
        _tally(fates, gateways, now)

    def _gateways(self, names: set[str], refused: set[str], now: int) -> dict[str, Gateway]:
        """Return the rows of these gateways, and of those `refused` that are known, locked, new ones made.

        FullError where there would be more than the limit.
        """
        found = {
            one.ident: one
            for one in Gateway.objects.select_for_update().filter(ident__in=names | refused).order_by("pk")
        }
        new = sorted(names - set(found))
        if new:
            if Gateway.objects.count() + len(new) > self._limit:
                raise FullError(self._limit)
            Gateway.objects.bulk_create(
                [Gateway(ident=name, first_seen=now, seen=0) for name in new], ignore_conflicts=True
            )
            found = {
                one.ident: one
                for one in Gateway.objects.select_for_update().filter(ident__in=names | refused).order_by("pk")
            }
        return found

    def _summaries(self, rows: Sequence[tuple[Any, ...]], gateways: dict[int, Gateway], fates: Fates) -> None:
        if not rows:
            return
        new = set(_insert(rows))
        totals: dict[tuple[Any, ...], list[int]] = {}
        for row in rows:
            gateway = gateways[row[0]]
            if row[:4] in new:
                fates[None, "kept"] += 1
                _add(totals, gateway.group, row)
                continue
            kept = (
                Message.objects.filter(gateway_id=row[0], metric=row[1], day=row[2], slot=row[3])
                .values_list(*_COMPARED)
                .get()
            )
            _seen_before(fates, gateway.ident, same=kept == _compared(row))
        add_totals(totals)
        weeks = daily.note({(row[0], row[2]) for row in rows if row[:4] in new and row[1] in daily.TOLD})
        days = {(row[0], row[2]) for row in rows if row[:4] in new}
        grouped.changed({(gateways[key].group, day) for key, day in days | weeks})


_TOLD = (
    "seen",
    "state",
    "version",
    "config",
    "expected",
    "boots",
    "returns",
    "returned",
    "health",
    "health_at",
    "unknown",
    "due",
)
_COMPARED = ("start", "end", "b_over", "b_under", *VALUES)


def _compared(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*row[4:8], *row[10:])


def _seen_before(fates: Fates, gateway: str, *, same: bool) -> None:
    fates[(None, "repeat") if same else (gateway, "conflict")] += 1


def _row(gateway: int, reading: Reading, now: int) -> tuple[Any, ...]:
    content = reading.content
    values = [*content["values"], *[None] * (CELLS - len(content["values"]))]
    key = (gateway, METRIC[reading.kind], reading.day, content["slot"])
    return (*key, content["start"], content["end"], *content["b"], now, reading.late, *values)


def _insert(rows: Sequence[tuple[Any, ...]]) -> list[tuple[int, int, int, int]]:
    """Insert what isn't there, in the rows' order; return the keys that were new."""
    places = ",".join(["(" + ",".join(["%s"] * len(_COLUMNS)) + ")"] * len(rows))
    into = f"fleet_message ({','.join(_COLUMNS)})"  # column names of ours
    text = f"INSERT INTO {into} VALUES {places} ON CONFLICT DO NOTHING RETURNING {','.join(_KEY)}"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(text, [value for row in rows for value in row])
        return [tuple(row) for row in cursor.fetchall()]


def _add(totals: dict[tuple[Any, ...], list[int]], group: str, row: tuple[Any, ...]) -> None:
    sums = totals.setdefault((*row[1:4], group, *row[6:8]), [0] * (1 + CELLS))
    sums[0] += 1
    for cell, value in enumerate(row[10:], 1):
        sums[cell] += value or 0


def add_totals(totals: dict[tuple[Any, ...], list[int]]) -> None:
    """Add to the running totals: (metric, day, slot, group, b over, b under) -> count and the sums of each cell."""
    _grow("fleet_total", _TOTAL_KEY, ("count", *VALUES), totals)


def _grow(table: str, key: Sequence[str], sums: Sequence[str], rows: dict[tuple[Any, ...], list[int]]) -> None:
    """Add to the sums of a table's rows, in the order of their keys; a row that isn't there is made."""
    if not rows:
        return
    places = ",".join(["(" + ",".join(["%s"] * (len(key) + len(sums))) + ")"] * len(rows))
    grown = ",".join(f"{name} = {table}.{name} + excluded.{name}" for name in sums)
    into = f"{table} ({','.join((*key, *sums))})"  # names of ours
    text = f"INSERT INTO {into} VALUES {places} ON CONFLICT ({','.join(key)}) DO UPDATE SET {grown}"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(text, [value for row in sorted(rows) for value in (*row, *rows[row])])


def _set_apart(gateway: Gateway, reading: Reading, now: int) -> bool:
    """Keep what nobody knows of a gateway's newest message of a kind, or forget it; say if its row changed."""
    if not reading.unknown:
        return gateway.unknown.pop(reading.kind, None) is not None
    if reading.kind not in gateway.unknown and len(gateway.unknown) >= UNKNOWN:
        return False
    gateway.unknown[reading.kind] = [reading.unknown, now]
    return True


def _heard(gateway: Gateway, episodes: Episodes, now: int) -> bool:
    """Note that a gateway spoke; return True if that changes how it stands: it was silent, or retired."""
    former, gateway.seen = gateway.seen, max(gateway.seen, now)
    if former and now - former > SILENT:
        episodes.over(gateway.pk, "silent", former)
    return now - former > SILENT or (gateway.retired > 0 and former <= gateway.retired + AGAIN)


def _state(gateway: Gateway, content: dict[str, Any], arrival: Arrival, episodes: Episodes, now: int) -> None:
    """Note a state.

    A boot id that comes back after another had replaced it: two gateways with one id, if it happens again and again.
    """
    gateway.state = content["state"]
    if content["state"] != "online":
        return
    gateway.version, gateway.config = content["version"], content["config"]
    gateway.expected = gateway.expected or gateway.config
    boots = gateway.boots.split() if gateway.boots else []
    boot = content["boot"]
    if boot in boots[1:] and not arrival.retained and not arrival.again:
        gateway.returns = 1 if now - gateway.returned > _DAY else gateway.returns + 1
        gateway.returned = now
        if gateway.returns == ALTERNATING:
            episodes.begin(gateway.pk, "duplicate")
    if boot not in boots[:1]:
        gateway.boots = " ".join([boot, *[one for one in boots if one != boot]][:BOOTS])


def _health(
    gateway: Gateway,
    content: dict[str, Any],
    arrival: Arrival,
    episodes: Episodes,
    told: list[checkpoints.Told],
    now: int,
) -> str:
    """Note a health message, open or close what it says is wrong; return if it is `old`, the `same` or `new`.

    One that differs from the one before only by its time isn't written: it would say the same.
    """
    former = gateway.health
    if former and former["clock"] == content["clock"] == "trusted" and content["time"] < former["time"]:
        return "old"  # it came late, or was sent again
    said = now
    if arrival.retained and content["clock"] == "trusted":
        said = min(now, content["time"])
        gateway.seen = max(gateway.seen, said)
    if former and former | {"time": 0} == content | {"time": 0} and (gateway.state != "lost" or arrival.retained):
        if arrival.retained and said > gateway.health_at and content["time"] != former["time"]:
            gateway.health_at = said
            return "new"
        return "old" if arrival.retained else "same"
    gateway.health, gateway.health_at = content, said
    if gateway.state == "lost" and not arrival.retained:
        gateway.state = "online"  # it speaks
    for kind, wrong in (
        ("late", any(one["late"] for one in content["purposes"].values())),
        ("stopped", content["capture"] == "stopped"),
    ):
        if wrong:
            episodes.begin(gateway.pk, kind)
        elif former:
            episodes.end(gateway.pk, kind)
    if not former or former["audit"] != content["audit"]:
        told.append((gateway.pk, content["audit"]["checkpoints"], content["audit"]["head"]))
    return "new"


def _tally(fates: Fates, gateways: dict[str, Gateway], now: int) -> None:
    """Count fates by day; what was refused also by its gateway, if that is one we know."""
    counts: dict[tuple[int, int, str], list[int]] = {}
    for (name, fate), count in fates.items():
        row = (gateways[name].pk if name and name in gateways else 0, now // _DAY, fate)
        counts.setdefault(row, [0])[0] += count
    _grow("fleet_tally", ("gateway", "day", "fate"), ("count",), counts)


_SPOKEN = {"state", "health"}
