# SPDX-License-Identifier: Apache-2.0
"""The store: gateways, their messages, the fleet's running totals, what was refused, and when something was wrong.

One schema for SQLite and PostgreSQL. Times are seconds since the epoch; an agent-day is a number, days since the epoch
(ANON-6). A message's numbers stand in columns v0..v8 (no metric has more than nine cells), so that the database adds
them up. The key of a message is gateway/metric/day/slot: a repeat is harmless whatever its way here.
"""

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import models

CELLS = 9
VALUES = tuple(f"v{cell}" for cell in range(CELLS))
# The grade of a gateway that nobody has looked at yet, or that is retired and silent;
# the others are 0 to 2, the worst first
OUT = 3


class Setting(models.Model):
    """One value of the store's own: the secret that signs sessions."""

    name = models.CharField(max_length=32, primary_key=True)
    value = models.CharField(max_length=128)


class _Gateways(models.QuerySet["Gateway"]):
    """Gateways; whatever is changed of some makes them due to be judged again, unless `due` is said too."""

    def update(self, **values: Any) -> int:  # noqa: ANN401 (Django's)
        """Change them."""
        return super().update(**{"due": 0} | values)


class Gateway(models.Model):
    """One gateway as it last spoke.

    `seen` is when its last message came, `expected` the configuration that the operator took as right.

    `grade`, `rank` and `folded` are what lists sort and search by. tools/fleet/verdicts.py makes them anew of every row
    whose `due` has come: 0, for a row that was changed, or when time alone changes how it stands (seconds since the
    epoch); null: never.
    """

    ident = models.CharField(max_length=16, unique=True)
    name = models.CharField(max_length=64, default="", blank=True)
    group = models.CharField(max_length=64, default="", blank=True)
    # Words with a space between, as tools.fleet.listing has them
    tags = models.CharField(max_length=256, default="", blank=True)
    zone = models.CharField(max_length=64, default="Europe/Paris")  # the venue's time zone
    first_seen = models.BigIntegerField()
    seen = models.BigIntegerField()
    state = models.CharField(max_length=8, default="")
    version = models.CharField(max_length=32, default="")
    config = models.CharField(max_length=16, default="")
    expected = models.CharField(max_length=16, default="")
    boots = models.CharField(max_length=163, default="")  # the newest boot ids, newest first
    returns = models.IntegerField(default=0)  # how often a boot id came back that another had replaced
    returned = models.BigIntegerField(default=0)  # when that last was
    health = models.JSONField(default=dict)
    health_at = models.BigIntegerField(default=0)
    retired = models.BigIntegerField(default=0)  # when a person took it out of the list; 0: it is in it
    # Kind of message -> [what it said that we have no schema of, as text, when]
    unknown = models.JSONField(default=dict)
    grade = models.SmallIntegerField(default=OUT)
    rank = models.SmallIntegerField(default=0)  # the place of its worst finding's kind among all
    folded = models.CharField(
        max_length=400, default=""
    )  # name, tags with blanks around them, and id: a line each, without accents and capitals
    due = models.BigIntegerField(null=True, default=0)

    objects = _Gateways.as_manager()

    class Meta:
        """Table."""

        indexes = [
            models.Index(fields=["group", "name", "ident"], name="gateway_group"),
            models.Index(fields=["grade", "rank", "folded", "id"], name="gateway_list"),
            models.Index(fields=["due"], name="gateway_due"),
            models.Index(fields=["zone"], name="gateway_zone"),
            models.Index(fields=["retired"], name="gateway_retired", condition=models.Q(retired__gt=0)),
        ]

    # Django's
    def save(self, *words: Any, update_fields: Iterable[str] | None = None, **more: Any) -> None:  # noqa: ANN401
        """Write it, due to be judged."""
        self.due = 0
        super().save(*words, update_fields=None if update_fields is None else {*update_fields, "due"}, **more)


class Wrong(models.Model):
    """One thing that is wrong with a gateway now, as it was judged.

    `kind` of tools/fleet/judgement.py, and its text's words.
    """

    pk = models.CompositePrimaryKey("gateway_id", "kind")
    gateway = models.ForeignKey(Gateway, on_delete=models.CASCADE, db_index=False)
    kind = models.CharField(max_length=16)
    rank = models.SmallIntegerField()  # the kind's place among all; breaches come first
    since = models.BigIntegerField()
    words = models.JSONField(default=dict)

    class Meta:
        """Table."""

        indexes = [models.Index(fields=["rank", "gateway"], name="wrong_rank")]


