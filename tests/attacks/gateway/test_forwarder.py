# SPDX-License-Identifier: Apache-2.0
"""What a forwarder that was taken over may leave in the one folder on flash that it can write to."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from agent.outbox.spool import LEAST, LISTED, MOST, Spool
from tests.openwrt.trial import NEEDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.openwrt import gateway as roots
    from tests.support.interpreters import Interpreter, Remote

OURS = "001795000860-arrivals-07"
# Names that are none of a message's, and things that are none under a message's name.
NAMES = ["junk", ".hidden", "001795000860-arrivals-007", "\udcff\udcfe", "x" * 255, " \n", "001795000861-arrivals-00"]


def folders(path: Path) -> None:
    """Lay folders in a folder, and a file."""
    (path / "a/b/\udcffc").mkdir(parents=True)
    (path / "a/file").write_text("x")


LAYS: dict[str, Callable[[Path], object]] = {
    "file": lambda path: path.write_text("x" * 4096),
    "empty folder": lambda path: path.mkdir(),
    "folders": folders,
    "link": lambda path: path.symlink_to("/etc/passwd"),
    "link to a folder": lambda path: path.symlink_to("../kept"),
    "pipe": os.mkfifo,
}


@pytest.mark.parametrize("kind", LAYS)
def test_the_spool_keeps_nothing_but_messages(
    remotes: Callable[[str], Remote], interpreter: Interpreter, tmp_path: Path, kind: str
) -> None:
    """Within an hour all else is gone, whatever it is called; what a link leads to stays."""
    folder = tmp_path / "spool"
    folder.mkdir()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("precious")
    for name in NAMES:
        if kind not in ("file", "link") or name != NAMES[-1]:  # that one is a message
            LAYS[kind](folder / name)
    told = remotes(interpreter.name)(
        "spool", str(folder), 1 << 20, 7, [["put", 1795000860, 7, "x" * 320], ["trim", 1795000860]]
    )
    assert told == {"names": [OURS], "dropped": {}, "failures": []}
    assert [path.name for path in folder.iterdir()] == [OURS]
    assert (tmp_path / "kept/file").read_text() == "precious"


@pytest.mark.long
@pytest.mark.parametrize("kind", ["messages", "junk", "folder"])
def test_a_spool_full_of_entries_holds_the_recorder_up_for_a_turn(
    remotes: Callable[[str], Remote], interpreter: Interpreter, memory: Path, kind: str
) -> None:
    """Empty messages weigh nothing, and are due in 30,000 years.

    A turn removes MOST entries of any kind, whatever there is of them.
    """
    folder, allowed = memory / f"{interpreter.name}-{kind}", 100
    folder.mkdir()
    many, form = MOST + 3000, "999999999999-{}-00" if kind == "messages" else ".{}"
    where = folder / "x" if kind == "folder" else folder
    where.mkdir(exist_ok=True)
    for number in range(many):
        (where / form.format(f"{number:05}".translate(str.maketrans("0123456789", "abcdefghij")))).touch()

    def turn() -> tuple[int, dict[str, int]]:
        told = remotes(interpreter.name)("spool", str(folder), allowed * LEAST, 7, [["trim", 1795000860]])
        assert told["failures"] == []
        return sum(1 for path in folder.rglob("*") if path.is_file()), told["dropped"]

    assert Spool(str(folder), allowed * LEAST, 7).waiting() <= MOST + allowed
    left, dropped = turn()
    if kind == "messages":
        assert left == MOST + allowed - LISTED  # and so many less at each turn, until they are what the octets allow
        assert len(dropped) == LISTED
    else:
        assert left == 3000 + (kind == "folder")  # which counts, too
        assert turn() == (0, {})


@pytest.mark.needs(*NEEDS)
def test_a_folder_that_only_its_maker_can_empty_goes_after_the_next_start(gateway: roots.Gateway) -> None:
    """The recorder can't, and counts it; the service's start hands it over."""
    start = ("/bin/sh", "/etc/rc.common", "/etc/init.d/oubli", "start")
    gateway.run(*start)
    lay = "umask 077; mkdir /srv/oubli-spool/x /srv/oubli-spool/empty; echo y >/srv/oubli-spool/x/y"
    subprocess.run(gateway.command("/bin/sh", "-c", lay, user="oubli-fwd"), check=True)
    text = (
        "from agent.outbox.spool import Spool\nspool = Spool('/srv/oubli-spool', 9999, 7)\nspool.trim(0)\n"
        "print(spool.stuck)"
    )
    trim = gateway.command(
        "/bin/sh", "-c", f"MICROPYPATH=/usr/lib/oubli exec micropython -c {shlex.quote(text)}", user="oubli-rec"
    )
    for stuck, left in ((1, ["x"]), (0, [])):
        done = subprocess.run(trim, capture_output=True, text=True, check=True)
        assert (int(done.stdout), sorted(path.name for path in (gateway.path / "srv/oubli-spool").iterdir())) == (
            stuck,
            left,
        )
        gateway.run(*start)
