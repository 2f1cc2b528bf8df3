# SPDX-License-Identifier: Apache-2.0
"""Who looks while the recorder goes on misses no record, and reads nobody else's (L34-II-6, EXP-1)."""

from pathlib import Path
from typing import Any

import pytest

from agent.runtime.sodium import SealError
from agent.vault import reading
from agent.vault.windows import GRACE
from tests.vault.test_vault import ADDRESS, MAC, NOW, SECOND, SINCE, Vault, row

HOUR = 3600
OTHER = "0200c0ffee02"


@pytest.fixture
def vault(interpreter, remotes, tmp_path) -> Vault:
    """Give a store in each interpreter, with a few records that wait in its page."""
    made = Vault(remotes(interpreter.name), tmp_path)
    made.keep(*(row(port=port) for port in range(5)))
    return made


def _ports(root: Path, at: float = 0) -> list[tuple[int, str]]:
    found = reading.read(str(root), "security", int((NOW + at) * SECOND), int((SINCE + at) * SECOND))
    return sorted((record.source_port, record.mac.hex()) for record in found)


def _meanwhile(monkeypatch: pytest.MonkeyPatch, act: Any, times: int = 1) -> list[int]:
    """Let `act` happen each time that a reader is about to read the pages; returns the list of what is left of them."""
    left = list(range(times))

    def opened(path: str, *words: Any, **more: Any) -> Any:
        if path.endswith("/chunks") and left:
            act(left.pop())
        return Path(path).open(*words, **more)

    monkeypatch.setattr(reading, "open", opened, raising=False)
    return left


def test_a_page_that_is_sealed_while_somebody_looks_is_read_all_the_same(vault, tmp_path, monkeypatch):
    left = _meanwhile(monkeypatch, lambda _: vault.keep(*(row(port=port) for port in range(5, 400))))
    assert _ports(tmp_path) == [(port, MAC) for port in range(400)]
    assert left == []


def test_a_page_that_another_segment_takes_while_somebody_looks_is_not_read_as_this_one_s(vault, tmp_path, monkeypatch):
    """Its window ends, and the next window's first record, another terminal's, comes into the same page."""
    later = HOUR + GRACE + 1

    def act(_: int) -> None:
        vault.tick(later)
        vault.keep(row(NOW + later - 1, port=77, mac=OTHER, address=ADDRESS), at=later)

    left = _meanwhile(monkeypatch, act)
    assert _ports(tmp_path, later) == [(port, MAC) for port in range(5)]
    assert left == []


def test_a_segment_that_is_gone_while_somebody_looks_is_refused(vault, tmp_path, monkeypatch):
    _meanwhile(monkeypatch, lambda _: vault.tick(2 * 86400))
    with pytest.raises((SealError, OSError)):
        _ports(tmp_path)


def test_a_look_that_never_finds_the_page_at_rest_is_refused_and_ends(vault, tmp_path, monkeypatch):
    left = _meanwhile(monkeypatch, lambda place: vault.keep(*(row(port=1000 + place) for _ in range(400))), times=50)
    with pytest.raises(SealError):
        _ports(tmp_path)
    assert len(left) == 50 - reading._TRIES
