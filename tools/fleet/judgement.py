# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a gateway, and how bad: one function, for page, terminal, CSV and Prometheus.

A *breach* is what the law or the product's promise doesn't allow (L34-1; EXP-1; L34-VI-3), or what hides it: late
expiry, a broken audit log, silence, a stopped capture, two gateways with one id, no key left. A *warning* is what will
become one or wants a person's look.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from tools.fleet.intake import AGAIN, SILENT
from tools.fleet.models import Episode, Gateway, Tally

BREACH, WARNING = "breach", "warning"
KEYS_SOON = 10  # days of keys left at which a bundle is to be renewed
PAST = 20  # findings that are over, of each gateway: none pushes another's out of sight
_DAY = 86_400
_RECENT = 7  # days in which a refused message is still spoken of

# kind: (grade, what it says); the words are translated in tools/fleet/texts/verdicts.py
KINDS = {
    "late": (BREACH, "A record outlived its deadline (late expiry)"),
    "cut": (BREACH, "The audit log was cut"),
    "rewritten": (BREACH, "The audit log was rewritten"),
    "forked": (BREACH, "The audit log goes on in two ways"),
    "silent": (BREACH, "No word for more than 24 hours"),
    "stopped": (BREACH, "Capture has stopped"),
    "keys": (BREACH, "No key is left for a custodian's store"),
    "duplicate": (BREACH, "Two gateways use this id"),
    "keys_soon": (WARNING, "The custodian's bundle runs out in {days} days"),
    "drift": (WARNING, "The configuration isn't the accepted one"),
    "misconfigured": (WARNING, "Capture is misconfigured"),
    "no-lan": (WARNING, "An interface of the guests is missing: nothing of them is recorded"),
    "flash": (WARNING, "The gateway's flash refuses what is to be kept"),
    "clock": (WARNING, "The clock isn't trusted"),
    "undeclared": (WARNING, "Nobody is declared to answer authority requests"),
    "plain": (WARNING, "Sends in plain text to another machine"),
    "doctor": (WARNING, "The gateway's doctor found: {names}"),
    "conflict": (WARNING, "Sends figures that contradict those that are kept"),
    "refused": (WARNING, "Messages were refused"),
    "never": (WARNING, "Expected, and never spoke"),
    "retired": (WARNING, "Retired, and speaks"),
    "offline": (WARNING, "Not connected to the broker"),
    "newer": (WARNING, "Says what this collector doesn't know ({names}): upgrade the collector"),
}
GRADES = (BREACH, WARNING, "good")
ORDER = {kind: place for place, kind in enumerate(KINDS)}
SETTLED = ("cut", "rewritten", "forked", "duplicate")  # stay until a person says that it is settled


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: since when (seconds since the epoch, 0: unknown), and its text's numbers and words."""

    kind: str
    since: int
    words: dict[str, Any]
    until: int | None = None

    @property
    def grade(self) -> str:
        """Return `breach` or `warning`."""
        return KINDS[self.kind][0]

    @property
    def text(self) -> str:
        """Return what it says, in English."""
        return KINDS[self.kind][1]


@dataclass(frozen=True)
class Standing:
    """A gateway and what is wrong with it, the worst first."""

    gateway: Gateway
    findings: tuple[Finding, ...]

    @property
    def grade(self) -> str:
        """Return `breach`, `warning` or `good`."""
        return self.findings[0].grade if self.findings else "good"

    @property
    def days_of_keys(self) -> int | None:
        """Return how many days of keys the custodian's bundle still has; None without such a store."""
        return days_of_keys(self.gateway.health)

    @property
    def state(self) -> str:
        """Return the state that it last told; `silent` or `never` where that says nothing any more."""
        return next((one.kind for one in self.findings if one.kind in {"silent", "never"}), self.gateway.state)

    @property
    def late(self) -> bool:
        """Return True if a record outlived its deadline."""
        return any(finding.kind == "late" for finding in self.findings)

    @property
    def audit(self) -> str:
        """Return `cut`, `rewritten`, `forked`, `whole`, or nothing where no checkpoint came yet."""
        broken = [finding.kind for finding in self.findings if finding.kind in {"cut", "rewritten", "forked"}]
        return broken[0] if broken else "whole" if self.gateway.health.get("audit", {}).get("checkpoints") else ""


def days_of_keys(health: dict[str, Any]) -> int | None:
    """Return the days of keys that a health message speaks of; None without a custodian's store."""
    return health.get("keys")


def _of_health(health: dict[str, Any], since: int) -> Iterable[Finding]:
    if any(one["late"] for one in health["purposes"].values()):
        yield Finding("late", since, {})
    if health["capture"] in KINDS:  # not ok, nor a word of a newer gateway
        yield Finding(health["capture"], since, {})
    if health["clock"] != "trusted":
        yield Finding("clock", since, {})
    if health["duty"] == "undeclared":
        yield Finding("undeclared", since, {})
    if not health["tls"]:
        yield Finding("plain", since, {})
    names = health["doctor"] or []
    if "flash-refuses" in names:
        yield Finding("flash", since, {})
    if others := [name for name in names if name != "flash-refuses"]:
        yield Finding("doctor", since, {"names": ", ".join(others)})
    days = days_of_keys(health)
    if days is not None and days <= KEYS_SOON:
        yield Finding("keys_soon" if days > 0 else "keys", since, {"days": days})


