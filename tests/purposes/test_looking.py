# SPDX-License-Identifier: Apache-2.0
"""Who looks at what is held, while the recorder goes on, reads no wrong record and ends (GDPR art. 15, L34-II-6)."""

from types import SimpleNamespace
from typing import Any

import pytest

from agent.purposes.consent import consent_ring
from agent.purposes.custodian.waiting import Page
from agent.runtime import memory
from agent.runtime.sodium import SealError
from agent.vault import segment
from tests.support.interpreters import Remote

NOW = 1800000000
BOOT = "a1" * 16
PURPOSE = 5  # location


@pytest.fixture
def put(any_interpreter, tmp_path):
    """Give what adds so many records to a ring of 4,096 octets, in an interpreter of its own, of sizes that differ."""
    stage = Remote(any_interpreter, "tests.support.consent_stage")
    stage("store_open", str(tmp_path), PURPOSE, 4096, BOOT)

    def add(first: int, count: int) -> None:
        for number in range(first, first + count):
            octets = f"{number:04x}" + "5a" * (number % 23)
            assert stage("store_put", number % 3, octets, NOW + 10000, NOW, 10) == "kept"

    yield add
    stage.close()


def _numbers(found) -> list[int]:
    return [int.from_bytes(row[:2], "big") for row in found]


@pytest.mark.parametrize("more", [20, 60, 110, 230, 700])
@pytest.mark.long
def test_a_ring_that_goes_on_under_a_reader_gives_no_wrong_record_and_no_endless_look(put, tmp_path, more):
    """Some, a round or several rounds later: the rest as it was, or a refusal."""
    put(0, 90)
    whole = _numbers(consent_ring.read(str(tmp_path), "location", None, 10**10))
    found = consent_ring.read(str(tmp_path), "location", None, 10**10)
    begun = _numbers(next(found) for _ in range(5))
    assert begun == whole[:5]
    put(90, more)
    rest = []
    try:
        rest += _numbers(found)
        assert begun + rest == whole
    except SealError:
        assert begun + rest == whole[: 5 + len(rest)]
    assert len(_numbers(consent_ring.read(str(tmp_path), "location", None, 10**10))) > 50


def test_what_is_displaced_under_a_reader_is_refused(put, tmp_path):
    put(0, 90)
    found = consent_ring.read(str(tmp_path), "location", None, 10**10)
    next(found)
    put(90, 60)
    with pytest.raises(SealError):
        list(found)


def test_a_page_that_was_sealed_meanwhile_has_nothing_waiting_and_no_octets_of_the_next_chunk():
    """The copy of the process has the page as shared memory, and its slot as it was."""
    region = memory.scratch(segment.PAGE)
    slot: Any = SimpleNamespace(generation=7, window=0, counter=lambda: [0])
    page = Page(slot, memoryview(region.view), region.address, b"", 0)
    page.put(b"first")
    page.put(b"second one")
    assert list(page.waiting()) == [b"first", b"second one"]
    region.view[: segment.PAGE] = bytes(segment.PAGE)  # sealed: overwritten, and its generation is over
    assert list(page.waiting()) == []
    page.head[0] = 9 | 8 << 16
    region.view[segment.PAGE_HEADER : segment.PAGE_HEADER + 9] = b"\x08another!"
    assert list(page.waiting()) == []
    region.close()
