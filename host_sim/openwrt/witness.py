# SPDX-License-Identifier: Apache-2.0
"""What became of the terminals' connections, by two words: the witness's on the gateway, and oubli's own records."""

import io
import tarfile
import tempfile

from agent.vault import reading
from agent.vault.record import Record
from host_sim.lab.network import LabError
from host_sim.lab.witness import _ECHO, Seen, parse
from host_sim.openwrt.machine import Machine

WITNESS = "/var/run/witness"  # on the gateway, in memory


class Witness:
    """`conntrack -E` on the gateway, twice as in the lab: only the plain lines have ICMP's identifiers."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        machine.run("command -v conntrack >/dev/null || apk add conntrack; sysctl -qw net.core.rmem_default=16777216")
        for name, options in (("xml", "xml,ktimestamp,id"), ("plain", "id")):
            machine.run(
                f"conntrack -E -e DESTROY -o {options} >{WITNESS}.{name} 2>{WITNESS}.{name}.errors </dev/null & sleep 1"
            )

    def seen(self) -> list[Seen]:
        """Return every connection that ended so far; LabError where it lost one."""
        said = {name: self._machine.get(f"{WITNESS}.{name}").decode() for name in ("xml", "plain")}
        for name in said:
            if b"ENOBUFS" in self._machine.get(f"{WITNESS}.{name}.errors"):
                raise LabError("the witness lost events: its word is worth nothing")
        echoes = {
            int(entry): (int(before), int(after))
            for line in said["plain"].splitlines()
            if " icmp" in line
            for before, after, entry in _ECHO.findall(line)
        }
        return [
            parse(line, echoes)
            for line in said["xml"].splitlines()
            if line.startswith("<flow ") and line.endswith("</flow>")
        ]

    def close(self) -> None:
        """End it."""
        self._machine.run(f"killall conntrack; rm -f {WITNESS}.*")


def records(machine: Machine, purpose: str = "security") -> list[Record]:
    """Return the records that the gateway keeps, from a copy of its folder, keys included."""
    packed = machine.ask(
        "tar -C / -cf - var/run/oubli/keys var/run/oubli/vault 2>/dev/null || tar -C / -chf - tmp/run/oubli"
    ).stdout
    with tempfile.TemporaryDirectory() as root:
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            tar.extractall(root, filter="data")
        return list(reading.read(root, purpose, None, 0))
