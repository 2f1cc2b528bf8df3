# SPDX-License-Identifier: Apache-2.0
"""`oubli join`: an archive of `oubli-fleet enrol` is taken whole or not at all, by root, on both interpreters."""

from __future__ import annotations

import datetime as dt
import json
import re
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from agent.cli.join import LARGEST, edited
from tests.support.interpreters import PROJECT
from tools.fleet import enrol

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.interpreters import Interpreter

pytestmark = pytest.mark.needs("root")
IDENT, OTHER = "abcdefgh23456777", "zyxwvuts23456777"
SHIPPED = (PROJECT / "boards/common/etc/config/oubli").read_text()
FORWARDER = 4711  # the number of the user oubli-fwd


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give what enrol packs for a gateway."""
    authority = enrol.Authority(tmp_path_factory.mktemp("ca"), dt.datetime.now(dt.UTC))
    authority.broker("mqtt.example.org")
    made = authority.gateway(IDENT)
    assert made.archive is not None
    assert stat.S_IMODE(made.archive.stat().st_mode) == 0o600
    return made.archive.read_text()


@pytest.fixture
def root(tmp_path: Path, archive: str) -> Path:
    """Give a gateway's root as its package leaves it, with an archive in /tmp."""
    for name in ("etc/config", "tmp"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "etc/config/oubli").write_text(SHIPPED)
    (tmp_path / "etc/passwd").write_text(f"root:x:0:0:root:/root:/bin/ash\noubli-fwd:x:{FORWARDER}:99::/:/bin/false\n")
    (tmp_path / "tmp/archive").write_text(archive)
    return tmp_path


