# SPDX-License-Identifier: Apache-2.0
"""What every test shares: the interpreters, what a test can't do without, and the seconds by module.

A test names what it needs by its fixtures (`interpreter`, `any_interpreter`, `micropython`, `mips`) or by a mark:
`@pytest.mark.needs("root", "nft", "mosquitto")`. In CI a thing that is missing fails the test. Elsewhere the test is
left out, and the end of the run says in one line a missing thing how many tests that were.
"""

from __future__ import annotations

import functools
import gc
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from tests.support.interpreters import INTERPRETERS, OPENWRT, PROJECT, Interpreter, Remote
from tools import clock, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}
TMPFS = "/dev/shm"  # noqa: S108 (a folder of a random name is made there)
SECONDS = pytest.StashKey["Seconds"]()
LEFT_OUT = pytest.StashKey[Counter[str]]()
PARTS = frozenset(tables.parts())
QUICK = {"cpython", "micropython", "shellcheck", "shfmt"}  # what a test of a quick run may need

# In the tests `micropython` is the one that OpenWrt packages; Debian's where that can't be made.
os.environ["PATH"] = f"{PROJECT / '.cache' / OPENWRT}:{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"
set_hypothesis_home_dir(PROJECT / ".cache" / "hypothesis")
settings.register_profile("oubli", deadline=None, print_blob=True)
settings.load_profile("oubli")


@pytest.fixture(params=["cpython", "micropython"])
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    """Give CPython, then MicroPython."""
    return INTERPRETERS[request.param]


@pytest.fixture(params=["cpython", "micropython", "mips"])
def any_interpreter(request: pytest.FixtureRequest) -> Interpreter:
    """Give CPython, MicroPython, then MicroPython on big-endian MIPS."""
    return INTERPRETERS[request.param]


@pytest.fixture
def cpython() -> Interpreter:
    """Give the CPython of this run."""
    return INTERPRETERS["cpython"]


@pytest.fixture
def micropython() -> Interpreter:
    """Give MicroPython."""
    return INTERPRETERS["micropython"]


@pytest.fixture
def mips() -> Interpreter:
    """Give MicroPython on big-endian MIPS."""
    return INTERPRETERS["mips"]


@pytest.fixture(autouse=True)
def _mask() -> Iterator[None]:
    """Give each test the same mask: a daemon that is tried in this process sets its own, for good."""
    former = os.umask(0o022)
    yield
    os.umask(former)


@pytest.fixture(autouse=True)
def _another_year(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the host's clock be three years ahead where no test sets it.

    A test that compares a fixed date with it fails today, not later.

    The fleet's and the lab's tests have real processes beside them, which ask the real clock.
    """
    if not {"fleet", "lab"}.intersection(request.path.parts):
        monkeypatch.setattr(clock, "now", lambda: datetime.now(UTC) + timedelta(days=3 * 365))


@pytest.fixture(scope="module")
def remotes() -> Iterator[Callable[..., Remote]]:
    """Give a function that returns the running interpreter of a name and stage.

    It is started at its first use and kept for the file's tests.
    """
    running: dict[tuple[str, str], Remote] = {}

    def remote(name: str, stage: str = "tests.support.remote") -> Remote:
        which = name, stage
        if which in running and running[which].process.poll() is not None:
            running.pop(which).close()
        if which not in running:
            running[which] = Remote(INTERPRETERS[name], stage)
        return running[which]

    yield remote
    for one in running.values():
        one.close()


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """Give a folder in memory where there is one: a sync costs nothing there."""
    with tempfile.TemporaryDirectory(dir=TMPFS if os.access(TMPFS, os.W_OK) else None) as folder:
        yield Path(folder)


def needs(item: pytest.Item) -> Iterator[str]:
    """Yield the names of what this test can't do without."""
    for mark in item.iter_markers("needs"):
        yield from mark.args
    yield from {"micropython", "mips"}.intersection(getattr(item, "fixturenames", ()))
    call = getattr(item, "callspec", None)
    if call is not None:
        yield from (call.params[name] for name in ("interpreter", "any_interpreter") if name in call.params)


@functools.cache
def is_there(name: str) -> bool:
    """Return True if a need is met: root rights, an interpreter, a part of tools/parts.txt, or a command."""
    match name:
        case "root":
            return os.geteuid() == 0
        case "cpython":
            return True
        case "debian":
            return shutil.which(INTERPRETERS[name].words[0]) is not None
        case "binfmt_misc":  # a table of foreign formats of a user namespace's own: Linux 6.7
            words = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "binfmt_misc", "none", "/mnt"]
            return subprocess.run(words, capture_output=True, check=False).returncode == 0
        # The machine's own network, no container's: what is one for all namespaces can be set there alone
        case "rmem_max":
            return os.access("/proc/sys/net/core/rmem_max", os.W_OK)
        case _ if name in PARTS:
            return (PROJECT / ".cache" / name).exists()
        case _:
            return shutil.which(name) is not None


