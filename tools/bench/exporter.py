# SPDX-License-Identifier: Apache-2.0
"""NetFlow v9 (RFC 3954) to an nfcapd on loopback: what a peer of `oubli-bench store` gets, without destination."""

import os
import socket
import struct
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tools.bench.population import Row

# MAC, protocol, ports, times, volumes
_FIELDS = ((56, 6), (4, 1), (7, 2), (227, 2), (22, 4), (21, 4), (1, 8), (2, 8), (23, 8), (24, 8))
_TEMPLATES = {4: (256, ((8, 4), *_FIELDS)), 16: (257, ((27, 16), *_FIELDS))}
_BATCH = 14  # records a packet: below the usual MTU
_PAUSES = (0.0003, 0.003, 0.03)  # s between packets: a receiver that is behind drops, then all is sent anew, slower


def _templates() -> bytes:
    body = b""
    for number, fields in _TEMPLATES.values():
        body += struct.pack(">HH", number, len(fields)) + b"".join(struct.pack(">HH", *field) for field in fields)
    return struct.pack(">HH", 0, 4 + len(body)) + body


def _data(number: int, rows: Sequence[Row], boot: int) -> bytes:
    body = b""
    for row in rows:
        start, end = (max(at // 1_000_000 - boot, 0) for at in (row.start, row.end))
        body += row.address + row.mac + struct.pack(
            ">BHHIIQQQQ", row.protocol, row.source_port, row.translated_port, start, end,
            row.bytes_up, row.packets_up, row.bytes_down, row.packets_down,
        )  # fmt: skip
    body += bytes(-len(body) % 4)
    return struct.pack(">HH", number, 4 + len(body)) + body


def _packets(rows: Sequence[Row]) -> list[bytes]:
    boot = min(row.start for row in rows) // 1_000_000 - 1000  # ms since the epoch
    packets, body = [], [(_templates(), len(_TEMPLATES))]
    for size, (number, _) in _TEMPLATES.items():
        mine = [row for row in rows if len(row.address) == size]
        body += [
            (_data(number, mine[at : at + _BATCH], boot), len(mine[at : at + _BATCH]))
            for at in range(0, len(mine), _BATCH)
        ]
    up = max(row.end for row in rows) // 1_000_000 - boot
    for sequence, (flowset, count) in enumerate(body):
        packets.append(struct.pack(">HHIIII", 9, count, up & 0xFFFFFFFF, (boot + up) // 1000, sequence, 1) + flowset)
    return packets


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def nfcapd(rows: Sequence[Row], folder: Path) -> Path:
    """Send the rows to an nfcapd of their own; returns its file.

    RuntimeError where it has fewer flows than there are rows.
    """
    flows = 0
    for pause in _PAUSES:
        own = folder / f"{pause}"
        own.mkdir()
        _send(rows, own, pause)
        found = max(own.iterdir(), key=lambda path: path.stat().st_size)
        said = subprocess.run(["nfdump", "-r", str(found), "-I"], capture_output=True, text=True, check=True).stdout
        flows = int(next(line.split(":")[1] for line in said.splitlines() if line.startswith("Flows:")))
        if flows == len(rows):
            return found
    raise RuntimeError(f"nfcapd has {flows} flows of {len(rows)}")


def _send(rows: Sequence[Row], folder: Path, pause: float) -> None:
    port = _free_port()
    words = ["nfcapd", "-w", str(folder), "-b", "127.0.0.1", "-p", str(port), "-t", "3600", "-B", "33554432"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while not any(folder.iterdir()):
                time.sleep(0.05)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for packet in _packets(rows):
                    sender.sendto(packet, ("127.0.0.1", port))
                    time.sleep(pause)
            time.sleep(1)
        finally:
            process.terminate()


def compressed(file: Path, kind: str, folder: Path) -> tuple[int, float]:
    """Return the octets of nfdump's file when written again with a compression, and the CPU seconds for that."""
    out = folder / "out"
    with subprocess.Popen(
        ["nfdump", "-r", str(file), "-w", str(out), f"-z={kind}"], stdout=subprocess.DEVNULL
    ) as process:
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    return out.stat().st_size, usage.ru_utime + usage.ru_stime
