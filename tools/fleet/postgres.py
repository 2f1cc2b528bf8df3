# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL for tests and measurements: a cluster in its own folder, a socket file, no port, a user not root."""

import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType

_OPTIONS = "-c listen_addresses='' -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=50"
# As installed, and it says when it committed
_DURABLE = "-c listen_addresses='' -c max_connections=50 -c track_commit_timestamp=on"


class Postgres:
    """A running cluster below `folder`. `durable`: it syncs as installed; else it is as fast as a test wants it."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        (programs,) = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
        self._programs = programs
        self._user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
        self.folder = folder
        if self._user is not None:
            os.chown(folder, self._user, -1)
        self._data = folder / "data"
        self._run("initdb", "-D", str(self._data), "-U", "fleet", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-k {folder} " + (_DURABLE if durable else _OPTIONS)
        self._run("pg_ctl", "-D", str(self._data), "-w", "-t", "60", "-l", str(folder / "log"), "-o", options, "start")
        self.pid = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [self._programs / program, *words],
            user=self._user,
            group=None,
            extra_groups=None,
            cwd="/",
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError((done.stdout + done.stderr).decode(errors="replace")[-2000:])

    def create(self, name: str) -> str:
        """Make a database and return its URL."""
        self._run("createdb", "-h", str(self.folder), "-U", "fleet", name)
        return f"postgresql://fleet@/{name}?host={self.folder}"

    def __enter__(self) -> "Postgres":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")
        end = time.monotonic() + 30
        while Path(f"/proc/{self.pid}").exists() and time.monotonic() < end:
            time.sleep(0.05)
        shutil.rmtree(self._data)
