# SPDX-License-Identifier: Apache-2.0
"""Others fill the tmpfs and the clock is set, or an hour is full: the recorder goes on, and forgets (EXP-1)."""

from __future__ import annotations

import json
import struct
import subprocess
import time

from tests.vault.test_nothing_left import CONFIG, LIFETIME, NEEDS, started

STEP = 3600 * 10**9  # ns: the wall clock alone


def hours(root) -> int:
    """Return the powered-on hours that the ledger counts."""
    [ledger] = [path for path in root.rglob("ledger") if path.is_file()]
    return json.loads(ledger.read_text())["hours"]


@NEEDS
def test_an_hour_that_was_full_while_tmpfs_was_is_counted_once(interpreter, tmp_path):
    """ANON-6: tokens come with hours. The recorder is killed before there is room again."""
    run = tmp_path / "var/run"
    for folder in (tmp_path / "etc/config", run):
        folder.mkdir(parents=True)
    (tmp_path / "etc/config/oubli").write_text(CONFIG)
    (tmp_path / "clock").write_bytes(bytes(8))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(run)], check=True)
    try:
        with started(interpreter, tmp_path) as made:
            made.connect()
            for _ in range(4):  # what is destroyed leaves room, too
                subprocess.run(["sh", "-c", 'cat /dev/zero >> "$0"/others 2>/dev/null', str(run)], check=False)
                made.jump(3600)
                time.sleep(1.5)
            assert hours(tmp_path) == 4
        (run / "others").unlink()
        (run / "oubli/control/socket").unlink()
        with started(interpreter, tmp_path) as made:
            made.status()
            time.sleep(1.5)
            assert hours(tmp_path) == 4
    finally:
        subprocess.run(["umount", "-l", str(run)], check=True)


@NEEDS
def test_a_recorder_outlives_a_step_of_the_clock_while_tmpfs_is_full(interpreter, tmp_path):
    run = tmp_path / "var/run"
    for folder in (tmp_path / "etc/config", run):
        folder.mkdir(parents=True)
    (tmp_path / "etc/config/oubli").write_text(CONFIG)
    (tmp_path / "clock").write_bytes(bytes(8))

    def clock(*offsets: int) -> None:
        (tmp_path / "clock.new").write_bytes(struct.pack(f"<{len(offsets)}q", *offsets))
        (tmp_path / "clock.new").replace(tmp_path / "clock")

    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(run)], check=True)
    try:
        with started(interpreter, tmp_path) as made:
            made.connect()
            subprocess.run(["sh", "-c", 'cat /dev/zero > "$0"/others 2>/dev/null', str(run)], check=False)
            clock(STEP, -STEP)
            time.sleep(3)
            assert made.process.poll() is None
            clock(STEP + LIFETIME * 10**9, -STEP)
            time.sleep(3)
            assert made.process.poll() is None
    finally:
        subprocess.run(["umount", "-l", str(run)], check=True)
