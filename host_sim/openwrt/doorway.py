# SPDX-License-Identifier: Apache-2.0
"""A door from this machine's loopback into a namespace of the lab: `python -m host_sim.openwrt.doorway NAMESPACE HOST PORT LISTEN`.

The listener is opened here, then the process enters the namespace for good: it accepts on the loopback and connects inside.
It prints its port.
"""

import asyncio
import contextlib
import socket
import subprocess
import sys
from pathlib import Path

from pyroute2 import netns

ROOT = Path(__file__).resolve().parent.parent.parent


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _serve(listener: socket.socket, host: str, port: int) -> None:
    async def visitor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inside = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_carry(reader, inside[1]), _carry(inside[0], writer))

    server = await asyncio.start_server(visitor, sock=listener)
    print(listener.getsockname()[1], flush=True)
    await server.serve_forever()


class Doorway:
    """A running door; `port` is where it is on the loopback."""

    def __init__(self, namespace: str, host: str, port: int, listen: int = 0) -> None:
        words = [sys.executable, "-m", "host_sim.openwrt.doorway", namespace, host, str(port), str(listen)]
        self._process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True)
        said = self._process.stdout.readline() if self._process.stdout else b""
        if not said:
            self.close()
            raise OSError(98, f"127.0.0.1:{listen} is taken")
        self.port = int(said)

    def close(self) -> None:
        """Close it."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


def main() -> None:
    """Serve until ended."""
    namespace, host, port, listen = sys.argv[1:5]
    listener = socket.create_server(("127.0.0.1", int(listen)))
    netns.setns(namespace)
    asyncio.run(_serve(listener, host, int(port)))


if __name__ == "__main__":
    main()
