# SPDX-License-Identifier: Apache-2.0
"""/metrics: how gateways stand and what became of messages.

Read from the store at each scrape, so that any number of processes agree.

Behind a token for metrics, or HTTP basic authentication with a user of the page who has no second factor. A published
figure is three samples, estimate, low and high: none stands without its band. Gateways are named where something is
wrong with them, the NAMED worst findings. So an answer stays below a megabyte however many gateways there are.
"""

import base64
import binascii
from collections.abc import Iterator

from django.contrib.auth.decorators import login_not_required
from django.db.models import Count, Max, Sum
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from tools import clock
from tools.fleet import figures, tokens, verdicts
from tools.fleet.judgement import BREACH, KINDS
from tools.fleet.models import Gateway, Tally
from tools.fleet.reading import FATES, REASONS
from tools.fleet.tries import TRIED

NAMED = 5000  # findings


class Store(Collector):
    """Reads the store."""

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        verdicts.renew(int(clock.seconds()), verdicts.SOON)
        grades = verdicts.counts()
        count = GaugeMetricFamily("oubli_gateways", "Gateways by how they stand.", labels=["grade"])
        for grade in ("good", "warning", "breach"):
            count.add_metric([grade], grades[grade])
        yield count
        found = verdicts.findings().order_by().values_list("gateway__group", "kind").annotate(count=Count("*"))
        kinds = GaugeMetricFamily(
            "oubli_findings", "Gateways with a finding, by kind and group.", labels=["kind", "grade", "group"]
        )
        for group, kind, number in sorted(found):
            kinds.add_metric([kind, KINDS[kind][0], group], number)
        yield kinds
        breach = GaugeMetricFamily(
            "oubli_gateway_breach", "1 for each gateway in breach, by kind.", labels=["gateway", "kind"]
        )
        warning = GaugeMetricFamily(
            "oubli_gateway_warning", "1 for each gateway with a warning, by kind.", labels=["gateway", "kind"]
        )
        keys = GaugeMetricFamily(
            "oubli_gateway_key_days", "Days of keys left, of gateways that run out of them.", labels=["gateway"]
        )
        for ident, kind, words in verdicts.findings().values_list("gateway__ident", "kind", "words")[:NAMED]:
            family = breach if KINDS[kind][0] == BREACH else warning
            family.add_metric([ident, kind], 1)
            if kind in {"keys", "keys_soon"}:
                keys.add_metric([ident], words["days"])
        yield from (breach, warning, keys)
        unnamed = GaugeMetricFamily(
            "oubli_findings_unnamed", f"Findings beyond the {NAMED} worst: counted in oubli_findings alone."
        )
        unnamed.add_metric([], max(sum(number for *_, number in found) - NAMED, 0))
        yield unnamed
        heard = GaugeMetricFamily("oubli_heard_seconds", "When any gateway was last heard of, seconds since the epoch.")
        heard.add_metric([], Gateway.objects.aggregate(Max("seen"))["seen__max"] or 0)
        yield heard
        yield from _terminals()
        messages = CounterMetricFamily("oubli_messages", "Messages by what became of them.", labels=["fate"])
        fates: dict[str, int] = dict(Tally.objects.values("fate").annotate(sum=Sum("count")).values_list("fate", "sum"))
        for fate in (*FATES, *REASONS):
            messages.add_metric([fate], fates.get(fate, 0))
        yield messages


def _terminals() -> Iterator[Metric]:
    """Yield the newest whole day's terminals, each figure as three samples.

    Its estimate, and the ends of the band that holds the truth.
    """
    newest = figures.newest_day()
    if newest is None:
        return
    edges = "edge: estimate, or the low and high end of its band, which holds the truth with 95 %"
    groups = GaugeMetricFamily(
        "oubli_terminals", f"Terminals of the newest whole day in a group; {edges}.", labels=["group", "edge"]
    )
    every = GaugeMetricFamily(
        "oubli_fleet_terminals", f"Terminals of the newest whole day in all; {edges}.", labels=["edge"]
    )
    told = [(None, one) for one, _ in figures.fleet_days(newest, newest).values()]
    for group, one in [*told, *((group, one) for group, (one, _) in figures.group_days(newest).items())]:
        for edge, value in (
            ("low", one.value - one.half_width), ("estimate", one.value), ("high", one.value + one.half_width)
        ):  # fmt: skip
            if group is None:
                every.add_metric([edge], value)
            else:
                groups.add_metric([group, edge], value)
    day = GaugeMetricFamily("oubli_fleet_day_seconds", "When that day ended, seconds since the epoch.")
    day.add_metric([], (newest + 1) * 86_400 + 3 * 3600)
    yield from (every, groups, day)


def _by_basic(request: HttpRequest) -> bool:
    """Return True if a request carries a user's name and password (RFC 7617), as Prometheus sends them.

    Busy as `Tries.user`.

    Who has a second factor makes a token for this.
    """
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    try:
        name, _, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return False
    try:
        return (
            kind.lower() == "basic"
            and "\0" not in name + password
            and TRIED.user(request, name, password, "") is not None
        )
    except PermissionError:
        return False


@require_GET
@login_not_required
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer a scrape."""
    token = tokens.carried(request)
    if not (tokens.allows(token, "metrics") if token else _by_basic(request)):
        response = HttpResponse(
            "a user of the page and its password, or a token for metrics, is asked for\n",
            status=401,
            content_type="text/plain",
        )
        response.headers["WWW-Authenticate"] = 'Basic realm="oubli-fleet", charset="UTF-8"'
        return response
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Store())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
