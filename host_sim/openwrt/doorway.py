# SPDX-License-Identifier: Apache-2.0
"""A door between this machine and a namespace of the lab.

`python -m host_sim.openwrt.doorway WAY NAMESPACE ADDRESS LISTEN HOST PORT`.

WAY `in`: it listens on this machine and connects inside. WAY `out`: it listens inside and connects from this machine. A
process belongs to one namespace at a time: the listener is opened in the one, then the process goes to the other for
good. It prints its port.
"""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

from pyroute2 import netns

from host_sim.driver.interpreters import WITH_US

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = "127.0.0.1"


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _serve(listener: socket.socket, host: str, port: int) -> None:
    async def visitor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            other = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_carry(reader, other[1]), _carry(other[0], writer))

    server = await asyncio.start_server(visitor, sock=listener)
    print(listener.getsockname()[1], flush=True)
    await server.serve_forever()


class Doorway:
    """A running door; `port` is where it is, on the loopback, or at `inside` where it leads out."""

    def __init__(self, namespace: str, host: str, port: int, listen: int = 0, *, inside: str = "") -> None:
        way = ["out", namespace, inside] if inside else ["in", namespace, HERE]
        words = [*WITH_US, sys.executable, "-m", "host_sim.openwrt.doorway", *way, str(listen), host, str(port)]
        self._process = subprocess.Popen(
            words, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True
        )
        said = self._process.stdout.readline() if self._process.stdout else b""
        if not said:
            self.close()
            raise OSError(98, "Address already in use", f"{inside or HERE}:{listen}")
        self.port = int(said)

    def close(self) -> None:
        """Close it."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


def main() -> None:
    """Serve until ended."""
    way, namespace, address, listen, host, port = sys.argv[1:]
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    if way == "out":
        netns.setns(namespace)
    listener = socket.create_server((address, int(listen)))
    netns.setns(home if way == "out" else namespace)
    asyncio.run(_serve(listener, host, int(port)))


if __name__ == "__main__":
    main()
