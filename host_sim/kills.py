# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at random instants of a real process that keeps records on a real file system (EXP-6).

The process writes each record's number once the store has said "kept"; when it is gone, the next one starts on the same files, and every
number that was told must be found: in a volatile ring all of them, in a custodian's store all of them too, for what waits lies
on tmpfs and outlives the process. None twice, none that was never handed in.
"""

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from host_sim import interpreters
from tools.custodian import bundles, segments
from tools.custodian.segments import EPOCH

TMPFS = Path("/dev/shm")  # noqa: S108 (where Linux has it)
NOON = 20780 * 86400 + 43200
BUSY = """
import sys
sys.path.insert(0, '.')
from agent.runtime.sodium import Sodium
from agent.vault.bundle import Bundle
from agent.vault.custodian import Custodian
from agent.vault.keys import KeyRing
from agent.vault.shelf import DAY

tmpfs, flash, first = {tmpfs!r}, {flash!r}, {first}
sodium = Sodium()
ring = KeyRing(tmpfs + '/keys', 4, 'a1' * 16, sodium)
bundle = Bundle(tmpfs + '/bundles', tmpfs + '/custodian.pub', sodium)
zero = lambda: 0
store = Custodian('attribution', flash, tmpfs + '/pages', ring, sodium, bundle, 30 * DAY, 1 << 28, 60, 'a1' * 16, zero, zero, print)
now, number = {now}, first
store.tick(now * 10**9, (now - {noon} + DAY) * 10**9, trusted=True)
print('busy')
while True:
    number += 1
    if number % 7 == 0:
        now += 20
        store.tick(now * 10**9, (now - {noon} + DAY) * 10**9, trusted=True)
        if number % 210 == 0:
            store.seal()
    if store.append(now, b'%9d' % number + b'.' * 90) == 'kept':
        sys.stdout.write(str(number) + ' ' + str(now) + chr(10))
        if hasattr(sys.stdout, 'flush'):
            sys.stdout.flush()
"""


@contextmanager
def ext4(folder: Path) -> Iterator[Path]:
    """Give a folder on an ext4 of its own, on a loop device; needs root."""
    image, mounted = folder / "ext4", folder / "mounted"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(mounted)], check=True)
    try:
        yield mounted
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def custodian(flash: Path, tmpfs: Path, interpreter: str, count: int, seed: int) -> dict[str, Any]:
    """Kill a custodian's store `count` times; returns kills, records told, and what was found false."""
    draw, signing, key = random.Random(seed), SigningKey.generate(), PrivateKey.generate()
    (tmpfs / "bundles").mkdir()
    (tmpfs / "custodian.pub").write_text(bytes(signing.verify_key).hex())
    first = EPOCH + timedelta(days=NOON // 86400)
    days = [first + timedelta(days=ahead) for ahead in range(30)]
    rows = [bundles.Row("attribution", day, bytes(key.public_key), day + timedelta(days=30)) for day in days]
    (tmpfs / "bundles/one").write_bytes(bundles.write(first, rows, signing))
    told: set[int] = set()
    wrong: list[str] = []
    now = NOON
    for number in range(count):
        text = BUSY.format(tmpfs=str(tmpfs), flash=str(flash / "attribution"), first=number * 1_000_000, now=now, noon=NOON)
        words = [*interpreters.command(interpreter), "-c", text]
        with subprocess.Popen(words, cwd=interpreters.ROOT, env=interpreters.environment(), stdout=subprocess.PIPE) as process:
            assert process.stdout is not None  # noqa: S101 (it was asked for)
            if process.stdout.readline() != b"busy\n":
                wrong.append(f"process {number} didn't start")
            time.sleep(draw.random() / 20)
            os.kill(process.pid, signal.SIGKILL)
            lines = [line.split() for line in process.stdout.read().split(b"\n")[:-1]]
        told |= {int(line[0]) for line in lines}
        now = max([now, *(int(line[1]) for line in lines)])
    # What waits is on tmpfs: one more process, that only closes.
    last = (
        BUSY.format(tmpfs=str(tmpfs), flash=str(flash / "attribution"), first=0, now=now, noon=NOON).split("print('busy')")[0]
        + "store.close()\n"
    )
    subprocess.run([*interpreters.command(interpreter), "-c", last], cwd=interpreters.ROOT, env=interpreters.environment(), check=True)
    found: list[int] = []
    for path in sorted((flash / "attribution").iterdir()):
        segment = segments.read(path.read_bytes())
        found += [int(record[:9]) for record in segment.records(key)]
        if segment.damage:
            wrong.append(f"{path.name}: {segment.damage}")
    if len(set(found)) != len(found):
        wrong.append(f"{len(found) - len(set(found))} records came twice")
    if told - set(found):
        wrong.append(f"{len(told - set(found))} records are lost")
    if len(set(found) - told) > count:
        wrong.append("more records than were handed in")
    return {"kills": count, "records": len(told), "segments": len(list((flash / "attribution").iterdir())), "findings": wrong}


def soak(seed: int, count: int = 500) -> dict[str, Any]:
    """Kill `count` times on ext4 where there may be one, else where temporary files lie."""
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory(dir=TMPFS if TMPFS.is_dir() else None) as memory:
        if os.geteuid() == 0 and shutil.which("mkfs.ext4"):
            with ext4(Path(name)) as folder:
                return custodian(folder, Path(memory), "cpython", count, seed) | {"file_system": "ext4"}
        return custodian(Path(name), Path(memory), "cpython", count, seed) | {"file_system": "of temporary files"}
