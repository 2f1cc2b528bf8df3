# SPDX-License-Identifier: Apache-2.0
"""`oubli-sim replay`: recorded datagrams give the same figures, byte for byte, on every interpreter and byte order."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from host_sim.driver.replay import ReplayError, replay
from host_sim.venue import kernel
from tests.support.interpreters import PROJECT, Interpreter

RECORDING = Path(__file__).parent.parent / "vectors" / "ctnetlink" / "mixed-873.bin"
EXPECTED = (
    '{"datagrams":873,"connections":191,"by_protocol":{"tcp":90,"udp":90,"icmp":11,"other":0},'
    '"bytes_up":50462,"bytes_down":112460,"packets_up":611,"packets_down":600,"malformed":0}\n'
)


def oubli_sim(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "host_sim", *words], cwd=PROJECT, capture_output=True, text=True, check=False
    )


def for_processor(recording: Path, interpreter: Interpreter, folder: Path) -> Path:
    """Return the recording as a kernel of the interpreter's processor would have written it."""
    if interpreter.name != "mips":
        return recording
    big = folder / "big-endian.bin"
    big.write_bytes(
        kernel.recording([kernel.reencode(datagram) for datagram in kernel.records(recording.read_bytes())])
    )
    return big


def spelled(interpreter: Interpreter) -> str:
    return interpreter.name if interpreter.name != "mips" else " ".join(interpreter.words)


def test_the_recording_gives_the_same_json_everywhere(any_interpreter: Interpreter, tmp_path: Path) -> None:
    """873 datagrams, 191 connections; on MIPS the same recording, re-encoded for its endianness."""
    recording = for_processor(RECORDING, any_interpreter, tmp_path)
    done = oubli_sim("replay", str(recording), "--json", "-", "--interpreter", spelled(any_interpreter))
    assert (done.returncode, done.stdout, done.stderr) == (0, EXPECTED, "")


def test_other_protocols_are_counted_as_other(any_interpreter: Interpreter, tmp_path: Path) -> None:
    """GRE, ESP, IGMP, UDP with translated destination; a table dump holds no connection that ended."""
    recording = for_processor(RECORDING.with_name("variants.bin"), any_interpreter, tmp_path)
    figures = json.loads(replay(recording, spelled(any_interpreter)))
    assert figures["by_protocol"] == {"tcp": 0, "udp": 4, "icmp": 0, "other": 3}
    assert figures["malformed"] == 0
    dump = for_processor(RECORDING.with_name("dump.bin"), any_interpreter, tmp_path)
    assert json.loads(replay(dump, spelled(any_interpreter)))["connections"] == 0


def test_a_recording_of_the_wrong_byte_order_counts_nothing(tmp_path: Path) -> None:
    """So the endianness test above can't pass by ignoring byte order: swapped bytes are malformed here."""
    swapped = tmp_path / "swapped.bin"
    swapped.write_bytes(
        kernel.recording([kernel.reencode(datagram) for datagram in kernel.records(RECORDING.read_bytes())])
    )
    figures = json.loads(replay(swapped, "cpython"))
    assert (figures["connections"], figures["malformed"]) == (0, 873)


def test_json_goes_to_a_file_too(tmp_path: Path) -> None:
    """--json FILE writes the same bytes; the table for people has the same figures."""
    target = tmp_path / "figures.json"
    assert oubli_sim("replay", str(RECORDING), "--json", str(target)).returncode == 0
    assert target.read_text() == EXPECTED
    assert "112,460" in oubli_sim("replay", str(RECORDING)).stdout


FIRST = RECORDING.read_bytes()[:212]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (FIRST + b"\x01", "byte 212: the file ends within a length"),
        (FIRST + b"\x10\0\0\0abc", "byte 216: the file ends 13 bytes before its datagram does"),
        (FIRST + b"\x01\0\1\0", "byte 212: a datagram of 65537 bytes"),
        (FIRST + bytes(4), "byte 212: a datagram of 0 bytes"),
        (None, "byte 0: can't be read"),
    ],
)
def test_a_bad_recording_is_refused_in_one_line_that_names_file_and_byte(
    content: bytes | None, place: str, interpreter: Interpreter, tmp_path: Path
) -> None:
    """Exit 2; nothing on standard output."""
    recording = tmp_path / "bad.bin"
    if content is not None:
        recording.write_bytes(content)
    done = oubli_sim("replay", str(recording), "--json", "-", "--interpreter", spelled(interpreter))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"{recording}: {place}" in done.stderr
    assert "accepted" in done.stderr


@pytest.mark.parametrize("words", ["no-such-interpreter --fast", "", "micropython 'a quote left open"])
def test_an_interpreter_that_is_not_there_is_refused_in_one_line(words: str) -> None:
    """The line says what is accepted."""
    done = oubli_sim("replay", str(RECORDING), "--interpreter", words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "accepted: cpython, micropython, or a command line" in done.stderr


def test_an_interpreter_that_breaks_is_an_error_and_not_a_result() -> None:
    """A command that prints nothing and ends with 0 bytes of JSON isn't taken for a replay."""
    with pytest.raises(ReplayError):
        replay(RECORDING, "false")
    with pytest.raises(ReplayError):
        replay(RECORDING, "true")
