# SPDX-License-Identifier: Apache-2.0
"""The store: gateways, their messages, the fleet's running totals, what was refused, and when something was wrong.

One schema for SQLite and PostgreSQL. Times are seconds since the epoch; an agent-day is a number, days since the epoch (ANON-6). A
message's numbers stand in columns v0..v8 (no metric has more than nine cells), so that the database adds them up. The key of a message is
gateway/metric/day/slot: a repeat is harmless whatever its way here.
"""

from django.db import models

CELLS = 9
VALUES = tuple(f"v{cell}" for cell in range(CELLS))


class Setting(models.Model):
    """One value of the store's own: the secret that signs sessions."""

    name = models.CharField(max_length=32, primary_key=True)
    value = models.CharField(max_length=128)


class Gateway(models.Model):
    """One gateway as it last spoke. `seen` is when its last message came, `expected` the configuration that the operator took as right."""

    ident = models.CharField(max_length=16, unique=True)
    name = models.CharField(max_length=64, default="", blank=True)
    group = models.CharField(max_length=64, default="", blank=True)
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
    unknown = models.JSONField(default=dict)  # kind of message -> [what it said that we have no schema of, as text, when]

    class Meta:
        """Table."""

        indexes = [models.Index(fields=["group"], name="gateway_group")]


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


class Total(models.Model):
    """What a group's gateways published of one slot, added up: `count` messages of one noise scale. Kept by the intake."""

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


class Tally(models.Model):
    """How many messages of a day had one fate: `kept`, `repeat`, or why they were refused. `gateway` 0: none that is known."""

    pk = models.CompositePrimaryKey("gateway", "day", "fate")
    gateway = models.BigIntegerField()
    day = models.IntegerField()
    fate = models.CharField(max_length=16)
    count = models.BigIntegerField()

    class Meta:
        """Table."""

        indexes = [models.Index(fields=["day"], name="tally_day")]


class Episode(models.Model):
    """A time in which something was wrong with a gateway; `ended` is null while it lasts. Within an hour of its end it goes on."""

    APART = 3600  # seconds: so a gateway makes at most 24 of a kind in a day, whatever it says

    gateway = models.ForeignKey(Gateway, on_delete=models.CASCADE, db_index=False)
    kind = models.CharField(max_length=16)
    began = models.BigIntegerField()
    ended = models.BigIntegerField(null=True)

    class Meta:
        """Table."""

        indexes = [models.Index(fields=["gateway", "kind"], name="episode_gateway"), models.Index(fields=["began"], name="episode_began")]

    @classmethod
    def begin(cls, gateway: Gateway, kind: str, now: int) -> None:
        """Open an episode unless one of its kind is open, or has just ended: then that one goes on."""
        last = cls.objects.filter(gateway=gateway, kind=kind).order_by("-began").first()
        if last is None or (last.ended is not None and last.ended <= now - cls.APART):
            cls.objects.create(gateway=gateway, kind=kind, began=now)
        elif last.ended is not None:
            cls.objects.filter(pk=last.pk).update(ended=None)


class Head(models.Model):
    """A checkpoint of an audit log as health carried it (L34-VI-3): number, hash, another hash for it (or ""), when it came."""

    pk = models.CompositePrimaryKey("gateway_id", "number")
    gateway = models.ForeignKey(Gateway, on_delete=models.CASCADE, db_index=False)
    number = models.BigIntegerField()
    hash = models.CharField(max_length=64)
    other = models.CharField(max_length=64, default="")
    received = models.BigIntegerField()

    class Meta:
        """Table."""

        indexes = [models.Index(fields=["received"], name="head_received")]
