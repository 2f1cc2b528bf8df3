# SPDX-License-Identifier: Apache-2.0
"""Attribution and billing on the real kernel, end to end.

From the packet to the custodian's answer (L34-II-4, L34-III, L34-IV-2).

Three terminals; each connection is one exchange of datagrams. An authority asks for a public address, a port and a
time, and two agents sign. The gateway hands over sealed segments. The custodian's tool opens them and says who it was.
"""

from __future__ import annotations

import ipaddress
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from host_sim.driver.interpreters import MORE
from host_sim.lab import asking, sockets
from host_sim.lab import blocks as lab_blocks
from host_sim.lab.custodian import ATTRIBUTION, BILLING, GROUND, LIFETIME
from host_sim.lab.lab import Lab
from host_sim.lab.loop import Loop
from host_sim.lab.network import INTERNET_4, WAN_4, LabError, run
from tests.lab.test_terminals import EXCHANGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from host_sim.lab.custodian import Custodian
    from host_sim.lab.network import Terminal
    from tools.custodian import answers


pytestmark = [
    pytest.mark.needs("root", "ip", "nft", "conntrack", "mosquitto", "strace"),
]
BOTH = pytest.mark.parametrize("name", ["cpython", pytest.param("micropython", marks=pytest.mark.needs("micropython"))])
BEHIND = "a second NAT lies between: public ports can't be matched here"


class Venue:
    """A lab whose gateway keeps both stores, and its custodian."""

    def __init__(self, lab: Lab, custodian: Custodian) -> None:
        self.lab, self.custodian = lab, custodian
        self.terminals = lab.network.terminals

    def start(self) -> None:
        self.lab.device.start("recorder", trace=True)
        self.lab.device.wait_for_recorder()
        self.lab.confirm_time()

    def exchange(self, terminal: Terminal, port: int, target: str = INTERNET_4) -> None:
        """Let a terminal make one connection from a source port of its own."""
        source = terminal.address6 if ":" in target else terminal.address4
        words = [sys.executable, "-c", EXCHANGE, source, target, str(port), "2"]
        subprocess.run(
            self.lab.network.inside(terminal.namespace, *words), check=True, capture_output=True, timeout=240
        )

    def public_port(self, terminal: Terminal, port: int) -> tuple[int, int]:
        """Wait until a connection has ended.

        Return the port that the world saw, and a time (s) at which it was there.
        """
        source = socket.inet_aton(terminal.address4)

        def found() -> list:
            self.poke()
            return [one for one in self.lab.witness.seen() if (one.source, one.source_port) == (source, port)]

        self.lab.wait(found, "the connection doesn't end", 120)
        (one,) = found()
        self.lab.wait(lambda: self.counters()["connections"] >= self.lab.witness.count(), "the recorder is behind", 120)
        return one.translated_port, one.start // 10**9

    def poke(self) -> None:
        """Let the kernel evict what has timed out."""
        run(*self.lab.network.inside(self.lab.network.gateway, "cat", "/proc/net/nf_conntrack"))

    def answered_for(self) -> int:
        """Return how many connections the store answers for by now."""
        self.poke()
        counters = self.counters()
        return counters["in a block"] + counters["attributed"]

    def counters(self) -> dict[str, int]:
        counters: dict[str, int] = self.lab.device.call({"call": "status"})["counters"]
        return counters

    def status(self, name: str) -> dict:
        purpose: dict = self.lab.device.call({"call": "status"})["purposes"][name]
        return purpose

    def about(
        self, port: int, moment: int, *signed_by: str, address: str = WAN_4, window: int = 60, after: int = 1
    ) -> str:
        """Return a request for a port of UDP at a time, for a window that ends so many seconds after it."""
        begin = moment + after - window
        return self.custodian.request(
            "attribution", begin, begin + window, *signed_by, public_address=address, port=str(port), protocol="udp"
        )

    def answer(self, text: str) -> answers.Answer:
        """Run a request and have it answered."""
        return self.custodian.answer(asking.ask(self.lab, self.custodian, text))

    def refused(self, text: str) -> str:
        """Run a request by the command; return the one line of its refusal."""
        file = self.lab.folder / "request.toml"
        file.write_text(text)
        with pytest.raises(LabError) as refusal:
            self.lab.device.command("request", "run", str(file))
        assert "\n" not in str(refusal.value)
        return str(refusal.value)

    def exports(self) -> int:
        """Return how many handovers the gateway has made."""
        return len(list((self.lab.device.root / "srv/oubli/vault").rglob("*.tar")))

    def log(self) -> list[str]:
        """Return the audit log's lines about requests."""
        return [line for line in self.lab.device.command("log").splitlines() if " request " in line]


