# SPDX-License-Identifier: Apache-2.0
"""What must be true of a client.

Each point is a function of a candidate and a folder of its own; it fails by AssertionError.

`TRIAL` is what decides whether a published client may be used. `OURS` is asked of the clients in this repository
besides: a broker that speaks out of turn, several addresses behind a name, and texts that tell nothing.
"""

import signal
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tests.mqtt_trial import certificates
from tests.mqtt_trial.broker import Subscriber, broker
from tests.mqtt_trial.candidate import Answer, Candidate, Process, client
from tests.mqtt_trial.peers import PINGRESP, Connection, Peer

Point = Callable[[Candidate, Path], None]
TOPIC = "oubli/1/gateway/summary/arrivals"
ROOM = ("-X", "heapsize=48m")  # for MicroPython, in the one point that publishes more than the kernel buffers
SLACK = 3.0  # seconds beyond a time-out in which the call must have returned, on a busy machine


def refused(answer: Answer, within: float) -> None:
    """The call ended in MqttError, in time."""
    assert answer.outcome == "refused", f"{answer.outcome} after {answer.seconds:.1f} s: {answer.text}"
    assert answer.seconds < within + SLACK, f"took {answer.seconds:.1f} s"


def together(
    candidate: Candidate,
    scripts: dict[str, Callable[[Connection], None]],
    calls: list[tuple[object, ...]],
    within: float,
    beside: dict[str, Process] | None = None,
    **settings: object,
) -> None:
    """Play each script to a client of its own, all at once.

    All calls but the last succeed, the last is refused in time.

    Clients `beside` have already come so far; only the last call is theirs too.
    """
    found = []
    with ExitStack() as stack:
        running = {}
        for name, script in scripts.items():
            peer = stack.enter_context(Peer(script, small=name == "takes nothing"))
            running[name] = stack.enter_context(client(candidate, peer.port, **settings))
        for call in calls[:-1]:
            for process in running.values():
                process.send(*call)
            for process in running.values():
                process.do_answer()
        running |= beside or {}
        for process in running.values():
            process.send(*calls[-1])
        for name, process in running.items():
            try:
                refused(process.answer(within + SLACK), within)
            except AssertionError as error:
                found.append(f"{name}: {error}")
    assert not found, "; ".join(found)


# the trial


def messages_arrive(candidate: Candidate, folder: Path) -> None:
    """QoS 1 to the real broker: same bytes, in order, retained where asked; the same client can connect again."""
    texts = ['{"a":1}   ', "\0" * 5, "x" * 300, ""]
    with broker(folder) as real, Subscriber(real.port) as subscriber, client(candidate, real.port) as process:
        process.do("connect")
        for text in texts:
            process.do("publish", TOPIC, text)
        assert [subscriber.next() for _ in texts] == [(TOPIC, text.encode(), 1, False) for text in texts]
        process.do("publish", "oubli/1/gateway/state", "on", True)
        process.do("close")
        process.do("connect")
        process.do("publish", TOPIC, "again")
        with Subscriber(real.port) as late:
            assert late.next() == ("oubli/1/gateway/state", b"on", 1, True)


def last_will_arrives(candidate: Candidate, folder: Path) -> None:
    """Retained, at QoS 1, when the process dies; not at all after a clean close."""
    with broker(folder) as real, Subscriber(real.port) as subscriber:
        with client(candidate, real.port) as process:
            process.do("connect")
            process.do("close")
            assert subscriber.next(0.3) is None, "a will after a clean close"
        with client(candidate, real.port) as process:
            process.do("connect")
            process.kill()
            will = subscriber.next()
            assert will, "no will"
            assert will[:3] == ("oubli/1/gateway/state", b'{"state":"lost"}', 1)
        with Subscriber(real.port) as late:
            assert late.next(1) == (*will[:3], True), "the will is not retained"


def identifier_wraps_to_one(candidate: Candidate, folder: Path) -> None:
    """Past 65,535 the packet id goes on with 1 and is never 0, and nothing is lost or waited for (MQTT-2.3.1-1)."""
    identifiers = []

    def relentless(connection: Connection) -> None:
        connection.greet()
        while True:
            identifier, _ = connection.message()
            identifiers.append(identifier)
            connection.acknowledge(identifier)

    with Peer(relentless) as peer, client(candidate, peer.port) as process:
        process.do("connect")
        process.do("set", candidate.identifier, 65533)
        for _ in range(4):
            process.do("publish", TOPIC, "1")
    assert identifiers[0] > 65000, "the candidate's identifier was not set"
    assert identifiers[-1] < 5, identifiers
    assert 0 not in identifiers, identifiers
    assert len(set(identifiers)) == 4, identifiers
    with broker(folder) as real, Subscriber(real.port) as subscriber, client(candidate, real.port) as process:
        process.do("connect")
        process.do("set", candidate.identifier, 65533)
        process.do("many", TOPIC, 4)
        assert [subscriber.next() for _ in range(4)] == [(TOPIC, b"%d" % number, 1, False) for number in range(4)]


