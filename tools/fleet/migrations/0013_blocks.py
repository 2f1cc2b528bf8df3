# SPDX-License-Identifier: Apache-2.0
"""Weeks of groups have apart who began in another block of days: all rows are made anew, by who reads them first.

A venue's time zone is looked up.
"""

from typing import Any

from django.db import migrations, models


def _mark(apps: Any, _schema: object) -> None:  # noqa: ANN401 (Django's registry of that moment)
    apps.get_model("fleet", "Grouped").objects.update(due=True)


class Migration(migrations.Migration):
    """What `weeks` of Grouped holds, and an index."""

    dependencies = [("fleet", "0012_grouped")]

    operations = [
        migrations.AddIndex("gateway", models.Index(fields=["zone"], name="gateway_zone")),
        migrations.RunPython(_mark, migrations.RunPython.noop),
    ]
