# SPDX-License-Identifier: Apache-2.0
"""`oubli-fleet`: where an operator watches the gateways. Bad input: exit 2, one line; `--json FILE` where a verb answers with figures."""

import getpass
import secrets
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from host_sim.commands import Program
from tools.fleet import serve as serving
from tools.fleet import site
from tools.fleet.broker import BrokerError, secret

_program = Program("oubli-fleet")
app = typer.Typer(
    cls=_program.group,
    help="Collects what gateways publish, and shows it: page, terminal, Prometheus, files.",
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)

Db = Annotated[
    str, typer.Option("--db", metavar="URL", envvar="OUBLI_FLEET_DB", help="sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME.")
]
HERE = "sqlite:///oubli-fleet.sqlite"
OPERATOR = "operator"


def _open(db: str, **how: object) -> None:
    try:
        site.configure(db, **how)  # type: ignore[arg-type]  # hosts and secure
        site.open_store()
    except site.StoreError as failure:
        _program.refuse(str(failure))


def _users() -> int:
    from django.contrib.auth import get_user_model

    return int(get_user_model().objects.count())


def _set_password(name: str, password: str) -> None:
    from django.contrib.auth import get_user_model

    user, _ = get_user_model().objects.get_or_create(username=name)
    user.set_password(password)
    user.save()


def _listen(listen: str) -> tuple[socket.socket, str]:
    """Return a bound socket and the host it is bound to."""
    host, _, port = listen.rpartition(":")
    try:
        family, _, _, _, place = socket.getaddrinfo(host.strip("[]") or "127.0.0.1", int(port), type=socket.SOCK_STREAM)[0]
        listener = socket.create_server((str(place[0]), int(place[1])), family=family)
    except (OSError, ValueError, OverflowError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else "no port"
        _program.refuse(f"--listen: {listen}: can't listen there ({reason}); accepted: HOST:PORT, port 0 for any")
    return listener, str(place[0])


@app.command()
def serve(
    broker: Annotated[str, typer.Option(metavar="URL", help="mqtts://[USER@]HOST[:PORT]; mqtt:// for a broker on loopback.")],
    db: Db = HERE,
    consumers: Annotated[int, typer.Option(min=0, max=64, help="Processes that share the messages.")] = 2,
    name: Annotated[str, typer.Option(help="This collector's name at the broker; another on each machine.")] = socket.gethostname(),
    password_file: Annotated[Path | None, typer.Option(help="The broker's password, a file of mode 0600.")] = None,
    ca: Annotated[Path | None, typer.Option(help="Who vouches for the broker, PEM; else the system's list.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="Our certificate for the broker, PEM.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its key, PEM, mode 0600.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Plain text to a broker on another machine.")] = False,
    page: Annotated[bool, typer.Option(help="Serve the page; without it: only consumers.")] = True,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the page is.")] = "127.0.0.1:8410",
    host: Annotated[list[str] | None, typer.Option(help="A name the page answers to, if not the address; may be given again.")] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="The page's certificate, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key, PEM, mode 0600.")] = None,
    plain_http: Annotated[bool, typer.Option("--plain-http", help="No TLS beyond loopback: a proxy of yours does it.")] = False,
) -> None:
    """Consume from a broker into the store and serve page and /metrics, until SIGTERM."""
    files = {"password_file": password_file, "ca": ca, "certificate": certificate, "key": key}
    uplink = serving.Uplink(broker, db, name, files, insecure)
    try:
        uplink.address()
        if tls_key is not None:
            secret(tls_key, "--tls-key")
    except BrokerError as failure:
        _program.refuse(str(failure))
    if (tls_certificate is None) != (tls_key is None):
        _program.refuse("--tls-certificate, --tls-key: one without the other; accepted: both, or neither")
    if not page:
        _open(db)
        running = serving.Consumers(uplink, consumers)
        serving.wait()
        running.close()
        return
    listener, address = _listen(listen)
    with listener:
        local = address in {"127.0.0.1", "::1"}
        secure = tls_certificate is not None
        shown = f"[{address}]" if ":" in address else address
        _open(db, hosts=(*(site.LOOPBACK if local else ()), shown, *(host or ())), secure=secure or (plain_http and not local))
        if not local and not secure and not plain_http:
            _program.refuse(f"--listen: {listen}: beyond loopback; accepted: with --tls-certificate and --tls-key, or --plain-http")
        if not local and not _users():
            _program.refuse(f"--listen: {listen}: beyond loopback; accepted: after `oubli-fleet password` has set one")
        if not _users():
            password = secrets.token_urlsafe(12)
            _set_password(OPERATOR, password)
            serving.log(f"log in as {OPERATOR} with {password} (said this once; `oubli-fleet password` sets another)")
        running = serving.Consumers(uplink, consumers)
        try:
            where = f"http{'s' * secure}://{shown}:{listener.getsockname()[1]}/"
            serving.serve_page(listener, tls_certificate, tls_key, lambda: serving.log(f"page: {where}"))
        finally:
            running.close()


@app.command()
def password(
    user: Annotated[str, typer.Argument(help="Who logs in.")] = OPERATOR,
    db: Db = HERE,
) -> None:
    """Set who may log in and with which password, asked for or read from standard input."""
    if not 0 < len(user) <= 150 or not user.isprintable():
        _program.refuse("USER: accepted: 1 to 150 printable characters")
    text = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline(1025).rstrip("\n")
    if not 12 <= len(text) <= 1024:
        _program.refuse("the password: accepted: 12 to 1,024 characters")
    _open(db)
    _set_password(user, text)


if __name__ == "__main__":
    app()
