# SPDX-License-Identifier: Apache-2.0
"""What the verbs of `oubli-fleet` begin with: the store, the mail server, a socket."""

import socket
from pathlib import Path
from typing import Any

from tools.commands import Program
from tools.fleet import site
from tools.fleet.broker import BrokerError

PROGRAM = Program("oubli-fleet")


def configure(db: str, **how: object) -> None:
    """Make Django ready for the store at a URL; a refusal is one line."""
    try:
        site.configure(db, **how)  # type: ignore[arg-type]  # hosts and secure
    except site.StoreError as failure:
        PROGRAM.refuse(str(failure))


def open_store(db: str, *, new: bool = True, **how: object) -> None:
    """Open the store at a URL; `new`: make it where it isn't there."""
    configure(db, **how)
    try:
        site.open_store(new=new)
    except site.StoreError as failure:
        PROGRAM.refuse(str(failure))


# notices.Mail: Django isn't set up
def mail_server(url: str | None, sender: str, password_file: Path | None, ca: Path | None) -> Any:  # noqa: ANN401
    """Return the mail server that the options name, None without one."""
    if url is None:
        if password_file is not None or ca is not None:
            PROGRAM.refuse("--smtp-password-file, --smtp-ca: without a mail server; accepted: with --smtp")
        return None
    from tools.fleet import mail

    try:
        return mail.server(url, sender, password_file, ca)
    except BrokerError as failure:
        PROGRAM.refuse(str(failure))


def users() -> int:
    """Return how many people may log in."""
    from django.contrib.auth import get_user_model

    return int(get_user_model().objects.count())


def set_password(name: str, password: str, role: str | None = None, *, reset: bool = False) -> None:
    """Give a person a password, and an account where there is none.

    The first one's is an administrator's, later ones are operators'.

    `reset`: take the second factor away.
    """
    from django.contrib.auth import get_user_model

    from tools.fleet import factor, people

    first = not users()
    user, new = get_user_model().objects.get_or_create(username=name)
    user.set_password(password)
    user.save()
    if reset:
        factor.remove(user)
    if role or new:
        people.set_role(user, role or ("administrator" if first else "operator"))


def check_room(gateways: int) -> None:
    """Refuse a limit that the store is beyond already; keep it in the store, for lists of expected gateways."""
    from tools.fleet.models import Gateway, Setting

    known = Gateway.objects.count()
    if known > gateways:
        PROGRAM.refuse(f"--gateways: {gateways}, and the store has {known}; accepted: at least so many")
    Setting.objects.update_or_create(name="gateways", defaults={"value": str(gateways)})


def listen(listen: str) -> tuple[socket.socket, str]:
    """Return a bound socket and the host it is bound to."""
    host, _, port = listen.rpartition(":")
    try:
        if not 0 <= int(port) < 1 << 16:
            raise ValueError
        family, _, _, _, place = socket.getaddrinfo(
            host.strip("[]") or "127.0.0.1", int(port), type=socket.SOCK_STREAM
        )[0]
        listener = socket.create_server((str(place[0]), int(place[1])), family=family)
    except (OSError, ValueError, OverflowError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else "no port"
        PROGRAM.refuse(f"--listen: {listen}: can't listen there ({reason}); accepted: HOST:PORT, port 0 for any")
    return listener, str(place[0])
