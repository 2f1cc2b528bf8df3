# SPDX-License-Identifier: Apache-2.0
"""Every page in a real Chromium: of 0, 1, 30 and 5,000 gateways, French and English, phone and desktop, light and dark.

Nothing scrolls sideways, axe finds nothing. Each page is shown four times: so each value meets each page, and any
language meets any width and any light. What meets what else is turned by one from page to page.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, connections
from django.db.models import F
from django.test import Client

from tests.fleet.test_chromium import accessible, watched
from tests.fleet.test_collector import until
from tests.support.browsers import chromium
from tests.support.interpreters import PROJECT
from tools.fleet import people, simulated, site, staging, tokens
from tools.fleet.models import VALUES, Gateway, Total

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import BrowserContext

pytestmark = [pytest.mark.long, pytest.mark.needs("chromium-headless-shell"), pytest.mark.xdist_group("chromium")]
SIZES = (0, 1, 30, 5000)
LOOKS = (("en-GB", 360, "light"), ("en-GB", 1360, "dark"), ("fr-FR", 360, "dark"), ("fr-FR", 1360, "light"))
PAGES = (
    "", "gateway/{one}", "fleet", "fleet?group={group}", "compliance", "alerts", "inventory", "people", "password",
    "factor", "tokens", "login", "nowhere",
)  # fmt: skip
DAYS = 9
_MANY = """
INSERT INTO fleet_gateway (id, ident, {columns})
SELECT fleet_gateway.id + 100 * k.value, substr(ident, 1, 12) || substr('aaaa', 1, 4 - length(k.value)) ||
       replace(replace(replace(replace(k.value, '0', 'b'), '1', 'c'), '8', 'd'), '9', 'e'), {columns}
FROM fleet_gateway, json_each('{numbers}') k"""


class Fleet(NamedTuple):
    """A page that is served: its address, its cookie, a gateway and a group of it."""

    address: str
    cookie: str
    one: str
    group: str


def filled(url: str, size: int) -> tuple[str, str, str]:
    """Fill a store as a collector would, its gateways beyond 30 as doubles; return cookie, gateway, group."""
    site.configure(url)
    site.open_store()
    if 0 < size <= 30:
        staging.fill(simulated.venues(size), DAYS, int(time.time()))
    if size > 30:
        _doubled(-(-size // 30))
    user, new = get_user_model().objects.get_or_create(username="chief")
    people.set_role(user, "administrator")
    if new:
        tokens.create(user, "Grafana", ["metrics"])
    client = Client()
    client.force_login(user)
    connections.close_all()
    one = next(iter(simulated.venues(min(size, 30))), None)
    return client.cookies["sessionid"].value, one.ident if one else "a" * 16, one.group if one else ""


def _doubled(times: int) -> None:
    """Put so many doubles beside each gateway, with what is known of it but for its messages."""
    with connection.cursor() as cursor:
        numbers = str(list(range(1, times)))
        for table, fill in (("fleet_gateway", _MANY), ("fleet_day", ""), ("fleet_wrong", ""), ("fleet_episode", "")):
            names = [one.name for one in connection.introspection.get_table_description(cursor, table)]
            columns = ", ".join(f'"{one}"' for one in names if one not in {"id", "ident", "gateway_id"})
            into = f"INSERT INTO {table} (gateway_id, {columns}) SELECT gateway_id + 100 * k.value, {columns} "
            text = fill or into + f"FROM {table}, json_each('{numbers}') k"
            cursor.execute(text.format(columns=columns, numbers=numbers))
    sums = ("count", *VALUES)
    Total.objects.update(**{one: F(one) * times for one in sums})
    Gateway.objects.update(due=0)


@pytest.fixture(scope="module")
def fleets(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Fleet]]:
    """Serve a page of each size."""
    folder, found, running = tmp_path_factory.mktemp("fleets"), {}, []
    for size in SIZES:
        path = folder / f"{size}.sqlite"
        shutil.copy(folder / "30.sqlite" if size > 30 else empty, path)
        found[size] = filled(f"sqlite:///{path}", size)
    words = ["serve", "--broker", "mqtt://127.0.0.1:9", "--listen", "127.0.0.1:0", "--consumers", "0"]
    try:
        for size in SIZES:
            with (folder / f"{size}.log").open("wb") as file:
                running.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "tools.fleet", *words],
                        cwd=PROJECT,
                        env=os.environ | {"OUBLI_FLEET_DB": f"sqlite:///{folder / f'{size}.sqlite'}"},
                        stdin=subprocess.DEVNULL,
                        stdout=file,
                        stderr=file,
                    )
                )
        logs = {size: folder / f"{size}.log" for size in SIZES}
        until(lambda: all(b"page: http" in log.read_bytes() for log in logs.values()), "each page is served")
        addresses = {size: log.read_text().partition("page: ")[2].split()[0].rstrip("/") for size, log in logs.items()}
        yield {size: Fleet(addresses[size], *one) for size, one in found.items()}
    finally:
        for one in running:
            one.terminate()
        for one in running:
            assert one.wait(240) == 0
    assert not any("Traceback" in log.read_text() for log in folder.glob("*.log"))


def looked(contexts: dict[Any, BrowserContext], fleet: Fleet, look: tuple[str, int, str], path: str) -> None:
    """Show a page as somebody has it, and check it."""
    context, anybody = contexts[look], path == "login"
    context.clear_cookies()
    if not anybody:
        context.add_cookies([{"name": "sessionid", "value": fleet.cookie, "url": fleet.address}])
    page = context.new_page()
    strange = watched(page)
    answer = page.goto(f"{fleet.address}/{path.format(one=fleet.one, group=fleet.group)}")
    assert answer is not None
    absent = path == "nowhere" or (path.startswith("gateway/") and fleet.one == "a" * 16)
    assert answer.status == (404 if absent else 200), page.url
    assert page.locator("html").get_attribute("lang") == look[0][:2]
    accessible(page)
    page.close()
    assert [one for one in strange if not (absent and "404" in one)] == [], path


def test_every_page_of_any_size_in_any_look_is_accessible_and_as_wide_as_its_window(fleets):
    with chromium() as browser:
        contexts = {
            look: browser.new_context(
                locale=look[0], viewport={"width": look[1], "height": 800}, color_scheme=look[2]  # type: ignore[arg-type]

            )
            for look in LOOKS
        }  # fmt: skip
        for number, path in enumerate(PAGES):
            for place, size in enumerate(SIZES):
                looked(contexts, fleets[size], LOOKS[(number + place) % 4], path)
