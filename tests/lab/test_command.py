# SPDX-License-Identifier: Apache-2.0
"""`oubli-sim lab` as a person runs it: what it writes, how it ends, and that it removes what it made."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from host_sim.lab import story
from tests.lab.conftest import MARK, leftovers
from tests.support.interpreters import PROJECT

pytestmark = [pytest.mark.needs("root", "ip", "nft", "conntrack", "mosquitto")]
COMMAND = [sys.executable, "-m", "host_sim", "lab"]


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `oubli-sim lab` with these words to its end."""
    return subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, check=False, cwd=PROJECT)


@pytest.mark.needs("micropython")
def test_lab_says_that_it_held_and_writes_its_figures(tmp_path: Path) -> None:
    """Exit 0; the JSON holds the comparison, what was published, and what is left after the lifetime: nothing."""
    target = tmp_path / "lab.json"
    done = run("--interpreter", "micropython", "--connections", "123", "--json", target)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr.endswith("oubli-sim: the lab held\n")
    told = json.loads(target.read_text())
    assert (told["ok"], told["wrong"], told["interpreter"]) == (True, [], "micropython")
    assert told["comparison"]["terminals_connections"] == told["asked_for"] == 123
    assert told["comparison"]["equal"] == told["comparison"]["terminals_connections"]
    assert told["arrivals"][0]["schema"] == "oubli/arrivals/1"
    left = {name: count for name, count in told["forgotten"].items() if not name.endswith("_before")}
    assert set(left.values()) == {0}


def test_interrupted_lab_removes_everything() -> None:
    """A signal to the whole group, as a terminal sends it, at any moment since the first namespace.

    A second one changes nothing.
    """
    held, blocks = ["--connections", "500"], ["--port-blocks", "--terminals", "60"]
    moments = [
        (0, signal.SIGINT, held),
        (0.05, signal.SIGHUP, held),
        (0.2, signal.SIGTERM, held),
        (1, signal.SIGINT, held),
        (3, signal.SIGINT, held),
        (1, signal.SIGTERM, blocks),
    ]

    def interrupt(moment: float, number: int, options: list[str]) -> tuple[int, str, list[str]]:
        words, mark = [*COMMAND, *options], secrets.token_hex(8)
        environment = os.environ | {MARK: mark}
        with subprocess.Popen(
            words, stderr=subprocess.PIPE, text=True, cwd=PROJECT, env=environment, start_new_session=True
        ) as process:
            while not list(Path("/run/netns").glob(f"oubli-{process.pid}-*")):
                assert process.poll() is None
            time.sleep(moment)
            os.killpg(process.pid, number)
            time.sleep(0.02)
            os.killpg(process.pid, signal.SIGINT)
            said = process.communicate(timeout=240)[1]
        return process.returncode, said.splitlines()[-1], leftovers(f"oubli-{process.pid}-", mark)

    with ThreadPoolExecutor(len(moments)) as pool:
        for result in pool.map(lambda row: interrupt(*row), moments):
            assert result == (130, "oubli-sim: the lab was interrupted; everything it made is removed", [])


def test_lab_without_root_says_so_in_one_line() -> None:
    """Exit 2, and nothing begun."""
    done = subprocess.run(["unshare", "--user", *COMMAND], capture_output=True, text=True, check=False, cwd=PROJECT)
    assert (done.returncode, done.stderr) == (2, "oubli-sim: the lab needs root: it makes network namespaces\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("--interpreter", "no-such-python"),
            "--interpreter: 'no-such-python' isn't on this machine; accepted: cpython, micropython",
        ),
        (("--connections", str(story.MOST + 1)), f"--connections: {story.MOST + 1}; accepted: 1 to {story.MOST}"),
    ],
)
def test_bad_use_is_exit_2_and_one_line(words: tuple[str, ...], line: str) -> None:
    """The option, what was wrong, what is accepted."""
    done = run(*words)
    assert done.returncode == 2
    assert done.stderr.startswith(f"oubli-sim: {line}")
    assert done.stderr.count("\n") == 1


def test_help_names_the_options() -> None:
    """What the design's table of commands says."""
    done = run("--help")
    assert done.returncode == 0
    for option in ("--interpreter", "--connections", "--json"):
        assert option in done.stdout
