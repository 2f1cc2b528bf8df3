# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at random instants of a real process that keeps records on a real file system (EXP-6).

The process writes each record's number once its store has counted it as kept. When it is gone, the next one starts on
the same files. Every number that was told must be found at the end, none twice, none that was never handed in.
`volatile` kills the whole recorder, fed with the kernel's datagrams, its ring on tmpfs. `custodian` kills a store on
flash: what waits there lies on tmpfs and outlives the process.
"""

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from agent.runtime.sodium import SealError
from agent.vault import reading
from host_sim.driver import interpreters
from host_sim.venue import kernel
from tools.custodian import bundles, segments
from tools.custodian.segments import EPOCH

TMPFS = Path("/dev/shm")  # noqa: S108 (where Linux has it)
NOON = 20780 * 86400 + 43200
_NUMBER = 0x1234567890ABCD  # stands in a datagram where the real one goes
_TERMINAL, _SERVER, _WAN = bytes((192, 168, 7, 10)), bytes((198, 18, 0, 1)), bytes((203, 0, 113, 1))
_CONFIG = """\
config gateway
	option id 'aaaaaaaaaaaaaaaa'
config purpose 'security'
	option budget '99999999'
config summary
	option rows '64'
"""
RECORDER = """
import sys
sys.path.insert(0, '.')
from agent.config import config
from agent.recorder.recorder import Recorder

class Time:
    boot = 'a1' * 16
    now = {now} - 300  # it has listened since before the connections began
    def wall(self):
        return self.now * 10**9
    def monotonic(self):
        return (self.now - {noon} + 86400) * 10**9

sysctl = {{'events': 1, 'acct': 1, 'timestamp': 1}}.get
source = Time()
recorder = Recorder(config.load({config!r}), {root!r}, source, log=lambda text: None, sysctl=sysctl)
for text in {neighbours!r}:
    data = bytes.fromhex(text)
    recorder.streams.neighbour(data, len(data))
source.now = {now}
recorder.tick()
data, number = bytearray(bytes.fromhex({datagram!r})), {first}
kept = recorder.status()['counters']['kept']
print('busy')
while True:
    number += 1
    data[{at}:{at} + 8] = number.to_bytes(8, 'big')
    recorder.streams.datagram(data, len(data))
    if number % 64 == 0:
        recorder.tick()
    if recorder.counters.values['kept'] > kept:
        kept += 1
        sys.stdout.write(str(number) + chr(10))
        if hasattr(sys.stdout, 'flush'):
            sys.stdout.flush()
"""
BUSY = """
import sys
sys.path.insert(0, '.')
from agent.runtime.sodium import Sodium
from agent.purposes.custodian.bundle import Bundle
from agent.purposes.custodian.custodian import Custodian
from agent.vault.keys import KeyRing
from agent.purposes.custodian.segment_index import DAY

tmpfs, flash, first = {tmpfs!r}, {flash!r}, {first}
sodium = Sodium()
ring = KeyRing(tmpfs + '/keys', 4, 'a1' * 16, sodium)
bundle = Bundle(tmpfs + '/bundles', tmpfs + '/custodian.pub', sodium)
zero = lambda: 0
store = Custodian(
    'attribution', flash, tmpfs + '/pages', ring, sodium, bundle, 30 * DAY, 1 << 28, 60, 'a1' * 16, zero, zero, print
)
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


