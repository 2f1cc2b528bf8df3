# SPDX-License-Identifier: Apache-2.0
"""The folder between the two processes: whole messages only, bounded, and nothing in it hurts the recorder."""

import os
import stat
import threading
import time
from pathlib import Path

import pytest

from agent.outbox.spool import LISTED, Spool, due, metric
from host_sim.privacy.paired import Device

DAY = 86400
PLENTY = 1 << 20


@pytest.fixture
def folder(tmp_path):
    """Give the spool's folder as the recorder makes it."""
    folder = tmp_path / "spool"
    folder.mkdir(mode=0o770)
    folder.chmod(0o2770)
    return folder


def put(second: int, slot: int = 0, text: str = "{}") -> list:
    return ["put", second, slot, text]


def test_a_message_is_one_file_of_the_contracts_name_and_mode(folder, interpreter, remotes):
    """Twelve digits of seconds, metric, slot.

    0640 in a 2770 folder, so that the forwarder reads it and nobody else does.
    """
    answer = remotes(interpreter.name)(
        "spool", str(folder), PLENTY, 7, [put(1795000860, 7, "text"), put(1794997260, 6, "earlier")]
    )
    assert answer == {"names": ["001794997260-arrivals-06", "001795000860-arrivals-07"], "dropped": {}, "failures": []}
    path = folder / "001795000860-arrivals-07"
    assert path.read_text() == "text"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(entry.name for entry in folder.iterdir()) == answer["names"]


def test_name_tells_due_time_and_metric():
    assert due("001795000860-arrivals-07") == 1795000860
    assert metric("001795000860-arrivals-07") == "arrivals"


def test_a_reader_never_sees_part_of_a_message(folder):
    """Atomic rename: whoever lists and reads meanwhile finds the former text or the new one, whole."""
    texts = {letter * 4000 for letter in "ab"}
    stop = threading.Event()

    def write() -> None:
        spool = Spool(str(folder), PLENTY, 7)
        while not stop.is_set():
            for text in sorted(texts):
                spool.put(1795000860, "arrivals", 7, text.encode())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen: set[str] = set()
        looks, deadline = 0, time.monotonic() + 90
        while (looks < 2000 or seen != texts) and time.monotonic() < deadline:
            looks += 1
            for name in Spool(str(folder), PLENTY, 7).names():
                seen.add((folder / name).read_text())
    finally:
        stop.set()
        writer.join()
    assert seen == texts


@pytest.mark.parametrize("planted", ["001795000860-arrivals-07", ".001795000860-arrivals-07.new"])
@pytest.mark.parametrize("kind", ["symlink", "hardlink", "fifo", "file"])
def test_what_the_forwarder_plants_is_replaced_never_followed(planted, kind, folder, tmp_path, interpreter, remotes):
    """O_EXCL and O_NOFOLLOW: a link to a file, under the final or unfinished name, leaves that file as it was."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    victim.chmod(0o600)
    match kind:
        case "symlink":
            (folder / planted).symlink_to(victim)
        case "hardlink":
            (folder / planted).hardlink_to(victim)
        case "fifo":
            os.mkfifo(folder / planted)
        case _:
            (folder / planted).write_text("junk")
    answer = remotes(interpreter.name)("spool", str(folder), PLENTY, 7, [put(1795000860, 7, "text")])
    assert answer["failures"] == []
    path = folder / "001795000860-arrivals-07"
    assert stat.S_ISREG(path.lstat().st_mode)
    assert path.read_text() == "text"
    assert (victim.read_text(), stat.S_IMODE(victim.stat().st_mode)) == ("precious", 0o600)


def test_a_folder_in_a_messages_place_is_an_error_of_put_and_leaves_nothing_unfinished(folder, interpreter, remotes):
    (folder / "001795000860-arrivals-07" / "inside").mkdir(parents=True)
    answer = remotes(interpreter.name)("spool", str(folder), PLENTY, 7, [put(1795000860, 7), put(1795004460, 8)])
    assert len(answer["failures"]) == 1
    assert (folder / "001795004460-arrivals-08").exists()
    assert not list(folder.glob(".*"))


def test_bounded_by_octets_the_oldest_goes_first_and_is_counted(folder, interpreter, remotes):
    steps = [put(1000 + number, number, "x" * 320) for number in (5, 3, 4, 1, 2)]
    answer = remotes(interpreter.name)("spool", str(folder), 3 * 320 + 319, 7, [*steps, ["trim", 0]])
    assert answer["dropped"] == {"arrivals": 2}
    assert [due(name) for name in answer["names"]] == [1003, 1004, 1005]


def test_what_is_dropped_is_counted_by_its_kind(folder, interpreter, remotes):
    """The operator reads of each metric how much of it never left."""
    for number in range(9):
        (folder / f"{1000 + number:012}-{('arrivals', 'presence')[number % 3 == 0]}-{number:02}").write_text("x" * 320)
    answer = remotes(interpreter.name)("spool", str(folder), 2 * 320, 7, [["trim", 0]])
    assert answer["dropped"] == {"arrivals": 4, "presence": 3}


@pytest.mark.parametrize("asked", [0, 3], ids=["while they are counted", "while the oldest is dropped"])
def test_what_the_forwarder_sends_meanwhile_is_no_loss(folder, interpreter, remotes, asked):
    """A message that is removed while the spool is looked at has arrived: it isn't counted as dropped."""
    now = 1795000860
    steps = [put(now), put(now, 1, "x" * 400), ["sent", asked], ["trim", now], ["trim", now]]
    answer = remotes(interpreter.name)("spool", str(folder), 400 if asked else PLENTY, 7, steps)
    assert answer == {"names": [], "dropped": {}, "failures": []}


