# SPDX-License-Identifier: Apache-2.0
"""The verbs of `oubli-fleet` that run until they are ended, `serve` and `demo`, and what NATS needs before."""

import contextlib
import secrets
import socket
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from tools import clock
from tools.fleet import options, site, starting
from tools.fleet import serve as serving
from tools.fleet.broker import BrokerError, present, secret
from tools.fleet.delivery import GATEWAYS
from tools.fleet.options import HERE, OPERATOR, Db, Gateways
from tools.fleet.progress import Progress

_program = starting.PROGRAM


def add(app: typer.Typer) -> None:
    """Give a program these verbs."""
    for verb in (serve, streams, demo):
        app.command()(verb)


def serve(
    broker: options.Broker,
    db: Db = HERE,
    consumers: Annotated[
        int, typer.Option(min=0, max=64, help="Processes for figures; 0: only the page. More than 1: AMQP and NATS.")
    ] = 1,
    gateways: Gateways = GATEWAYS,
    name: Annotated[
        str, typer.Option(help="This collector's name at the broker; another on each machine.")
    ] = socket.gethostname(),
    password_file: options.PasswordFile = None,
    ca: options.Ca = None,
    certificate: options.Certificate = None,
    key: options.Key = None,
    insecure: options.Insecure = False,
    page: Annotated[bool, typer.Option(help="Serve the page; without it: only consumers.")] = True,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the page is.")] = "127.0.0.1:8410",
    host: options.Host = None,
    tls_certificate: options.TlsCertificate = None,
    tls_key: options.TlsKey = None,
    plain_http: options.PlainHttp = False,
    proxy: options.Proxy = None,
    smtp: options.Smtp = None,
    smtp_password_file: options.SmtpPasswordFile = None,
    smtp_ca: options.SmtpCa = None,
    mail_from: options.MailFrom = "oubli-fleet@localhost",
    alert: options.Alerts = True,
) -> None:
    """Consume from a broker into the store, serve page and /metrics, and send alerts, until SIGTERM."""
    files = {"password_file": password_file, "ca": ca, "certificate": certificate, "key": key}
    uplink = serving.Uplink(broker, db, name, files, insecure, gateways)
    _check_broker(uplink, consumers, tls_key)
    server = starting.mail_server(smtp, mail_from, smtp_password_file, smtp_ca)
    _check_pair(tls_certificate, tls_key)
    alerting = (lambda: serving.Alerting(server)) if alert else contextlib.nullcontext
    if page:
        secured = _Secured(tls_certificate, tls_key, plain_http, tuple(host or ()), tuple(proxy or ()))
        running = _with_page(uplink, consumers, listen, secured, alerting)
    else:
        starting.open_store(db)
        starting.check_room(gateways)
        serving.load(page=False)
        running = serving.Consumers(uplink, consumers)
        with alerting():
            serving.wait()
        running.close()
    raise typer.Exit(int(running.refused))


class _Secured(NamedTuple):
    """How the page is kept from others: its certificate, or whose proxy does TLS; the names that it answers to."""

    certificate: Path | None
    key: Path | None
    plain_http: bool
    hosts: tuple[str, ...]
    proxies: tuple[str, ...]


def _check_broker(uplink: serving.Uplink, consumers: int, tls_key: Path | None) -> None:
    """Refuse a broker's address or a key that can't be used, and more consumers than can share its messages."""
    try:
        shared = uplink.address().way != "mqtt"
        if tls_key is not None:
            secret(tls_key, "--tls-key")
    except BrokerError as failure:
        _program.refuse(str(failure))
    if consumers > 1 and not shared:
        _program.refuse(
            f"--consumers: {consumers} over MQTT, where each would get every message; accepted: 1, "
            "or 0 for the page alone"
        )


def _check_pair(certificate: Path | None, key: Path | None) -> None:
    """Refuse a page's certificate without its key, or a pair that isn't one."""
    if (certificate is None) != (key is None):
        _program.refuse("--tls-certificate, --tls-key: one without the other; accepted: both, or neither")
    if certificate is not None:
        try:
            pair = (certificate, "--tls-certificate"), (key, "--tls-key")
            present(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), *pair)
        except BrokerError as failure:
            _program.refuse(str(failure))


