# SPDX-License-Identifier: Apache-2.0
"""What `oubli-fleet serve` runs: the page in this process, consumers in their own, each replaced when it dies."""

import importlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from django.db.utils import Error

from tools import clock
from tools.fleet import site
from tools.fleet.broker import Address, BrokerError, address
from tools.fleet.delivery import FIGURES, STATUS

if TYPE_CHECKING:
    from tools.fleet.mail import Mail

_PRUNED_EVERY = 6 * 3600  # seconds
LOCAL = ("127.0.0.1", "::1")
_REFUSED = 3  # the exit code of a consumer that no other try helps
_OF_THREADS = ("grouped", "retention", "verdicts", "alerts", "notices")
# The last brings statsmodels and pandas: seconds, which nobody waits for who asks for an estimate from weeks
_OF_PAGE = ("connection", "urls", "smoothing")


def log(text: str) -> None:
    """Write one log line."""
    sys.stderr.write(f"oubli-fleet: {text}\n")
    sys.stderr.flush()


def load(*, page: bool) -> None:
    """Load what a collector's threads and its page's requests use while there is one thread.

    Another thread can see a class before it has a cache of its own for isinstance, and fills a base's. While pyarrow
    makes MapScalar, a sequence and a mapping, each str becomes a Mapping that way, until the process ends.
    """
    for name in (*_OF_THREADS, *(_OF_PAGE if page else ())):
        importlib.import_module(f"tools.fleet.{name}")


@dataclass(frozen=True)
class Uplink:
    """What a consumer needs, as plain words: they cross to another process."""

    broker: str
    db: str
    name: str
    files: dict[str, Path | None]
    insecure: bool
    gateways: int

    def address(self) -> Address:
        """Return the checked address; BrokerError says what is wrong."""
        return address(self.broker, insecure=self.insecure, **self.files)


def consume(uplink: Uplink, kind: str, number: int, parent: int) -> None:
    """Be one consumer until SIGTERM, or until the parent is gone; exit with _REFUSED where no other try helps."""
    stop = threading.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: stop.set())
    site.configure(uplink.db)
    from tools.fleet.consumer import Consumer

    told = lambda text: log(f"{kind} {number}: {text}")  # noqa: E731
    try:
        consumer = Consumer(uplink.address(), f"{uplink.name}-{kind}-{number}", kind, told, gateways=uplink.gateways)
        consumer.run(lambda: stop.is_set() or os.getppid() != parent)
    except BrokerError as failure:
        told(str(failure))
        sys.exit(_REFUSED)