def test_the_recorder_counts_what_its_spool_dropped_by_kind(memory):
    """What isn't a message of ours goes too, and is nobody's loss."""
    device = Device(memory / "device", None)
    device.pass_to(5 * 3600)
    folder = memory / "device" / "srv/oubli-spool"
    for name in (
        "000000001000-presence-00",
        "000000001000-arrivals-07",
        "000000001000-arrivals-08",
        "000000001000-forged-00",
    ):
        (folder / name).write_text("x")
    device.pass_to(8 * 3600)
    told = {
        name: count
        for name, count in device.recorder.counters.values.items()
        if name.startswith("messages dropped") and count
    }
    assert told == {"messages dropped": 3, "messages dropped: arrivals": 2, "messages dropped: presence": 1}
    assert not [path for path in folder.iterdir() if path.name.startswith("000000001000")]


def test_bounded_by_age_to_the_second(folder, interpreter, remotes):
    """A message due `days` ago stays, a second more and it goes; with the time not trusted (0) none is too old."""
    now = 1795000860
    steps = [put(now - 7 * DAY - 1), put(now - 7 * DAY), put(now)]
    answer = remotes(interpreter.name)("spool", str(folder), PLENTY, 7, [*steps, ["trim", 0]])
    assert (len(answer["names"]), answer["dropped"]) == (3, {})
    answer = remotes(interpreter.name)("spool", str(folder), PLENTY, 7, [["trim", now]])
    assert ([due(name) for name in answer["names"]], answer["dropped"]) == ([now - 7 * DAY, now], {"arrivals": 1})


JUNK = [
    "README",
    ".hidden",
    "-",
    "001795000860",
    "001795000860-",
    "001795000860-arrivals",
    "001795000860-arrivals-7",
    "001795000860-arrivals-007",
    "001795000860-arrivals-0x",
    "001795000860--07",
    "001795000860-Arrivals-07",
    "001795000860-a#-07",
    "001795000860-a+b-07",
    "001795000860-arrivals-07-",
    "0001795000860-arrivals-07",
    "01795000860-arrivals-07",
    "+01795000860-arrivals-07",
    "\u0660" * 12 + "-arrivals-07",
    "\u00b2" * 12 + "-arrivals-07",
    "001795000860-\u00e9-07",
]


def test_names_that_are_no_messages_are_no_messages_and_go(folder, interpreter, remotes):
    """Neither listed, nor counted; a topic can't be named by a file name (ANON-4)."""
    for name in JUNK:
        (folder / name).write_text("x" * 1000)
    answer = remotes(interpreter.name)(
        "spool", str(folder), 640, 7, [put(1795000860, 7, "x" * 320), ["trim", 1795000860]]
    )
    assert answer == {"names": ["001795000860-arrivals-07"], "dropped": {}, "failures": []}
    assert [entry.name for entry in folder.iterdir()] == ["001795000860-arrivals-07"]


