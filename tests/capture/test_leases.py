# SPDX-License-Identifier: Apache-2.0
"""agent/capture/leases: the files of dnsmasq and odhcpd, honest and hostile, alike on both interpreters."""

from __future__ import annotations

import ipaddress
import os
import random
import string
import sys
from typing import TYPE_CHECKING

import pytest

from host_sim.venue import kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.interpreters import Interpreter, Remote

NOW = 1_800_000_000
LATER, EARLIER = NOW + 3600, NOW - 1
MAC, OTHER = "02:00:00:00:00:0a", "02:00:00:00:00:0B"
LLT, LL = "000100012e1a2b3c02000000000a", "0003000102000000000b"
SIX = "fd00:1::5"
LIMIT, LINE = 262144, 1024


def colons(digits: str) -> str:
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))


def row(address: str, mac: str) -> str:
    return f"{ipaddress.ip_address(address).packed.hex()} {mac.replace(':', '').lower()}"


# A line, and the leases that it tells.
LINES: dict[str, tuple[str, list[str]]] = {
    "dnsmasq": (f"{LATER} {MAC} 192.168.1.5 phone 01:{MAC}", [row("192.168.1.5", MAC)]),
    "dnsmasq, capital digits, no name": (f"{LATER} {OTHER} 192.168.1.6 * *", [row("192.168.1.6", OTHER)]),
    "dnsmasq, without end": (f"0 {MAC} 192.168.1.5 * *", [row("192.168.1.5", MAC)]),
    "dnsmasq, run out": (f"{EARLIER} {MAC} 192.168.1.5 * *", []),
    "dnsmasq, runs out now": (f"{NOW} {MAC} 192.168.1.5 * *", []),
    "dnsmasq, a link that isn't Ethernet": (f"{LATER} 06-{MAC} 192.168.1.5 * *", []),
    "dnsmasq, its own DUID": (f"duid {colons(LL)}", []),
    "dnsmasq, DHCPv6": (f"{LATER} 305419896 {SIX} phone {colons(LLT)}", []),
    "odhcpd, DHCPv6": (f"# br-lan {LLT} 3e8 phone {LATER} 2a5 128 {SIX}/128 fd00:2::5/128", []),
    "odhcpd, a prefix": (f"# br-lan {LLT} 3e8 phone {LATER} 2a5 62 fd00:1:0:4::/62", []),
    "odhcpd, IPv4 beside IPv6": (
        f"# br-lan {MAC.replace(':', '')} ipv4 - {LATER} c0a80105 32 {SIX}/128 192.168.1.5/32",
        [row("192.168.1.5", MAC)],
    ),
    "odhcpd, IPv4": (
        f"# br-lan {MAC.replace(':', '')} ipv4 - {LATER} c0a80105 32 192.168.1.5/32", [row("192.168.1.5", MAC)],
    ),
    "odhcpd, without end": (
        f"# br-lan {OTHER.replace(':', '')} ipv4 - -1 5 32 192.168.1.6/32", [row("192.168.1.6", OTHER)],
    ),
    "odhcpd, run out": (f"# br-lan {OTHER.replace(':', '')} ipv4 - 0 5 32 192.168.1.6/32", []),
    "odhcpd, a name that would be a lease": (
        f"# br-lan {OTHER.replace(':', '')} ipv4 broken\\x20x {LATER} 5 32 192.168.1.9/32 {LATER} 5 32 192.168.1.6/32",
        [row("192.168.1.6", OTHER)],
    ),
    "odhcpd, a hosts line": (f"{SIX}\tphone.lan\tphone", []),
    "odhcpd, no address": (f"# br-lan {OTHER.replace(':', '')} ipv4 - {LATER} 5 32", []),
    "odhcpd, only addresses": (f"# {SIX}/128 {SIX}/128 {SIX}/128", []),
    "group MAC": (f"{LATER} 03:00:00:00:00:0a 192.168.1.5 * *", []),
    "MAC of zeros": (f"{LATER} 00:00:00:00:00:00 192.168.1.5 * *", []),
    "MAC too short": (f"{LATER} 02:00:00:00:0a 192.168.1.5 * *", []),
    "MAC too long": (f"{LATER} {MAC}:00 192.168.1.5 * *", []),
    "MAC of other letters": (f"{LATER} 02:00:00:00:00:0g 192.168.1.5 * *", []),
    "MAC of signs": (f"{LATER} 02:00:00:00:00:+1 192.168.1.5 * *", []),
    "MAC without colons": (f"{LATER} 02000000000a 192.168.1.5 * *", []),
    "address of three parts": (f"{LATER} {MAC} 192.168.1 * *", []),
    "address that is a name": (f"{LATER} {MAC} example.org * *", []),
    "address with a NUL": (f"{LATER} {MAC} 192.168.1.5\0 * *", []),
    "address with a scope": (f"{LATER} 12 fe80::1%lan * {colons(LL)}", []),
    "address beyond its octets": (f"{LATER} {MAC} 192.168.1.256 * *", []),
    "address of a hundred letters": (f"{LATER} 12 {'0:' * 50} * {colons(LL)}", []),
    "time below zero": (f"-5 {MAC} 192.168.1.5 * *", []),
    "time of letters": (f"soon {MAC} 192.168.1.5 * *", []),
    "time of twenty digits": (f"{'9' * 20} {MAC} 192.168.1.5 * *", []),
    "too few words": (f"{LATER} {MAC}", []),
    "nothing": ("", []),
    "a hash": ("#", []),
    "a line at its limit": (f"{LATER} {MAC} 192.168.1.5 ".ljust(LINE, "x"), [row("192.168.1.5", MAC)]),
    "a line beyond it": (f"{LATER} {MAC} 192.168.1.5 ".ljust(LINE + 1, "x"), []),
    "a line of 10,000": (f"{LATER} {MAC} 192.168.1.5 {'x' * 5000}\t{LATER} {MAC} 192.168.1.6 ".ljust(10000, "y"), []),
    "octets that are no text": ("\xff\xfe\x80 \x01\x02", []),
}  # fmt: skip


