# SPDX-License-Identifier: Apache-2.0
"""A gateway's days and weeks as rows, made from the messages that there are."""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models


def _made(apps: Any, _schema: object) -> None:  # noqa: ANN401 (Django's registry of that moment)
    from tools.fleet import daily, views
    from tools.fleet.progress import Progress

    gateways, rows = apps.get_model("fleet", "Gateway").objects, apps.get_model("fleet", "Day")
    keys, progress = list(gateways.order_by("pk").values_list("pk", flat=True)), Progress()
    for number, key in enumerate(keys):
        progress(f"the store gets its days and weeks, once: {number:,} of {len(keys):,} gateways", number, len(keys))
        made = daily.made(key, views.told(key, 0, 1 << 30))
        columns = ("gateway_id", "day", *daily.KEPT)
        rows.objects.bulk_create(
            [rows(**{name: getattr(row, name) for name in columns}) for row in made], batch_size=500
        )


class Migration(migrations.Migration):
    """Day."""

    dependencies = [("fleet", "0010_deeds")]

    operations = [
        migrations.CreateModel(
            "Day",
            [
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "gateway_id", "day", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("day", models.IntegerField()),
                ("tenths", models.BigIntegerField(null=True)),
                ("noise", models.TextField(default="")),
                ("week_days", models.SmallIntegerField(default=0)),
                ("week_tenths", models.BigIntegerField(default=0)),
                ("week_noise", models.TextField(default="")),
                (
                    "gateway",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to="fleet.gateway"),
                ),
            ],
            options={"indexes": [models.Index(fields=["day"], name="day_day")]},
        ),
        migrations.RunPython(_made, migrations.RunPython.noop),
    ]
