# SPDX-License-Identifier: Apache-2.0
"""What each daemon may ask of the kernel (etc/seccomp), enforced by a real gateway's procd, ujail and seccomp."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from host_sim.openwrt.network import GATEWAY

if TYPE_CHECKING:
    from tests.openwrt.conftest import World

DAEMONS = ("recorder", "forwarder", "page")
# What a daemon that was taken over would do first: start a program. This one isn't
# there, so that without a filter it goes on.
ATTACK = 'import ffi\nlibrary = ffi.open(None)\nprint("attack: asks")\n{}\nprint("attack: goes on")\n'
PROGRAM = 'library.func("i", "execve", "ppp")(b"/bin/nowhere\\0", None, None)'


def opened(world: World) -> str:
    """Return what a guest's browser is shown."""
    asked = f"web = http.client.HTTPConnection({GATEWAY!r}, 8450); web.request('GET', '/')"
    script = f"import http.client; {asked}; print(web.getresponse().read().decode())"
    return world.lan.run(world.lan.terminals[0], sys.executable, "-c", script).stdout


def instances(world: World) -> dict[str, int]:
    """Return the number of each instance's jail, where it runs."""
    service = json.loads(world.machine.run("""ubus call service list '{"name":"oubli"}'"""))["oubli"]["instances"]
    return {name: one["pid"] for name, one in service.items() if one.get("running")}


def test_each_daemon_runs_under_its_filter_and_does_what_it_does_without(complete: World) -> None:
    """Seccomp 2: a filter; nothing gives a daemon more rights.

    It records, delivers and shows, and none was ended by its filter.
    """
    machine, lan = complete.machine, complete.lan
    complete.until(lambda: not complete.found())  # the forwarder comes back a moment after the saved state
    for name, jail in instances(complete).items():
        if name in DAEMONS:
            status = machine.run(f"cat /proc/$(pgrep -P {jail})/status")
            assert "\nSeccomp:\t2\n" in status, name
            assert "\nNoNewPrivs:\t1\n" in status, name
    before = instances(complete)
    assert len(complete.recorded(40)) >= 40
    ident = machine.run("uci get oubli.gateway.id").strip()
    complete.until(lambda: any(f"/{ident}/" in message.topic for message in complete.broker.messages("/health")))
    assert "<form" in opened(complete)
    for verb in ("status", f"who --mac {lan.terminals[0].mac.hex(':')} --agreed", "log", "summary", "expire"):
        assert machine.ask(f"oubli {verb}").returncode == 0, verb
    assert instances(complete) == before
    assert "exited with signal: 31" not in machine.run("logread")


def test_a_daemon_that_asks_for_what_it_never_needs_is_ended_and_the_log_says_so(complete: World) -> None:
    """The same jails with the attack in the daemon's place.

    It doesn't go on, and `exited with signal: 31` (SIGSYS) is in the log.
    """
    machine = complete.machine
    machine.put("/etc/oubli/attack.py", ATTACK.format(PROGRAM).encode())
    machine.run("/etc/init.d/oubli stop")
    machine.run("""sed -i 's|-m agent "$1"$|/etc/oubli/attack.py|' /etc/init.d/oubli; /etc/init.d/oubli start""")
    complete.until(lambda: machine.run("logread").count("exited with signal: 31") >= len(DAEMONS))
    said = machine.run("/etc/init.d/oubli stop; logread")
    assert said.count("attack: asks") >= len(DAEMONS)
    assert "attack: goes on" not in said
    # Without the filter it goes on: the jail alone doesn't keep it, and the attack is one.
    machine.run("rm /lib/libpreload-seccomp.so; /etc/init.d/oubli start")
    complete.until(lambda: machine.run("logread").count("attack: goes on") >= len(DAEMONS))
