# SPDX-License-Identifier: Apache-2.0
"""The guests' page as it runs on a gateway, but at a port of its own.

`serving(interpreter, root)`, and what a guest asks of it.

A guest is an address of this machine, 127.0.7.N. With `lan` he is known to the recorder as 192.168.7.N. Who comes from
127.0.0.1, as a browser does, as the file `guest` of the root says.
"""

from __future__ import annotations

import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from host_sim.driver.interpreters import environment
from tests.support.interpreters import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.interpreters import Interpreter

# As `oubli page` does it, at a port that the kernel chooses and this prints.
PAGE = """
import sys
from agent.cli.daemons import Start
from agent.purposes.consent import page_connection, page_server
from agent.runtime import process
process.harden()
page_server.PATIENCE = int(sys.argv[-2])
if sys.argv[-3] != "lan":
    page_server.SPACING = 0
else:
    spelled = page_connection.spelled
    def known(octets):
        address = spelled(octets)
        if address == "127.0.0.1":
            with open(sys.argv[-1] + "/guest") as file:
                address = file.read()
        return "192.168" + address[5:]
    page_connection.spelled = known
listener = page_connection.listen(0)
process.log(str(page_connection.end("getsockname", listener)[1]))
sys.exit(page_server.serve(Start(sys.argv[-1], None), listener))
"""


class Server:
    """The process, and the port that it listens at."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port

    def knock(self, source: str, octets: bytes = b"", *, timeout: float = 240) -> socket.socket:
        """Connect from an address, and send something."""
        peer = socket.create_connection(("127.0.0.1", self.port), timeout, (source, 0))
        peer.sendall(octets)
        return peer

    def ask(self, octets: bytes, source: str = "127.0.7.1") -> bytes:
        """Send a request, and return all that comes."""
        with self.knock(source, octets) as peer:
            return rest(peer)


def rest(peer: socket.socket) -> bytes:
    """Return what comes until the end."""
    said = b""
    while part := peer.recv(65536):
        said += part
    return said


@contextmanager
def serving(
    interpreter: Interpreter,
    root: Path,
    *,
    patience: int = 60000,
    folder: Path = PROJECT,
    user: int | None = None,
    lan: bool = False,
) -> Iterator[Server]:
    """Run the page as a user, with the agent that lies in a folder. It ends in order, with nothing said of a fault.

    `patience` is how long a request may take, in ms: more than on a gateway, so that a busy machine doesn't count.
    """
    words = interpreter.command("-c", PAGE, "lan" if lan else "-", str(patience), root)
    with subprocess.Popen(
        words, cwd=folder, env=environment(folder), user=user,
        group=user, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            assert port.isdigit(), port + process.stdout.read()
            yield Server(process, int(port))
            process.terminate()
            assert process.wait(240) == 0
            assert process.stdout.read() == b""
        finally:
            process.kill()
