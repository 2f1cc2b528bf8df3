# SPDX-License-Identifier: Apache-2.0
"""API tokens."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Token."""

    dependencies = [("fleet", "0006_people"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            "Token",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("owner", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL)),
                ("label", models.CharField(max_length=64)),
                ("scopes", models.CharField(max_length=64)),
                ("hash", models.CharField(max_length=64, unique=True)),
                ("created", models.BigIntegerField()),
                ("used", models.BigIntegerField(default=0)),
            ],
        )
    ]
