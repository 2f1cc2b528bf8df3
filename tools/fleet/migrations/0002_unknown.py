# SPDX-License-Identifier: Apache-2.0
"""What gateways of a newer version say that this collector has no schema of."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Gateway.unknown."""

    dependencies = [("fleet", "0001_store")]

    operations = [migrations.AddField("gateway", "unknown", models.JSONField(default=dict))]
