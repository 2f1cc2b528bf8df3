# SPDX-License-Identifier: Apache-2.0
"""Gateways that are no more."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Gateway.retired."""

    dependencies = [("fleet", "0003_alerts")]

    operations = [migrations.AddField("gateway", "retired", models.BigIntegerField(default=0))]
