# SPDX-License-Identifier: Apache-2.0
"""A gateway that has `oubli` alone, without the purposes that are off by default (boards/packages/oubli-purposes)."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from agent import law
from agent.cli.table import VERBS
from host_sim.driver import interpreters as host
from tests.support.interpreters import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.interpreters import Interpreter

PREFIX = "/usr/lib/oubli/agent/"
LISTED = (PROJECT / "boards/packages/oubli-purposes").read_text().split()
MODULES = {path.relative_to(PROJECT / "agent").as_posix()[:-3] for path in (PROJECT / "agent").rglob("*.py")}
HERE = tuple(path.removeprefix(PREFIX) for path in LISTED if path.startswith(PREFIX))
ABSENT = {
    module.replace("/", ".")
    for module in MODULES
    if module in HERE or module.startswith(tuple(f"{folder}/" for folder in HERE))
}
GATEWAY = "config gateway 'gateway'\n\toption id 'aaaaaaaaaaaaaaaa'\n"
OPTIONS = {"attribution": "\toption ground 'IIbis-3'\n\toption reference 'x'\n", "billing": "\toption lifetime '30d'\n"}
RECORDER = """
import sys
from agent.config.config import load
from agent.control import calls
from agent.recorder.recorder import Recorder
from agent.runtime.clocks import DeviceTime
recorder = Recorder(load(sys.argv[1]), sys.argv[2], DeviceTime(), log=lambda text: None)
who = b',"address":"10.0.0.2"'
for call in (b'"consent suspend"' + who, b'"consent own"' + who, b'"request identity"', b'"access"' + who):
    said = calls.answer(recorder, b'{"v":1,"call":' + call + b"}", ("root", "operator", "portal", "anyone"))
    print(said["error"])
recorder.tick()
print(sorted(recorder.status()["purposes"]))
recorder.close()
"""


@pytest.fixture(scope="module")
def core(tmp_path_factory) -> Path:
    """Give a folder with the agent of the package `oubli`."""
    folder = tmp_path_factory.mktemp("core")
    shutil.copytree(PROJECT / "agent", folder / "agent", ignore=shutil.ignore_patterns("__pycache__"))
    for module in ABSENT:
        (folder / "agent" / (module.replace(".", "/") + ".py")).unlink()
    return folder


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "root/etc/config").mkdir(parents=True)
    (tmp_path / "root/etc/config/oubli").write_text(GATEWAY)
    return tmp_path / "root"


def run(core: Path, interpreter: Interpreter, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = interpreter.command(*words)
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=core, env=host.environment(core), timeout=240
    )


def imported(module: str) -> set[str]:
    """Return the modules of the agent that a module imports as soon as it is imported itself."""
    found = set()
    for node in ast.parse((PROJECT / "agent" / (module.replace(".", "/") + ".py")).read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.partition(".")[0] == "agent":
            base = node.module.removeprefix("agent").removeprefix(".")
            found |= {base, *(f"{base}.{name.name}".removeprefix(".") for name in node.names)}
    return found


def test_no_room_of_the_core_imports_one_of_another_package():
    modules = {module.replace("/", ".") for module in MODULES}
    assert modules > ABSENT > {"purposes.__init__"}
    assert {module: imported(module) & ABSENT for module in modules - ABSENT if imported(module) & ABSENT} == {}


def test_what_the_law_asks_of_every_gateway_is_in_the_core():
    """Forgetting, law's table, exclusions, audit log, erasing, right of access (EXP-1, L34-II-2, L34-VI-3)."""
    needed = {
        "law",
        "vault.ring",
        "vault.keys",
        "vault.expiry",
        "vault.deadlines",
        "audit.audit",
        "audit.history",
        "recorder.right_of_access",
    }
    assert not needed & ABSENT


