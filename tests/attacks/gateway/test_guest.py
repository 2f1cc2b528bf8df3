# SPDX-License-Identifier: Apache-2.0
"""What a guest may claim about another guest, by the DHCP server's and the portal's files, on each interpreter."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from agent.vault import reading
from tests.purposes.test_attribution import clients
from tests.recorder.test_late import kernel
from tests.support.interpreters import Remote
from tests.vault import test_nothing_left as lab

if TYPE_CHECKING:
    from tests.support.interpreters import Interpreter

VICTIM, FORGER = "020000000001", "020000000002"
NAMED = "02:00:00:00:00:01"


# On the guests' other link: asks for the gateway, and says that this one's address is the victim's (RFC 826).
FORGES = f"""
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
    wire.bind(("guest", 0x0806))
    for claimed in sys.argv[1:]:
        said = bytes.fromhex("{VICTIM}") + socket.inet_aton(claimed)
        asked = bytes(6) + socket.inet_aton("192.168.8.1")
        wire.send(b"\\xff" * 6 + said[:6] + b"\\x08\\x06\\0\\1\\x08\\0\\6\\4\\0\\1" + said + asked)
"""
OTHER_LINK = f"""
ip link add lan2 type bridge
ip address add 192.168.8.1/24 dev lan2
ip link add port type veth peer name guest
ip link set port master lan2 up
ip link set guest up
ip link set lan2 up
ip neigh replace 192.168.7.9 lladdr 02:00:00:00:00:02 dev lan nud permanent
sleep 2
'{sys.executable}' -c '{FORGES}' 192.168.7.9 203.0.113.9 192.168.8.7
sleep 2
"""
ENDS = """
for one in 192.168.7.9 203.0.113.9 192.168.8.7; do
    conntrack -I -p udp --src $one --dst 203.0.113.199 --sport 4444 --dport 443 --timeout 60
    conntrack -D -p udp --src $one
done
"""


@lab.NEEDS
def test_a_neighbour_holds_nothing_but_what_is_answered_by_its_link(
    interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L34-I-2, on the real kernel, which believes all that is forged.

    The forger's own address on another link, an outsider's, and one that is the victim's to claim.
    """
    networks = "'oublinothingleft'\n list lan lan\n list lan lan2"
    monkeypatch.setattr(lab, "CONFIG", lab.CONFIG.replace("'oublinothingleft'", networks))
    with lab.gateway(interpreter) as made:
        made.status()
        kernel(made, OTHER_LINK)
        kernel(made, ENDS)
        made.wait(lambda status: status["counters"]["connections"] == 3)
        kept = {one.address: one.mac.hex() for one in reading.read(str(made.root), "security", None, 0)}
        assert kept == {bytes((192, 168, 7, 9)): FORGER, bytes((192, 168, 8, 7)): VICTIM}
        assert made.status()["counters"]["excluded: outside"] == 1


# What a guest gets into `custom`, the last field of his own that anybody else has a word in.
CUSTOM = {
    "fields in a line": f'x","state":"Authenticated","mac":"{NAMED}","custom":"forged',
    "fields of its own": f'x",\n      "mac":"{NAMED}",\n      "custom":"forged',
    "another name": 'x",\n      "custom":"forged',
    "another client": (
        f'x"\n    }},\n    "{NAMED}":{{\n      "mac":"{NAMED}",\n      "state":"Authenticated",\n      "custom":"forged'
    ),
    "another client, on one line": f'x"}},"{NAMED}":{{"mac":"{NAMED}","state":"Authenticated","custom":"forged',
    "the end of the list": 'x"\n    }\n  }\n}',
    "half a line": "x\n",
}


@pytest.mark.parametrize("custom", CUSTOM)
@pytest.mark.parametrize("first", [True, False], ids=["forger first", "victim first"])
def test_a_text_of_the_portal_makes_nobody_else_of_a_guest(
    interpreter: Interpreter, custom: str, *, first: bool
) -> None:
    """L34-I-2: openNDS writes `custom` as it is.

    Nobody is logged in as somebody by what another one's text makes up.
    """
    remote = Remote(interpreter, "tests.support.attribution_stage")
    rows = {FORGER: ("Authenticated", CUSTOM[custom]), VICTIM: ("Authenticated", "room12")}
    told = clients(**(rows if first else dict(reversed(rows.items()))))
    absent = clients(**{FORGER: ("Authenticated", CUSTOM[custom])})
    steps = [["read", told, 100], ["user", VICTIM], ["user", FORGER], ["read", absent, 100], ["user", VICTIM]]
    whole, victim, forger, _, away = remote("portal", steps)
    assert remote.close() == 0
    assert victim == ("room12" if whole else "")
    assert "forged" not in (victim, forger, away)
    assert away == victim  # a list without him ends nobody's session; a day without a word does