class Message(models.Model):
    """One published summary. `b` is the noise's scale as a fraction; unused values are null."""

    pk = models.CompositePrimaryKey("gateway_id", "metric", "day", "slot")
    gateway = models.ForeignKey(Gateway, on_delete=models.CASCADE, db_index=False)
    metric = models.SmallIntegerField()
    day = models.IntegerField()
    slot = models.SmallIntegerField()
    start = models.BigIntegerField()
    end = models.BigIntegerField()
    b_over = models.IntegerField()
    b_under = models.IntegerField()
    received = models.BigIntegerField()
    late = models.BooleanField()
    v0 = models.IntegerField()
    v1 = models.IntegerField(null=True)
    v2 = models.IntegerField(null=True)
    v3 = models.IntegerField(null=True)
    v4 = models.IntegerField(null=True)
    v5 = models.IntegerField(null=True)
    v6 = models.IntegerField(null=True)
    v7 = models.IntegerField(null=True)
    v8 = models.IntegerField(null=True)

    class Meta:
        """Table."""

        indexes = [models.Index(fields=["day"], name="message_day")]


class Day(models.Model):
    """A gateway's agent-day, and the seven that end with it, from all that it told; tools/fleet/daily.py says how.

    `tenths` is null where nothing was told of the day itself; `week_days` is how many of the seven it told of.
    """

    pk = models.CompositePrimaryKey("gateway_id", "day")
    gateway = models.ForeignKey(Gateway, on_delete=models.CASCADE, db_index=False)
    day = models.IntegerField()
    tenths = models.BigIntegerField(null=True)
    noise = models.TextField(default="")
    week_days = models.SmallIntegerField(default=0)
    week_tenths = models.BigIntegerField(default=0)
    week_noise = models.TextField(default="")

    class Meta:
        """Table."""

        indexes = [models.Index(fields=["day"], name="day_day")]


class Spell(models.Model):
    """Agent-days in a row, `first` to `last`, of which each ends a week in which a gateway told of a day.

    They follow from `Day`.
    """

    pk = models.CompositePrimaryKey("gateway_id", "first")
    gateway = models.ForeignKey(Gateway, on_delete=models.CASCADE, db_index=False)
    first = models.IntegerField()
    last = models.IntegerField()


class Total(models.Model):
    """What a group's gateways published of one slot, added up: `count` messages of one noise scale.

    Kept by the intake.
    """

    pk = models.CompositePrimaryKey("metric", "day", "slot", "group", "b_over", "b_under")
    metric = models.SmallIntegerField()
    day = models.IntegerField()
    slot = models.SmallIntegerField()
    group = models.CharField(max_length=64)
    b_over = models.IntegerField()
    b_under = models.IntegerField()
    count = models.IntegerField()
    v0 = models.BigIntegerField()
    v1 = models.BigIntegerField(default=0)
    v2 = models.BigIntegerField(default=0)
    v3 = models.BigIntegerField(default=0)
    v4 = models.BigIntegerField(default=0)
    v5 = models.BigIntegerField(default=0)
    v6 = models.BigIntegerField(default=0)
    v7 = models.BigIntegerField(default=0)
    v8 = models.BigIntegerField(default=0)

    class Meta:
        """Table."""

        indexes = [models.Index(fields=["day"], name="total_day")]


class Grouped(models.Model):
    """A group's agent-day, or all gateways'; tools/fleet/grouped.py says how. `due`: it has changed since it was made.

    `scope` is the group's name after "="; empty: all gateways. `parts` and `weeks` are JSON.
    """

    pk = models.CompositePrimaryKey("scope", "day")
    scope = models.CharField(max_length=65)
    day = models.IntegerField()
    due = models.BooleanField()
    gateways = models.IntegerField(default=0)
    tenths = models.BigIntegerField(default=0)
    half_width = models.FloatField(default=0)
    parts = models.TextField(default="")
    weeks = models.TextField(default="")

    class Meta:
        """Table."""

        indexes = [
            models.Index(fields=["day"], name="grouped_day"),
            models.Index(fields=["day"], name="grouped_due", condition=models.Q(due=True)),
        ]


class Tally(models.Model):
    """How many messages of a day had one fate: `kept`, `repeat`, or why they were refused.

    `gateway` 0: none that is known.
    """

    pk = models.CompositePrimaryKey("gateway", "day", "fate")
    gateway = models.BigIntegerField()
    day = models.IntegerField()
    fate = models.CharField(max_length=16)
    count = models.BigIntegerField()

    class Meta:
        """Table."""

        indexes = [models.Index(fields=["day"], name="tally_day")]


class Episode(models.Model):
    """A time in which something was wrong with a gateway; `ended` is null while it lasts.

    Within an hour of its end it goes on.
    """

    APART = 3600  # seconds: so a gateway makes at most 24 of a kind in a day, whatever it says

    gateway = models.ForeignKey(Gateway, on_delete=models.CASCADE, db_index=False)
    kind = models.CharField(max_length=16)
    began = models.BigIntegerField()
    ended = models.BigIntegerField(null=True)

    class Meta:
        """Table."""

        indexes = [
            models.Index(fields=["gateway", "kind"], name="episode_gateway"),
            models.Index(fields=["began"], name="episode_began"),
            models.Index(fields=["ended", "id"], name="episode_ended"),
            models.Index(fields=["gateway", "ended", "id"], name="episode_over"),
        ]