def test_a_verb_of_a_package_that_isnt_installed_names_it(core, root, interpreter):
    absent = [verb for verb in VERBS if verb.run.rpartition(".")[0] in ABSENT]
    families = {verb.name.split()[0] for verb in absent}
    assert families == {"consent", "objection", "emergency", "page", "request", "bundle", "lookup"}
    values = {
        "--terminal": "02:00:00:00:00:01",
        "--purposes": "services",
        "--categories": "connections",
        "--third-parties": "none",
    }
    values |= {
        "--days": "1",
        "--text": "3.fr",
        "--document": "0" * 64,
        "--incident": "7",
        "--at": "2026-11-25T10:00:00Z",
        "--reason": "abuse",
        "--port": "7",
    }
    for family in families:
        verb = next(verb for verb in absent if verb.name.split()[0] == family)
        words = [
            *verb.name.split(),
            *(["FILE"] if verb.word else []),
            *(word for need in (*verb.needs, *verb.one_of[:1]) for word in (need, values[need])),
        ]
        done = run(core, interpreter, "-m", "agent", *words, "--root", root)
        said = f"oubli: {verb.name}: the package oubli-purposes isn't installed; accepted: once it is\n"
        assert (done.returncode, done.stdout, done.stderr) == (2, "", said), verb.name


@pytest.mark.parametrize("purpose", law.CONFIGURABLE[1:])
def test_a_purpose_of_a_package_that_isnt_installed_is_refused_with_its_line(core, root, interpreter, purpose):
    """L34-II-2: by the daemons, and by doctor."""
    path = root / "etc/config/oubli"
    path.write_text(f"{GATEWAY}config purpose '{purpose}'\n\toption enabled '1'\n{OPTIONS.get(purpose, '')}")
    for verb in ("recorder", "doctor") if purpose == "billing" else ("forwarder",):
        done = run(core, interpreter, "-m", "agent", verb, "--root", root)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
        where = f"oubli: {path}:3: {purpose}.enabled: the package oubli-purposes isn't installed "
        assert done.stderr.startswith(where)
        assert done.stderr.endswith("; accepted: '0', or '1' once it is\n")


@pytest.mark.parametrize(
    "left",
    [
        "srv/oubli/vault/billing/2026-11-25-0001",
        "srv/oubli/consents/000000c8",
        "srv/oubli/vault/consent/00000000000000000000000000000000o6d2b05e4",
        "var/run/oubli/blocks",
    ],
)
def test_what_an_absent_package_kept_is_never_left_without_its_clock(core, root, interpreter, left):
    """EXP-1: the recorder refuses to run beside it; whoever wants it gone without the package has it erased."""
    (root / left).parent.mkdir(parents=True)
    (root / left).write_bytes(b"sealed")
    (root / "var/run/oubli").mkdir(parents=True, exist_ok=True)
    done = run(core, interpreter, "-m", "agent", "recorder", "--root", root)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert (
        "goes on time with the package oubli-purposes alone; accepted: install it, or oubli erase --all" in done.stderr
    )
    if "blocks" not in left:  # the kernel's table goes with a boot, and so does what says that there is one
        assert run(core, interpreter, "-m", "agent", "erase", "--all", "--root", root).returncode == 0
        assert not (root / left).exists()


def test_recorder_of_the_core_refuses_calls_for_what_it_hasnt_and_goes_on(core, root, interpreter):
    """Anybody may ask for a suspension (L34-V-4).

    Where no consent can be, that's one line, and no end of the recorder.
    """
    done = run(core, interpreter, "-c", RECORDER, root / "etc/config/oubli", root)
    consent = "the package oubli-purposes isn't installed; accepted: on a gateway that has it"
    deferred = "neither attribution nor billing is on; accepted: on a gateway that keeps one of them"
    nobody = "address: nobody on the LAN is known to hold it; accepted: a terminal's present address"
    assert (done.stderr, done.stdout.splitlines()) == ("", [consent, consent, deferred, nobody, "['security']"])


def test_erase_status_and_law_need_nothing_else(core, root, interpreter):
    (root / "var/run/oubli").mkdir(parents=True)
    done = run(core, interpreter, "-m", "agent", "law", "--json", "--root", root)
    assert {row["purpose"] for row in json.loads(done.stdout)["purposes"]} >= set(law.CONFIGURABLE)
    for words in (("explain", "arrivals"), ("summary",), ("erase", "--all")):
        done = run(core, interpreter, "-m", "agent", *words, "--root", root)
        assert (done.returncode, done.stderr) == (0, ""), done
    (root / "etc/config/oubli").unlink()
    done = run(core, interpreter, "-m", "agent", "explain", "arrivals", "--root", root)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 5)
    done = run(core, interpreter, "-m", "agent", "explain", "arrivals", "--root", root, "--config", root / "none")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
