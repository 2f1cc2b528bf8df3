# SPDX-License-Identifier: Apache-2.0
"""OpenWrt's web server by its contract, for the guests' page: what its source does with the options of etc/init.d/oubli.

Connections beyond `-N` wait in the kernel's queue, in their order. A script gets the request as environment and standard input, its answer
is status, headers and page (proc.c); beyond `-n` scripts a request would wait in a list whose newest is taken first (file.c: `list_add`),
so there must be as many places as connections. Headers that don't come within `-T` seconds end the connection; each answer does (`-k 0`).
A folder's file is served as it is. `guest(address)` says under which address a peer is known, where a test stands in for the LAN.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tests.support.interpreters import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

LIMIT = 65536  # octets of a request's headers
BACKLOG = 64
NAMES = {"accept-language": "HTTP_ACCEPT_LANGUAGE", "host": "HTTP_HOST", "origin": "HTTP_ORIGIN", "referer": "HTTP_REFERER"}
NAMES |= {"content-length": "CONTENT_LENGTH", "content-type": "CONTENT_TYPE", "user-agent": "HTTP_USER_AGENT"}


def options() -> dict[str, str]:
    """Return the web server's options as the init script has them."""
    text = (PROJECT / "boards/common/etc/init.d/oubli").read_text()
    (line,) = re.findall(r"/usr/sbin/uhttpd (-f .*)", text)
    words = [word for word in shlex.split(line) if word != "-f"]
    return dict(zip(words[::2], words[1::2], strict=True))


class Server:
    """Serves `/` and `/cgi-bin/oubli`, which is `command`, at a port of 127.0.0.1; `user` runs it, None: who runs this."""

    def __init__(self, command: Sequence[str], where: Path, guest: Callable[[str], str], user: int | None = None) -> None:
        given = options()
        assert int(given["-n"]) >= int(given["-N"]), "the newest of those that wait would be answered first"
        assert given["-k"] == "0"
        self._command, self._where, self._guest, self._user = list(command), where, guest, user
        self._places = threading.Semaphore(int(given["-N"]))
        self._patience = int(given["-T"])
        self._script = int(given["-t"])
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        self.failed: list[str] = []
        self.only = ""  # whom every peer stands for, where a test's browser can't choose its address
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more connections, and wait until those that there are have been answered."""
        self._listener.shutdown(socket.SHUT_RDWR)  # who waits in `accept` is woken
        self._thread.join()
        self._listener.close()
        for _ in range(int(options()["-N"]) - 1):  # the thread has one place
            self._places.acquire()

    def _serve(self) -> None:
        while True:
            self._places.acquire()
            try:
                peer, address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(peer, address[0]), daemon=True).start()

    def _answer(self, peer: socket.socket, address: str) -> None:
        try:
            with peer, suppress(TimeoutError, ConnectionError):
                peer.settimeout(self._patience)
                data = b""
                while b"\r\n\r\n" not in data:
                    part = peer.recv(4096)
                    if not part or len(data) > LIMIT:
                        return
                    data += part
                head, _, body = data.partition(b"\r\n\r\n")
                self._request(peer, address, head.decode("latin-1"), body)
        finally:
            self._places.release()

    def _request(self, peer: socket.socket, address: str, head: str, body: bytes) -> None:
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ", 2)
        path, _, query = target.partition("?")
        if path == "/":
            page = (PROJECT / "boards/common/www/oubli/index.html").read_bytes()
            peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/html\r\n\r\n" + page)
            return
        if path != "/cgi-bin/oubli":
            peer.sendall(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Type: text/html\r\n\r\n")
            return
        asked: dict[str, Any] = {"REQUEST_METHOD": method, "QUERY_STRING": query, "REMOTE_ADDR": self._guest(self.only or address)}
        asked["SERVER_ADDR"] = peer.getsockname()[0]
        for line in lines:
            name, _, value = line.partition(":")
            if name.lower() in NAMES:
                asked[NAMES[name.lower()]] = value.strip()
        self._script_of(peer, asked, body)

    def _script_of(self, peer: socket.socket, asked: dict[str, str], body: bytes) -> None:
        environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ} | asked
        script = subprocess.Popen(
            self._command, cwd=self._where, env=environment, user=self._user, group=self._user, bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        killer = threading.Timer(self._script, script.kill)
        killer.start()
        feeder = threading.Thread(target=self._feed, args=(peer, script, body), daemon=True)
        feeder.start()
        assert script.stdout is not None
        assert script.stderr is not None
        said = script.stdout.read()
        wrong = script.stderr.read().decode()
        script.wait()
        killer.cancel()
        if wrong:
            self.failed.append(wrong)
        head, _, page = said.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Status: ")]
        status = head.partition(b"Status: ")[2].partition(b"\r\n")[0] or b"502 Bad Gateway"
        peer.sendall(b"\r\n".join([b"HTTP/1.1 " + status, b"Connection: close", *lines]) + b"\r\n\r\n" + page)
        peer.shutdown(socket.SHUT_RDWR)  # who still waits for a body waits no more
        feeder.join()
        for pipe in (script.stdin, script.stdout, script.stderr):
            assert pipe is not None
            pipe.close()

    def _feed(self, peer: socket.socket, script: subprocess.Popen[bytes], body: bytes) -> None:
        """Hand the body on as it comes."""
        assert script.stdin is not None
        with suppress(OSError, ValueError):
            while script.poll() is None:
                script.stdin.write(body)
                script.stdin.flush()
                body = peer.recv(4096)
                if not body:
                    break