class Turns:
    """Something done every few seconds, in a thread until `close`.

    A turn that fails is told once, until one passes or fails otherwise; the next one is taken all the same. What one
    gateway sent must not end it for all of them, and what ends unsaid alerts nobody.
    """

    NAME: str
    EVERY: float  # seconds

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def turn(self, now: int) -> None:
        """Do it once; `now` in seconds since 1970."""
        raise NotImplementedError

    def _run(self) -> None:
        from django.db import close_old_connections, connections

        told: type[Exception] | None = None
        pause = min(self.EVERY, 1)
        while not self._stop.wait(pause):
            pause = self.EVERY
            try:
                close_old_connections()
                self.turn(int(clock.seconds()))
                told = None
            except Exception as failure:  # noqa: BLE001 (it is told, whatever it is)
                if told is not type(failure):
                    told = type(failure)
                    unusable = f"the store can't be used ({told.__name__})"
                    why = unusable if isinstance(failure, Error) else traceback.format_exc().rstrip()
                    log(f"{self.NAME}: {why}; trying again every {self.EVERY} s")
        connections.close_all()

    def close(self) -> None:
        """End it; what a turn is at is finished, or begun anew next time."""
        self._stop.set()
        self._thread.join(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Upkeep(Turns):
    """Keeps the store's derived rows true and its size bounded."""

    NAME = "upkeep"
    EVERY = 2
    GROUPING = 0.1  # seconds of these for days of groups; who asks for one that is still to be made makes it

    def __init__(self) -> None:
        self._pruned = 0.0
        super().__init__()

    def turn(self, now: int) -> None:
        """Renew what is due; seldom, prune."""
        from django.db.models import Q

        from tools.fleet import grouped, retention, verdicts

        verdicts.renew(now)
        grouped.renew(Q(day__lt=(now - 3 * 3600) // 86_400), self.GROUPING)
        if time.monotonic() > self._pruned:
            self._pruned = time.monotonic() + _PRUNED_EVERY
            retention.prune(now)


class Alerting(Turns):
    """Looks at what is to be told, and tells it."""

    NAME = "alerts"
    EVERY = 15

    def __init__(self, server: "Mail | None") -> None:
        self._server = server
        super().__init__()

    def turn(self, now: int) -> None:
        """Look, and send what is due."""
        from tools.fleet import alerts, notices

        alerts.look(now)
        notices.deliver(now, self._server, log)


class Consumers(Turns):
    """So many processes for figures and one for status, each replaced when it ends, until `close`; 0: none.

    `refused` is set when one of them can't go on: this process then gets SIGTERM, and its
    caller ends with an exit code that says so.
    """

    NAME = "consumers"
    EVERY = 2  # seconds; a consumer that dies at once storms nobody

    def __init__(self, uplink: Uplink, count: int) -> None:
        self._uplink = uplink
        self._context = multiprocessing.get_context("spawn")
        self.refused = False
        self._work = [(FIGURES, number) for number in range(1, count + 1)] + [(STATUS, 1)] * (count > 0)
        self.processes: list[Any] = [self._begin(*work) for work in self._work]
        self._upkeep = Upkeep()
        super().__init__()

    def _begin(self, kind: str, number: int) -> Any:  # noqa: ANN401 (a process of the spawning context)
        process = self._context.Process(target=consume, args=(self._uplink, kind, number, os.getpid()), daemon=False)
        process.start()
        return process

    def turn(self, _now: int) -> None:
        """Replace who ended."""
        for place, process in enumerate(self.processes):
            if process.exitcode == _REFUSED:
                self.refused = True
                self._stop.set()
                os.kill(os.getpid(), signal.SIGTERM)
                return
            if not process.is_alive():
                kind, number = self._work[place]
                log(f"{kind} {number} ended with {process.exitcode}: another takes its place")
                self.processes[place] = self._begin(kind, number)
                process.close()

    def close(self) -> None:
        """End them, and wait until they have committed what they hold."""
        super().close()
        self._upkeep.close()
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join(20)
            if process.is_alive():
                process.kill()
                process.join()


def serve_page(
    listener: socket.socket,
    certificate: Path | None,
    key: Path | None,
    ready: Callable[[], None],
    seconds: float = 0,
    proxies: Sequence[str] = LOCAL,
) -> None:
    """Serve the page until SIGTERM or SIGINT, or so many seconds; `proxies` are believed about their clients."""
    # Whitenoise hands out files that way
    warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume")
    import uvicorn
    from django.core.asgi import get_asgi_application

    from tools.fleet.connection import Connection

    server = uvicorn.Server(
        uvicorn.Config(
            get_asgi_application(),
            http=Connection,
            forwarded_allow_ips=list(proxies),
            lifespan="off",
            log_level="error",  # a stranger could have warnings written without end
            access_log=False,
            server_header=False,
            ssl_certfile=certificate,
            ssl_keyfile=key,
            timeout_keep_alive=15,
            limit_concurrency=200,
            timeout_graceful_shutdown=5,
        )
    )

    def end(*_: object) -> None:
        server.should_exit = True

    # Uvicorn raises again what ended it: the consumers are still to be closed; before it listens, this ends it
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, end)
    if seconds:
        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
    ready()
    server.run(sockets=[listener])


def wait() -> None:
    """Wait for SIGTERM or SIGINT: what there is to do without a page."""
    stop = threading.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: stop.set())
    stop.wait()
