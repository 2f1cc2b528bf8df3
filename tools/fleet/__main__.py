# SPDX-License-Identifier: Apache-2.0
"""`oubli-fleet`: where an operator watches the gateways.

Bad input: exit 2, one line; `--json FILE` where a verb answers with figures.
"""

import contextlib
import getpass
import json
import os
import secrets
import socket
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from tools import clock
from tools.fleet import file_commands, site, starting
from tools.fleet import serve as serving
from tools.fleet.broker import BrokerError, secret
from tools.fleet.delivery import GATEWAYS
from tools.fleet.options import HERE, ROLES, Db, Gateways, Json

_program = starting.PROGRAM
app = typer.Typer(
    cls=_program.group,
    help="Collects what gateways publish, and shows it: page, terminal, Prometheus, files.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

OPERATOR = "operator"


@app.callback()
def private() -> None:
    """Make what is written readable to its owner alone: store, exports, keys."""
    os.umask(0o077)


@app.command()
def serve(
    broker: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="mqtts://, amqps:// or nats+tls://[USER@]HOST[:PORT]; mqtt://, amqp://, nats:// on loopback.",
        ),
    ],
    db: Db = HERE,
    consumers: Annotated[
        int, typer.Option(min=0, max=64, help="Processes for figures; 0: only the page. More than 1: AMQP and NATS.")
    ] = 1,
    gateways: Gateways = GATEWAYS,
    name: Annotated[
        str, typer.Option(help="This collector's name at the broker; another on each machine.")
    ] = socket.gethostname(),
    password_file: Annotated[Path | None, typer.Option(help="The broker's password, a file of mode 0600.")] = None,
    ca: Annotated[Path | None, typer.Option(help="Who vouches for the broker, PEM; else the system's list.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="Our certificate for the broker, PEM.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its key, PEM, mode 0600.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Plain text to a broker on another machine.")] = False,
    page: Annotated[bool, typer.Option(help="Serve the page; without it: only consumers.")] = True,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the page is.")] = "127.0.0.1:8410",
    host: Annotated[
        list[str] | None, typer.Option(help="A name the page answers to, if not the address; may be given again.")
    ] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="The page's certificate, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key, PEM, mode 0600.")] = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="No TLS beyond loopback: a proxy of yours does it.")
    ] = False,
    proxy: Annotated[
        list[str] | None, typer.Option(metavar="ADDRESS", help="That proxy, if on another machine; may be given again.")
    ] = None,
    smtp: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="The mail server for alerts: smtps://[USER@]HOST[:PORT], or smtp:// with STARTTLS."
        ),
    ] = None,
    smtp_password_file: Annotated[Path | None, typer.Option(help="Its user's password, a file of mode 0600.")] = None,
    smtp_ca: Annotated[
        Path | None, typer.Option(help="Who vouches for the mail server, PEM; else the system's list.")
    ] = None,
    mail_from: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Whom alerts by e-mail are from.")
    ] = "oubli-fleet@localhost",
    alert: Annotated[
        bool, typer.Option("--alerts/--no-alerts", help="Send alerts; off where another collector of the store does.")
    ] = True,
) -> None:
    """Consume from a broker into the store, serve page and /metrics, and send alerts, until SIGTERM."""
    files = {"password_file": password_file, "ca": ca, "certificate": certificate, "key": key}
    uplink = serving.Uplink(broker, db, name, files, insecure, gateways)
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
    server = starting.mail_server(smtp, mail_from, smtp_password_file, smtp_ca)
    if (tls_certificate is None) != (tls_key is None):
        _program.refuse("--tls-certificate, --tls-key: one without the other; accepted: both, or neither")
    if tls_certificate is not None:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(tls_certificate, tls_key)
        except OSError as failure:  # SSLError is one
            _program.refuse(
                f"--tls-certificate, --tls-key: not usable ({failure.strerror or 'no PEM'}); accepted: a PEM pair"
            )
    if not page:
        starting.open_store(db)
        starting.check_room(gateways)
        running = serving.Consumers(uplink, consumers)
        with serving.Alerting(server) if alert else contextlib.nullcontext():
            serving.wait()
        running.close()
        raise typer.Exit(int(running.refused))
    listener, address = starting.listen(listen)
    with listener:
        local = address in {"127.0.0.1", "::1"}
        secure = tls_certificate is not None
        shown = f"[{address}]" if ":" in address else address
        hosts = (*(site.LOOPBACK if local else ()), shown, *(host or ()))
        starting.open_store(db, hosts=hosts, secure=secure or (plain_http and not local))
        if not local and not secure and not plain_http:
            _program.refuse(
                f"--listen: {listen}: beyond loopback; accepted: with --tls-certificate and --tls-key, or --plain-http"
            )
        if not local and not starting.users():
            _program.refuse(f"--listen: {listen}: beyond loopback; accepted: after `oubli-fleet password` has set one")
        if not starting.users():
            password = secrets.token_urlsafe(12)
            starting.set_password(OPERATOR, password)
            serving.log(f"log in as {OPERATOR} with {password} (said this once; `oubli-fleet password` sets another)")
        starting.check_room(gateways)
        running = serving.Consumers(uplink, consumers)
        try:
            where = f"http{'s' * secure}://{shown}:{listener.getsockname()[1]}/"
            ready = lambda: serving.log(f"page: {where}")  # noqa: E731
            with serving.Alerting(server) if alert else contextlib.nullcontext():
                serving.serve_page(listener, tls_certificate, tls_key, ready, proxies=(*serving.LOCAL, *(proxy or ())))
        finally:
            running.close()
    raise typer.Exit(int(running.refused))


