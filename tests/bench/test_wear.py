# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench wear`: its figures are the flash model's, under the real recorder (EXP-6)."""

import json
import subprocess
import sys

import pytest

from agent import law
from agent.purposes.custodian.budget import Sum
from agent.runtime.libc import LIBC
from host_sim.faults import flash
from host_sim.faults.flash import Dice, Flash
from tests.support.interpreters import PROJECT
from tools.bench import wear
from tools.bench.rounds import untold
from tools.package import board

LIVED = 64800  # seconds of a day that are lived through here


def lived(minutes):
    """Return most of a day of three terminals, synced each so many minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wear, "LENGTH", LIVED)
        return wear.measure(3, 512, minutes, 1, untold)


@pytest.fixture(scope="module")
def day():
    return lived(15)


@pytest.mark.long
def test_what_is_noted_is_what_the_model_programmed(day):
    """The model adds up for itself, at its own size of page."""
    assert day["model"]["ours"] == day["model"]["programmed"] > 0
    for page, octets in day["programmed"].items():
        assert octets == sum(part["programmed"][page] for part in day["parts"])
        assert octets % int(page) == 0
    assert day["syncs"] == sum(part["syncs"] for part in day["parts"])


@pytest.mark.parametrize("page", [256, 512, 2048])
def test_a_page_counts_as_in_the_model(page, monkeypatch):
    """Any size of page, files that grow, stay and shrink, and folders: the model's own sum."""
    monkeypatch.setattr(flash, "PAGE", page)
    made = wear.Noted("/flash")
    data = bytes(range(256)) * 40
    descriptor = made.call("open", b"/flash/spool\0", LIBC["O_CREAT"], 0o600)
    for size in (1, page - 1, page, 3000):
        made.call("write", descriptor, data, size)
        made.call("fsync", descriptor)
    made.call("fsync", descriptor)
    made.call("ftruncate", descriptor, 700)
    made.call("fsync", descriptor)
    made.call("fsync", made.call("open", b"/flash\0", 0, 0))
    assert wear.programmed(made.notes, page) == made.cells.programmed
    assert len(made.notes) == made.syncs == 7


@pytest.mark.long
def test_every_part_that_writes_is_there(day):
    """Nothing of the day is left out: attribution, ledger, audit log, spool, what is shown, port marks."""
    assert {part["part"] for part in day["parts"]} == {
        "attribution",
        "ledger",
        "audit",
        "spool",
        "published",
        "ports",
        "vault",
    }
    assert day["in_a_block"] + day["attributed"] + day["no_public_address"] >= day["connections"] * 0.9
    assert day["stored"] > 0


@pytest.mark.long
def test_the_sum_of_a_start_is_no_less_than_what_a_day_keeps(day):
    """The sum a start is held against bears the leases there were, over midnight and of IPv6 too.

    It is that of `agent.purposes.custodian.budget`.
    """
    assert day["declared"] == Sum("blocks", day["leases"] * 4, 365 * law.DAY, 15, 512).daily >= day["stored"]


@pytest.mark.long
def test_a_longer_interval_writes_less_often(day):
    """The figure follows the store's own setting: it isn't one that was written down."""
    often, seldom = (
        [part["syncs"] for part in one["parts"] if part["part"] == "attribution"] for one in (day, lived(60))
    )
    assert often > seldom > [0]


@pytest.mark.long
def test_years_are_the_boards_cycles_over_the_days_octets(day):
    """Each board of `boards/`: erase cycles of a quarter of its flash, spent by what its kind of page programs."""
    assert [row["board"] for row in day["boards"]] == board.names()
    for row in day["boards"]:
        declared = board.load(row["board"]).data["flash"]
        octets = day["programmed"][str(wear.PAGES[declared["kind"]])]
        blocks = declared["size_mib"] * 1024 / declared["erase_kib"] / 4
        assert row["bytes_a_day"] == octets
        assert row["years"] == pytest.approx(
            blocks * declared["cycles"] * declared["erase_kib"] * 1024 / octets / 365, rel=0.01
        )
        assert 0 < row["worst_years"] < row["years"]


@pytest.mark.long
def test_the_command_prints_both_tables_and_refuses_what_it_cannot_read():
    words = [sys.executable, "-m", "tools.bench", "wear", "--visitors"]
    done = subprocess.run([*words, "1", "--json", "-"], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["terminals"] == 1
    assert "attribution" in done.stderr
    assert "raspberry-pi-4" in done.stderr
    done = subprocess.run([*words, "none"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_files_on_tmpfs_are_renamed_beside_the_model(tmp_path):
    """The model takes only what is its own."""
    (tmp_path / "one").write_text("x")
    Flash(Dice(1)).rename(str(tmp_path / "one"), str(tmp_path / "two"))
    assert (tmp_path / "two").read_text() == "x"
