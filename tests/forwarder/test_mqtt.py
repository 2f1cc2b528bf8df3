# SPDX-License-Identifier: Apache-2.0
"""The forwarder's MQTT clients in the trial that any client must pass, each on its interpreter (L34-VI-2, L34-II-5).

The MicroPython client is tried on CPython too, where its TLS can't run. Clients with one known
fault each show that the trial finds it.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.forwarder.mqtt_small import field, framed
from tests.mqtt_trial import points
from tests.mqtt_trial.candidate import CPYTHON, MICROPYTHON, ROOT, Candidate

PAHO = Candidate("agent.forwarder.mqtt_paho", CPYTHON, "_session._last_mid", "crt")
SMALL = Candidate("agent.forwarder.mqtt_small", MICROPYTHON, "_identifier", "der")
SMALL_ON_CPYTHON = Candidate("agent.forwarder.mqtt_small", CPYTHON, "_identifier", "der", tls=False)

pytestmark = pytest.mark.needs("mosquitto", "micropython")

EVERY = [
    (point, candidate)
    for candidate in (PAHO, SMALL, SMALL_ON_CPYTHON)
    for point in points.TRIAL + points.OURS
    if candidate.tls or point not in points.NEEDS_TLS
]

FAULTS = {  # the point that must find it, and what it must say
    "Unwilled": (points.last_will_arrives, "not retained"),
    "Zeroing": (points.identifier_wraps_to_one, "65535, 0, 1]"),
    "Credulous": (points.tls_refuses, "another authority: ok"),
    "Nameless": (points.tls_refuses, "another name: ok"),
    "Patient": (points.broker_dies_before_the_acknowledgement, "silence: hang"),
    "Undone": (points.broker_dies_before_the_acknowledgement, "FIN: ok"),
    "Deaf": (points.half_open_is_found, "hang"),
    "Blocking": (points.silent_peer_does_not_hold_connect, "no handshake: hang"),
    "Confused": (points.speaking_out_of_turn_is_refused, "another id: ok"),
    "Greedy": (points.busy_peer_does_not_hold_publish, "flood: hang"),
    "Single": (points.any_address_of_a_name_will_do, "hang"),
    "Leaking": (points.refusals_leave_nothing_open, "a certificate: ['"),
    "Talkative": (points.errors_tell_nothing, "(127.0.0.1)"),
}


@pytest.mark.parametrize(("point", "candidate"), EVERY, ids=lambda value: getattr(value, "__name__", str(value)))
def test_client_passes_the_trial(point: points.Point, candidate: Candidate, tmp_path):
    point(candidate, tmp_path)


def finding(fault: str, folder: Path) -> str:
    """What its point says of a client with this fault."""
    candidate = Candidate(f"tests.mqtt_trial.broken:{fault}", MICROPYTHON, "_identifier", "der")
    folder.mkdir()
    try:
        FAULTS[fault][0](candidate, folder)
    except AssertionError as error:
        return str(error)
    return "nothing"


def test_trial_finds_every_fault(tmp_path):
    """All at once: most of them show by a wait that does not end."""
    with ThreadPoolExecutor(len(FAULTS)) as pool:
        found = dict(zip(FAULTS, pool.map(lambda fault: finding(fault, tmp_path / fault), FAULTS), strict=True))
    assert {fault: said for fault, said in found.items() if FAULTS[fault][1] not in said} == {}


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16383, 16384, 2097151, 2097152])
def test_remaining_length_has_the_bytes_of_the_standard(size):
    """MQTT 3.1.1, table 2.4: where a byte more begins."""
    packet = framed(0x30, bytes(size))
    digits = len(packet) - size - 1
    assert digits == 1 + (size > 127) + (size > 16383) + (size > 2097151)
    assert sum((digit & 0x7F) << 7 * place for place, digit in enumerate(packet[1 : 1 + digits])) == size
    assert all(digit & 0x80 for digit in packet[1:digits])
    assert not packet[digits] & 0x80


def test_text_is_counted_in_bytes():
    assert field("é") == b"\x00\x02\xc3\xa9"


def test_trial_can_be_run_on_one_client(tmp_path):
    """The command that a published client is tried with: a client that can't even be made fails each point."""
    (tmp_path / "hopeless.py").write_text("class MqttError(Exception): pass\nclass Client: pass\n")
    words = [sys.executable, "-m", "tests.mqtt_trial", "hopeless", "--path", str(tmp_path)]
    done = subprocess.run(
        words,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("FAILS") == len(points.TRIAL)
