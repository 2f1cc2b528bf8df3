# SPDX-License-Identifier: Apache-2.0
"""The commands about requests: `request key|new|sign`, `answer`, `freeze`, `register`, `compensation` (L34-II-4).

`request` is the qualified agents', each on his own machine; the others are the custodian's, with his keys.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from nacl.public import PublicKey
from rich.console import Console

from tools.commands import Program, output
from tools.custodian import agents, answers, compensation, freezes, handovers, recipients, register
from tools.custodian.handovers import HandoverError
from tools.custodian.own_keys import AgentError
from tools.custodian.staged import Staged
from tools.custodian.store import Store, StoreError

Json = Annotated[str | None, output("--json", "FILE", "Write what was done as JSON; - is standard output.")]
ANSWERED = "request.number: it was answered before"
ENVIRONMENT = "OUBLI_CUSTODIAN_PASSPHRASE_FILE"
Secret = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help=f"Mode 0600; its first line is the passphrase (or ${ENVIRONMENT}).",
        envvar=ENVIRONMENT,
    ),
]
Own = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file", metavar="FILE", help="Mode 0600; its first line is the agent's passphrase; else asked."
    ),
]
Folder = Annotated[Path, typer.Option("--store", metavar="DIR", help="The key store.", envvar="OUBLI_CUSTODIAN_STORE")]
Agents = Annotated[
    Path, typer.Option("--agents", metavar="FILE", help="The qualified agents' public keys: lines HEX NAME.")
]
Gateways = Annotated[
    Path, typer.Option("--gateways", metavar="FILE", help="The gateways' keys: lines of `oubli request identity`.")
]
Out = Annotated[Path, output("--out", "PATH", "A new folder or file.")]
Ask = Callable[..., bytes]  # gives the passphrase: from a file, else asked for; `new`: twice


def request_app(program: Program, passphrase: Ask) -> typer.Typer:
    """Return the agents' commands."""
    app = typer.Typer(cls=program.group, help="A request of an authority: written, and signed by two qualified agents.")
    _add_key(app, program, passphrase)
    _add_new(app, program)
    _add_sign(app, program, passphrase)
    return app


def _add_key(app: typer.Typer, program: Program, passphrase: Ask) -> None:
    @app.command("key")
    def key(name: str, out: Out, passphrase_file: Own = None) -> None:
        """Make an agent's key: OUT behind a passphrase, OUT.pub to enrol at the gateway and the custodian."""
        try:
            public = agents.new_key(name, passphrase(passphrase_file, new=True), out)
        except AgentError as failure:
            program.refuse(str(failure))
        typer.echo(
            f"{public}: enrol it on each gateway (oubli request enrol {public.name}) and give it to the custodian"
        )


def _add_new(app: typer.Typer, program: Program) -> None:
    @app.command("new")
    def new(
        out: Out,
        purpose: Annotated[
            str,
            typer.Option(
                help="attribution, billing; access (of a person); an order to preserve: freeze (a port), "
                "freeze-subject, freeze-billing."
            ),
        ],
        gateway: Annotated[str, typer.Option(help="gateway.id of the one gateway.")],
        ground: Annotated[
            str, typer.Option(help="IIbis-3 (repealed: L336-3, STAD); billing: IV-1; access: RGPD; freeze: IIIbis.")
        ],
        authority_kind: Annotated[
            str, typer.Option(help="judicial, administrative, arcom, anssi; party (to a bill); person (access).")
        ],
        basis: Annotated[str, typer.Option(help="The article that entitles it, such as 'CPP 77-1-1'.")],
        authority: Annotated[str, typer.Option(help="Its name.")],
        reference: Annotated[str, typer.Option(help="On what document.")],
        from_: Annotated[str, typer.Option("--from", help="Such as 2026-11-25T10:00:00Z.")],
        until: Annotated[str, typer.Option(help="At most 24 h later.")],
        public_address: Annotated[str | None, typer.Option(help="The public IP address asked about.")] = None,
        port: Annotated[str | None, typer.Option(help="The public source port; ICMP: the identifier.")] = None,
        protocol: Annotated[str | None, typer.Option(help="tcp, udp, icmp, icmpv6, sctp, or a number.")] = None,
        subject: Annotated[
            str | None,
            typer.Option(help="billing, access, freeze-subject, freeze-billing: user:ID or mac:aa:bb:cc:dd:ee:ff."),
        ] = None,
        keep_until: Annotated[
            str | None, typer.Option(help="freeze: the day the order ends, such as 2027-03-01.")
        ] = None,
        days: Annotated[int, typer.Option(min=1, max=31, help="It may be run for so many days.")] = 7,
    ) -> None:
        """Write a request that nobody has signed yet."""
        fields = {
            "purpose": purpose, "gateway": gateway, "ground": ground, "authority_kind": authority_kind,
            "basis": basis, "authority": authority, "reference": reference,
            "from": from_, "until": until, "public_address": public_address, "port": port, "protocol": protocol,
            "subject": subject, "keep_until": keep_until,
        }  # fmt: skip
        try:
            made = agents.new({name: value for name, value in fields.items() if value is not None}, out, days)
        except AgentError as failure:
            program.refuse(str(failure))
        typer.echo(f"{out}: {agents.summary(made)}; to be signed by two agents")