def test_trimming_goes_on_past_what_is_no_message_under_a_messages_name(folder, interpreter, remotes):
    """A folder, or a link that leads nowhere: the bound holds for all others (the forwarder is not trusted)."""
    (folder / "000000000001-arrivals-00" / "inside").mkdir(parents=True)
    (folder / "000000000002-arrivals-00").symlink_to(folder / "nothing")
    steps = [put(1000 + number, number, "x" * 320) for number in range(8)]
    answer = remotes(interpreter.name)("spool", str(folder), 640, 7, [*steps, ["trim", 0]])
    assert answer["failures"] == []
    assert [due(path.name) for path in sorted(folder.iterdir())] == [1006, 1007]
    assert answer["dropped"] == {"arrivals": 6}


@pytest.mark.long
@pytest.mark.parametrize("form", ["%s", "junk-%s" + "x" * 200, "\udcff%s"], ids=["backlog", "long", "no text"])
def test_any_number_of_files_of_any_name_fits_in_a_small_heap(form, folder, interpreter, remotes):
    """A year of backlog, or junk of a forwarder that is not trusted.

    The oldest are listed, the bound is reached step by step.
    """
    for hour in range(8760):
        (folder / (form % f"{1700000000 + 3600 * hour:012}-arrivals-{hour % 24:02}")).write_text("x")
    answer = remotes(interpreter.name)("spool", str(folder), 100, 7, [["trim", 0]])
    oldest = [1700000000 + 3600 * hour for hour in range(LISTED, 2 * LISTED)] if form == "%s" else []
    assert ([due(name) for name in answer["names"]], answer["dropped"]) == (
        oldest,
        {"arrivals": len(oldest)} if oldest else {},
    )
    assert Spool(str(folder), 100, 7).waiting() == (8760 - LISTED if oldest else 0)


def test_what_a_cut_of_power_left_unfinished_is_cleared(folder, interpreter, remotes):
    """EXP-6: else each cut would leave a file on flash for ever."""
    (folder / ".001795000860-arrivals-07.new").write_text("{")
    remotes(interpreter.name)("spool", str(folder), PLENTY, 7, [["trim", 0]])
    assert not list(folder.iterdir())


def test_a_folder_that_is_gone_is_an_error_of_put(tmp_path, interpreter, remotes):
    answer = remotes(interpreter.name)
    with_folder = tmp_path / "spool"
    with_folder.mkdir()
    assert answer("spool", str(with_folder), PLENTY, 7, [put(1)])["failures"] == []
    (with_folder / "000000000001-arrivals-00").unlink()
    with_folder.rmdir()
    with_folder.write_text("a file")
    with pytest.raises(NotADirectoryError):
        Spool(str(with_folder), PLENTY, 7).put(1, "arrivals", 0, b"{}")


@pytest.mark.parametrize("instant", range(1, 13))
def test_a_kill_at_any_instant_leaves_the_former_message_or_the_new_one(instant, folder, micropython):
    """SIGKILL before or after each step of put: under the final name there is a whole message or none."""
    Spool(str(folder), PLENTY, 7).put(1, "arrivals", 0, b"former")
    done = micropython.run(
        "-m",
        "tests.support.remote",
        input=f'["die",{instant}]\n["spool","{folder}",{PLENTY},7,[["put",1,0,"newest"]]]\n',
        check=False,
    )
    assert done.returncode == -9
    assert (folder / "000000000001-arrivals-00").read_text() in {"former", "newest"}
    assert not [path for path in folder.iterdir() if path.name[0] != "." and path.name != "000000000001-arrivals-00"]
    Spool(str(folder), PLENTY, 7).trim(0)
    assert [path.name for path in folder.iterdir()] == ["000000000001-arrivals-00"]


def test_the_forwarders_side_lists_the_same_names(folder):
    """One folder, both processes: what the recorder puts is what the forwarder finds, oldest first."""
    spool = Spool(str(folder), PLENTY, 7)
    for second in (30, 10, 20):
        spool.put(second, "arrivals", 0, b"{}")
    assert [due(name) for name in Spool(str(Path(folder)), PLENTY, 7).names()] == [10, 20, 30]