def judge(gateway: Gateway, episodes: Iterable[Episode], refused: Iterable[str], now: int) -> Standing:
    """Return how a gateway stands at `now`; `episodes` are its open ones, `refused` its messages' late reasons."""
    found: dict[str, Finding] = {one.kind: Finding(one.kind, one.began, {}) for one in episodes if one.kind in KINDS}
    if gateway.health:
        for finding in _of_health(gateway.health, gateway.health_at):
            found.setdefault(finding.kind, finding)
    if not gateway.seen:
        found["never"] = Finding("never", gateway.first_seen, {})
    elif now - gateway.seen > SILENT:
        found["silent"] = Finding("silent", gateway.seen, {})
    elif gateway.state in {"lost", "stopped"}:
        found["offline"] = Finding("offline", gateway.seen, {})
    if gateway.retired:
        found["retired"] = Finding("retired", gateway.retired, {})
    if gateway.config != gateway.expected:
        found["drift"] = Finding("drift", 0, {})
    if strange := sorted(kind for kind, (_, said) in gateway.unknown.items() if now - said < _RECENT * _DAY):
        found["newer"] = Finding("newer", 0, {"names": ", ".join(strange)})
    reasons = set(refused)
    if "conflict" in reasons:
        found["conflict"] = Finding("conflict", 0, {})
    if reasons - {"conflict"}:
        found["refused"] = Finding("refused", 0, {})
    return Standing(gateway, tuple(sorted(found.values(), key=lambda one: ORDER[one.kind])))


def lasts(gateway: Gateway, refused: Iterable[int], now: int) -> int | None:
    """Return until when a standing judged at `now` holds if nothing is told meanwhile; None: for good.

    `refused`: days of what was.
    """
    ends = [said + _RECENT * _DAY for _, said in gateway.unknown.values()] + [(day + _RECENT) * _DAY for day in refused]
    if gateway.seen:
        ends.append(gateway.seen + SILENT + 1)
    return min((end for end in ends if end > now), default=None)


def looked_at(gateway: Gateway) -> bool:
    """Return True for every gateway but a retired one that is silent."""
    return not gateway.retired or gateway.seen > gateway.retired + AGAIN


class Evidence:
    """What else than their rows says how some gateways stand.

    Their open episodes, and what was refused of late, by two queries.
    """

    def __init__(self, gateways: Iterable[int], now: int) -> None:
        names = list(gateways)
        self._now = now
        self._open: dict[int, list[Episode]] = {}
        self._refused: dict[int, list[tuple[int, str]]] = {}
        for episode in Episode.objects.filter(ended=None, gateway__in=names):
            self._open.setdefault(episode.gateway_id, []).append(episode)
        recent = Tally.objects.filter(day__gt=now // _DAY - _RECENT, gateway__in=names)
        for number, day, fate in recent.values_list("gateway", "day", "fate"):
            self._refused.setdefault(number, []).append((day, fate))

    def standing(self, row: Gateway) -> Standing:
        """Return how a gateway stands."""
        return judge(row, self._open.get(row.pk, ()), (fate for _, fate in self._refused.get(row.pk, ())), self._now)

    def lasts(self, row: Gateway) -> int | None:
        """Return until when that holds by itself."""
        return lasts(row, (day for day, _ in self._refused.get(row.pk, ())), self._now)


def standings(gateways: Iterable[Gateway], now: int) -> list[Standing]:
    """Return how some gateways stand, the worst first, then by name, judged anew.

    For a list of all, tools/fleet/verdicts.py.
    """
    rows = list(gateways)
    evidence = Evidence((row.pk for row in rows), now)
    return sorted(map(evidence.standing, rows), key=_rank)


def _rank(standing: Standing) -> tuple[int, int, str, str]:
    return grade(standing.findings), rank(standing.findings), standing.gateway.name.lower(), standing.gateway.ident


def grade(findings: Iterable[Finding]) -> int:
    """Return the place of the worst grade among GRADES."""
    return min((GRADES.index(one.grade) for one in findings), default=GRADES.index("good"))


def rank(findings: Iterable[Finding]) -> int:
    """Return the place of the worst kind among KINDS; 0 where nothing is wrong."""
    return min((ORDER[one.kind] for one in findings), default=0)


def history(now: int, days: int, gateway: Gateway | None = None) -> "QuerySet[Episode]":
    """Return what was wrong in the last days and is over, newest first.

    Of one gateway, or of all, the newest PAST of each.
    """
    over = Episode.objects.filter(ended__gt=now - days * _DAY, kind__in=KINDS)
    if gateway is not None:
        return over.filter(gateway=gateway).order_by("-ended", "-pk")
    newer = Q(ended__gt=OuterRef("ended")) | Q(ended=OuterRef("ended"), pk__gt=OuterRef("pk"))
    others = Episode.objects.filter(newer, gateway=OuterRef("gateway"), kind__in=KINDS).order_by("-ended", "-pk")
    return over.filter(~Exists(others[PAST - 1 : PAST])).select_related("gateway").order_by("-ended", "-pk")


def past(episode: Episode) -> Finding:
    """Return the finding that an episode was."""
    return Finding(episode.kind, episode.began, {}, episode.ended)
