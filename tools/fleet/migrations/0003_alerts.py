# SPDX-License-Identifier: Apache-2.0
"""Channels of alerts, what they have told, what waits for its receiver, and what a person has silenced."""

import django.db.models.deletion
from django.db import migrations, models


def _gateway(**how: bool) -> models.ForeignKey:
    return models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="fleet.gateway", **how)


class Migration(migrations.Migration):
    """Channel, Alert, Outgoing, Silence."""

    dependencies = [("fleet", "0002_unknown")]

    operations = [
        migrations.CreateModel(
            name="Channel",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=64)),
                ("form", models.CharField(max_length=16)),
                ("target", models.CharField(max_length=512)),
                ("group", models.CharField(blank=True, default="", max_length=64)),
                ("kinds", models.JSONField(default=list)),
                ("delay", models.IntegerField(default=10)),
                ("repeat", models.IntegerField(default=24)),
                ("resolved", models.BooleanField(default=True)),
                ("quiet_from", models.CharField(blank=True, default="", max_length=5)),
                ("quiet_until", models.CharField(blank=True, default="", max_length=5)),
                ("zone", models.CharField(default="Europe/Paris", max_length=64)),
                ("language", models.CharField(default="en", max_length=2)),
                ("enabled", models.BooleanField(default=True)),
                ("dropped", models.IntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="Alert",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=16)),
                ("began", models.BigIntegerField()),
                ("gone", models.BigIntegerField(null=True)),
                ("told", models.BigIntegerField(default=0)),
                (
                    "channel",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to="fleet.channel"),
                ),
                ("gateway", _gateway()),
            ],
            options={"constraints": [models.UniqueConstraint(fields=["channel", "gateway", "kind"], name="alert_one")]},
        ),
        migrations.CreateModel(
            name="Outgoing",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("ident", models.CharField(max_length=32)),
                ("created", models.BigIntegerField()),
                ("content", models.JSONField()),
                ("tries", models.IntegerField(default=0)),
                ("due", models.BigIntegerField()),
                ("claimed", models.BigIntegerField(default=0)),
                ("failure", models.CharField(default="", max_length=160)),
                ("channel", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="fleet.channel")),
            ],
        ),
        migrations.CreateModel(
            name="Silence",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("group", models.CharField(blank=True, default="", max_length=64)),
                ("kind", models.CharField(blank=True, default="", max_length=16)),
                ("reason", models.CharField(max_length=200)),
                ("by", models.CharField(max_length=150)),
                ("began", models.BigIntegerField()),
                ("until", models.BigIntegerField()),
                ("known", models.BooleanField(default=False)),
                ("gateway", _gateway(null=True)),
            ],
        ),
    ]
