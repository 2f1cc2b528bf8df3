# SPDX-License-Identifier: Apache-2.0
"""The page's addresses."""

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LogoutView
from django.urls import path
from django.views.i18n import set_language

from tools.fleet import account_pages, alert_pages, api, figure_pages, inventory_pages, pages, people_pages, prometheus

urlpatterns = [
    path("", pages.gateways, name="gateways"),
    path("gateway/<str:ident>", pages.gateway, name="gateway"),
    path("gateway/<str:ident>/change", pages.change, name="change"),
    path("gateway/<str:ident>/figures.<str:form>", figure_pages.gateway_file, name="gateway_file"),
    path("fleet", figure_pages.fleet, name="fleet"),
    path("fleet/figures.<str:form>", figure_pages.fleet_file, name="fleet_file"),
    path("fleet/share", figure_pages.share, name="share"),
    path("picture/<str:key>.<str:form>", figure_pages.picture, name="picture"),
    path("compliance", pages.compliance, name="compliance"),
    path("compliance.csv", pages.compliance_csv, name="compliance_csv"),
    path("alerts", alert_pages.alerts, name="alerts"),
    path("alerts/change", alert_pages.change_alerts, name="change_alerts"),
    path("inventory", inventory_pages.inventory, name="inventory"),
    path("inventory.csv", inventory_pages.inventory_csv, name="inventory_csv"),
    path("inventory/change", inventory_pages.change_inventory, name="change_inventory"),
    path("people", people_pages.people, name="people"),
    path("people/change", people_pages.change_people, name="change_people"),
    path("password", people_pages.password, name="password"),
    path("factor", account_pages.factor, name="factor"),
    path("tokens", account_pages.tokens, name="tokens"),
    path("api/v1/", api.urls()),
    path("login", pages.Login.as_view(), name="login"),
    path("logout", LogoutView.as_view(), name="logout"),
    path("language", login_not_required(set_language), name="language"),
    path("metrics", prometheus.metrics, name="metrics"),
]
