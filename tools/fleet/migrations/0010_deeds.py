# SPDX-License-Identifier: Apache-2.0
"""Deeds are found by their person and by their age."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Indexes of Deed."""

    dependencies = [("fleet", "0009_verdicts")]

    operations = [
        migrations.AddIndex("deed", models.Index(fields=["by", "id"], name="deed_by")),
        migrations.AddIndex("deed", models.Index(fields=["at"], name="deed_at")),
    ]