@app.command()
def streams(
    broker: Annotated[str, typer.Option(metavar="URL", help="nats+tls://[USER@]HOST[:PORT]; nats:// on loopback.")],
    replicas: Annotated[
        int, typer.Option(min=1, max=5, help="Nodes that hold each stream: 3 in a cluster of three.")
    ] = 1,
    password_file: Annotated[Path | None, typer.Option(help="The broker's password, a file of mode 0600.")] = None,
    ca: Annotated[Path | None, typer.Option(help="Who vouches for the broker, PEM; else the system's list.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="Our certificate for the broker, PEM.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its key, PEM, mode 0600.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Plain text to a broker on another machine.")] = False,
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


@app.command()
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
        serving.log(f"{gateways} gateways publish for four weeks")
        staging.fill(fleet, 28, int(clock.seconds()), said=starting.Progress())
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


@app.command()
def watch(
    db: Db = HERE,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2,
    json_file: Json = None,
) -> None:
    """Show in the terminal how the gateways stand, the worst first; with --json: once, as JSON."""
    starting.open_store(db, new=False)
    from rich.console import Console
    from rich.live import Live

    from tools.fleet import watch as watching

    if json_file is not None:
        _program.write(json.dumps(watching.data(int(clock.seconds())), indent=1) + "\n", json_file)
        return
    console = Console()
    if not console.is_terminal:
        console.print(watching.shown(int(clock.seconds()), 1 << 20))
        return
    with contextlib.suppress(KeyboardInterrupt), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(watching.shown(int(clock.seconds()), console.height), refresh=True)
            time.sleep(every)


file_commands.add(app)


@app.command()
def verify(
    gateway: Annotated[str | None, typer.Argument(metavar="[GATEWAY]", help="Only this one, by its id.")] = None,
    db: Db = HERE,
    json_file: Json = None,
) -> None:
    """Say of each gateway whether its audit log was cut, rewritten or forked, by all its heads; exit 1 if so."""
    starting.open_store(db, new=False)
    from tools.fleet import checkpoints

    found = checkpoints.verdicts(gateway)
    if gateway is not None and not found:
        _program.refuse(f"GATEWAY: {gateway[:32]!r}: not known here; accepted: the id of a gateway that has spoken")
    if json_file is not None:
        _program.write(json.dumps(found, indent=1) + "\n", json_file)
    else:
        for one in found:
            typer.echo(
                f"{one['gateway']}  {', '.join(one['wrong']) or 'whole' if one['head'] else 'nothing shown yet'}"
            )
            if one["head"]:
                typer.echo(f"                  on the gateway: oubli log --verify --head {one['head']}")
    if not found:
        _program.refuse("there is nothing to verify: no gateway has spoken yet", 1)
    raise typer.Exit(1 if any(one["wrong"] for one in found) else 0)


@app.command()
def discovery(
    prefix: Annotated[str, typer.Option(help="Home Assistant's discovery prefix.")] = "homeassistant",
    db: Db = HERE,
) -> None:
    """Print Home Assistant's entities of every gateway as lines of TOPIC PAYLOAD, to be published retained."""
    if not prefix or any(sign in prefix for sign in "#+ \n\0"):
        _program.refuse("--prefix: no topic; accepted: a topic without wildcards or blanks")
    starting.open_store(db, new=False)
    from tools.fleet.discovery import entities
    from tools.fleet.models import Gateway

    for row in Gateway.objects.order_by("ident"):
        for topic, payload in entities(row.ident, row.name, row.version, prefix):
            typer.echo(f"{topic} {payload}")


@app.command()
def enrol(
    gateway: Annotated[
        list[str] | None, typer.Argument(metavar="[GATEWAY]...", help="Ids of gateways that get a certificate.")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where authority, certificates and keys are.")] = Path("oubli-ca"),
    broker: Annotated[
        str | None, typer.Option(metavar="HOST", help="Make the broker's certificate, for this name or address.")
    ] = None,
    collector: Annotated[bool, typer.Option("--collector", help="Make the collector's certificate.")] = False,
    listed: Annotated[
        Path | None,
        typer.Option(
            "--list",
            metavar="FILE",
            help="Gateways as CSV with a head: name, group, tags, gateway; without an id each gets one.",
        ),
    ] = None,
    renew: Annotated[bool, typer.Option("--renew", help="Make certificates and keys anew that are there.")] = False,
) -> None:
    """Make small certificate authorities and what they vouch for: gateways, broker, collector; keys have mode 0600.

    Each gateway gets an archive for `oubli join`, once there is a certificate of the
    broker's. FOLDER/gateways.csv lists them.
    """
    from tools.fleet import enrol as enrolling
    from tools.fleet.listing import Listed

    if not gateway and broker is None and not collector and listed is None:
        _program.refuse("nothing to enrol; accepted: ids of gateways, --list FILE, --broker HOST, --collector")
    try:
        for ident in gateway or ():
            enrolling.check(ident)
        rows = [Listed(ident) for ident in gateway or ()] + (enrolling.read_list(listed) if listed is not None else [])
        enrolling.check_place(folder, [row.ident for row in rows], renew=renew)
        authority = enrolling.Authority(folder, clock.now(), renew=renew)
        made = [authority.broker(broker)] if broker is not None else []
        made += [authority.collector()] if collector else []
        made += [authority.gateway(row.ident) for row in rows]
        lists = [authority.note(rows)] if rows else []
        authorities = [authority.certificate, *([folder / f"{enrolling.COLLECTORS}.pem"] if collector else [])]
    except enrolling.EnrolError as failure:
        _program.refuse(str(failure))
    for path in authorities:
        typer.echo(f"authority    {path}")
    for one in made:
        typer.echo(
            f"certificate  {one.certificate}   key {one.key}" + (f"   archive {one.archive}" if one.archive else "")
        )
    for path in lists:
        typer.echo(f"list         {path}")


@app.command()
def expect(
    listed: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="The list that enrol wrote, or CSV with a head: gateway, name, group, tags; - is standard input.",
        ),
    ],
    db: Db = HERE,
) -> None:
    """Tell the collector which gateways are to come, with names and groups: one that never speaks shows."""
    from tools.fleet import enrol as enrolling

    try:
        rows = enrolling.read_list(Path("/dev/stdin") if str(listed) == "-" else listed, made=False)
    except enrolling.EnrolError as failure:
        _program.refuse(f"FILE: {failure}")
    starting.open_store(db)
    from tools.fleet import inventory

    try:
        new = inventory.expect(rows, int(clock.seconds()))
    except inventory.FullError as failure:
        _program.refuse(f"FILE: {failure}")
    typer.echo(f"{len(rows)} gateways, {new} of them new")


@app.command()
def password(
    user: Annotated[str, typer.Argument(help="Who logs in.")] = OPERATOR,
    db: Db = HERE,
    role: Annotated[
        str | None, typer.Option(help=f"What the person is from now on: {', '.join(ROLES)}; without it, what it was.")
    ] = None,
    reset_factor: Annotated[
        bool, typer.Option("--reset-factor", help="Take the second factor away, which is lost.")
    ] = False,
) -> None:
    """Set who may log in and with which password, asked for or read from standard input."""
    if role not in {None, *ROLES}:
        _program.refuse(f"--role: {role}: no role; accepted: {', '.join(ROLES)}")
    if not 0 < len(user) <= 150 or not user.isprintable():
        _program.refuse("USER: accepted: 1 to 150 printable characters")
    text = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline(1025).rstrip("\n")
    if not 12 <= len(text) <= 1024:
        _program.refuse("the password: accepted: 12 to 1,024 characters")
    starting.open_store(db)
    starting.set_password(user, text, role, reset=reset_factor)


if __name__ == "__main__":
    app()
