# SPDX-License-Identifier: Apache-2.0
"""Who has half of what is needed: a password without the second factor, a token of somebody who isn't what he was."""

from __future__ import annotations

import pytest
from django_otp.plugins.otp_totp.models import TOTPDevice

from tests.fleet.test_account import WRONG, browser, clock, code_of, log_in, set_up
from tests.fleet.test_api import ask, owners
from tools.fleet import people, tokens, tries

__all__ = ["browser", "clock", "owners"]


@pytest.mark.long
def test_codes_are_tried_no_more_than_passwords_wherever_from(browser, clock):
    """Gain: 10 of a million codes at once, from an address for each.

    One is compared, the next after a second, two, four.
    """
    key, _ = set_up(browser)
    clock[0] += 60
    said = [log_in("000000", source="192.0.2.9") for _ in range(tries.TRIES[0] + 1)]
    assert "Too many attempts" in said[-1]
    assert TOTPDevice.objects.get().throttling_failure_count == 1
    for number in range(10):
        assert WRONG in log_in(f"{number:06}", source=f"198.51.100.{number}")
    assert TOTPDevice.objects.get().throttling_failure_count == 1
    clock[0] += 2
    assert log_in(code_of(key), source="203.0.113.1") == "/"


def test_a_token_is_worth_what_its_owner_is_worth_at_the_moment(owners):
    """Gain: what an administrator may read, kept by a token after the role is gone, or the person."""
    owner = owners["administrator"]
    token = tokens.create(owner, "x", ["deeds", "gateways"])
    assert ask(token, "deeds").status_code == 200
    people.set_role(owner, "viewer")
    assert (ask(token, "deeds").status_code, ask(token, "groups").status_code) == (403, 200)
    owner.is_active = False
    owner.save()
    assert ask(token, "groups").status_code == 401
    owner.delete()
    assert ask(token, "groups").status_code == 401
