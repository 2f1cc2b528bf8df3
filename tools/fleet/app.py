# SPDX-License-Identifier: Apache-2.0
"""The fleet as Django's application: its tables are named fleet_*."""

from django.apps import AppConfig


class Fleet(AppConfig):
    """tools.fleet under the label `fleet`."""

    name = "tools.fleet"
    label = "fleet"