def _add_sign(app: typer.Typer, program: Program, passphrase: Ask) -> None:
    @app.command("sign")
    def sign(
        request: Path, key: Annotated[Path, typer.Option(help="The agent's key.")], passphrase_file: Own = None
    ) -> None:
        """Add an agent's signature to a request; the second one makes it ready to run."""
        try:
            typer.echo(agents.summary(agents.read(request)))
            signed = agents.sign(request, agents.load_key(key, passphrase(passphrase_file)))
        except AgentError as failure:
            program.refuse(str(failure))
        count = len(signed.signatures)
        state = "two, ready for oubli request run" if count == 2 else "one; another agent signs next"
        typer.echo(f"{request}: signed by {state}")


def add(app: typer.Typer, program: Program, passphrase: Ask) -> None:
    """Add the commands to the custodian's program."""
    app.add_typer(request_app(program, passphrase), name="request")
    _add_answer(app, program, passphrase)
    _add_freeze(app, program, passphrase)
    add_register(app, program)


def _add_answer(app: typer.Typer, program: Program, passphrase: Ask) -> None:
    @app.command("answer")
    def answer(
        handover: Path, store: Folder, agents_file: Agents, gateways_file: Gateways, out: Out,
        frozen: Annotated[
            list[Path] | None, typer.Option(metavar="FILE", help="Looks into what an order has kept."),
        ] = None,
        to: Annotated[
            Path | None, typer.Option(metavar="FILE", help="The requester's key (recipient key): seals the answer."),
        ] = None,
        secret: Secret = None, json_file: Json = None,
    ) -> None:  # fmt: skip
        """Verifies a handover, opens it, and writes what its scope covers, or that nothing is held, signed."""
        with one_line(program), ExitStack() as turn:
            requester = None if to is None else recipients.public("--to", to)[0]
            read = handovers.read(handover, agents.enrolled(agents_file), agents.enrolled(gateways_file))
            staged = Staged(out if to is None else out.with_name(f"{out.name}.sealed"), read.request)
            keeper = Store(store, None)
            if turn.enter_context(register.once(keeper, read.request, staged.beside, again=True)):
                if staged.beside.exists():
                    late(program, keeper, read.request, staged, json_file)
                else:
                    made = _again(read, Store(store, passphrase(secret)), frozen or (), staged, requester)
                    _tell(program, made, staged.place, json_file)
                return
            turn.enter_context(register.refusals(keeper, "answer", read.request))
            if read.request.keep_until:
                raise HandoverError(
                    "not available",
                    "request.purpose: an order to preserve isn't answered; accepted: oubli-custodian freeze",
                )
            staged.free()
            custodian = Store(store, passphrase(secret))
            made = _opened(read, custodian, frozen or ())
            line = register.entry(custodian, "answer", read.request, made.result, len(made.rows))
            made.register = register.head(line)
            manifest = answers.write(made, custodian.signing, staged, requester)
            enter(custodian, line, staged, answered=made.answered, manifest=manifest)
            _tell(program, made, staged.place, json_file)


def _add_freeze(app: typer.Typer, program: Program, passphrase: Ask) -> None:
    @app.command("freeze")
    def freeze(
        handover: Path, store: Folder, agents_file: Agents, gateways_file: Gateways, out: Out,
        secret: Secret = None, json_file: Json = None,
    ) -> None:  # fmt: skip
        """Seals what an order to preserve covers again, under a key that is destroyed when the order ends."""
        with one_line(program), ExitStack() as turn:
            read = handovers.read(handover, agents.enrolled(agents_file), agents.enrolled(gateways_file))
            staged = Staged(out, read.request)
            keeper = Store(store, None)
            if turn.enter_context(register.once(keeper, read.request, staged.beside)):
                late(program, keeper, read.request, staged, json_file)
                return
            turn.enter_context(register.refusals(keeper, "freeze", read.request))
            if not read.request.keep_until:
                raise HandoverError(
                    "not available", "request.purpose: not an order to preserve; accepted: oubli-custodian answer"
                )
            staged.free()
            custodian = Store(store, passphrase(secret))
            made = _opened(read, custodian)
            if made.result == answers.SECOND_NAT:
                raise HandoverError(
                    "second NAT",
                    f"{answers.BEHIND} (L34-II-4): nothing is kept; accepted: an order to who translates last",
                )
            count = freezes.freeze(made, [*answers.opened(read, custodian.key)[0].values()], custodian, staged)
            line = register.entry(custodian, "freeze", read.request, made.result, count)
            enter(custodian, line, staged, until=read.request.fields["keep_until"])
            _tell(program, made, out, json_file)


