# SPDX-License-Identifier: Apache-2.0
"""host_sim/driver/scratch: where a simulated device's files lie."""

import tempfile
from pathlib import Path

import pytest

from host_sim.driver import scratch


def test_files_lie_in_memory_where_there_is_room_and_tmpdir_says_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And none is left afterwards."""
    memory, elsewhere = tmp_path / "memory", tmp_path / "elsewhere"
    for folder in (memory, elsewhere):
        folder.mkdir()
    monkeypatch.setattr(scratch, "MEMORY", memory)
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))  # what TMPDIR says when it is first asked for
    monkeypatch.delenv("TMPDIR", raising=False)
    with scratch.scratch("some-") as name:
        assert Path(name).parent == memory
    monkeypatch.setattr(scratch, "ROOM", 1 << 62)
    with scratch.scratch("some-") as name:
        assert Path(name).parent == elsewhere
    monkeypatch.setattr(scratch, "ROOM", 0)
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    with scratch.scratch("some-") as name:
        assert Path(name).parent == elsewhere
    assert [*memory.iterdir(), *elsewhere.iterdir()] == []
