# SPDX-License-Identifier: Apache-2.0
"""Cuts of power and errors of flash under ledger and spool (EXP-6): the model first, then every instant of a story."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from agent.outbox import spool
from agent.runtime import files
from agent.summary.ledger import Ledger
from host_sim.faults import cuts, flash
from host_sim.faults.flash import PREFIX, Dice, Flash, PowerCut
from tests.support.interpreters import INTERPRETERS, PROJECT

ROUNDS, PARTS = 8, 6  # 552 cuts in two rounds


@pytest.fixture
def mounted(monkeypatch):
    """Give a flash that the agent's files lie on, for this test."""
    for name in ("LIBC", "os", "names"):
        monkeypatch.setattr(files, name, getattr(files, name))
    made = Flash(Dice(7))
    flash.mount(made)
    return made


def write(name: str, data: bytes) -> int:
    descriptor = files.open_file(f"{PREFIX}/{name}", ("O_CREAT",))
    files.write_all(descriptor, data, len(data))
    return descriptor


def survivors(made: Flash, tries: int = 300) -> set[bytes | None]:
    """Return what many cuts of power at this instant leave of the file `a`."""
    found = set()
    for _ in range(tries):
        left = made.after_cut()
        found.add(left.names[f"{PREFIX}/a"].seen if f"{PREFIX}/a" in left.names else None)
    return found


def test_what_is_not_synced_is_kept_in_any_part(mounted):
    """The file may be gone, empty, torn or whole; after both syncs it is whole for certain."""
    data = bytes(range(1, 256)) * 5
    descriptor = write("a", data)
    found = survivors(mounted)
    assert {None, b"", data} <= found
    assert any(one is not None and len(one) == len(data) and one != data for one in found)
    files.LIBC.call("fsync", descriptor)
    assert survivors(mounted) == {None, data}
    files.sync_folder(PREFIX)
    assert survivors(mounted) == {data}


def test_a_rename_is_lost_without_a_sync_of_the_folder(mounted):
    for name, data in (("a", b"old"), ("b", b"new")):
        files.LIBC.call("fsync", write(name, data))
    files.sync_folder(PREFIX)
    files.os.rename(f"{PREFIX}/b", f"{PREFIX}/a")
    assert survivors(mounted) == {b"old", b"new"}
    files.sync_folder(PREFIX)
    assert survivors(mounted) == {b"new"}


def test_what_was_programmed_stays_to_be_found(mounted):
    path = f"{PREFIX}/a"
    files.write_atomic(path, b"former")
    files.write_atomic(path, b"latter")
    files.remove(path)
    files.sync_folder(PREFIX)
    assert not survivors(mounted) - {None}
    assert {b"former", b"latter"} <= set(mounted.cells.remnants)
    # Each a page of data, and one for each of five syncs
    assert mounted.cells.programmed == (2 * 2 + 2 + 1) * flash.PAGE


def test_power_goes_at_the_operation_that_was_told(mounted):
    mounted.cut_at = 2
    with pytest.raises(PowerCut):
        write("a", b"x")
    assert mounted.names[f"{PREFIX}/a"].seen == b""


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
def test_no_cut_of_power_loses_what_was_promised(part):
    """Before every operation and inside every sync, twice in a row each time, with other remains in each round."""
    done = run(sys.executable, 100 + part, ROUNDS)
    assert set(done) == {"cuts", "operations", "programmed", "syncs"}, done
    assert done["cuts"] > 1.5 * ROUNDS * done["operations"]
    assert done["operations"] > 100


def run(*words: object) -> dict[str, int]:
    """Run the story in a process of its own, because the model takes the place of the C library."""
    done = subprocess.run(
        [str(words[0]), "-m", "host_sim.faults.cuts", *map(str, words[1:])],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    return dict(json.loads(done.stdout))


@pytest.mark.long
@pytest.mark.needs("micropython")
def test_micropython_is_cut_alike():
    """The same code, the same dice: the same figures."""
    done = INTERPRETERS["micropython"].run("-m", "host_sim.faults.cuts", "1", "1")
    assert dict(json.loads(done.stdout)) == run(sys.executable, 1, 1)


@pytest.mark.parametrize("variant", sorted(cuts.VARIANTS))
def test_a_careless_writer_is_caught(variant):
    found = {
        "in-place": "the ledger can't be read",
        "ledger-after-counting": "what was counted on isn't spent",
        "no-file-sync": "a message isn't whole",
        "no-folder-sync": "a message is lost",
    }
    assert run(sys.executable, 1, 1, variant)[found[variant]] > 0


# Errors


class Full:
    """The ways in which flash refuses, each until it is put right."""

    @staticmethod
    def full(made: Flash) -> None:
        made.capacity = 0

    @staticmethod
    def read_only(made: Flash) -> None:
        made.read_only = True

    @staticmethod
    def broken(made: Flash) -> None:
        made.fail_at = made.operations + 1

    @staticmethod
    def right(made: Flash) -> None:
        made.capacity, made.read_only, made.fail_at = 1 << 20, False, 0


@pytest.mark.parametrize("way", ["full", "read_only", "broken"])
def test_flash_that_refuses_is_no_start_no_message_and_no_damage(way, mounted):
    """ENOSPC, EROFS, EIO: the caller is told, the former content stays whole, and later all works again."""
    mounted.folders.add(cuts.FOLDER)
    ledger, spooled = Ledger(cuts.LEDGER, print), spool.Spool(cuts.FOLDER, 10000, 7)
    assert ledger.begin()
    ledger.hour(5)
    spooled.put(1, "arrivals", 1, b"first")
    before = {name: node.seen for name, node in mounted.names.items()}
    getattr(Full, way)(mounted)
    assert not ledger.start(cuts.DAY, 1000, 2000)
    assert ledger["spent"] == 0
    with pytest.raises(OSError):
        spooled.put(2, "arrivals", 2, b"second")
    with pytest.raises(OSError):
        ledger.hour(6)
    assert {name: node.seen for name, node in mounted.names.items() if "/." not in name} == before
    Full.right(mounted)
    spooled.trim(1)
    assert {name: node.seen for name, node in mounted.names.items() if "/." not in name} == before
    assert ledger.start(cuts.DAY, 1000, 2000)
    spooled.put(2, "arrivals", 2, b"second")
    assert Ledger(cuts.LEDGER, print)["spent"] == 1000
    assert len(spooled.names()) == 2


@pytest.mark.parametrize("later", range(8))
def test_an_error_at_any_operation_of_a_start_is_never_a_free_start(later, mounted):
    """EIO from the n-th operation on: either it was spent on flash, or it was refused."""
    ledger = Ledger(cuts.LEDGER, print)
    assert ledger.begin()
    ledger.hour(5)
    mounted.fail_at = mounted.operations + 1 + later
    granted = ledger.start(cuts.DAY, 1000, 2000)
    for _ in range(50):
        left = mounted.after_cut()
        text = left.names[cuts.LEDGER].seen
        assert not granted or json.loads(text)["spent"] == 1000
