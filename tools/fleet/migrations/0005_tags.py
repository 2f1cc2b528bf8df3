# SPDX-License-Identifier: Apache-2.0
"""Words by which an operator sorts gateways."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Gateway.tags."""

    dependencies = [("fleet", "0004_retired")]

    operations = [migrations.AddField("gateway", "tags", models.CharField(blank=True, default="", max_length=256))]
