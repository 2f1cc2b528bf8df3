# SPDX-License-Identifier: Apache-2.0
"""Days of groups and of all gateways as rows, to be made by who reads them or by `serve`; spells, from the days."""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models

_THERE = """
INSERT INTO fleet_grouped (scope, day, due, gateways, tenths, half_width, parts, weeks)
SELECT scope, day, {true}, 0, 0, 0, '', '' FROM (
    SELECT '=' || "group" AS scope, day FROM fleet_total UNION SELECT '', day FROM fleet_total
    UNION SELECT '=' || "group", day FROM fleet_day JOIN fleet_gateway ON fleet_gateway.id = gateway_id
    UNION SELECT '', day FROM fleet_day) there"""


_SPELLS = """
INSERT INTO fleet_spell (gateway_id, first, last) SELECT gateway_id, MIN(day), MAX(day)
FROM (SELECT gateway_id, day, day - ROW_NUMBER() OVER (PARTITION BY gateway_id ORDER BY day) AS island
      FROM fleet_day WHERE week_days > 0) days GROUP BY gateway_id, island"""


def _mark(_apps: object, editor: Any) -> None:  # noqa: ANN401 (Django has no types)
    editor.execute(_THERE.format(true="true" if editor.connection.vendor == "postgresql" else "1"))
    editor.execute(_SPELLS)


class Migration(migrations.Migration):
    """Grouped and Spell."""

    dependencies = [("fleet", "0011_days")]

    operations = [
        migrations.CreateModel(
            "Grouped",
            [
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "scope", "day", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("scope", models.CharField(max_length=65)),
                ("day", models.IntegerField()),
                ("due", models.BooleanField()),
                ("gateways", models.IntegerField(default=0)),
                ("tenths", models.BigIntegerField(default=0)),
                ("half_width", models.FloatField(default=0)),
                ("parts", models.TextField(default="")),
                ("weeks", models.TextField(default="")),
            ],
            options={
                "indexes": [
                    models.Index(fields=["day"], name="grouped_day"),
                    models.Index(fields=["day"], name="grouped_due", condition=models.Q(due=True)),
                ]
            },
        ),
        migrations.CreateModel(
            "Spell",
            [
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "gateway_id", "first", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("first", models.IntegerField()),
                ("last", models.IntegerField()),
                (
                    "gateway",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to="fleet.gateway"),
                ),
            ],
        ),
        migrations.RunPython(_mark, migrations.RunPython.noop),
    ]
