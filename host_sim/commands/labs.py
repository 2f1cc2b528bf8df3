# SPDX-License-Identifier: Apache-2.0
"""The verbs whose network is real: `fleet` at a broker, `lab` in namespaces, `gateway` in QEMU."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from host_sim.commands import options
from host_sim.commands.options import PROGRAM, Interpreter, Json


def add(app: typer.Typer) -> None:
    """Give a program these verbs."""
    app.command()(fleet)
    app.command()(lab)
    app.command()(gateway)


_LIGHT, _REAL = {"speed", "hour", "cut", "spread"}, {"gateways", "messages", "outage"}  # what only one kind has


def fleet(
    ctx: typer.Context,
    gateways: Annotated[int, typer.Option(min=1, max=20_000, help="How many.")] = 1000,
    broker: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="mqtt://host:port or mqtts://host:port; one of its own without. With --light: also several.",
        ),
    ] = None,
    ca: Annotated[str | None, typer.Option(metavar="FILE", help="Who vouches for an mqtts broker, PEM.")] = None,
    seconds: Annotated[float, typer.Option(min=1, max=86_400, help="Over which their messages come due.")] = 60,
    messages: Annotated[int, typer.Option(min=1, max=200, help="Of each gateway; 28 are an agent-day's.")] = 28,
    ramp: Annotated[float, typer.Option(min=0, max=86_400, help="Seconds over which they connect.")] = 10,
    outage: Annotated[float, typer.Option(min=0, max=3600, help="Seconds without the broker, in the middle.")] = 0,
    light: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            metavar="N",
            help="Instead, so many light gateways: a connection each, no spool. They live --seconds of a day.",
        ),
    ] = None,
    speed: Annotated[float, typer.Option(min=1, max=86_400, help="With --light: how fast their day passes.")] = 1,
    hour: Annotated[int, typer.Option(min=0, max=23, help="With --light: of that day (UTC), the first.")] = 12,
    cut: Annotated[
        float, typer.Option(min=0, max=1, help="With --light: share that is cut off at once, at the end.")
    ] = 0,
    spread: Annotated[
        float, typer.Option(min=0, max=3600, help="With --light: seconds within which they come back.")
    ] = 60,
    json_file: Json = None,
) -> None:
    """Very many gateways: real forwarders, generated spools, MQTT connections for real; how long messages take.

    With --light as many as the machine holds connections: true topics, messages, wills and moments, which a collector
    stores.
    """
    if ca and not broker:
        PROGRAM.refuse("--ca: there is no --broker that it vouches for; accepted: with --broker mqtts://host:port")
    given = {name for name in ctx.params if getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"}
    for name in sorted(given & (_LIGHT if light is None else _REAL)):
        kinds = ("real forwarders", "without --light") if light else ("light gateways", "with --light N")
        PROGRAM.refuse(f"--{name}: only of {kinds[0]}; accepted: {kinds[1]}")
    if light is not None:
        _light(light, broker or [], ca, (seconds, speed, hour, ramp, cut, spread), json_file)
        return
    if broker and len(broker) > 1:
        PROGRAM.refuse("--broker: several; accepted: one, or --light")
    _real(gateways, broker[0] if broker else None, ca, (seconds, messages, ramp, outage), json_file)


def _real(
    gateways: int,
    broker: str | None,
    ca: str | None,
    pace: tuple[float, int, float, float],
    json_file: str | None,
) -> None:
    from host_sim.load import fleet as gateways_of  # noqa: PLC0415
    from host_sim.report.show import fleet_table  # noqa: PLC0415

    console = options.console(json_file)
    try:
        with console.status("starting") as status:
            figures = gateways_of.run(gateways, broker, ca, *pace, status.update)
    except (gateways_of.FleetError, gateways_of.BrokerError) as failure:
        PROGRAM.refuse(str(failure))
    except KeyboardInterrupt:
        PROGRAM.refuse("interrupted; everything it made is removed", 130)
    data = figures.data()
    console.print(fleet_table(data))
    if json_file:
        PROGRAM.write(json.dumps(data, indent=1) + "\n", json_file)
    if not data["whole"]:
        PROGRAM.refuse(f"{data['arrived']} of {data['messages']} messages arrived", 1)


def _light(
    count: int,
    brokers: list[str],
    ca: str | None,
    pace: tuple[float, float, int, float, float, float],
    json_file: str | None,
) -> None:
    from host_sim.load import light  # noqa: PLC0415
    from host_sim.report.show import light_table  # noqa: PLC0415

    console = options.console(json_file)
    try:
        with console.status("starting") as status:
            lived = light.run(count, brokers, ca, light.Pace(*pace), status.update)
    except (light.FleetError, light.BrokerError) as failure:
        PROGRAM.refuse(str(failure))
    except KeyboardInterrupt:
        PROGRAM.refuse("interrupted; everything it made is removed", 130)
    data = lived.data()
    console.print(light_table(data))
    if json_file:
        PROGRAM.write(json.dumps(data, indent=1) + "\n", json_file)
    if not lived.whole:
        PROGRAM.refuse(
            f"{data['connected']} of {count} connected at the end, {data['figures']} of {data['figures_due']} figures "
            "acknowledged",
            1,
        )


def lab(
    connections: Annotated[int, typer.Option(min=1, help="Connections that the client makes.")] = 2000,
    interpreter: Interpreter = "cpython",
    record: options.Record = None,
    port_blocks: Annotated[
        bool, typer.Option("--port-blocks", help="Terminals behind one address, told apart by leases' rows.")
    ] = False,
    terminals: Annotated[
        int | None, typer.Option(min=1, max=700, help="With --port-blocks: how many; 300 without.")
    ] = None,
    json_file: Json = None,
) -> None:
    """The real kernel: namespaces client, gateway, internet; real traffic; conntrack as an independent witness.

    Needs root.
    """
    if not port_blocks and terminals is not None:
        PROGRAM.refuse("--terminals: only --port-blocks has more than five; accepted: with --port-blocks")
    if port_blocks and record:
        PROGRAM.refuse("--record: nothing is recorded with --port-blocks; accepted: without --port-blocks")
    if port_blocks:
        from host_sim.lab.blocks import command  # noqa: PLC0415

        raise typer.Exit(command(PROGRAM, interpreter, connections, terminals or 300, json_file))
    from host_sim.lab import story  # noqa: PLC0415

    status, result = story.run(interpreter, connections, record)
    if json_file and result:
        PROGRAM.write(json.dumps(result, indent=1) + "\n", json_file)
    raise typer.Exit(status)


def gateway(
    image: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="An OpenWrt disk image for x86-64 that you have downloaded, .img or .img.gz."
        ),
    ] = None,
    terminals: Annotated[int, typer.Option(min=1, max=100, help="How many, on its LAN.")] = 3,
) -> None:
    """A real OpenWrt in QEMU with oubli on it: LAN, WAN, broker, LuCI, fleet page, a shell; until Ctrl-C.

    Needs root.
    """
    from host_sim.openwrt.command import run as start  # noqa: PLC0415

    status, reason = start(image, terminals, Console())
    if reason:
        PROGRAM.refuse(reason, status)