def missing(item: pytest.Item) -> list[str]:
    """Return the names of what this test needs and this machine lacks."""
    return sorted({name for name in needs(item) if not is_there(name)})


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of a contributor's first minutes."""
    parser.addoption(
        "--quick",
        action="store_true",
        help="only what needs no root, no other program, no foreign processor, and isn't long",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start the run's counts."""
    config.stash[LEFT_OUT] = Counter()
    config.stash[SECONDS] = Seconds()
    config.pluginmanager.register(config.stash[SECONDS])


@pytest.hookimpl(trylast=True)  # after -k and -m
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Make the parts that the collected tests need; leave out, outside CI, the tests that this machine can't run."""
    if config.option.quick:
        leave_out(
            config,
            items,
            lambda item: ["--quick"] * bool(item.get_closest_marker("long") or not QUICK.issuperset(needs(item))),
        )
    named = {name for item in items for name in needs(item)}
    wanted = PARTS & (named if config.option.quick or "micropython" not in named else named | {OPENWRT})
    if wanted and not config.option.collectonly:
        capture = config.pluginmanager.getplugin("capturemanager")
        # Making one takes minutes, and says so
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            subprocess.run([PROJECT / "tools/setup-part", *sorted(wanted)], check=False, stdin=subprocess.DEVNULL)
    if not IN_CI:
        leave_out(config, items, missing)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect tests without looking for garbage, which would take half as long again.

    What they are made of is left out of every later look.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def leave_out(config: pytest.Config, items: list[pytest.Item], reasons: Callable[[pytest.Item], list[str]]) -> None:
    """Take out the tests that have reasons, and count them."""
    out = {item: found for item in items if (found := reasons(item))}
    if out:
        config.hook.pytest_deselected(items=list(out))
        items[:] = [item for item in items if item not in out]
    counts = config.stash[LEFT_OUT]
    counts.update(name for found in out.values() for name in found)
    worker = getattr(config, "workeroutput", None)
    if worker is not None:
        worker["left_out"] = dict(counts)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail, in CI, the tests that this machine can't run."""
    if lacks := missing(item):
        pytest.fail(f"missing on this machine: {', '.join(lacks)}", pytrace=False)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object, error: object) -> None:  # noqa: ARG001 (the names are pytest-xdist's)
    """Take over what a worker left out; all workers collect the same tests."""
    output = getattr(node, "workeroutput", {})
    node.config.stash[LEFT_OUT] |= Counter(output.get("left_out", {}))  # type: ignore[attr-defined]


class Seconds:
    """Adds up the seconds of each test's phases (set-up, call, tear-down) by the file it stands in."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.tests: dict[str, set[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one phase; under pytest-xdist the main process hears of each one once."""
        file = report.nodeid.split("::")[0]
        self.seconds[file] += report.duration  # type: ignore[assignment]  # seconds are a float
        self.tests.setdefault(file, set()).add(report.nodeid)

    def lines(self) -> Iterator[str]:
        """Yield a line a module, the slowest first, then the sum."""
        for file, seconds in self.seconds.most_common():
            yield f"{seconds:8.2f} s  {len(self.tests[file]):4} tests  {file}"
        yield f"{sum(self.seconds.values()):8.2f} s  {sum(map(len, self.tests.values())):4} tests  in all"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the seconds by module, and what was left out."""
    terminalreporter.section("seconds by file")
    for line in config.stash[SECONDS].lines():
        terminalreporter.write_line(line)
    for name, count in sorted(config.stash[LEFT_OUT].items()):
        reason = (
            "by --quick (root, the network stack, other programs, other processors, long ones)"
            if name == "--quick"
            else f"for want of {name}"
        )
        terminalreporter.write_line(f"left out: {count} tests, {reason}", red=name != "--quick")
