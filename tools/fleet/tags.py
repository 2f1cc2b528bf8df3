# SPDX-License-Identifier: Apache-2.0
"""What templates call: words in the reader's language, times, numbers."""

from datetime import UTC, datetime
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tools import clock
from tools.fleet import figures, remedies, words
from tools.fleet.judgement import KINDS, Finding

register = template.Library()
_LAST = 253_402_300_799  # the end of the year 9999
_STEPS = (
    (60, 1, "{n} s ago"),
    (3600, 60, "{n} min ago"),
    (2 * 86_400, 3600, "{n} h ago"),
    (float("inf"), 86_400, "{n} days ago"),
)


@register.simple_tag
def say(text: str, **values: object) -> str:
    """Return a text in the reader's language, its {values} filled in; the template engine escapes it."""
    return words.say(text, **values)


@register.filter
def moment(seconds: float) -> str:
    """Return a time of ours, seconds since the epoch, as 2026-11-25 14:03; at most the last that a date can say."""
    return datetime.fromtimestamp(max(0, min(seconds, _LAST)), UTC).strftime("%Y-%m-%d %H:%M") if seconds else ""


@register.simple_tag
def ago(seconds: int) -> SafeString:
    """Return how long ago a time is, with the time itself for those who point at it."""
    if not seconds:
        return format_html("{}", words.say("never"))
    age = max(0, int(clock.seconds()) - seconds)
    unit, text = next((unit, text) for below, unit, text in _STEPS if age < below)
    at = moment(seconds)
    return format_html(
        '<time datetime="{}Z" title="{} UTC">{}</time>', at.replace(" ", "T"), at, words.say(text, n=age // unit)
    )


@register.filter
def day(number: int) -> str:
    """Return an agent-day's date."""
    return figures.as_date(number).strftime("%Y-%m-%d")


@register.filter
def number(value: float) -> str:
    """Return a whole number with narrow spaces between thousands."""
    return figures.thousands(value)


@register.filter
def finding(one: Finding) -> str:
    """Return what a finding says."""
    return words.say(one.text, **one.words)


@register.filter
def remedy(one: Finding) -> str:
    """Return what to do about a finding."""
    said = remedies.remedy(one.kind)
    return words.say(said) if said else ""


@register.filter
def of_doctor(one: Finding) -> list[tuple[str, str]]:
    """Return what the gateway's own doctor says to do, by name."""
    return remedies.of_doctor(one, words.language())


@register.filter
def finding_kind(name: str) -> str:
    """Return what findings of a kind say, without their numbers."""
    return words.general(KINDS[name][1]) if name in KINDS else name


@register.filter
def kind(text: str) -> str:
    """Return a word of a closed list in the reader's language."""
    return words.say(text)


@register.simple_tag(takes_context=True)
def query(context: dict[str, Any], **changed: object) -> str:
    """Return this page's query with other values for some names."""
    wanted = context["request"].GET.copy()
    for name, value in changed.items():
        wanted[name] = str(value)
    return "?" + wanted.urlencode()


@register.filter
def unlocalised(value: float) -> str:
    """Return a number for SVG, with a point in every language."""
    return f"{value:g}"


@register.filter
def epsilon(thousandths: int) -> str:
    """Return an epsilon as a person reads it."""
    return f"{thousandths / 1000:.2f}"
