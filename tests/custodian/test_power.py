# SPDX-License-Identifier: Apache-2.0
"""Power is lost, or the disk is full, at each step that an answer, an order or an invoice takes on the disk.

The same command, given again, ends what was begun: nothing is answered twice, and nothing is lost (L34-II-4).
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from nacl.public import PrivateKey
from typer.testing import CliRunner

from agent.purposes.billing import record as billing
from tests.custodian.test_answers import MIDNIGHT, gateway, noon
from tests.custodian.test_forgeries import Office, office
from tests.purposes.test_requests import AGENTS, GATEWAY, document, freeze
from tools.custodian import register
from tools.custodian.__main__ import app
from tools.custodian.store import Store

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["gateway", "noon", "office"]
WRITING = ("write", "open", "mkdir")  # what a full disk refuses
EVERY = (*WRITING, "fsync", "rename", "unlink", "ftruncate", "rmdir")
CUT = 77
NEXT: Any = SimpleNamespace(gateway=GATEWAY, fields=dict.fromkeys(register.COLUMNS, "next"))  # what is entered later


def words_of(office: Office, verb: str) -> list[str]:
    """Return a command that makes `out`, or `out.sealed`, with all that it needs."""
    folder, made = office.folder, office.gateway
    (folder / "to").write_text(f"{bytes(PrivateKey.generate().public_key).hex()} Greffe\n")
    words = ["--store", office.keys, "--passphrase-file", folder / "secret", "--out", folder / "out"]
    if verb == "invoice":
        made.keep(billing.Record(b"room 12", b"", MIDNIGHT - 3600, MIDNIGHT - 1800, 1, 2))
        assert made.stores["billing"].seal()
        days = ["--from", "2027-01-15", "--to", "2027-01-15", "--gateway", GATEWAY, "--to-key", folder / "to"]
        words = [*(made.root / "flash/billing").glob("20*"), *days, *words]
    else:
        handover = made.hand_over(AGENTS.sign(freeze() if verb == "freeze" else document(), 0, 1))
        (folder / "gateways").write_text("".join(f"{key.hex()} {name}\n" for key, name in made.gateways.items()))
        words = [handover, "--agents", folder / "agents", "--gateways", folder / "gateways", *words]
    return [verb, *(str(word) for word in words)]


def fail(step: int, *, full: bool) -> None:
    """Let this process lose its power at a step, or have no room from it on."""
    done = [0]

    def count(path: object) -> None:
        done[0] += 1
        if done[0] >= step:
            if not full:
                os._exit(CUT)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *[path] * (not isinstance(path, int)))

    def counted(name: str) -> Any:
        real = getattr(os, name)

        def call(*words: Any, **more: Any) -> Any:
            if name != "open" or words[1] & os.O_CREAT:
                count(words[0])
            return real(*words, **more)

        return call

    for name in WRITING if full else EVERY:
        setattr(os, name, counted(name))


def interrupted(words: list[str], step: int, said: Path, *, full: bool) -> int:
    """Run a command in a process of its own that fails at a step; returns its exit code."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            sys.stdout = sys.stderr = said.open("w")
            fail(step, full=full)
            app(words)
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.long
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("verb", ["answer", "freeze", "invoice"])
def test_what_was_begun_ends_by_the_same_command(office: Office, verb: str, full: bool) -> None:
    """An order, or an invoice, that was entered on a full disk was thrown away, and couldn't be made again."""
    words, folder = words_of(office, verb), office.folder
    place = folder / ("out.sealed" if verb == "invoice" else "out")
    shutil.copytree(office.keys, folder / "before")
    lock = ["--store", str(office.keys), "--passphrase-file", str(folder / "secret")]
    code, step = -1, 0
    while code:
        step += 1
        for path in (office.keys, *folder.glob("out*"), *folder.glob(".out*")):
            (shutil.rmtree if path.is_dir() else os.unlink)(path)
        shutil.copytree(folder / "before", office.keys)
        code = interrupted(words, step, folder / "said", full=full)
        said = (folder / "said").read_text()
        assert code in ((0, 2) if full else (0, CUT)), said
        assert code != 2 or (said.count("\n"), "None: " in said) == (1, False)
        if not place.exists():
            done = CliRunner().invoke(app, words)
            assert done.exit_code == 0, (step, done.output)
        assert CliRunner().invoke(app, ["verify", *lock]).exit_code == 0, step
        keeper = Store(office.keys, None)
        assert [one["kind"] for one in register.entries(keeper)] == [verb], step
        register.enter(keeper, register.entry(keeper, "answer", NEXT, "held", 1))
        assert len(register.entries(keeper)) == 2
        assert place.exists()
        assert not [*folder.glob(".out*")]
    assert step > 7
