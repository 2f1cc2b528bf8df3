# SPDX-License-Identifier: Apache-2.0
"""Alerts: what is wrong with the gateways, held against what each channel has told already.

`look` writes what is to be told into the store, in one transaction with the note that it was told. So a restart tells
nothing twice, and a receiver that is down loses nothing (tools/fleet/notices.py). What lasts less than a channel's
delay is told to nobody. What is over is told as resolved once it has stayed so for SETTLED. So a fault that comes and
goes is one alert.
"""

import secrets
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import F

from tools.fleet import verdicts
from tools.fleet.judgement import BREACH, KINDS, Finding
from tools.fleet.models import Alert, Channel, Gateway, Outgoing, Setting, Silence, Wrong

SETTLED = 300  # seconds
WAITING = 1000  # messages of a channel that may wait for its receiver
FIRING, RESOLVED = "firing", "resolved"
Found = dict[tuple[int, str], tuple[Gateway, Finding]]


def look(now: int) -> int:
    """Write what is to be told at `now`, seconds since the epoch; return how many messages.

    One collector at a time does this.
    """
    verdicts.renew(now)
    with transaction.atomic():
        Setting.objects.get_or_create(name="alerts", defaults={"value": ""})
        Setting.objects.select_for_update().get(name="alerts")
        channels = list(Channel.objects.filter(enabled=True))
        if not channels:
            return 0
        silences = _silences(now)
        return sum(_look(channel, silences, now) for channel in channels)


def _silences(now: int) -> list[Silence]:
    """Return what is silenced, without what was acknowledged and is over."""
    Silence.objects.filter(until__lte=now).delete()
    rows = list(Silence.objects.all())
    over = [
        one.pk for one in rows if one.known and not Wrong.objects.filter(gateway=one.gateway_id, kind=one.kind).exists()
    ]
    Silence.objects.filter(pk__in=over).delete()
    return [one for one in rows if one.pk not in over]


def _look(channel: Channel, silences: list[Silence], now: int) -> int:
    found = _matching(channel)
    alerts = {
        (one.gateway_id, one.kind): one for one in Alert.objects.filter(channel=channel).select_related("gateway")
    }
    new = [
        Alert(channel=channel, gateway=found[key][0], kind=key[1], began=now)
        for key in sorted(found.keys() - alerts.keys())
    ]
    Alert.objects.bulk_create(new)
    alerts |= {(one.gateway_id, one.kind): one for one in new}
    hushed = quiet(channel, now)
    told: list[tuple[Alert, str]] = []
    for key in sorted(alerts):
        state = _turn(channel, alerts[key], key in found, hushed, now)
        if state and not _silent(silences, alerts[key]):
            told.append((alerts[key], state))
    for alert, state in told:
        if state == FIRING:
            Alert.objects.filter(pk=alert.pk).update(told=now)
    rows = [_row(alert, state, found) for alert, state in told if state == FIRING or channel.resolved]
    if rows:
        _put(channel, rows, now)
    return bool(rows)


def _turn(channel: Channel, alert: Alert, wrong: bool, hushed: bool, now: int) -> str:
    """Take note of whether something is still wrong; return what is to be told of it, nothing where nothing is."""
    if wrong:
        if alert.gone is not None:
            Alert.objects.filter(pk=alert.pk).update(gone=None)
        first = not alert.told and now - alert.began >= channel.delay * 60
        again = alert.told and channel.repeat and now - alert.told >= channel.repeat * 3600
        return FIRING if (first or again) and not hushed else ""
    if not alert.told:
        Alert.objects.filter(pk=alert.pk).delete()
        return ""
    if alert.gone is None:
        Alert.objects.filter(pk=alert.pk).update(gone=now)
        return ""
    if now - alert.gone < SETTLED or hushed:
        return ""
    Alert.objects.filter(pk=alert.pk).delete()
    return RESOLVED


def _matching(channel: Channel) -> Found:
    """Return the findings that a channel is for."""
    rows = verdicts.findings().filter(
        kind__in=channel.kinds or [kind for kind, (grade, _) in KINDS.items() if grade == BREACH]
    )
    if channel.group:
        rows = rows.filter(gateway__group=channel.group)
    asked = rows.select_related("gateway").defer("gateway__health", "gateway__unknown")
    return {(row.gateway_id, row.kind): (row.gateway, verdicts.finding(row)) for row in asked.iterator()}


def quiet(channel: Channel, now: int) -> bool:
    """Return True if a channel's quiet hours are on; they may go over midnight."""
    if not channel.quiet_from or not channel.quiet_until:
        return False
    here = datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(channel.zone)).strftime("%H:%M")
    if channel.quiet_from <= channel.quiet_until:
        return channel.quiet_from <= here < channel.quiet_until
    return here >= channel.quiet_from or here < channel.quiet_until


def _silent(silences: list[Silence], alert: Alert) -> bool:
    gateway = alert.gateway
    return any(
        one.gateway_id in {None, gateway.pk} and one.group in {"", gateway.group} and one.kind in {"", alert.kind}
        for one in silences
    )


def _row(alert: Alert, state: str, found: Found) -> dict[str, Any]:
    gateway = alert.gateway
    _, finding = found.get((gateway.pk, alert.kind), (gateway, Finding(alert.kind, alert.began, {})))
    words = {name: str(value) for name, value in finding.words.items()}
    return {
        "state": state,
        "gateway": gateway.ident,
        "name": gateway.name,
        "group": gateway.group,
        "kind": alert.kind,
        "grade": KINDS[alert.kind][0],
        "since": finding.since or alert.began,
        "words": words,
    }


def _put(channel: Channel, rows: list[dict[str, Any]], now: int) -> None:
    if Outgoing.objects.filter(channel=channel).count() >= WAITING:
        oldest = Outgoing.objects.filter(channel=channel).order_by("pk").values_list("pk", flat=True).first()
        Outgoing.objects.filter(pk=oldest).delete()
        Channel.objects.filter(pk=channel.pk).update(dropped=F("dropped") + 1)
    Outgoing.objects.create(channel=channel, ident=secrets.token_hex(16), created=now, content=rows, due=now)


def test(channel: Channel, now: int) -> None:
    """Let a channel get a message that says that it works: no gateway, nothing wrong."""
    _put(channel, [], now)