@pytest.fixture
def remote(remotes: Callable[[str], Remote], interpreter: Interpreter) -> Remote:
    return remotes(interpreter.name)


def told(remote: Remote, *paths: Path) -> list[str]:
    answer = remote("leases", [str(path) for path in paths], NOW)
    assert answer["count"] == len(answer["told"])
    return answer["told"]


@pytest.mark.parametrize("case", LINES)
def test_line_tells_its_lease_or_nothing(remote: Remote, tmp_path: Path, case: str) -> None:
    """Before and behind it stand lines that are in order; they are told, whatever it says."""
    line, expected = LINES[case]
    (tmp_path / "leases").write_bytes(
        f"{LATER} {MAC} 10.0.0.1 a *\n{line}\n{LATER} {MAC} 10.0.0.2 b *\n".encode("latin-1")
    )
    assert told(remote, tmp_path / "leases") == [row("10.0.0.1", MAC), *expected, row("10.0.0.2", MAC)]


def test_line_that_is_still_being_written_waits(remote: Remote, tmp_path: Path) -> None:
    """192.168.1.50 may be the beginning of 192.168.1.50x: both servers write in place."""
    path = tmp_path / "leases"
    path.write_text(f"{LATER} {MAC} 192.168.1.5 a *\n{LATER} {MAC} 192.168.1.6")
    assert told(remote, path) == [row("192.168.1.5", MAC)]
    path.write_text("")
    assert told(remote, path) == []


def test_files_that_are_none_tell_nothing(remote: Remote, tmp_path: Path) -> None:
    """Absent, a folder, a symbolic link, a named pipe: no wait, no error."""
    good = tmp_path / "good"
    good.write_text(f"{LATER} {MAC} 192.168.1.5 a *\n")
    (tmp_path / "link").symlink_to(good)
    os.mkfifo(tmp_path / "pipe")
    assert told(remote, tmp_path / "absent", tmp_path, tmp_path / "link", tmp_path / "pipe") == []
    assert told(remote, tmp_path / "link", good) == [row("192.168.1.5", MAC)]


def test_file_of_any_size_is_read_up_to_its_bound(remote: Remote, tmp_path: Path) -> None:
    """2,500 leases, in a heap of 576 KiB; what lies beyond is not read, nor is a file without any line kept."""
    path = tmp_path / "leases"
    lines = [f"{LATER} {MAC} 10.{number >> 8}.{number & 255}.1 {'n' * 30} 01:{MAC}\n" for number in range(20000)]
    path.write_text("".join(lines))
    expected, size = [], 0
    for line in lines:
        size += len(line)
        if size > LIMIT:
            break
        expected.append(row(line.split()[2], MAC))
    answer = remote("leases", [str(path)], NOW)
    assert answer == {"told": expected[-500:], "count": len(expected)}
    assert 2500 < len(expected) < 3000
    path.write_bytes(b"x" * 20_000_000)
    assert told(remote, path) == []
    path.write_text("x" * 8192 + lines[0])  # the end of a line that is too long is no line
    assert told(remote, path) == []


