# SPDX-License-Identifier: Apache-2.0
"""Bundles of the custodian's keys: only what he signed, only within its bounds, whole or not at all (EXP-3)."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.keyholder import LIFETIME, TODAY, Custodian, at

DAY = 86400
STAGE = "tests.support.custodian_stage"


@pytest.fixture
def ask(any_interpreter, remotes):
    return remotes(any_interpreter.name, STAGE)


@pytest.fixture
def custodian():
    return Custodian()


class Gateway:
    """A device's folder, and what is installed there."""

    def __init__(self, ask, root, custodian):
        self.ask, self.root, self.custodian = ask, root, custodian
        (root / "custodian.pub").write_text(custodian.anchor)

    def install(self, data: bytes, *, today: int = TODAY, lifetimes: dict | None = None) -> str:
        file = self.root / "bundle"
        file.write_bytes(data)
        said = self.ask("installed", str(file), str(self.root), lifetimes or {"attribution": LIFETIME * DAY}, today)
        return said.replace(str(self.root), "")

    def names(self) -> list[str]:
        return (
            sorted(path.name for path in (self.root / "bundles").iterdir()) if (self.root / "bundles").exists() else []
        )

    def found(self, *days: int, lifetime: int = LIFETIME) -> dict:
        return self.ask("found", str(self.root), "attribution", list(days), lifetime * DAY)


@pytest.fixture
def gateway(ask, tmp_path, custodian):
    return Gateway(ask, tmp_path, custodian)


def test_a_signed_bundle_gives_each_day_its_key(gateway, custodian):
    assert gateway.install(custodian.bundle(TODAY, 36)) == "keys for attribution until 2026-12-28"
    (name,) = gateway.names()
    assert name.startswith("2026-11-23-")
    assert (gateway.root / "bundles" / name).stat().st_mode & 0o777 == 0o644
    said = gateway.found(TODAY, TODAY + 35, TODAY + 36, TODAY - 1)
    keys = [bytes(custodian.keys[day].public_key).hex() for day in (TODAY, TODAY + 35)]
    assert said["keys"] == [[keys[0], TODAY + LIFETIME], [keys[1], TODAY + 35 + LIFETIME], None, None]
    assert (said["left"], said["refused"]) == (36, [])


def test_two_bundles_overlap_and_the_newer_one_counts(gateway, custodian):
    """Day 20: the next one is installed.

    Days of the former one keep their keys, and the rows of both make one run of days.
    """
    gateway.install(custodian.bundle(TODAY - 20, 35))
    former = custodian.keys.pop(TODAY + 3)  # the custodian made that day's key anew
    assert gateway.install(custodian.bundle(TODAY, 35)).startswith("keys for attribution until")
    said = gateway.found(TODAY, TODAY - 5, TODAY + 3)
    assert [key is not None for key in said["keys"]] == [True] * 3
    assert said["keys"][2][0] == bytes(custodian.keys[TODAY + 3].public_key).hex() != bytes(former.public_key).hex()
    assert said["left"] == 35


def test_former_bundles_go_when_their_last_key_is_destroyed(gateway, custodian):
    gateway.install(custodian.bundle(TODAY, 2))
    gateway.install(custodian.bundle(TODAY + LIFETIME + 1, 2), today=TODAY + LIFETIME + 1)
    assert len(gateway.names()) == 2  # its last key is destroyed today
    gateway.install(custodian.bundle(TODAY + LIFETIME + 2, 2), today=TODAY + LIFETIME + 2)
    assert [name[:10] for name in gateway.names()] == ["2026-12-24", "2026-12-25"]


def changed(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new, 1)


