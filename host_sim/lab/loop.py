# SPDX-License-Identifier: Apache-2.0
"""What comes after the records, on the real kernel: look-up, order to preserve, invoice, against the witness.

A look-up asks the gateway whose a port was, as the operator does (L34-II-6). An order's copy answers a later request
whose own keys are gone (L34-III-4). An invoice has each terminal's volumes, and reaches the biller alone (L34-IV-3).
"""

import ipaddress
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from nacl.public import PrivateKey

from host_sim.lab import asking
from host_sim.lab.custodian import Custodian
from host_sim.lab.device import GATEWAY_ID
from host_sim.lab.lab import Lab
from host_sim.lab.network import WAN_4
from host_sim.lab.witness import Seen
from tools import clock
from tools.custodian import answers, freezes, invoices, segments, signed_folder
from tools.custodian.staged import Staged
from tools.custodian.store import Store

LOOKED = 5  # connections that are looked up
USER = "room 12"  # who has logged in at the first terminal
_NAMES = {1: "icmp", 6: "tcp", 17: "udp"}
_PASSPHRASE = b"a laboratory's passphrase"


@dataclass
class Loop:
    """How much was looked up, preserved and billed, and how much of it was right."""

    looked_up: int
    looked_up_right: int
    preserved: int
    answered_from_it: int
    users: int
    billed_right: int
    astray: list[str] = field(default_factory=list)  # look-ups that name others, and whom the witness saw

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Return of each how much there was, and how much was right."""
        return (
            (self.looked_up, self.looked_up_right),
            (self.preserved, self.answered_from_it),
            (self.users, self.billed_right),
        )

    @property
    def right(self) -> bool:
        """Return True if all of it was."""
        return (
            0 < self.looked_up == self.looked_up_right
            and 0 < self.preserved == self.answered_from_it
            and 0 < self.users == self.billed_right
        )


def play(lab: Lab, custodian: Custodian, seen: Sequence[Seen], macs: dict[str, bytes]) -> Loop:
    """Play the three; `macs`: whose each private address is, the first of which has logged in as USER."""
    sample = [one for one in seen if one.protocol in (6, 17)][:: max(len(seen) // LOOKED, 1)][:LOOKED]
    astray = [wrong for one in sample if (wrong := _looked_up(lab, one, seen, macs))]
    preserved, answered = _preserved(lab, custodian, sample[-1])
    users, billed = _billed(lab, custodian, seen, macs)
    return Loop(len(sample), len(sample) - len(astray), preserved, answered, users, billed, astray)


def _looked_up(lab: Lab, one: Seen, seen: Sequence[Seen], macs: dict[str, bytes]) -> str:
    """Look one connection up; returns what is wrong, "" for nothing."""
    moment = (one.start + one.end) // 2 // 10**9
    at = f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}"
    words = (
        "--port",
        str(one.translated_port),
        "--protocol",
        _NAMES[one.protocol],
        "--at",
        at,
        "--reason",
        "abuse",
        "--json",
    )
    rows = json.loads(lab.device.command("lookup", *words))["rows"]
    behind = {other.source for other in seen if _touches(other, one, moment)}
    whom = {macs[str(ipaddress.ip_address(source))].hex(":") for source in behind}
    return "" if {row["terminal"] for row in rows} == whom else f"at {moment}: {rows}, not {whom} ({one})"


def _touches(other: Seen, one: Seen, moment: int) -> bool:
    """Return True if a connection was at another one's port in this second; a look-up rounds no end up to the next."""
    if (other.translated_port, other.protocol) != (one.translated_port, one.protocol):
        return False
    return other.start < (moment + 1) * 10**9 and other.end >= moment * 10**9


def _preserved(lab: Lab, custodian: Custodian, one: Seen) -> tuple[int, int]:
    """Have one port's rows preserved; returns how many name somebody, and how many do once the day's keys are gone."""
    moment = one.start // 10**9
    scope = {"public_address": WAN_4, "port": str(one.translated_port), "protocol": _NAMES[one.protocol]}
    until = f"{datetime.fromtimestamp(moment, UTC) + timedelta(days=60):%Y-%m-%d}"
    order = custodian.read(
        asking.ask(lab, custodian, custodian.request("freeze", moment - 30, moment + 1, **scope, keep_until=until))
    )
    Store.make(lab.folder / "keys", _PASSPHRASE, operations=1, octets=8192)
    store = Store(lab.folder / "keys", _PASSPHRASE)
    staged = Staged(lab.folder / "frozen", order.request)
    # As if it had been handed over when nothing could deny its time any more
    order.statement["made"] += freezes.SETTLED + 86400
    parts = [*answers.opened(order, custodian.key)[0].values()]
    before = answers.answer(order, custodian.key)
    freezes.freeze(before, parts, store, staged)
    staged.publish()
    later = custodian.read(
        asking.ask(lab, custodian, custodian.request("attribution", moment - 30, moment + 1, **scope))
    )
    made = answers.answer(later, lambda *_: None, freezes.kept(store, staged.place, later.request))
    known = [{**row, "end": ""} for row in before.rows]  # a copy doesn't say whether an end was recorded
    return len(before.rows), sum({**row, "end": ""} in known for row in made.rows)


def _billed(lab: Lab, custodian: Custodian, seen: Sequence[Seen], macs: dict[str, bytes]) -> tuple[int, int]:
    """Return how many users the biller's invoice has, and how many of them with the volumes the witness saw."""
    now = int(clock.now().timestamp())
    time.sleep(2)  # a request of this very second is of the gateway's future
    # It ends every session
    asking.ask(lab, custodian, custodian.request("billing", now - 60, now, subject=f"user:{USER}"))
    files = {path.name: path.read_bytes() for path in (lab.device.root / "srv/oubli/vault/billing").glob("20*")}
    days = [segments.read(data).day for data in files.values()]
    biller = PrivateKey.generate()
    period = invoices.Period(GATEWAY_ID, min(days), max(days), "a biller", biller.public_key, files)
    sealed = signed_folder.seal(invoices.make(period, custodian.key).files(custodian.signing), biller.public_key)
    invoice = json.loads(signed_folder.unseal(sealed, biller, custodian.signing.verify_key)["invoice.json"])
    truth: dict[tuple[str, str], list[int]] = {}
    first = next(iter(macs))
    for one in seen:
        address = str(ipaddress.ip_address(one.source))
        sums = truth.setdefault((USER, "") if address == first else ("", macs[address].hex(":")), [0, 0])
        sums[0] += one.bytes_up
        sums[1] += one.bytes_down
    told = {
        (user["portal_user"], user["terminal_mac"]): [user["bytes_up"], user["bytes_down"]] for user in invoice["users"]
    }
    return len(truth), sum(told.get(who) == sums for who, sums in truth.items())