def tls_is_verified(candidate: Candidate, folder: Path) -> None:
    """The real broker with a certificate of our authority, and our client certificate, are accepted both ways."""
    files = certificates.make(folder)
    with broker(folder, files) as real, Subscriber(real.port) as subscriber:
        good = certificates.tls(files, candidate.certificates, own=True)
        with client(candidate, real.tls_port, host="localhost", tls=good, keepalive=1) as process:
            process.do("connect")
            process.do("publish", TOPIC, "x" * 40000)
            assert subscriber.next() == (TOPIC, b"x" * 40000, 1, False)
            process.do("idle", 1200)  # a ping goes and is answered
            process.do("publish", TOPIC, "still here")
            real.signal(signal.SIGKILL)
            refused(process.call("publish", TOPIC, "lost"), 3)


def tls_refuses(candidate: Candidate, folder: Path) -> None:
    """Another authority, another name, a certificate that has ended or not begun: not one byte of MQTT is sent."""
    files = certificates.make(folder)
    cases = {
        "another authority": ("server", "other", "localhost"),
        "another name": ("elsewhere", "ca", "localhost"),
        "address as name": ("elsewhere", "ca", "127.0.0.1"),
        "ended": ("expired", "ca", "localhost"),
        "not begun": ("early", "ca", "localhost"),
    }
    wrong = []
    with ExitStack() as stack:
        running = {}
        for name, (certificate, authority, host) in cases.items():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(files / f"{certificate}.crt", files / f"{certificate}.key")
            peer = stack.enter_context(Peer(lambda connection: connection.greet(), context))
            trust = certificates.tls(files, candidate.certificates, authority)
            running[name] = peer, stack.enter_context(client(candidate, peer.port, host=host, tls=trust))
        for _, process in running.values():
            process.send("connect")
        for name, (peer, process) in running.items():
            try:
                refused(process.answer(6), 3)
                assert not any(connection.packets for connection in peer.connections), "MQTT was sent"
            except AssertionError as error:
                wrong.append(f"{name}: {error}")
    assert not wrong, "; ".join(wrong)


def broker_dies_before_the_acknowledgement(candidate: Candidate, folder: Path) -> None:
    """FIN, RST, half a PUBACK and an end, half a PUBACK and silence, a killed and a stopped Mosquitto.

    Refused in time.
    """

    def after_message(*acts: Callable[[Connection], None]) -> Callable[[Connection], None]:
        def script(connection: Connection) -> None:
            connection.greet()
            connection.message()
            for act in acts:
                act(connection)

        return script

    def half(connection: Connection) -> None:
        connection.send(b"\x40\x02")

    together(
        candidate,
        {"FIN": after_message(), "RST": after_message(Connection.reset), "half and FIN": after_message(half)},
        [("connect",), ("publish", TOPIC, "1")],
        3,
    )
    with ExitStack() as stack:
        ended = {}
        for end in (signal.SIGKILL, signal.SIGSTOP):
            (folder / end.name).mkdir()
            real = stack.enter_context(broker(folder / end.name))
            process = ended[end.name] = stack.enter_context(client(candidate, real.port, acknowledge_timeout=1))
            process.do("connect")
            process.do("publish", TOPIC, "1")
            real.signal(end)
        together(
            candidate,
            {"silence": after_message(Connection.stay), "half and silence": after_message(half, Connection.stay)},
            [("connect",), ("publish", TOPIC, "1")],
            1,
            ended,
            acknowledge_timeout=1,
        )