def _with_page(
    uplink: serving.Uplink,
    consumers: int,
    listen: str,
    secured: _Secured,
    alerting: Callable[[], contextlib.AbstractContextManager[object]],
) -> serving.Consumers:
    """Serve the page beside the consumers until SIGTERM; returns the consumers, ended."""
    listener, address = starting.listen(listen)
    with listener:
        local = address in {"127.0.0.1", "::1"}
        secure = secured.certificate is not None
        shown = f"[{address}]" if ":" in address else address
        hosts = (*(site.LOOPBACK if local else ()), shown, *secured.hosts)
        starting.open_store(uplink.db, hosts=hosts, secure=secure or (secured.plain_http and not local))
        if not local and not secure and not secured.plain_http:
            _program.refuse(
                f"--listen: {listen}: beyond loopback; accepted: with --tls-certificate and --tls-key, or --plain-http"
            )
        if not local and not starting.users():
            _program.refuse(f"--listen: {listen}: beyond loopback; accepted: after `oubli-fleet password` has set one")
        if not starting.users():
            password = secrets.token_urlsafe(12)
            starting.set_password(OPERATOR, password)
            serving.log(f"log in as {OPERATOR} with {password} (said this once; `oubli-fleet password` sets another)")
        starting.check_room(uplink.gateways)
        serving.load(page=True)
        running = serving.Consumers(uplink, consumers)
        try:
            where = f"http{'s' * secure}://{shown}:{listener.getsockname()[1]}/"
            ready = lambda: serving.log(f"page: {where}")  # noqa: E731
            proxies = (*serving.LOCAL, *secured.proxies)
            with alerting():
                serving.serve_page(listener, secured.certificate, secured.key, ready, proxies=proxies)
        finally:
            running.close()
    return running


def streams(
    broker: Annotated[str, typer.Option(metavar="URL", help="nats+tls://[USER@]HOST[:PORT]; nats:// on loopback.")],
    replicas: Annotated[
        int, typer.Option(min=1, max=5, help="Nodes that hold each stream: 3 in a cluster of three.")
    ] = 1,
    password_file: options.PasswordFile = None,
    ca: options.Ca = None,
    certificate: options.Certificate = None,
    key: options.Key = None,
    insecure: options.Insecure = False,
) -> None:
    """Make NATS's streams, which keep what gateways publish until a collector has it; those there stay."""
    from tools.fleet import jetstream
    from tools.fleet.broker import address

    try:
        at = address(broker, password_file=password_file, ca=ca, certificate=certificate, key=key, insecure=insecure)
        if at.way != "nats":
            _program.refuse(f"--broker: {broker.partition(':')[0]}:// has no streams; accepted: nats+tls://, nats://")
        names = jetstream.make(at, replicas)
    except BrokerError as failure:
        _program.refuse(str(failure))
    for name in names:
        typer.echo(f"stream  {name}")


def demo(
    gateways: Annotated[int, typer.Option(min=6, max=500, help="How many gateways.")] = 20,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where the page is; loopback only.")
    ] = "127.0.0.1:8410",
    seconds: Annotated[float, typer.Option(min=0, help="How long; 0: until it is ended.")] = 0,
) -> None:
    """Start a broker, simulated gateways with four weeks behind them, and the page; leave nothing behind."""
    from tools.fleet.mosquitto import BrokerError as NoBroker
    from tools.fleet.mosquitto import Mosquitto

    listener, address = starting.listen(listen)
    if address not in {"127.0.0.1", "::1"}:
        _program.refuse(f"--listen: {listen}: beyond loopback; accepted: 127.0.0.1:PORT")
    with listener, tempfile.TemporaryDirectory(prefix="oubli-fleet-") as folder:
        db = f"sqlite:///{folder}/demo.sqlite"
        starting.open_store(db)
        from tools.fleet import staging
        from tools.fleet.demo import Speaking
        from tools.fleet.simulated import venues

        fleet = venues(gateways)
        serving.load(page=True)
        serving.log(f"{gateways} gateways publish for four weeks")
        staging.fill(fleet, 28, int(clock.seconds()), said=Progress())
        password = secrets.token_urlsafe(6)
        starting.set_password(OPERATOR, password)
        try:
            broker = Mosquitto(Path(folder))
        except NoBroker as failure:
            _program.refuse(str(failure), 1)
        with broker:
            running = serving.Consumers(
                serving.Uplink(f"mqtt://127.0.0.1:{broker.port}", db, "demo", {}, insecure=False, gateways=GATEWAYS), 1
            )
            speaking = Speaking(broker.port, fleet)
            try:
                where = f"http://{address}:{listener.getsockname()[1]}/"
                said = f"open {where} and log in as {OPERATOR} with {password}; Ctrl-C ends it"
                serving.serve_page(listener, None, None, lambda: serving.log(said), seconds)
            finally:
                speaking.close()
                running.close()
