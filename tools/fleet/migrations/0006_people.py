# SPDX-License-Identifier: Apache-2.0
"""What people did; and whoever could log in before there were roles is an administrator."""

from typing import Any

from django.conf import settings
from django.db import migrations, models


def _administrators(apps: Any, _schema: object) -> None:  # noqa: ANN401 (Django's registry of that moment)
    apps.get_model(settings.AUTH_USER_MODEL).objects.update(is_superuser=True)


class Migration(migrations.Migration):
    """Deed."""

    dependencies = [("fleet", "0005_tags"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            "Deed",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.BigIntegerField()),
                ("by", models.CharField(max_length=150)),
                ("act", models.CharField(max_length=32)),
                ("about", models.CharField(max_length=512)),
            ],
        ),
        migrations.RunPython(_administrators, migrations.RunPython.noop),
    ]