class Head(models.Model):
    """A checkpoint of an audit log as health had it (L34-VI-3): number, hash, another hash ("": none), when."""

    pk = models.CompositePrimaryKey("gateway_id", "number")
    gateway = models.ForeignKey(Gateway, on_delete=models.CASCADE, db_index=False)
    number = models.BigIntegerField()
    hash = models.CharField(max_length=64)
    other = models.CharField(max_length=64, default="")
    received = models.BigIntegerField()

    class Meta:
        """Table."""

        indexes = [models.Index(fields=["received"], name="head_received")]


class Channel(models.Model):
    """Where alerts go, and which: an address for e-mail, or a URL.

    `kinds` empty: every breach; `group` empty: all gateways.
    """

    name = models.CharField(max_length=64)
    form = models.CharField(max_length=16)
    target = models.CharField(max_length=512)
    group = models.CharField(max_length=64, default="", blank=True)
    kinds = models.JSONField(default=list)
    delay = models.IntegerField(default=10)  # minutes that something is wrong before it is told
    repeat = models.IntegerField(default=24)  # hours until it is told again; 0: never
    resolved = models.BooleanField(default=True)
    # HH:MM in `zone`; what comes in quiet hours is told after them
    quiet_from = models.CharField(max_length=5, default="", blank=True)
    quiet_until = models.CharField(max_length=5, default="", blank=True)
    zone = models.CharField(max_length=64, default="Europe/Paris")
    language = models.CharField(max_length=2, default="en")
    enabled = models.BooleanField(default=True)
    dropped = models.IntegerField(default=0)  # messages that no try could deliver for a week


class Deed(models.Model):
    """What a person did on the page: the address's name, and what the form said, without passwords.

    Written before it is done, and struck out where it was refused: what nobody waited for stays.
    """

    at = models.BigIntegerField()
    by = models.CharField(max_length=150)
    act = models.CharField(max_length=32)
    about = models.CharField(max_length=512)

    class Meta:
        """Table."""

        indexes = [models.Index(fields=["by", "id"], name="deed_by"), models.Index(fields=["at"], name="deed_at")]


class Token(models.Model):
    """What a program asks with instead of a person: SHA-256, use (`tokens.SCOPES`), when last used (0: never)."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    label = models.CharField(max_length=64)
    scopes = models.CharField(max_length=64)  # words with a space between
    hash = models.CharField(max_length=64, unique=True)
    created = models.BigIntegerField()
    used = models.BigIntegerField(default=0)


class Link(models.Model):
    """A picture of a group's chart that anybody may see who has its address; without a row there is none.

    `key` is 128 bits by lot.
    """

    group = models.CharField(max_length=64, unique=True)
    key = models.CharField(max_length=32, unique=True)
    language = models.CharField(max_length=2)
    by = models.CharField(max_length=150)
    created = models.BigIntegerField()


class Alert(models.Model):
    """What is wrong with a gateway as a channel knows it, until told that it is over; `told`: last when, 0: never."""

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, db_index=False)
    gateway = models.ForeignKey(Gateway, on_delete=models.CASCADE)
    kind = models.CharField(max_length=16)
    began = models.BigIntegerField()
    gone = models.BigIntegerField(null=True)
    told = models.BigIntegerField(default=0)

    class Meta:
        """Table."""

        constraints = [models.UniqueConstraint(fields=["channel", "gateway", "kind"], name="alert_one")]


class Outgoing(models.Model):
    """A message that waits for its receiver; it goes when that has taken it. `ident` is the same at each try."""

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE)
    ident = models.CharField(max_length=32)
    created = models.BigIntegerField()
    content = models.JSONField()
    tries = models.IntegerField(default=0)
    due = models.BigIntegerField()
    claimed = models.BigIntegerField(default=0)  # when a collector began to send it
    failure = models.CharField(max_length=160, default="")


class Silence(models.Model):
    """What a person doesn't want to be told for a while, and why.

    `known`: acknowledged, so it ends when what is wrong does.
    """

    gateway = models.ForeignKey(Gateway, on_delete=models.CASCADE, null=True)
    group = models.CharField(max_length=64, default="", blank=True)
    kind = models.CharField(max_length=16, default="", blank=True)
    reason = models.CharField(max_length=200)
    by = models.CharField(max_length=150)
    began = models.BigIntegerField()
    until = models.BigIntegerField()
    known = models.BooleanField(default=False)
