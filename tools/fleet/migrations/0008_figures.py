# SPDX-License-Identifier: Apache-2.0
"""Venues' time zones, and pictures for elsewhere."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Gateway.zone, Link."""

    dependencies = [("fleet", "0007_tokens")]

    operations = [
        migrations.AddField("Gateway", "zone", models.CharField(max_length=64, default="Europe/Paris")),
        migrations.CreateModel(
            "Link",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("group", models.CharField(max_length=64, unique=True)),
                ("key", models.CharField(max_length=32, unique=True)),
                ("language", models.CharField(max_length=2)),
                ("by", models.CharField(max_length=150)),
                ("created", models.BigIntegerField()),
            ],
        ),
    ]