def half_open_is_found(candidate: Candidate, folder: Path) -> None:
    """A broker that keeps TCP open and answers nothing is found within two keepalives.

    A living one is kept by pings.
    """

    def mute(connection: Connection) -> None:
        connection.greet()
        connection.stay()

    with broker(folder) as real, ExitStack() as stack:
        alive = stack.enter_context(client(candidate, real.port, keepalive=4))
        peer = stack.enter_context(Peer(mute))
        dead = stack.enter_context(client(candidate, peer.port, keepalive=1, acknowledge_timeout=1))
        alive.do("connect")
        dead.do("connect")
        alive.send("idle", 7000)  # Mosquitto drops a client that was silent for one keepalive and a half
        dead.send("idle", 30000)
        refused(dead.answer(2 + SLACK), 2)
        alive.do_answer(20)
        alive.do("publish", TOPIC, "1")


def silent_peer_does_not_hold_connect(candidate: Candidate, folder: Path) -> None:
    """TCP that is never accepted, no CONNACK, no TLS handshake: `connect` is refused within its time-out."""
    files = certificates.make(folder)
    trust = certificates.tls(files, candidate.certificates)
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(2):  # a full backlog drops every further SYN
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        mute = stack.enter_context(Peer(Connection.stay)).port
        cases: dict[str, tuple[int, object]] = {"no SYN-ACK": (full.getsockname()[1], None), "no CONNACK": (mute, None)}
        if candidate.tls:
            cases["no handshake"] = (mute, trust)
        running = {
            name: stack.enter_context(client(candidate, port, tls=security, connect_timeout=1))
            for name, (port, security) in cases.items()
        }
        for process in running.values():
            process.send("connect")
        wrong = [
            f"{name}: {answer.outcome} {answer.seconds:.1f} s {answer.text}"
            for name, process in running.items()
            if (answer := process.answer(1 + SLACK)).outcome != "refused"
        ]
    assert not wrong, "; ".join(wrong)


def busy_peer_does_not_hold_publish(candidate: Candidate, _folder: Path) -> None:
    """Endless PINGRESP, an acknowledgement that dribbles in, a peer that takes nothing more.

    Refused within the time-out.
    """

    def flood(connection: Connection) -> None:
        connection.greet()
        connection.message()
        while True:
            connection.send(PINGRESP * 512)

    def dribble(connection: Connection) -> None:
        connection.greet()
        connection.message()
        for byte in PINGRESP * 100:
            connection.send(bytes([byte]))
            time.sleep(0.1)

    def nothing(connection: Connection) -> None:
        connection.greet()
        connection.stay()

    roomy = replace(candidate, interpreter=candidate.interpreter + (ROOM if "-X" in candidate.interpreter else ()))
    together(
        roomy,
        {"flood": flood, "dribble": dribble, "takes nothing": nothing},
        [("connect",), ("publish", TOPIC, 8_000_000)],
        1,
        acknowledge_timeout=1,
    )


# asked of ours besides