REFUSED = {
    "a changed key": (
        lambda c: changed(c.bundle(TODAY, 3), b"attribution 2026-11-24 ", b"attribution 2026-11-24 0")[:-1] + b"\n",
        "signature",
    ),
    "another signer": (lambda _: Custodian().bundle(TODAY, 3), "signature"),
    "a later destroy date": (
        lambda c: c.sign(TODAY, [replace(row, destroy=row.destroy + timedelta(1)) for row in c.rows(TODAY, 3)]),
        "attribution 2026-11-23: destroyed on 2026-12-24 (EXP-3); accepted: 2026-11-24 to 2026-12-23",
    ),
    "destroyed before its day is over": (
        lambda c: c.sign(TODAY, [replace(row, destroy=row.day) for row in c.rows(TODAY, 3)]),
        "EXP-3",
    ),
    "too far ahead": (
        lambda c: c.sign(TODAY, c.rows(TODAY, 37)),
        "attribution 2026-12-29: more than 35 days ahead (EXP-3)",
    ),
    "a day twice": (lambda c: c.sign(TODAY, c.rows(TODAY, 2) + c.rows(TODAY, 1)), "twice"),
    "over": (
        lambda c: c.sign(TODAY - 9, c.rows(TODAY - 9, 9)),
        "its last day is 2026-11-22; accepted: a bundle that reaches to 2026-11-23",
    ),
    "another purpose's": (lambda c: c.bundle(TODAY, 3, purpose="billing"), "no keys for attribution"),
    "a purpose without custodian": (lambda c: c.bundle(TODAY, 3, purpose="security"), "line 3 isn't a row"),
    "no rows": (lambda c: c.sign(TODAY, []), "no rows"),
    "nothing": (lambda _: b"", "not a bundle"),
    "not text": (lambda _: bytes(range(256)) * 3, "not a bundle"),
    "cut": (lambda c: c.bundle(TODAY, 3)[:-30], "not a bundle"),
    "more behind it": (lambda c: c.bundle(TODAY, 3) + b"attribution", "not a bundle"),
    "too long": (lambda _: b"x" * 65537, "at most 65536 octets"),
}


@pytest.mark.parametrize("why", sorted(REFUSED))
def test_what_is_not_right_is_refused_in_one_line_and_changes_nothing(why, gateway, custodian):
    make, accepted = REFUSED[why]
    assert gateway.install(custodian.bundle(TODAY, 5)).startswith("keys")
    before = gateway.names()
    said = gateway.install(make(custodian))
    assert said.startswith("refused: /bundle: ")
    assert accepted in said
    assert "\n" not in said
    assert gateway.names() == before


def test_a_shorter_lifetime_refuses_keys_that_were_right_before(gateway, custodian):
    """Bundle and configuration are compared whenever a key is looked up, not only at the installation."""
    gateway.install(custodian.bundle(TODAY, 5))
    assert gateway.found(TODAY, lifetime=LIFETIME - 1) == {"keys": [None], "left": 0, "refused": []}
    assert gateway.found(TODAY, lifetime=LIFETIME + 1)["keys"] != [None]


@pytest.mark.parametrize("change", ["missing", "writable", "no key"])
def test_without_a_proper_trust_anchor_no_bundle_counts(change, gateway, custodian):
    gateway.install(custodian.bundle(TODAY, 5))
    anchor = gateway.root / "custodian.pub"
    if change == "missing":
        anchor.unlink()
    elif change == "writable":
        anchor.chmod(0o664)
    else:
        anchor.write_text("x" * 64)
    said = gateway.found(TODAY)
    assert (said["keys"], said["left"], len(said["refused"])) == ([None], 0, 1)
    assert gateway.install(custodian.bundle(TODAY, 6)).startswith("refused: /custodian.pub: ")


@pytest.mark.needs("root")
def test_an_anchor_of_somebody_else_is_refused(gateway, custodian):
    os.chown(gateway.root / "custodian.pub", 12345, 12345)
    assert "others than root can write it" in gateway.install(custodian.bundle(TODAY, 5))


def test_a_bundle_that_was_changed_on_flash_is_named_and_left_out(gateway, custodian):
    gateway.install(custodian.bundle(TODAY, 5))
    (name,) = gateway.names()
    path = gateway.root / "bundles" / name
    path.write_bytes(changed(path.read_bytes(), b"2026-12-23", b"2027-12-23"))
    said = gateway.found(TODAY)
    assert said["keys"] == [None]
    assert len(said["refused"]) == 1
    assert at(TODAY).isoformat() in said["refused"][0]