def join(interpreter: Interpreter, root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the verb."""
    command = interpreter.command("-m", "agent", "join", root / "tmp/archive", "--root", root, *words)
    return subprocess.run(command, cwd=interpreter.root, capture_output=True, text=True, check=False, timeout=240)


def tree(root: Path) -> dict[str, str]:
    """Return what a root holds."""
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_a_gateway_joins_and_keeps_its_comments(interpreter: Interpreter, root: Path, archive: str) -> None:
    """Certificate, key and authority by their names; the key the forwarder's alone; the archive is gone.

    Again with a new one.
    """
    done = join(interpreter, root, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"gateway": IDENT, "host": "mqtt.example.org", "port": 8883}
    blocks = re.findall(r"-----BEGIN .*?-----END [A-Z ]+-----\n", archive, re.DOTALL)
    folder = root / "etc/oubli"
    assert [(folder / name).read_text() for name in ("gateway.pem", "gateway.key", "broker-ca.pem")] == blocks
    status = (folder / "gateway.key").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o600, FORWARDER)
    assert {path.name for path in folder.iterdir()} == {"gateway.pem", "gateway.key", "broker-ca.pem"}
    text = (root / "etc/config/oubli").read_text()
    lines = [
        line.split(None, 2)[2]
        for line in text.splitlines()
        if re.match(r"\toption (id|host|port|ca|certificate|key) ", line)
    ]
    assert lines == [
        f"'{IDENT}'", "'mqtt.example.org'", "'8883'", f"'{folder}/broker-ca.pem'",
        f"'{folder}/gateway.pem'", f"'{folder}/gateway.key'"
    ]  # fmt: skip
    assert [line for line in SHIPPED.splitlines() if line.startswith("#") and line not in text.splitlines()] == [
        f"#\t{line}" for line in
        ("option id ''", "list host ''", "option port '8883'", "option ca ''", "option certificate ''", "option key ''")
    ]  # fmt: skip
    names = {f"etc/oubli/{path.name}" for path in folder.iterdir()}
    assert set(tree(root)) == {"etc/config/oubli", "etc/passwd"} | names
    (root / "tmp/archive").write_text(archive)
    assert join(interpreter, root).returncode == 0
    assert (root / "etc/config/oubli").read_text() == text
    (root / "tmp/archive").write_text(archive)
    several = text.replace(
        "\toption host 'mqtt.example.org'", "\tlist host 'a.example.org'\n\tlist host 'b.example.org'"
    )
    assert several != text
    (root / "etc/config/oubli").write_text(several)
    assert join(interpreter, root).returncode == 0
    assert (root / "etc/config/oubli").read_text() == text  # the archive's broker, and no other


REFUSED = {
    "no archive of version 1": lambda text: text.replace("oubli-join 1", "oubli-join 2"),
    "id: not understood": lambda text: text.replace(IDENT, "../../etc/passwd"),
    "host: not understood": lambda text: text.replace("mqtt.example.org", "a'b"),
    "port: not understood": lambda text: text.replace("port 8883", "port 8883 "),
    "mqtt.port": lambda text: text.replace("port 8883", "port 99999"),
    "gateway.id": lambda text: text.replace(IDENT, "abc", 1),
    "a private key is missing": lambda text: text.replace("PRIVATE KEY", "EC PRIVATE KEY"),
    "a certificate isn't PEM": lambda text: text.replace("CERTIFICATE-----\n", "CERTIFICATE-----\n../x\n", 1),
    "a certificate is missing": lambda text: text[: text.rindex("-----BEGIN")],
    "something follows": lambda text: text + "option ca '/etc/shadow'\n",
    "no plain text": lambda text: text + "\0",
    "larger than": lambda text: text + "x" * LARGEST,
    "can't be read": lambda _: None,
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_archive_that_isnt_whole_changes_nothing(
    interpreter: Interpreter, root: Path, archive: str, what: str
) -> None:
    """Exit 2, one line that says what is accepted; no file is written, none is left half-written, the archive stays."""
    broken = REFUSED[what](archive)
    if broken is None:
        (root / "tmp/archive").unlink()
    else:
        (root / "tmp/archive").write_text(broken)
    before = tree(root)
    done = join(interpreter, root)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert what in done.stderr
    assert "accepted: " in done.stderr
    assert tree(root) == before


def test_only_root_joins(interpreter: Interpreter) -> None:
    """Somebody else, who may read this tree wherever it lies."""
    nobody = [
        "setpriv",
        "--reuid",
        "65534",
        "--clear-groups",
        "--inh-caps",
        "+dac_read_search",
        "--ambient-caps",
        "+dac_read_search",
    ]
    line = [*nobody, *map(str, interpreter.command("-m", "agent", "join", "/nowhere/archive"))]
    done = subprocess.run(line, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=240)
    assert (done.returncode, done.stderr) == (2, "oubli: join: not root; accepted: root, whose files these are\n")


def test_a_gateway_that_has_its_place_takes_no_others(interpreter: Interpreter, root: Path) -> None:
    (root / "etc/config/oubli").write_text(
        f"config gateway\n\toption id '{OTHER}'\nconfig mqtt\n\toption host 'x'\n\toption ca '/ca'\n"
    )
    before = tree(root)
    done = join(interpreter, root)
    assert (done.returncode, done.stderr) == (2, f"oubli: ARCHIVE: is for another gateway; accepted: one for {OTHER}\n")
    assert tree(root) == before


def test_a_configuration_that_is_refused_stays_as_it_is(interpreter: Interpreter, root: Path) -> None:
    """What was wrong before is told with its own file's name."""
    (root / "etc/config/oubli").write_text("config gateway\n\toption duty 'nobody'\n")
    before = tree(root)
    done = join(interpreter, root)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"{root}/etc/config/oubli:" in done.stderr
    assert "gateway.duty" in done.stderr
    assert tree(root) == before


def test_an_option_takes_the_place_of_the_line_that_had_it() -> None:
    before, after = "config a 'x'\n\toption k '1'\nconfig mqtt\n", "\toption l '4'\n\nconfig z\n\toption k '5'\n"
    text = before + "#\toption k ''\n\toption k '2'\n  option 'k' '3'\n" + after
    new = before + "\toption m 'more'\n#\toption k ''\n\toption k 'new'\n" + after
    assert edited(text, "mqtt", (("k", "new"), ("m", "more"))) == new
    assert edited("config a\n\n", "mqtt", (("k", "1"),)) == "config a\n\nconfig mqtt 'mqtt'\n\toption k '1'\n"
