# SPDX-License-Identifier: Apache-2.0
"""Size is arithmetic: what can't hold its declared lifetime is refused with the sum.

The sum is what the store really takes.
"""

from __future__ import annotations

import re

import pytest

from agent import law
from agent.config import config
from agent.config.reader import ConfigError
from agent.purposes.attribution import block_map
from agent.purposes.attribution import record as attribution
from agent.purposes.billing import record as billing
from agent.purposes.custodian import budget
from agent.purposes.custodian.budget import RECORDS, Sum

CONFIG = """
config gateway
  option id 'abcdefghijklmnop'
config summary
  option rows '{rows}'
config purpose 'billing'
  option enabled '1'
  option lifetime '{lifetime}'
  option budget '{octets}'
"""

BLOCKS = """
config gateway
  option id 'abcdefghijklmnop'
config summary
  option rows '{rows}'
config purpose 'attribution'
  option enabled '1'
  option ground 'IIbis-3'
  option reference 'a decree'
  option block_size '{block}'
  option budget '{octets}'
"""


LINE = (
    r"config:6: billing\.budget: 1048576 bytes are too few: (\d+) terminals \(summary\.rows / 4\) x (\d+) x (\d+) bytes"
    r" \+ (\d+) chunks x (\d+) \+ (\d+) = (\d+) bytes a day, x (\d+) days = (\d+) bytes \(.*\); accepted: "
    r"budget '(\d+)', or less: rows.*"
)


@pytest.fixture
def load(tmp_path):
    def loaded(rows: int, lifetime: str, octets: int) -> config.Config | str:
        path = tmp_path / "config"
        path.write_text(CONFIG.format(rows=rows, lifetime=lifetime, octets=octets))
        try:
            return config.load(str(path))
        except ConfigError as refused:
            return str(refused).replace(str(path), "config")

    return loaded


def test_a_store_that_cannot_hold_its_lifetime_is_refused_with_the_sum(load):
    """The line's own factors give its own result, and with what it asks for the store starts."""
    said = load(4096, "365d", 1 << 20)
    assert isinstance(said, str)
    told = re.fullmatch(LINE, said)
    assert told is not None
    terminals, records, octets, chunks, chunk, segment, daily, days, total, asked = map(int, told.groups())
    assert terminals * records * octets + chunks * chunk + segment == daily
    assert daily * days == total == asked
    assert (terminals, days) == (1024, 366)
    assert isinstance(load(4096, "365d", total), config.Config)
    assert isinstance(load(4096, "365d", total - 1), str)
    assert isinstance(load(800, "10d", 1 << 20), config.Config)


@pytest.mark.parametrize("lifetime", ["36h", "1439m", "90m"])
def test_a_custodians_lifetime_is_whole_days(lifetime, load):
    said = load(64, lifetime, 1 << 24)
    assert re.search(
        rf"billing\.lifetime: '{lifetime}' is (not a number of whole days|below 24h) .*accepted: 24h to 365d", said
    )


def test_the_octets_of_a_record_are_those_of_the_packers():
    user, mac, address, public = b"u" * 16, bytes(6), bytes((192, 168, 1, 9)), bytes((203, 0, 113, 1))
    holding = attribution.pack(attribution.Record(None, public, 20000, 20511, address, mac, 10**9, 10**9 + 40000, user))
    single = attribution.pack(attribution.Record(6, public, 20000, 20000, address, mac, 10**9, 10**9 + 3000, user))
    session = billing.pack(billing.Record(user, b"", 10**9, 10**9 + 8000, 10**7, 2 * 10**8))
    six = bytes(16)
    holding_six = attribution.pack(attribution.Record(None, six, 0, 65535, six, mac, 10**9, 10**9 + 40000, user))
    single_six = attribution.pack(attribution.Record(6, six, 20000, 20000, six, mac, 10**9, 10**9 + 3000, user))
    largest = {
        "blocks": (holding, holding_six),
        "connections": (max(single, single_six, key=len),),
        "billing": (session,),
    }
    assert {what: tuple(len(record) + 1 for record in records) for what, records in largest.items()} == {
        what: tuple(octets for _, octets in kinds) for what, kinds in RECORDS.items()
    }


def test_a_year_of_a_hundred_terminals_blocks_fits_16_mib_and_of_their_connections_does_not():
    """16 MB of NOR can't hold a year of connections; one row a lease can."""
    assert Sum("blocks", 400, 365 * law.DAY, 15, 256).octets < 16 << 20
    assert Sum("connections", 400, 365 * law.DAY, 15).octets > 1 << 29
    assert budget.Sum("billing", 800, law.DAY, 15).daily > 0


def test_blocks_that_are_too_few_for_the_venue_are_in_the_sum_and_refused_with_what_to_set(tmp_path):
    """Terminals beyond the blocks are kept connection by connection.

    With the `block_size` that is told the store starts.
    """
    path = tmp_path / "config"

    def said(rows: int, block: int, octets: int) -> str:
        path.write_text(BLOCKS.format(rows=rows, block=block, octets=octets))
        try:
            config.load(str(path))
        except ConfigError as refused:
            return str(refused).split("attribution.budget: ")[1]
        return ""

    assert block_map.LAST + 1 - block_map.FIRST == budget.PORTS
    refused = said(800, 512, 40_000_000)
    assert (
        "200 terminals (summary.rows / 4) x (3 x 44 + 5 x 52) bytes + 104 of them without one of the 96 blocks of "
        "512 ports" in refused
    )
    assert re.search(r"; accepted: budget '9\d{8}', or block_size '245', or less: rows, lifetime$", refused)
    told = re.search(r", or block_size '245' and budget '(\d+)', or less", said(800, 512, 1 << 20))
    assert told
    assert said(800, 245, int(told[1])) == ""
    assert said(800, 245, int(told[1]) - 1) != ""
    assert said(800, 245, 40_000_000) == ""
    assert "without" not in said(800, 245, 1 << 20)
    refused = said(4096, 512, 999_999_999)
    assert refused.endswith("; accepted: block_size '64' with summary.rows '3072', or less: rows, lifetime")
    told = re.search(
        r"accepted: block_size '64' with summary.rows '3072' and budget '(\d+)', or less: rows, lifetime$",
        said(4096, 512, 1 << 20),
    )
    assert told
    assert said(3072, 64, int(told[1])) == ""
