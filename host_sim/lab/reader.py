# SPDX-License-Identifier: Apache-2.0
"""A second independent reader beside `conntrack -E`: every DESTROY of the gateway, parsed by pyroute2.

Run inside the namespace (`python reader.py`) it only records datagrams on its standard output, from a socket whose
buffer holds all of a lab. pyroute2, which is slower than the events come, parses them afterwards. Nothing of `agent/`
is used.
"""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

if __name__ != "__main__":
    from pyroute2.netlink.nfnetlink.nfctsocket import TCP_CONNTRACK_TO_NAME, nfct_msg

    from host_sim.lab.network import LabError, Network
    from host_sim.lab.witness import Seen
    from host_sim.venue import kernel

SO_RCVBUFFORCE, NETLINK_NETFILTER, GROUP_DESTROY = 33, 12, 4
_ASSURED = 4
_PREFIX = "TCP_CONNTRACK_"
_PORTS = {1: ("ICMP_ID", "ICMP_ID"), 58: ("ICMPV6_ID", "ICMPV6_ID")}


def record() -> None:
    """Write each datagram after its length (u32 little-endian) until this process is ended."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as events:
        events.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
        events.bind((0, GROUP_DESTROY))
        os.write(2, b"ready\n")
        while True:
            data = events.recv(65536)
            os.write(1, len(data).to_bytes(4, "little") + data)


def parse(datagram: bytes) -> "Seen":
    """Read one DESTROY. Ports are ICMP's identifiers where there are no ports."""
    message = nfct_msg(datagram)
    message.decode()
    up, down = (message.get_attr(f"CTA_TUPLE_{side}") for side in ("ORIG", "REPLY"))
    addresses, sent, answered = (
        up.get_attr("CTA_TUPLE_IP"),
        up.get_attr("CTA_TUPLE_PROTO"),
        down.get_attr("CTA_TUPLE_PROTO"),
    )
    up, down = (message.get_attr(f"CTA_COUNTERS_{side}") for side in ("ORIG", "REPLY"))
    times, state = (
        message.get_attr("CTA_TIMESTAMP"),
        message.get_nested("CTA_PROTOINFO", "CTA_PROTOINFO_TCP", "CTA_PROTOINFO_TCP_STATE"),
    )
    protocol = sent.get_attr("CTA_PROTO_NUM")
    source_port, translated_port = _PORTS.get(protocol, ("SRC_PORT", "DST_PORT"))
    version, family = (4, socket.AF_INET) if message["nfgen_family"] == socket.AF_INET else (6, socket.AF_INET6)
    return Seen(
        protocol=protocol,
        source=socket.inet_pton(family, addresses.get_attr(f"CTA_IP_V{version}_SRC")),
        source_port=sent.get_attr(f"CTA_PROTO_{source_port}") or 0,
        destination=socket.inet_pton(family, addresses.get_attr(f"CTA_IP_V{version}_DST")),
        destination_port=sent.get_attr("CTA_PROTO_DST_PORT") or 0,
        translated_port=answered.get_attr(f"CTA_PROTO_{translated_port}") or 0,
        packets_up=up.get_attr("CTA_COUNTERS_PACKETS"),
        bytes_up=up.get_attr("CTA_COUNTERS_BYTES"),
        packets_down=down.get_attr("CTA_COUNTERS_PACKETS"),
        bytes_down=down.get_attr("CTA_COUNTERS_BYTES"),
        start=times.get_attr("CTA_TIMESTAMP_START"),
        stop=times.get_attr("CTA_TIMESTAMP_STOP"),
        state=TCP_CONNTRACK_TO_NAME[state].removeprefix(_PREFIX) if state else "",
        assured=bool(message.get_attr("CTA_STATUS") & _ASSURED),
        left=message.get_attr("CTA_TIMEOUT"),
    )


class Reader:
    """The recording of the gateway's events, from `start` to `stop`."""

    def __init__(self, network: "Network", folder: Path) -> None:
        self._command = network.inside(network.gateway, sys.executable, str(Path(__file__).resolve()))
        self.tape, self._errors = folder / "reader.bin", folder / "reader.errors"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        with self.tape.open("wb") as out, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(self._command, stdout=out, stderr=errors, start_new_session=True)
        deadline = time.monotonic() + 90
        while self._errors.read_bytes() != b"ready\n":
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"the second reader does not listen: {self._errors.read_text()[-500:]}")
            time.sleep(0.01)

    def seen(self) -> "list[Seen]":
        """Return every connection that ended so far; LabError where the reader ended, as when it loses events."""
        if self._process is None or self._process.poll() is not None:
            raise LabError(f"the second reader has ended: {self._errors.read_text()[-500:]}")
        return [parse(datagram) for datagram in kernel.records(self.tape.read_bytes())]

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(240)


if __name__ == "__main__":
    record()
