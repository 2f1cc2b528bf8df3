# SPDX-License-Identifier: Apache-2.0
"""Nobody is named while more changes of hands wait than a turn reads (L34-I-2), on the real kernel."""

from __future__ import annotations

from agent.recorder.loop import CHANGES
from agent.vault import reading
from tests.recorder.test_late import ERASE, B, held_up, kernel
from tests.vault.test_nothing_left import NEEDS, gateway

INSERT = "conntrack -I -p udp --src 192.168.7.{} --dst 203.0.113.199 --sport 4444 --dport 443 --timeout 60\n"
DELETE = "conntrack -D -p udp --src 192.168.7.{}\n"
TAKES = f"ip neigh replace 192.168.7.9 lladdr {B} dev lan nud permanent\n"


def of_9(made) -> bytes:
    """Return who is named for the connection of the address that changed hands."""
    made.wait(lambda status: status["counters"]["kept"])
    rows = reading.read(str(made.root), "security", None, 0)
    [kept] = [one for one in rows if one.address == bytes((192, 168, 7, 9))]
    return kept.mac


@NEEDS
def test_what_ended_before_a_turn_that_did_not_read_every_change_names_nobody(interpreter):
    """A guest's 1,100 changes wait, then the word that B has A's address; B's connection begins and ends after it."""
    with gateway(interpreter, ERASE) as made:
        asks = held_up(made)
        flood = "".join(
            f"neigh replace 192.168.7.8 lladdr 02:00:00:00:01:{number % 2:02x} dev lan nud permanent\n"
            for number in range(CHANGES + 76)
        )
        ends = TAKES + "sleep 0.1\n" + INSERT.format(9) + "sleep 0.1\n" + DELETE.format(9)
        kernel(made, f"ip -batch - <<'E'\n{flood}E\n{ends}")
        assert asks.is_alive()
        asks.join()
        assert of_9(made) == bytes(6)
