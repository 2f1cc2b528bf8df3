# SPDX-License-Identifier: Apache-2.0
"""The page of alerts: channels, what waits for its receiver, what is silenced, and the forms for them."""

import re
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from tools import clock
from tools.fleet import alerts as telling
from tools.fleet import figures, listing, mail, notices, people, words
from tools.fleet.guard import whole
from tools.fleet.judgement import KINDS
from tools.fleet.models import Alert, Channel, Gateway, Outgoing, Silence

CHANNELS, SILENCES = 100, 1000
_HOUR = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


class ChannelForm(forms.ModelForm):
    """A channel as a person fills it in; each mistake stands at its field."""

    form = forms.ChoiceField(choices=tuple(notices.FORMS.items()))
    kinds = forms.MultipleChoiceField(choices=tuple((kind, kind) for kind in KINDS), required=False)
    delay = forms.IntegerField(min_value=0, max_value=10_080)
    repeat = forms.IntegerField(min_value=0, max_value=720)
    language = forms.ChoiceField(choices=(("en", "en"), ("fr", "fr")))

    class Meta:
        """Fields of the model."""

        model = Channel
        fields = (
            "name",
            "form",
            "target",
            "group",
            "kinds",
            "delay",
            "repeat",
            "resolved",
            "quiet_from",
            "quiet_until",
            "zone",
            "language",
        )

    def clean(self) -> dict[str, Any]:
        """Check what concerns several fields."""
        found = super().clean() or {}
        target, form = found.get("target", ""), found.get("form")
        if form == "email" and not mail.is_address(target):
            self.add_error("target", words.say("No e-mail address; accepted: name@example.org"))
        elif form and form != "email" and not notices.is_url(target):
            self.add_error("target", words.say("No URL; accepted: https://..."))
        elif form == "ntfy" and not target.rpartition("/")[2]:
            self.add_error("target", words.say("The topic is missing; accepted: https://HOST/TOPIC"))
        for name in ("quiet_from", "quiet_until"):
            if found.get(name) and not _HOUR.fullmatch(found[name]):
                self.add_error(name, words.say("No time of day; accepted: 22:00"))
        if bool(found.get("quiet_from")) != bool(found.get("quiet_until")):
            self.add_error("quiet_until", words.say("One without the other; accepted: both, or neither"))
        if found.get("zone") not in listing.zones():
            self.add_error("zone", words.say("No time zone; accepted: Europe/Paris"))
        return found


class SilenceForm(forms.Form):
    """What is silenced, for how long and why: a kind or all, of one gateway, of a group or of all gateways."""

    gateway = forms.ModelChoiceField(Gateway.objects, to_field_name="ident", required=False)
    group = forms.CharField(max_length=64, required=False)
    kind = forms.ChoiceField(choices=(("", ""), *((kind, kind) for kind in KINDS)), required=False)
    hours = forms.IntegerField(min_value=1, max_value=30 * 24)
    reason = forms.CharField(max_length=200)
    known = forms.BooleanField(required=False)

    def clean(self) -> dict[str, Any]:
        """Check that there is room for one more."""
        if Silence.objects.count() >= SILENCES:
            self.add_error("reason", words.say("There are {n} silences, which is the most", n=SILENCES))
        return super().clean() or {}

    def save(self, by: str, now: int) -> None:
        """Silence it from `now` on (seconds), in the name of `by`."""
        what = {name: self.cleaned_data[name] for name in ("gateway", "group", "kind", "reason")}
        known = bool(self.cleaned_data["known"] and what["gateway"] and what["kind"])
        Silence.objects.create(**what, known=known, by=by, began=now, until=now + self.cleaned_data["hours"] * 3600)


def _shown(
    form: ChannelForm | None = None, chosen: Channel | None = None, silence: SilenceForm | None = None
) -> dict[str, Any]:
    now = int(clock.seconds())
    rows = []
    for channel in Channel.objects.order_by("name", "pk"):
        waiting = Outgoing.objects.filter(channel=channel).order_by("pk")
        first = waiting.first()
        rows.append(
            {
                "channel": channel,
                "form": notices.FORMS.get(channel.form, channel.form),
                # Who looks isn't told what a webhook's address opens
                "place": channel.target
                if channel.form == "email"
                else "{0.scheme}://{0.hostname}".format(urlsplit(channel.target)),
                "waiting": waiting.count(),
                "failure": first.failure if first else "",
                "open": Alert.objects.filter(channel=channel, told__gt=0).count(),
                "quiet": telling.quiet(channel, now),
            }
        )
    values = chosen or Channel()
    return {
        "rows": rows,
        "chosen": chosen,
        "values": form.data if form else {name: getattr(values, name) for name in ChannelForm.Meta.fields},
        "errors": form.errors if form else {},
        "checked": form.data.getlist("kinds") if form else values.kinds,
        "forms": notices.FORMS,
        "kinds": list(KINDS),
        "groups": [name for name in figures.groups() if name],
        "silence": silence or SilenceForm({"hours": 8}),
        "silence_errors": silence.errors if silence else {},
        "silences": Silence.objects.select_related("gateway").order_by("until"),
        "now": now,
    }


@require_GET
def alerts(request: HttpRequest) -> HttpResponse:
    """Show channels and silences; `edit` fills a channel's form in."""
    wanted = whole(request.GET.get("edit", ""))
    chosen = None if wanted is None else get_object_or_404(Channel, pk=wanted)
    return render(request, "fleet/alerts.html", _shown(chosen=chosen))


@require_POST
def change_alerts(request: HttpRequest) -> HttpResponse:
    """Save, try, switch or delete a channel; silence something, or end a silence."""
    which = whole(request.POST.get("number", "")) or 0
    act, now, done = request.POST.get("act"), int(clock.seconds()), True
    if act == "save":
        chosen = get_object_or_404(Channel, pk=which) if which else None
        form = ChannelForm(request.POST, instance=chosen)
        if not chosen and Channel.objects.count() >= CHANNELS:
            form.add_error("name", words.say("There are {n} channels, which is the most", n=CHANNELS))
        if not form.is_valid():
            return render(request, "fleet/alerts.html", _shown(form, chosen), status=422)
        done = chosen is None or form.has_changed()
        form.save()
    elif act == "test":
        telling.test(get_object_or_404(Channel, pk=which), now)
    elif act == "switch":
        channel = get_object_or_404(Channel, pk=which)
        Channel.objects.filter(pk=channel.pk).update(enabled=not channel.enabled)
    elif act == "delete":
        get_object_or_404(Channel, pk=which).delete()
    elif act == "silence":
        silence = SilenceForm(request.POST)
        if not silence.is_valid():
            return render(request, "fleet/alerts.html", _shown(silence=silence), status=422)
        silence.save(request.user.get_username(), now)
    elif act == "end":
        done = Silence.objects.filter(pk=which).delete()[0] > 0
    else:
        done = False
    if not done:
        people.nothing_done(request)
    return redirect(
        request.POST["next"] if re.fullmatch(r"/gateway/[a-z2-7]{16}", request.POST.get("next", "")) else "alerts"
    )