def speaking_out_of_turn_is_refused(candidate: Candidate, _folder: Path) -> None:
    """We subscribe to nothing: whatever is not the acknowledgement or a PINGRESP ends the connection."""

    def answers(data: bytes) -> Callable[[Connection], None]:
        def script(connection: Connection) -> None:
            connection.greet()
            connection.message()
            connection.send(data)
            connection.stay()

        return script

    def pours(head: bytes) -> Callable[[Connection], None]:
        def script(connection: Connection) -> None:
            connection.greet()
            connection.message()
            connection.send(head)
            while True:
                connection.send(bytes(65536))

        return script

    def greets(data: bytes) -> Callable[[Connection], None]:
        def script(connection: Connection) -> None:
            connection.until(0x10)
            connection.send(data)
            connection.stay()

        return script

    together(
        candidate,
        {
            "PUBLISH": answers(b"\x30\x05\x00\x01ab1"),
            "PUBLISH of nothing": answers(b"\x30\x02\x00\x00"),
            "SUBACK": answers(b"\x90\x03\x00\x01\x00"),
            "256 MiB": pours(b"\x40\xff\xff\xff\x7f"),
            "PUBLISH of 256 MiB": pours(b"\x30\xff\xff\xff\x7f"),
            "endless length": answers(b"\x40\xff\xff\xff\xff\xff\xff"),
            "reserved": answers(b"\xf0\x00"),
            "zeros": answers(b"\0" * 64),
            "another id": answers(b"\x40\x02\x77\x77"),
        },
        [("connect",), ("publish", TOPIC, "1")],
        1,
        acknowledge_timeout=1,
    )
    together(
        candidate,
        {
            "not authorised": greets(b"\x20\x02\x00\x05"),
            "long CONNACK": greets(b"\x20\x03\x00\x00\x00"),
            "PUBACK first": greets(b"\x40\x02\x00\x01"),
            "HTTP": greets(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        },
        [("connect",)],
        1,
        connect_timeout=1,
    )


def any_address_of_a_name_will_do(candidate: Candidate, folder: Path) -> None:
    """The first address refuses, the second drops what it gets, the third is the broker.

    Connected within the time-out.
    """
    with broker(folder) as real, socket.socket() as full, ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        process = stack.enter_context(client(candidate, real.port, connect_timeout=2))
        process.do("resolve", [["127.0.0.1", 1], list(full.getsockname()), ["127.0.0.1", real.port]])
        process.do("connect", within=2 + SLACK)
        process.do("publish", TOPIC, "1")


def a_change_of_address_is_followed(candidate: Candidate, folder: Path) -> None:
    """A name is resolved for each connection: the broker moves, a dead IPv6 address comes first, the next arrives."""
    places = [folder / name for name in ("first", "second")]
    for place in places:
        place.mkdir()
    with broker(places[1]) as second, client(candidate, 1, connect_timeout=2) as process:
        with broker(places[0]) as first:
            process.do("resolve", [["127.0.0.1", first.port]])
            process.do("connect")
            process.do("publish", TOPIC, "1")
        refused(process.call("publish", TOPIC, "2"), 3)
        process.do("resolve", [["::1", 1], ["127.0.0.1", second.port]])
        process.do("connect", within=2 + SLACK)
        with Subscriber(second.port) as subscriber:
            process.do("publish", TOPIC, "2")
            assert subscriber.next() == (TOPIC, b"2", 1, False)


def errors_tell_nothing(candidate: Candidate, folder: Path) -> None:
    """Wrong password, no listener, unknown name, lost connection.

    No text holds an address, a name or a secret (L34-II-5).
    """
    with (
        broker(folder, password="rosebud") as real,
        client(candidate, real.port, username="gateway", password="rosebud") as process,
    ):
        process.do("connect")
        process.do("publish", TOPIC, "payload")
        real.signal(signal.SIGKILL)
        texts = [process.call("publish", TOPIC, "payload").text]
        texts.append(process.call("connect").text)
        assert process.call("publish", TOPIC, "payload").outcome == "refused", "publish without a connection"
    with (
        broker(folder, password="rosebud") as real,
        client(candidate, real.port, username="gateway", password="sesame") as process,
    ):
        answer = process.call("connect")
        refused(answer, 3)
        texts.append(answer.text)
    with client(candidate, 1, host="broker.invalid", connect_timeout=2) as process:
        answer = process.call("connect", within=20)
        assert answer.outcome == "refused", answer
        texts.append(answer.text)
    for text in texts:
        assert text
        assert not any(
            word in text for word in ("127", "gateway", "rosebud", "sesame", "invalid", "payload", "oubli/")
        ), text
        assert not any(character.isdigit() for character in text), text


def refusals_leave_nothing_open(candidate: Candidate, folder: Path) -> None:
    """A daemon that tries for a year: neither a refused certificate nor a lost connection costs a descriptor."""
    files = certificates.make(folder)
    stranger = certificates.tls(files, candidate.certificates, "other")
    with broker(folder, files) as real, Peer(lambda connection: connection.greet()) as peer:
        cases = {
            "a certificate": (real.tls_port, {"host": "localhost", "tls": stranger}),
            "a connection": (peer.port, {}),
        }
        for name, (port, settings) in cases.items():
            with client(candidate, port, **settings) as process:
                held = []
                for _ in range(3):
                    process.call("connect")
                    assert process.call("publish", TOPIC, "1").outcome == "refused", name
                    held.append(process.call("descriptors").text)
                assert len(set(held)) == 1, f"{name}: {held}"


TRIAL: tuple[Point, ...] = (
    messages_arrive,
    last_will_arrives,
    identifier_wraps_to_one,
    tls_is_verified,
    tls_refuses,
    broker_dies_before_the_acknowledgement,
    half_open_is_found,
    silent_peer_does_not_hold_connect,
    busy_peer_does_not_hold_publish,
)
OURS: tuple[Point, ...] = (
    speaking_out_of_turn_is_refused,
    any_address_of_a_name_will_do,
    a_change_of_address_is_followed,
    errors_tell_nothing,
    refusals_leave_nothing_open,
)
NEEDS_TLS: tuple[Point, ...] = (tls_is_verified, tls_refuses, refusals_leave_nothing_open)