def test_junk_is_passed_over_alike(remotes: Callable[[str], Remote], tmp_path: Path) -> None:
    """3,000 honest lines with octets changed, cut and doubled: no error, and both interpreters tell the same."""
    draw = random.Random(20261125)
    honest = [line for line, _ in LINES.values() if len(line) < LINE]
    letters = [*string.printable, "\0", "\xff", " ", "/", ":"]
    path, counts = tmp_path / "leases", 0
    for _ in range(6):  # of 500 lines
        lines = []
        for _ in range(500):
            line = list(draw.choice(honest))
            for _ in range(draw.randrange(4)):
                at = draw.randrange(len(line) + 1)
                line[at : at + draw.randrange(3)] = draw.choices(letters, k=draw.randrange(3))
            lines.append("".join(line))
        path.write_bytes("\n".join(lines).encode("latin-1") + b"\n")
        answers = [told(remotes(name), path) for name in ("cpython", "micropython")]
        assert answers[0] == answers[1]
        counts += len(answers[0])
    assert counts > 200


def settle(path: Path) -> None:
    """Make a file one that has not changed for a while."""
    os.utime(path, (NOW - 100, NOW - 100))


def test_files_are_read_only_when_something_has_changed(remote: Remote, tmp_path: Path) -> None:
    """Time, size or file; what the reader is told to heed; a lease that ran out.

    A file of this very second is read again.
    """
    path = tmp_path / "leases"
    path.write_text(f"{NOW + 50} {MAC} 192.168.1.5 a *\n")
    settle(path)
    remote("leases_open", [str(path), str(tmp_path / "other")])

    def looks(*moments: tuple[int, int]) -> list[bool]:
        return [remote("leases_refresh", *moment) for moment in moments]

    assert looks((NOW, 0), (NOW + 10, 0), (NOW + 20, 1), (NOW + 30, 1), (NOW + 50, 1), (NOW + 60, 1)) == [
        True,
        False,
        True,
        False,
        True,
        False,
    ]
    (tmp_path / "other").write_text("")
    settle(tmp_path / "other")
    assert looks((NOW + 70, 1), (NOW + 80, 1)) == [True, False]
    path.write_text(f"{NOW + 90} {MAC} 192.168.1.5 a *\n")
    os.utime(path, (NOW + 80, NOW + 80))
    assert looks((NOW + 80, 1), (NOW + 81, 1), (NOW + 83, 1), (NOW + 84, 1), (NOW + 85, 1)) == [
        True,
        True,
        True,
        False,
        False,
    ]
    remote("addresses_close")


def test_lease_that_ends_or_leaves_its_file_is_forgotten(remote: Remote, tmp_path: Path) -> None:
    """L34-II-1: an association that nobody needs; here two dumps without a connection."""
    path = tmp_path / "leases"
    path.write_text(
        f"{NOW + 50} {MAC} 192.168.1.5 a *\n{LATER} {MAC} 192.168.1.6 a *\n{LATER} {OTHER} 192.168.1.7 a *\n"
    )
    settle(path)
    remote("leases_open", [str(path)])
    addresses = ["c0a80105", "c0a80106", "c0a80107"]
    mac, other = MAC.replace(":", ""), OTHER.replace(":", "").lower()

    def held() -> list[str | None]:
        return remote("addresses", [*[["sweep"]] * 3, *(["find", address, NOW * 10**9] for address in addresses)])[
            "answers"
        ]

    remote("leases_refresh", NOW, 0)
    assert held() == [mac, mac, other]
    remote("leases_refresh", NOW + 50, 0)
    assert held() == [None, mac, other]
    path.write_text(f"{LATER} {OTHER} 192.168.1.7 a *\n")
    remote("leases_refresh", NOW + 60, 0)
    assert held() == [None, None, other]
    path.unlink()
    remote("leases_refresh", NOW + 70, 0)
    assert held() == [None, None, None]
    remote("addresses_close")