@contextmanager
def venue(interpreter: str, text: str = ATTRIBUTION + BILLING) -> Iterator[Venue]:
    with Lab(interpreter, terminals=3, heap=MORE) as lab:
        lab.network.set_timeout("udp_timeout", 2)
        lab.network.set_timeout("udp_timeout_stream", 2)
        yield Venue(lab, lab_blocks.write_purposes(lab, text))


@BOTH
def test_port_at_a_time_is_answered_with_exactly_one_terminal(name: str) -> None:
    """L34-II-4, L34-III-2, L34-IV-2, L34-VI-2: asked, signed by two, run, answered.

    Everything else is refused and releases nothing.
    """
    with venue(name) as place:
        place.start()
        a, b, c = place.terminals
        for terminal in (a, b, c):
            place.exchange(terminal, 30000)  # the gateway hears of each: it has a block from now on
        place.lab.wait(lambda: place.status("attribution")["blocks"]["held"] == 3, "the terminals get no blocks", 120)
        left = -(place.lab.now()[0] // 10**9) % 86400
        # The look, every ten seconds, that begins a day's rows leaves a log-in to the next one
        time.sleep(left + 12 if left < 20 else 0)
        assert place.lab.device.call({"call": "session", "terminal": a.mac.hex(":"), "user": "room 12"}) == {
            "sessions": 1
        }
        place.lab.jump(10)
        time.sleep(5)  # what begins sooner may have begun before the log-in, for all the recorder knows
        for terminal, port in ((a, 30001), (b, 30001), (c, 30001), (a, 30002)):
            place.exchange(terminal, port)
        port, moment = place.public_port(a, 30001)
        other, _ = place.public_port(b, 30001)
        place.lab.wait(lambda: place.answered_for() == 7, "the recorder is behind", 120)
        assert place.counters()["in a block"] >= 4

        # The gateway's clock is ten seconds ahead of the kernel's stamps
        made = place.answer(place.about(port, moment, after=11))
        assert made.result == "held"
        assert {(row["terminal_mac"], row["terminal_address"]) for row in made.rows} == {(a.mac.hex(":"), a.address4)}
        assert made.rows[-1]["portal_user"] == "room 12"
        assert {row["terminal_mac"] for row in place.answer(place.about(other, moment)).rows} == {b.mac.hex(":")}
        assert place.exports() == 2
        # An order to preserve takes what is held already, and is an act of its own on the log.
        keep = time.strftime("%Y-%m-%d", time.gmtime(moment + 60 * 86400))
        scope = {"public_address": WAN_4, "port": str(port), "protocol": "udp", "keep_until": keep}
        order = asking.ask(
            place.lab, place.custodian, place.custodian.request("freeze", moment - 30, moment + 1, **scope)
        )
        made = place.custodian.answer(order)
        assert {row["terminal_mac"] for row in made.rows} == {a.mac.hex(":")}
        assert place.lab.device.command("log").count(" freeze run ") == 1

        good = place.about(port, moment)
        once = place.about(port, moment)
        place.answer(once)
        before = len(place.log())
        says = {
            "not signed by two agents": [
                place.about(port, moment, "A. Martin"),
                place.about(port, moment, "B. Durand", "B. Durand"),
            ],
            "a signature doesn't fit": [good.replace(f'port = "{port}"', f'port = "{other}"')],
            "longer than 24 h": [place.about(port, moment, window=25 * 3600)],
            "2021-976/977 QPC": [good.replace(GROUND, "penal")],
            "run before": [once],
            "it is for another gateway": [
                place.custodian.sign_again(good.replace("oublilaboratory2", "oublilaboratory3"))
            ],
            "not available": [good.replace('"attribution"', '"security"')],
        }
        for why, texts in says.items():
            for text in texts:
                assert why in place.refused(text)
        assert place.exports() == 4
        told = place.lab.device.call({"call": "status"})["requests"]
        assert [(set(row), row["purpose"]) for row in told] == [
            ({"number", "purpose", "since", "until"}, "attribution")
        ] * 4
        assert len(place.log()) == before + sum(map(len, says.values()))

        made = place.answer(place.custodian.request("billing", moment - 600, moment + 1, subject="user:room 12"))
        seen = [  # since the log-in
            one
            for one in place.lab.witness.seen()
            if one.source == socket.inet_aton(a.address4) and one.source_port != 30000
        ]
        assert [(row["portal_user"], row["bytes_up"], row["bytes_down"]) for row in made.rows] == [
            ("room 12", sum(one.bytes_up for one in seen), sum(one.bytes_down for one in seen))
        ]
        # Somebody takes the table away: it stands again, with the same blocks, before
        # others' connections get their ports for long.
        inside = place.lab.network.inside(place.lab.network.gateway, "nft")
        elements = run(*inside, "list", "map", "ip", "oubli", "blocks")
        run(*inside, "delete", "table", "ip", "oubli")
        place.lab.wait(lambda: "oubli" in run(*inside, "list", "tables"), "the table doesn't come back", 120)
        place.lab.wait(
            lambda: run(*inside, "list", "map", "ip", "oubli", "blocks") == elements, "the blocks don't come back", 120
        )

        # Its lifetime later nothing of it is left on the gateway: neither segments nor what was handed over.
        kept = [path for path in (place.lab.device.root / "srv/oubli/vault").rglob("*") if path.is_file()]
        assert {path.parent.name for path in kept} == {"attribution", "billing", "handovers"}
        place.lab.jump((LIFETIME + 2) * 86400)
        place.lab.wait(lambda: not [path for path in kept if path.exists()], "what is over is still there", 120)
        assert place.status("attribution")["records"] == 0

        held = sockets.held(place.lab.device.pid("recorder"))
        assert place.lab.device.stop("recorder") == 0
        assert held == {"AF_NETLINK", "AF_UNIX"}
        asked = set().union(*(sockets.asked_for(trace, "launch.py") for trace in place.lab.device.traces["recorder"]))
        assert asked == {"AF_NETLINK", "AF_UNIX"}  # and no program was started
        told = place.lab.device.log("recorder").read_text() + "\n".join(place.log())
        assert not [word for word in (a.mac.hex(":"), a.address4, "room 12", WAN_4) if word in told]


@BOTH
def test_port_that_nobody_used_is_known_once_what_lasts_was_listed(name: str) -> None:
    """L34-II-4: nobody vouches for a time before the recorder ran; `nothing held` waits for the list of what lasts."""
    with venue(name, ATTRIBUTION) as place:
        place.start()
        place.exchange(place.terminals[0], 30000)
        place.lab.wait(lambda: place.answered_for() == 1, "the recorder is behind", 120)
        _, moment = place.public_port(place.terminals[0], 30000)
        place.lab.jump(10)  # the gateway's clock is ahead of the kernel's stamps
        asked = [
            place.answer(place.about(65535, moment - 7200)),
            place.answer(place.about(65535, moment, window=2, after=5)),
        ]
        assert [(one.result, one.rows) for one in asked] == [("not known", [])] * 2
        place.lab.jump(310)
        while (said := asked[-1].handover.statement)["listed"] <= max(moment + 5, said["made"] // 86400 * 86400):
            if said["listed"] > moment + 5:  # a midnight came since: marks go on once what lasts is listed anew
                place.lab.jump(310)
            time.sleep(2)
            asked.append(place.answer(place.about(65535, moment, window=2, after=5)))
        assert (asked[-1].result, asked[-1].rows) == ("nothing held", []), asked[-1].notes


@BOTH
def test_many_terminals_behind_one_address_are_told_apart(name: str) -> None:
    """For every connection the leases' rows name the same terminals as a record a connection (L34-II-4, RFC 7422).

    After it a look-up, an order to preserve and an invoice, each as the witness would
    have it (L34-II-6, L34-III-4, L34-IV-3).

    Half of the terminals have a block, the others leave by `rest`, where each connection has its own record.
    """
    day = int(time.time()) // 86400
    outcome = lab_blocks.play(name, 3000, terminals=300, block_size=328)
    midnights = int(time.time()) // 86400 - day
    assert outcome.differences == []
    assert outcome.loop == Loop(5, 5, outcome.loop.preserved, outcome.loop.preserved, 300, 300)
    assert outcome.right
    assert outcome.equal == outcome.asked == outcome.connections >= 2900
    counters = outcome.counters
    assert counters["in a block"] + counters["attributed"] == outcome.connections
    assert outcome.by_themselves == counters["attributed"] >= 1000
    assert counters["in a block"] >= 1000
    # Three rows a lease at most: begun with the time not confirmed, ended and begun again when it was. A midnight ends
    # and begins each once more. A busy recorder may see the addresses while all are of one MAC: of an eighth of the
    # table nobody is the holder then, which ends a row.
    leases = outcome.leases
    assert leases <= (3 + 2 * midnights) * 150 + 128
    assert (outcome.octets - 23 * outcome.by_themselves) <= 25 * leases


@BOTH
def test_second_nat_is_refused_unless_acknowledged_and_every_answer_says_so(name: str) -> None:
    """L34-II-4: behind an ISP's box the world sees other ports; the recorder refuses, or says so wherever it speaks."""
    with venue(name, ATTRIBUTION) as place:
        network = place.lab.network
        box, world = network.internet, f"{network.name}-client2"
        # The internet becomes an ISP's box that translates again; the third terminal stands for the world behind it.
        run("ip", "-n", network.gateway, "link", "del", "lan2")
        network.batch(
            network.gateway,
            f"addr del {WAN_4}/24 dev wan",
            "addr add 100.64.0.2/24 dev wan",
            "route replace default via 100.64.0.1",
        )
        network.batch(
            box, "addr add 100.64.0.1/24 dev wan", f"link add out type veth peer name in netns {world}",
            "addr add 198.51.100.1/24 dev out", "link set out up",
        )  # fmt: skip
        network.batch(world, "addr add 198.51.100.9/24 dev in", "link set in up")
        run(*network.inside(box, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"))
        chain = 'type nat hook postrouting priority srcnat; oifname "out" ip protocol udp masquerade to :61000-65000;'
        rules = f"table ip isp {{ chain out {{ {chain} }}; }}"
        run(*network.inside(box, "nft", "-f", "-"), given=rules)

        place.lab.device.start("recorder")
        assert place.lab.device.processes["recorder"].wait(240) == 1
        place.lab.device.processes.pop("recorder")
        (line,) = [line for line in place.lab.device.log("recorder").read_text().splitlines() if "second NAT" in line]
        assert (
            line == f"oubli recorder: attribution: {BEHIND} (L34-II-4); accepted: upstream_nat 'acknowledged', "
            "or enabled '0'"
        )

        place.lab.device.add_configuration("\toption upstream_nat 'acknowledged'\n")
        place.start()
        assert BEHIND in place.status("attribution")["notes"]
        assert BEHIND in place.lab.device.command("status")
        listener = network.inside(world, sys.executable, "-c", LISTENER)
        with subprocess.Popen(listener, stdout=subprocess.PIPE, text=True) as world_sees:
            assert world_sees.stdout is not None
            assert world_sees.stdout.readline() == "ready\n"
            place.exchange(place.terminals[0], 30001, "198.51.100.9")
            address, port = world_sees.stdout.readline().split()
        ours, moment = place.public_port(place.terminals[0], 30001)
        assert address == "198.51.100.1"
        assert int(port) != ours  # what the authority is told isn't what this gateway knows
        made = place.answer(place.about(int(port), moment, address=address))
        assert made.manifest["result"] == BEHIND
        assert made.rows == []


# Waits for one datagram and says whom it comes from, by what it sees.
LISTENER = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
    one.settimeout(30)
    one.bind(("198.51.100.9", 5000))
    print("ready", flush=True)
    data, peer = one.recvfrom(100)
    one.sendto(b"." * 9, peer)
    print(*peer, flush=True)
"""


@BOTH
def test_address_of_ipv6_is_answered_by_its_row(name: str) -> None:
    """L34-III-2: without translation a terminal leaves by its own address.

    Behind NAT66 each connection has its own record.
    """
    with venue(name, ATTRIBUTION) as place:
        place.start()
        time.sleep(2)  # rows begin anew once the time is confirmed: what begins just then has its own record
        a, b = place.terminals[:2]
        place.exchange(a, 31000, "2001:db8:2::1")  # the lab's gateway translates IPv6 as well
        # The kernel tracks connections only while a rule asks for it.
        rules = 'flush chain inet lab out; add rule inet lab out oifname "none" masquerade'
        run(*place.lab.network.inside(place.lab.network.gateway, "nft", "-f", "-"), given=rules)
        network = place.lab.network
        run("ip", "-n", network.internet, "route", "add", "fd00:1::/64", "via", "2001:db8:2::2")
        place.exchange(b, 31001, "2001:db8:2::1")
        begun = int(time.time())
        source = ipaddress.ip_address(b.address6)

        def ended() -> bool:
            place.poke()
            return place.counters()["attributed"] == 1 and place.counters()["in a block"] == 1

        place.lab.wait(ended, "the connections don't end", 120)
        own = place.custodian.request(
            "attribution", begun - 60, begun + 1, public_address=str(source), port="31001", protocol="udp"
        )  # fmt: skip
        assert [row["terminal_mac"] for row in place.answer(own).rows] == [b.mac.hex(":")]
        translated = place.custodian.request(
            "attribution", begun - 60, begun + 1, public_address="2001:db8:2::2", port="31000", protocol="udp"
        )  # fmt: skip
        assert [row["terminal_mac"] for row in place.answer(translated).rows] == [a.mac.hex(":")]