def add_register(app: typer.Typer, program: Program) -> None:
    """Add the commands that read the register."""

    @app.command("compensation")
    def compensate(
        store: Folder,
        begin: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day.")],
        end: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day.")],
        json_file: Json = None,
    ) -> None:
        """Draw the statement of the State's answered requests by kind, for reimbursement (L34-1 III)."""
        if end < begin:
            program.refuse(f"--to: {end:%Y-%m-%d}: before --from; accepted: the first day or a later one")
        with one_line(program):
            said = compensation.statement(register.entries(Store(store, None)), begin.date(), end.date())
        if json_file:
            program.write(json.dumps(said, indent=1) + "\n", json_file)
        else:
            Console(width=None if sys.stdout.isatty() else 240, markup=False).print(compensation.table(said))

    @app.command("register")
    def show(store: Folder, json_file: Json = None) -> None:
        """Print the store's register of requests, which names no terminal, after checking it against the log."""
        with one_line(program):
            keeper = Store(store, None)
            if not (store / register.NAME).exists():
                program.refuse(f"{store}: there is no register; accepted: a store with which answer or freeze was run")
            rows = register.entries(keeper)
        if json_file:
            program.write(json.dumps(rows, indent=1) + "\n", json_file)
        else:
            Console(width=None if sys.stdout.isatty() else 240, markup=False).print(register.table(rows))


def _opened(read: handovers.Handover, store: Store, frozen: Iterable[Path] = ()) -> answers.Answer:
    if store.now.timestamp() >= read.request.expires + handovers.GRACE:
        raise HandoverError("expired", "request.expires: it has expired (L34-II-4); accepted: within 31 days after it")
    return answers.answer(read, store.key, [one for path in frozen for one in freezes.kept(store, path, read.request)])


def _again(
    read: handovers.Handover, custodian: Store, frozen: Iterable[Path], staged: Staged, to: PublicKey | None
) -> answers.Answer:
    """Write an answer once more that was given before; HandoverError where it would come out as other octets."""
    staged.free()
    made, number = _opened(read, custodian, frozen), read.request.fields["number"]
    said = register.said(custodian, number)
    if "manifest" not in said:
        raise HandoverError("already run", f"{ANSWERED} (L34-II-4); accepted: a new request") from None
    made.register, made.answered = said["register"], said["answered"]
    if answers.write(made, custodian.signing, staged, to) != said["manifest"]:
        staged.clear()
        raise HandoverError(
            "already run",
            f"{ANSWERED}, and not as this (L34-II-4); accepted: the same handover and --frozen, or a new request",
        )
    custodian.note("again", number=number)
    staged.publish()
    return made


def enter(custodian: Store, line: str, staged: Staged, **facts: str) -> None:
    """Enter what is made in log and register, then give it its name."""
    try:
        register.append(custodian, line, made=staged.digest(), **facts)
    except BaseException:
        staged.clear()
        raise
    register.entered(custodian, line)  # from here on it stays, and gets its name by the same command again
    staged.publish()


@contextmanager
def one_line(program: Program) -> Iterator[None]:
    """Tell a mistake in one line, exit 2."""
    try:
        yield
    except (AgentError, HandoverError, StoreError) as failure:
        program.refuse(str(failure))
    except OSError as failure:
        program.refuse(f"{failure.filename}: {failure.strerror}; accepted: a file or folder that can be used")


def late(program: Program, keeper: Store, request: register.Entered, staged: Staged, json_file: str | None) -> None:
    """Give an answer the name that a loss of power kept from it; HandoverError where another one lies there."""
    if staged.digest() != register.said(keeper, request.fields["number"]).get("made"):
        raise HandoverError(
            "another answer",
            f"{staged.beside}: isn't what was made and entered; accepted: the same command once it is removed",
        )
    staged.publish()
    if json_file:
        program.write(json.dumps({"path": str(staged.place)}) + "\n", json_file)
    else:
        typer.echo(f"{staged.place}: was made and entered before, and is there now")


def _tell(program: Program, made: answers.Answer, path: Path, json_file: str | None) -> None:
    if json_file:
        program.write(json.dumps(made.manifest | {"path": str(path)}, indent=1) + "\n", json_file)
        return
    typer.echo(f"{path}: {made.manifest['result']}, {len(made.rows)} records")
    for note in made.notes:
        typer.echo(f"  {note}")
