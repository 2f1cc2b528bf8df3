# SPDX-License-Identifier: Apache-2.0
"""Who is told by the collector when something is wrong, and what he can do to it in return."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from django.db import connections

from tests.fleet.says import NOW
from tools.fleet import alerts, mail, notices
from tools.fleet.models import Channel, Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECES = {"json": b"HTTP/1.1 ", "email": b"220-"}


@contextmanager
def dripping(first: bytes) -> Iterator[int]:
    """Run a server whose answer never ends, an octet at a time; its port."""
    ended = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection:
            try:
                connection.sendall(first)
                while not ended.wait(0.05):
                    connection.sendall(b"x")
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: drip(listener.accept()[0]), daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()


@pytest.mark.parametrize("form", PIECES)
def test_a_receiver_that_answers_an_octet_at_a_time_holds_no_other_up(sqlite, monkeypatch, form):
    """Gain: no channel is told anything again, since the answer never ends and each octet of it comes in time."""
    monkeypatch.setattr(notices, "WHOLE", 1)
    said: list[str] = []
    with dripping(PIECES[form]) as port:
        target = "a@example.org" if form == "email" else f"http://127.0.0.1:{port}/"
        alerts.test(Channel.objects.create(name="slow", form=form, target=target), NOW)
        alerts.test(Channel.objects.create(name="other", form="json", target="http://127.0.0.1:1/"), NOW)
        server = mail.server(f"smtp://127.0.0.1:{port}", "oubli@example.org")
        worker = threading.Thread(target=lambda: delivered(server, said), daemon=True)
        worker.start()
        worker.join(60)
        assert not worker.is_alive()
    assert [row.tries for row in Outgoing.objects.order_by("pk")] == [1, 1]
    assert [line.split("'")[1] for line in said] == ["slow", "other"]


def delivered(server: mail.Mail, said: list[str]) -> None:
    """Send what waits, as the collector's thread does."""
    notices.deliver(NOW, server, said.append)
    connections.close_all()
