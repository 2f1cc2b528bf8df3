# SPDX-License-Identifier: Apache-2.0
"""How a gateway stands, in its row; what is wrong, in rows; every gateway is due to be judged."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Gateway.grade, rank, folded, due; Wrong; the lists' indexes."""

    dependencies = [("fleet", "0008_figures")]

    operations = [
        migrations.AddField("gateway", "grade", models.SmallIntegerField(default=3)),
        migrations.AddField("gateway", "rank", models.SmallIntegerField(default=0)),
        migrations.AddField("gateway", "folded", models.CharField(default="", max_length=400)),
        migrations.AddField("gateway", "due", models.BigIntegerField(default=0, null=True)),
        migrations.RemoveIndex("gateway", "gateway_group"),
        migrations.AddIndex("gateway", models.Index(fields=["group", "name", "ident"], name="gateway_group")),
        migrations.AddIndex("gateway", models.Index(fields=["grade", "rank", "folded", "id"], name="gateway_list")),
        migrations.AddIndex("gateway", models.Index(fields=["due"], name="gateway_due")),
        migrations.AddIndex(
            "gateway", models.Index(condition=models.Q(("retired__gt", 0)), fields=["retired"], name="gateway_retired")
        ),
        migrations.CreateModel(
            "Wrong",
            [
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "gateway_id", "kind", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.CharField(max_length=16)),
                ("rank", models.SmallIntegerField()),
                ("since", models.BigIntegerField()),
                ("words", models.JSONField(default=dict)),
                ("gateway", models.ForeignKey(db_index=False, on_delete=models.deletion.CASCADE, to="fleet.gateway")),
            ],
            options={"indexes": [models.Index(fields=["rank", "gateway"], name="wrong_rank")]},
        ),
        migrations.AddIndex("episode", models.Index(fields=["ended", "id"], name="episode_ended")),
        migrations.AddIndex("episode", models.Index(fields=["gateway", "ended", "id"], name="episode_over")),
    ]