CONFIG = """
config gateway 'gateway'
	option id 'oublileasestests'
	option duty 'none'
	list lan 'lan'
"""


class Agent:
    """A recorder on one interpreter, with lease files below its root."""

    def __init__(self, remote: Remote, root: Path) -> None:
        self.remote, self.now = remote, NOW
        self.leases = root / "tmp/dhcp.leases"
        for folder in ("etc/config", "tmp"):
            (root / folder).mkdir(parents=True)
        (root / "etc/config/oubli").write_text(CONFIG)
        remote("recorder_open", str(root / "etc/config/oubli"), str(root), "ab" * 16, NOW * 10**9, 10**12, "")

    def steps(self, *steps: tuple[object, ...]) -> dict[str, int]:
        """Take steps, then let ten seconds pass; returns the counters."""
        self.now += 10
        timed = [*steps, ("time", self.now * 10**9, 10**12 + (self.now - NOW) * 10**9)]
        return self.remote("recorder", [list(step) for step in timed])["status"]["counters"]

    def lease(self, text: str) -> None:
        """Write the file, as long ago as a test needs."""
        self.leases.write_text(text)
        settle(self.leases)


def ended(address: str, began: int = 15) -> tuple[str, str]:
    """Return the end of a terminal's connection that began so many seconds after now."""
    source, public, there = (ipaddress.ip_address(one).packed for one in (address, "203.0.113.2", "198.51.100.9"))
    start, stop = (NOW + began) * 10**9, (NOW + 40) * 10**9  # what began before the first listing is nobody's
    flow = kernel.Flow(kernel.INET, kernel.UDP, source, there, 4000, 53, there, public, 53, 4000, 6, start, stop=stop)
    return "datagram", kernel.conntrack("destroy", flow, sys.byteorder).hex()


def neighbour(address: str, mac: str) -> tuple[str, str]:
    entry = kernel.Neighbour(ipaddress.ip_address(address).packed, bytes.fromhex(mac.replace(":", "")))
    return "neighbour", kernel.neighbour(entry, sys.byteorder).hex()


SIDES = (
    ("neighbour", kernel.link("lan", sys.byteorder).hex()),
    ("neighbour", kernel.address(ipaddress.ip_address("192.168.1.1").packed, 24, sys.byteorder).hex()),
)


@pytest.fixture
def agent(remote: Remote, tmp_path: Path) -> Iterator[Agent]:
    """Give a recorder."""
    yield Agent(remote, tmp_path)
    remote("recorder_close")


def test_recorder_knows_a_terminal_by_its_lease(agent: Agent) -> None:
    """Once the kernel has said where the LAN is; a lease of another network is nobody's."""
    agent.lease(f"{LATER} {MAC} 192.168.1.5 a *\n{LATER} {OTHER} 172.16.0.9 b *\n")
    assert agent.steps(*SIDES, ended("192.168.1.5"))["unknown terminal"] == 1  # the listing isn't over
    agent.steps(("listed",), *SIDES, ("call", "leases"))
    counters = agent.steps(ended("192.168.1.5"), ended("192.168.1.6"), ended("172.16.0.9"))
    assert (counters["unknown terminal"], counters["excluded: outside"], counters["connections"]) == (2, 1, 4)
    agent.lease(f"{LATER} {MAC} 192.168.1.5 a *\n{LATER} {MAC} 192.168.1.6 a *\n")
    assert agent.steps()["unknown terminal"] == 2
    assert agent.steps(ended("192.168.1.6", 40))["unknown terminal"] == 2  # read without a call, ten seconds later


def test_recorder_counts_a_lease_that_the_neighbour_table_contradicts(agent: Agent) -> None:
    """Who forges a neighbour entry shows in `status`, though no file has changed.

    The count never rises twice for one holder.
    """
    agent.lease(f"{LATER} {MAC} 192.168.1.5 a *\n")
    counters = agent.steps(("listed",), *SIDES, neighbour("192.168.1.5", MAC))
    counters = agent.steps()
    assert (counters["address conflicts"], counters["addresses handed over"]) == (0, 0)
    agent.steps(neighbour("192.168.1.5", OTHER))
    counters = [agent.steps() for _ in range(4)][-1]
    assert (counters["address conflicts"], counters["addresses handed over"]) == (1, 1)