def _killed(words: list[str], delay: float) -> list[list[bytes]] | None:
    """Run a process and kill it so many seconds after it is busy; returns its lines' words, None: no start."""
    with subprocess.Popen(
        words, cwd=interpreters.ROOT, env=interpreters.environment(), stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None  # noqa: S101 (it was asked for)
        if process.stdout.readline() != b"busy\n":
            return None
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        return [line.split() for line in process.stdout.read().split(b"\n")[:-1]]


def _compare(told: set[int], found: list[int], count: int) -> list[str]:
    """Return what is wrong with the numbers found, where these were told; each kill may have kept one more."""
    wrong = []
    if len(set(found)) != len(found):
        wrong.append(f"{len(found) - len(set(found))} records came twice")
    if told - set(found):
        wrong.append(f"{len(told - set(found))} records are lost")
    if len(set(found) - told) > count:
        wrong.append("more records than were handed in")
    return wrong


def volatile(root: Path, interpreter: str, count: int, seed: int) -> dict[str, Any]:
    """Kill a recorder `count` times, its ring below `root`; returns kills, records told, and what was found false."""
    draw, told, wrong = random.Random(seed), set[int](), list[str]()
    config = root / "config"
    config.write_text(_CONFIG)
    order = interpreters.byteorder(interpreter)
    neighbour = kernel.neighbour(kernel.Neighbour(_TERMINAL, b"\2\0\0\0\0\1"), order)
    lan = kernel.link("lan", order), kernel.address(_TERMINAL[:3] + b"\1", 24, order), neighbour
    for number in range(count):
        now = NOON + number * 100
        end = now * 10**9 - draw.randrange(120) * 10**9
        flow = kernel.Flow(
            kernel.INET, kernel.UDP, _TERMINAL, _SERVER, 40000, 443, _SERVER, _WAN, 443, 40000, kernel.SEEN_REPLY,
            end - 10**9, packets_up=1, packets_down=1, bytes_up=_NUMBER, bytes_down=1, stop=end,
        )  # fmt: skip
        data = kernel.conntrack("destroy", flow, order)
        text = RECORDER.format(
            config=str(config), root=str(root),
            neighbours=[told.hex() for told in lan], datagram=data.hex(),
            at=data.index(_NUMBER.to_bytes(8, "big")), first=number * 1_000_000, now=now, noon=NOON,
        )  # fmt: skip
        lines = _killed([*interpreters.command(interpreter), "-c", text], draw.random() / 20)
        if lines is None:
            wrong.append(f"process {number} didn't start")
        told |= {int(line[0]) for line in lines or ()}
    found: list[int] = []
    try:
        found += [record.bytes_up for record in reading.read(str(root), "security", None, 0)]
    except SealError:
        wrong.append("a segment doesn't open")
    wrong += _compare(told, found, count)
    segments_left = sum(1 for path in (root / "var/run/oubli/vault/security").iterdir() if path.name != "chunks")
    return {"kills": count, "records": len(told), "segments": segments_left, "findings": wrong}


def bundle(tmpfs: Path) -> PrivateKey:
    """Write a bundle of keys below a folder and return the private key of all its days."""
    signing, key = SigningKey.generate(), PrivateKey.generate()
    (tmpfs / "bundles").mkdir()
    (tmpfs / "custodian.pub").write_text(bytes(signing.verify_key).hex())
    first = EPOCH + timedelta(days=NOON // 86400)
    days = [first + timedelta(days=ahead) for ahead in range(30)]
    rows = [bundles.Row("attribution", day, bytes(key.public_key), day + timedelta(days=30)) for day in days]
    (tmpfs / "bundles/one").write_bytes(bundles.write(first, rows, signing))
    return key


def opened(tmpfs: Path, flash: Path, now: int, first: int = 0) -> str:
    """Return a script that opens a custodian's store, which it calls `store`, at a time in s since the epoch."""
    text = BUSY.format(tmpfs=str(tmpfs), flash=str(flash / "attribution"), first=first, now=now, noon=NOON)
    return text.split("print('busy')")[0]


def sealed(flash: Path, key: PrivateKey) -> tuple[list[int], list[str]]:
    """Return the numbers of the records in a store's segments, and what is damaged."""
    found: list[int] = []
    wrong: list[str] = []
    for path in sorted((flash / "attribution").iterdir()):
        segment = segments.read(path.read_bytes())
        found += [int(record[:9]) for record in segment.records(key)]
        if segment.damage:
            wrong.append(f"{path.name}: {segment.damage}")
    return found, wrong


def custodian(flash: Path, tmpfs: Path, interpreter: str, count: int, seed: int) -> dict[str, Any]:
    """Kill a custodian's store `count` times; returns kills, records told, and what was found false."""
    draw, key = random.Random(seed), bundle(tmpfs)
    told: set[int] = set()
    wrong: list[str] = []
    now = NOON
    for number in range(count):
        text = BUSY.format(
            tmpfs=str(tmpfs), flash=str(flash / "attribution"), first=number * 1_000_000, now=now, noon=NOON
        )
        lines = _killed([*interpreters.command(interpreter), "-c", text], draw.random() / 20)
        if lines is None:
            wrong.append(f"process {number} didn't start")
            continue
        told |= {int(line[0]) for line in lines}
        now = max([now, *(int(line[1]) for line in lines)])
    last = opened(tmpfs, flash, now) + "store.close()\n"  # what waits is on tmpfs
    subprocess.run(
        [*interpreters.command(interpreter), "-c", last],
        cwd=interpreters.ROOT,
        env=interpreters.environment(),
        check=True,
    )
    found, damage = sealed(flash, key)
    wrong += damage
    wrong += _compare(told, found, count)
    return {
        "kills": count,
        "records": len(told),
        "segments": len(list((flash / "attribution").iterdir())),
        "findings": wrong,
    }


def soak(seed: int, count: int = 500) -> dict[str, Any]:
    """Kill both kinds of store `count` times on each interpreter: rings on tmpfs, the other on ext4."""
    made: dict[str, Any] = {"findings": []}
    for interpreter in interpreters.NAMES:
        with (
            tempfile.TemporaryDirectory() as name,
            tempfile.TemporaryDirectory(dir=TMPFS if TMPFS.is_dir() else None) as memory,
            tempfile.TemporaryDirectory(dir=TMPFS if TMPFS.is_dir() else None) as other,
            ext4(Path(name)) if os.geteuid() == 0 and shutil.which("mkfs.ext4") else nullcontext(Path(name)) as flash,
        ):
            system = "ext4" if flash.name == "mounted" else "of temporary files"
            parts = {
                "volatile": volatile(Path(memory), interpreter, count, seed),
                "custodian": custodian(flash, Path(other), interpreter, count, seed) | {"file_system": system},
            }
        for kind, part in parts.items():
            made["findings"] += [f"{kind}, {interpreter}: {finding}" for finding in part.pop("findings")]
            made[f"{kind} killed on {interpreter}"] = part
    return made
