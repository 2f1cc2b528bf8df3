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
    """A guest's changes wait, then the word that B has A's address; B's connection begins and ends after it."""
    with gateway(interpreter, ERASE + "from agent.recorder import loop\nloop.CHANGING = 0\n") as made:
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


# Lists of connections each second, and what the recorder is at with them; the flood goes on for as long as it is read
LISTS = """
from agent.capture import live_table
from agent.recorder import guest_network, loop
from agent.recorder.recorder import Recorder
live_table.PERIOD, guest_network.SWEEP, loop.CHANGING = 10**9, 0, 0
hear = Recorder._hear
def heard(self):
    hear(self)
    with open(self.paths.root + "/heard", "a") as file:
        file.write("%d %d\\n" % (self.guests.holders.serial, self.streams._unread))
Recorder._hear = heard
"""
FLOOD = """
end=$(($(date +%s) + 6))
one='neigh replace 192.168.7.8 dev lan nud permanent lladdr 02:00:00:00:01'
while [ $(date +%s) -lt $end ]; do seq 1000 | sed "s/.*/$one:00\\n$one:01/" | ip -batch -; done
"""


@NEEDS
def test_a_flood_of_changes_holds_up_no_list_of_connections_and_no_forgetting(interpreter):
    """L34-VI-4: a guest who flips his MAC had nobody forgotten for as long as he did."""
    with gateway(interpreter, LISTS) as made:
        made.status()
        kernel(made, FLOOD)
        told = [line.split() for line in (made.root / "heard").read_text().splitlines()]
        flooded = [int(serial) for serial, unread in told if unread == "1"]
        assert flooded[-1] > flooded[0]
