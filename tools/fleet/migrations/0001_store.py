# SPDX-License-Identifier: Apache-2.0
"""The store's first tables."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """All of tools/fleet/models.py."""

    initial = True

    dependencies: list[tuple[str, str]] = []

    operations = [
        migrations.CreateModel(
            name="Setting",
            fields=[
                ("name", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("value", models.CharField(max_length=128)),
            ],
        ),
        migrations.CreateModel(
            name="Gateway",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("ident", models.CharField(max_length=16, unique=True)),
                ("name", models.CharField(blank=True, default="", max_length=64)),
                ("group", models.CharField(blank=True, default="", max_length=64)),
                ("first_seen", models.BigIntegerField()),
                ("seen", models.BigIntegerField()),
                ("state", models.CharField(default="", max_length=8)),
                ("version", models.CharField(default="", max_length=32)),
                ("config", models.CharField(default="", max_length=16)),
                ("expected", models.CharField(default="", max_length=16)),
                ("boots", models.CharField(default="", max_length=163)),
                ("returns", models.IntegerField(default=0)),
                ("returned", models.BigIntegerField(default=0)),
                ("health", models.JSONField(default=dict)),
                ("health_at", models.BigIntegerField(default=0)),
            ],
            options={
                "indexes": [models.Index(fields=["group"], name="gateway_group")],
            },
        ),
        migrations.CreateModel(
            name="Tally",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "gateway", "day", "fate", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("gateway", models.BigIntegerField()),
                ("day", models.IntegerField()),
                ("fate", models.CharField(max_length=16)),
                ("count", models.BigIntegerField()),
            ],
            options={
                "indexes": [models.Index(fields=["day"], name="tally_day")],
            },
        ),
        migrations.CreateModel(
            name="Total",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "metric",
                        "day",
                        "slot",
                        "group",
                        "b_over",
                        "b_under",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("metric", models.SmallIntegerField()),
                ("day", models.IntegerField()),
                ("slot", models.SmallIntegerField()),
                ("group", models.CharField(max_length=64)),
                ("b_over", models.IntegerField()),
                ("b_under", models.IntegerField()),
                ("count", models.IntegerField()),
                ("v0", models.BigIntegerField()),
                ("v1", models.BigIntegerField(default=0)),
                ("v2", models.BigIntegerField(default=0)),
                ("v3", models.BigIntegerField(default=0)),
                ("v4", models.BigIntegerField(default=0)),
                ("v5", models.BigIntegerField(default=0)),
                ("v6", models.BigIntegerField(default=0)),
                ("v7", models.BigIntegerField(default=0)),
                ("v8", models.BigIntegerField(default=0)),
            ],
            options={
                "indexes": [models.Index(fields=["day"], name="total_day")],
            },
        ),
        migrations.CreateModel(
            name="Episode",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=16)),
                ("began", models.BigIntegerField()),
                ("ended", models.BigIntegerField(null=True)),
                (
                    "gateway",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to="fleet.gateway"),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["gateway", "kind"], name="episode_gateway"),
                    models.Index(fields=["began"], name="episode_began"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Head",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "gateway_id", "number", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.BigIntegerField()),
                ("hash", models.CharField(max_length=64)),
                ("other", models.CharField(default="", max_length=64)),
                ("received", models.BigIntegerField()),
                (
                    "gateway",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to="fleet.gateway"),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["received"], name="head_received")],
            },
        ),
        migrations.CreateModel(
            name="Message",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "gateway_id",
                        "metric",
                        "day",
                        "slot",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("metric", models.SmallIntegerField()),
                ("day", models.IntegerField()),
                ("slot", models.SmallIntegerField()),
                ("start", models.BigIntegerField()),
                ("end", models.BigIntegerField()),
                ("b_over", models.IntegerField()),
                ("b_under", models.IntegerField()),
                ("received", models.BigIntegerField()),
                ("late", models.BooleanField()),
                ("v0", models.IntegerField()),
                ("v1", models.IntegerField(null=True)),
                ("v2", models.IntegerField(null=True)),
                ("v3", models.IntegerField(null=True)),
                ("v4", models.IntegerField(null=True)),
                ("v5", models.IntegerField(null=True)),
                ("v6", models.IntegerField(null=True)),
                ("v7", models.IntegerField(null=True)),
                ("v8", models.IntegerField(null=True)),
                (
                    "gateway",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to="fleet.gateway"),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["day"], name="message_day")],
            },
        ),
    ]
