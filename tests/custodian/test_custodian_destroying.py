# SPDX-License-Identifier: Apache-2.0
"""`oubli-custodian` under what happens to a folder on a disk.

Odd files, wrong clocks, full disks, cuts of power, two at once (EXP-3).
"""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from tests.custodian.test_answers import MAC, SIGNED, TEN, connection, gateway, give_keys
from tests.custodian.test_custodian_tool import CHEAP, PASSPHRASE, acts, command, destroyed, folder, noon, opened
from tests.purposes.test_requests import AGENTS
from tests.support.interpreters import PROJECT
from tests.support.keyholder import TODAY, at
from tools import clock, disk
from tools.custodian import destruction, register
from tools.custodian.__main__ import app
from tools.custodian.handovers import HandoverError
from tools.custodian.log import Log
from tools.custodian.staged import Staged
from tools.custodian.store import Store, StoreError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command", "folder", "gateway"]  # fixtures
BILLING = {"billing": 2}  # days


def key_path(folder: Path, day: int) -> Path:
    return folder / f"keys/billing/{at(day)}.json"


def test_odd_files_keep_no_key_from_being_destroyed(folder, command):
    """A Mac's `._` file, a synchroniser's copy, a folder, a link: each is named, and every due key goes, copies too."""
    opened(folder).bundle(at(TODAY), 4, BILLING)
    keys = folder / "keys/billing"
    (keys / f"._{at(TODAY)}.json").write_bytes(b"\0\5\26\7" + bytes(range(200)))
    copy = keys / f"{at(TODAY)} (conflicted copy).json"
    copy.write_bytes(key_path(folder, TODAY).read_bytes())
    late_copy = keys / f"{at(TODAY + 3)} (conflicted copy).json"
    late_copy.write_bytes(key_path(folder, TODAY + 3).read_bytes())
    key_path(folder, TODAY + 9).mkdir()
    key_path(folder, TODAY + 8).symlink_to(key_path(folder, TODAY + 3))
    (folder / "keys/__MACOSX").mkdir()
    (keys / "2026-13-45.json").write_text("{}")
    (keys / "9999-12-31.json").write_text("{}")  # no date is a lifetime after it
    command.day = TODAY + 4
    code, out, said = command(folder, "destroy-due")
    assert (code, out.splitlines()) == (2, [f"billing {at(TODAY + day)}" for day in range(3)] + ["3 keys destroyed"])
    assert said.count("\n") == 1
    for name in (
        "._2026-11-23.json",
        late_copy.name,
        str(at(TODAY + 9)),
        str(at(TODAY + 8)),
        "__MACOSX",
        "2026-13-45.json",
        "9999-12-31 at the latest",
    ):
        assert name in said
    assert not copy.exists()
    assert key_path(folder, TODAY + 3).exists()  # not due, and a link to it harms it not
    assert command(folder, "verify", "--json", "-")[1].count("not a key") == 6
    command.day = TODAY + 5
    assert command(folder, "destroy-due")[1] == f"billing {at(TODAY + 3)}\n1 keys destroyed\n"
    assert not late_copy.exists()


FAULT = """
set -e
mount -t tmpfs -o size=256k,nr_inodes=64 none "$1/disk"
"$2" -m tests.custodian.test_custodian_destroying made "$1/disk/store"
{fault}
"$2" -m tests.custodian.test_custodian_destroying due "$1/disk/store" && exit 1
{repair}
"$2" -m tests.custodian.test_custodian_destroying due "$1/disk/store"
"$2" -m tests.custodian.test_custodian_destroying log "$1/disk/store"
"""


@pytest.mark.long
@pytest.mark.parametrize("name", ["a key that can't be read", "full at a block's edge"])
def test_a_disk_that_fails_keeps_no_other_key_from_being_destroyed(name, tmp_path):
    """EIO in one key (or EACCES).

    ENOSPC where the log's next octet needs a block: destroying needs none, the log is made good later.
    """
    first = "$1/disk/store/keys/billing/2026-11-23.json"
    fault, repair, gone = {
        "a key that can't be read": (
            f'mount --bind /proc/1/mem "{first}"',
            f'umount "{first}"',
            "2026-11-24 2026-11-25",
        ),
        "full at a block's edge": (
            # the log is made to end with its block, then everything that is left is taken
            (
                '"$2" -m tests.custodian.test_custodian_destroying fill "$1/disk/store"; '
                'cat /dev/zero > "$1/disk/rest" 2> /dev/null || true'
            ),
            'rm "$1/disk/rest"',
            "2026-11-23 2026-11-24 2026-11-25",
        ),
    }[name]
    (tmp_path / "disk").mkdir()
    script = FAULT.format(fault=fault, repair=repair)
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(tmp_path), sys.executable],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first_run, second_run, log = done.stdout.splitlines()
    assert first_run.startswith(f"gone {gone} wrong ")
    assert f"store/{'log: No space left' if name.startswith('full') else 'keys/billing/2026-11-23.json: '}" in first_run
    assert second_run.endswith("wrong 0")
    assert log == "destroyed 2026-11-23 2026-11-24 2026-11-25 whole"


def _part(verb: str, folder: Path) -> int:
    """Do a part of FAULT, in its mounts."""
    if verb == "made":
        Store.make(folder, PASSPHRASE, **CHEAP, now=noon(TODAY))
        Store(folder, PASSPHRASE, noon(TODAY)).bundle(at(TODAY), 4, BILLING)
    elif verb == "fill":
        room = -((folder / "log").stat().st_size + 147) % 4096
        Log(folder / "log").append(noon(TODAY), "fill", with_="x" * room)
        Log(folder / "log").append(noon(TODAY), "edge", with_="x" * (-((folder / "log").stat().st_size + 146) % 4096))
    elif verb == "due":
        done = destruction.destroy_due(Store(folder, None, noon(TODAY + 4)))
        there = (
            {path.stem for path in (folder / "keys/billing").iterdir() if path.read_bytes().strip(b"\0")}
            if not done.wrong
            else set()
        )
        print("gone", *(day for _, day in done.keys), "wrong", len(done.wrong), *done.wrong)
        return bool(done.wrong or there - {str(at(TODAY + 3))})
    else:
        entries = Log(folder / "log").entries()
        print(
            "destroyed",
            *sorted(one["day"] for one in entries if one["act"] == "destroyed"),
            *(Log(folder / "log").wrong() or ["whole"]),
        )
    return 0


def test_a_clock_that_is_wrong_destroys_nothing_and_asks(folder, command):
    """A dead battery, a typing error: two years on nothing is destroyed, made or opened, until the date is typed.

    Then all is.
    """
    opened(folder).bundle(at(TODAY), 3, BILLING)
    command.day = TODAY + 730
    for words in (
        ("destroy-due",),
        ("verify",),
        ("bundle", "--out", folder / "b", "--lifetime", "billing=2"),
        ("open", "nothing"),
    ):
        code, out, said = command(folder, *words)
        assert (code, out) == (2, "")
        assert said == (
            "oubli-custodian: the clock says 2028-11-22, and the log's newest entry is of 2026-11-23; "
            "accepted: oubli-custodian confirm-date 2028-11-22, if that is today's date\n"
        )
    assert command(folder, "confirm-date", "2026-11-27")[0] == 2
    assert len(list(folder.glob("keys/*/*"))) == 3
    assert command(folder, "confirm-date", "2028-11-22")[:2] == (0, "the date is 2028-11-22\n")
    assert command(folder, "destroy-due")[1].endswith("3 keys destroyed\n")


def test_a_clock_that_went_back_keeps_no_key_alive(folder, command):
    """What the log's newest time makes due is due, whatever the clock says.

    Only destroying goes on, and says that the clock is behind.
    """
    opened(folder).bundle(at(TODAY), 3, BILLING)
    assert destroyed(folder, TODAY + 1) == []
    key_path(folder, TODAY).write_bytes(
        key_path(folder, TODAY).read_bytes().replace(str(at(TODAY + 2)).encode(), str(at(TODAY + 1)).encode())
    )
    command.day = TODAY - 7000
    code, out, said = command(folder, "destroy-due")
    assert (code, out) == (2, f"billing {at(TODAY)}\n1 keys destroyed\n")
    assert "the clock says 2007-09-24 12:00, before the log's newest entry of 2026-11-24 12:00" in said
    assert Log(folder / "log").newest() == noon(TODAY + 1)
    for words in (("verify",), ("open", "nothing")):
        assert command(folder, *words)[:2] == (2, "")


def test_a_clock_is_followed_day_by_day_also_while_nothing_is_due(folder, command):
    """A year without a due key: each run leaves its time, so that no day asks; an empty or lost log asks."""
    opened(folder).bundle(at(TODAY), 1, {"billing": 365})
    for day in range(1, 30, 6):
        command.day = TODAY + day
        assert command(folder, "destroy-due") == (0, "0 keys destroyed\n", "")
    (folder / "log").write_bytes(b"")
    assert "no time in it bounds the clock" in command(folder, "destroy-due")[2]
    (folder / "log").unlink()
    assert "no time in it bounds the clock" in command(folder, "destroy-due")[2]
    assert command(folder, "confirm-date", str(at(command.day)))[0] == 0
    assert command(folder, "destroy-due") == (0, "0 keys destroyed\n", "")


def test_an_overdue_key_opens_nothing_though_nobody_destroyed_it(folder):
    """EXP-3: cron was broken for a day; the date decides, not the file."""
    opened(folder).bundle(at(TODAY), 3, BILLING)
    assert opened(folder, TODAY + 1).key("billing", at(TODAY)) is not None
    assert opened(folder, TODAY + 2).key("billing", at(TODAY)) is None
    assert key_path(folder, TODAY).exists()


@pytest.mark.long
def test_eight_at_once_leave_one_chain(folder):
    """destroy-due from cron, by hand and by a script: each key is destroyed once, and the log is one chain."""
    opened(folder).bundle(at(TODAY), 30, BILLING)
    line = [sys.executable, "-c", (
        "from pathlib import Path; from tests.custodian.test_custodian_tool import noon, TODAY; from "
        "tools.custodian.destruction import destroy_due; from tools.custodian.store import Store; "
        f"print(len(destroy_due(Store(Path({str(folder)!r}), None, noon(TODAY + 7))).keys))"
    )]  # fmt: skip
    running = [subprocess.Popen(line, cwd=PROJECT, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    assert sum(int(one.communicate()[0]) for one in running) == 6
    entries = Log(folder / "log").entries()
    assert sorted(one["day"] for one in entries if one["act"] == "destroyed") == [
        str(at(TODAY + day)) for day in range(6)
    ]
    assert Log(folder / "log").wrong() == []


def test_who_waits_for_the_store_waits_a_bounded_time(folder, monkeypatch):
    monkeypatch.setattr("tools.custodian.log.LONGEST", 0.1)
    with Log(folder / "log").alone(), pytest.raises(StoreError, match="another command has used it"):
        opened(folder).bundle(at(TODAY), 1, BILLING)


def test_short_writes_are_gone_on_with(folder, monkeypatch):
    """write(2) may write less than it was given."""
    whole = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: whole(descriptor, bytes(data)[:7]))
    opened(folder).bundle(at(TODAY), 3, BILLING)
    assert destroyed(folder, TODAY + 3) == [("billing", at(TODAY)), ("billing", at(TODAY + 1))]
    assert opened(folder, TODAY + 3).verify() == []


def test_a_line_that_fails_half_written_is_taken_back(folder):
    """A real short write: the log may grow by 40 octets only."""
    before = (folder / "log").read_bytes()
    with room(len(before) + 40), pytest.raises(OSError, match="too large"):
        opened(folder).note("open")
    assert (folder / "log").read_bytes() == before
    opened(folder).note("open")
    assert Log(folder / "log").wrong() == []


@pytest.mark.parametrize("left", [0, 1, 40, -1])
def test_a_line_that_a_loss_of_power_cut_off_is_mended(left, folder):
    """What is there of it stays, and the chain goes over it; a line changed afterwards is found all the same."""
    opened(folder).note("open", files=["2026-11-23-0001"])
    data = (folder / "log").read_bytes()
    start = data[:-1].rindex(b"\n") + 1
    (folder / "log").write_bytes(data[: start + left if left >= 0 else left])
    opened(folder).note("open", files=["2026-11-23-0002"])
    assert Log(folder / "log").wrong() == []
    assert (
        acts(folder) == ["new", "open", "open"]
        if left == -1
        else [one["act"] for one in Log(folder / "log").entries()][-1] == "open"
    )
    if left > 0:
        text = (folder / "log").read_bytes()
        (folder / "log").write_bytes(text[:start] + b"x" + text[start + 1 :])
        assert Log(folder / "log").wrong() != []


def test_a_key_that_a_loss_of_power_cut_off_is_made_again_or_removed(folder, monkeypatch):
    """A key has its name once it is whole: the next bundle makes it, and destroy-due removes what was left."""
    rename = type(folder).rename

    def cut(path: Path, target: Path) -> Path:
        if path.name.startswith(f".{at(TODAY + 1)}"):
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(type(folder), "rename", cut)
        with pytest.raises(KeyboardInterrupt):
            opened(folder).bundle(at(TODAY), 3, BILLING)
    left = folder / f"keys/billing/.{at(TODAY + 1)}.json.new"
    left.write_bytes(left.read_bytes()[:50])
    opened(folder).bundle(at(TODAY), 3, BILLING)
    assert not left.exists()
    left.write_bytes(b"{")
    assert destroyed(folder, TODAY) == []
    assert not left.exists()
    store = opened(folder)
    assert [day for _, day, _ in store.held()] == [at(TODAY + day) for day in range(3)]
    assert opened(folder).verify() == []


def test_a_destruction_that_was_begun_is_finished_whatever_the_file_says(folder):
    """Power was lost within a sector: neither the key nor what overwrites it can be made out.

    The log knows that it was begun.
    """
    opened(folder).bundle(at(TODAY), 2, BILLING)
    Log(folder / "log").append(noon(TODAY), "destroy", purpose="billing", day=str(at(TODAY)), due=str(at(TODAY)))
    key_path(folder, TODAY).write_bytes(b"\xff" * 20 + key_path(folder, TODAY).read_bytes()[20:])
    assert destroyed(folder, TODAY) == [("billing", at(TODAY))]


def test_a_file_that_can_not_be_overwritten_is_cut_to_nothing(folder, monkeypatch):
    """On a file system that copies what is written, overwriting may need a block and find none."""
    opened(folder).bundle(at(TODAY), 2, BILLING)
    whole, fails = disk.write, [b"\xff"]

    def full(descriptor: int, data: bytes) -> None:
        if data[:1] in fails:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(descriptor, data)

    monkeypatch.setattr(disk, "write", full)
    done = destruction.destroy_due(opened(folder, TODAY + 2, None))
    assert done.keys == [("billing", at(TODAY))]
    assert done.wrong == [f"{key_path(folder, TODAY)}: No space left on device; accepted: a file that can be used"]
    assert not key_path(folder, TODAY).exists()


def test_a_folder_that_lets_nothing_go_keeps_no_other_key_from_being_destroyed(folder, monkeypatch):
    """Each key is overwritten, and its name that stays is told of."""
    opened(folder).bundle(at(TODAY), 3, BILLING)

    def refused(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "unlink", refused)
    done = destruction.destroy_due(opened(folder, TODAY + 4, None))
    assert done.keys == [("billing", at(TODAY + day)) for day in range(3)]
    assert len(done.wrong) == 3
    assert all(not key_path(folder, TODAY + day).read_bytes().strip(b"\0") for day in range(3))


def test_a_log_that_can_only_be_read_keeps_no_key_from_being_destroyed(folder, monkeypatch):
    """That is told of once; any other command refuses first."""
    opened(folder).bundle(at(TODAY), 3, BILLING)
    before, whole = (folder / "log").read_bytes(), os.open

    def read_only(path: str | Path, flags: int, mode: int = 0o777, **options: int) -> int:
        if Path(path) == folder / "log" and flags & (os.O_RDWR | os.O_WRONLY):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return whole(path, flags, mode, **options)

    monkeypatch.setattr(os, "open", read_only)
    done = destruction.destroy_due(opened(folder, TODAY + 2, None))
    assert done.keys == [("billing", at(TODAY))]
    assert done.wrong == [f"{folder / 'log'}: Permission denied; accepted: a file that can be used"]
    assert (folder / "log").read_bytes() == before
    with pytest.raises(PermissionError):
        opened(folder).bundle(at(TODAY + 3), 1, BILLING)


class room:  # noqa: N801 (reads as what it is)
    """No file of this process may grow beyond so many octets meanwhile: writes are short, then fail with EFBIG."""

    def __init__(self, octets: int) -> None:
        self.octets = octets

    def __enter__(self) -> None:
        self.before, self.caches = resource.getrlimit(resource.RLIMIT_FSIZE), sys.dont_write_bytecode
        sys.dont_write_bytecode = True  # what is imported meanwhile leaves no half of a compiled module
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.octets, self.before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)
        sys.dont_write_bytecode = self.caches


@pytest.fixture
def answering(gateway, tmp_path, monkeypatch):
    """A handover, a store, and the command that answers; its register has entries enough to be the largest file."""
    gateway.keep(connection(20012, TEN + 60, TEN + 70, MAC))
    handover = gateway.hand_over(SIGNED)
    now = datetime.fromisoformat("2027-01-17T12:00:00+00:00")
    monkeypatch.setattr(clock, "now", lambda: now)
    Store.make(tmp_path / "keys", PASSPHRASE, **CHEAP, now=now)
    give_keys(gateway, tmp_path / "keys", PASSPHRASE)
    (tmp_path / "secret").write_bytes(PASSPHRASE + b"\n")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "agents").write_text(AGENTS.file(0, 1))
    (tmp_path / "gateways").write_text("".join(f"{key.hex()} {name}\n" for key, name in gateway.gateways.items()))
    path, before, log = tmp_path / "keys" / register.NAME, "", Log(tmp_path / "keys/log")
    with path.open("w") as file:
        for _ in range(40):
            line = json.dumps(dict.fromkeys(register.COLUMNS, "x" * 40) | {"previous": before})
            before = register.head(line)
            file.write(f"{line}\n")
            log.append(now, "entered", entry=before)

    def run(handover: Path = handover, **other: str):
        words = {"store": "keys", "agents": "agents", "gateways": "gateways", "out": "answer"} | other
        line = [part for name, value in words.items() for part in (f"--{name}", f"{tmp_path}/{value}")]
        return CliRunner().invoke(app, ["answer", str(handover), *line, "--passphrase-file", f"{tmp_path}/secret"])

    return run


def test_no_answer_is_there_that_the_register_does_not_have(answering, tmp_path):
    """L34-II-4: the register is full half-way through the entry.

    Nothing is answered, nothing of it stays, and the next try answers.
    """
    before = (tmp_path / "keys/register").read_bytes()
    for octets in (60, 600, 2500):  # nor of one that has no room for all of its files
        with room(octets):
            assert (answering().exit_code, [path for path in tmp_path.iterdir() if "answer" in path.name]) == (2, [])
    with room(len(before) + 100):
        done = answering()
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "nothing is answered" in done.stderr
    assert (tmp_path / "keys/register").read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if "answer" in path.name]
    assert answering().exit_code == 0
    assert {path.name for path in (tmp_path / "answer").iterdir()} == {
        "answer.csv",
        "answer.json",
        "couverture.html",
        "manifest.json",
        "manifest.sig",
    }


def test_an_answer_is_given_again_as_the_same_octets_only(answering, tmp_path, gateway):
    """L34-II-4: the folder was lost, and the handover comes again.

    Another one of the same number, or with less in it, is refused.
    """
    assert answering().exit_code == 0
    first = {path.name: path.read_bytes() for path in (tmp_path / "answer").iterdir()}
    before = (tmp_path / "keys/register").read_bytes()
    clock_later = clock.now() + timedelta(days=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now", lambda: clock_later)
        done = answering(out="again")
        assert done.exit_code == 0, done.stderr
        assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == first
        gateway.keep(connection(20012, TEN + 80, TEN + 90, MAC))
        other = gateway.hand_over(SIGNED)
        done = answering(other, out="other")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "answered before, and not as this" in done.stderr
    assert not [path for path in tmp_path.iterdir() if "other" in path.name]
    assert (tmp_path / "keys/register").read_bytes() == before
    assert [one["act"] for one in Store(tmp_path / "keys", None).log.entries()][-1] == "again"


def test_a_register_that_was_made_anew_shows_in_an_answer_that_somebody_has(answering, tmp_path):
    """L34-II-4: a log that was emptied answers nothing.

    Where log and register were cut alike, `verify` has the answer's word.
    """

    def verified() -> list[str]:
        words = [
            "--store",
            f"{tmp_path}/keys",
            f"{tmp_path}/answer/manifest.json",
            "--passphrase-file",
            f"{tmp_path}/secret",
        ]
        return [
            row["wrong"]
            for row in json.loads(CliRunner().invoke(app, ["verify", *words, "--json", "-"]).stdout)["checked"]
        ]

    log, kept, manifest = (tmp_path / name for name in ("keys/log", "keys/register", "answer/manifest.json"))
    assert answering().exit_code == 0
    assert verified() == ["", ""]
    lines = log.read_text().splitlines(keepends=True)
    kept.unlink()
    log.write_text(lines[0])
    assert verified() == ["", "the register doesn't have its entry: register and log were cut, or made anew"]
    log.write_text("")
    Store.confirm(tmp_path / "keys", clock.now().date())
    done = answering(out="again")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "doesn't begin with the making of this store" in done.stderr
    manifest.write_text(manifest.read_text().replace("held", "nothing held"))
    assert "this store hasn't signed it, or it was changed since" in verified()


def test_an_answer_that_was_entered_when_power_was_lost_gets_its_name(answering, tmp_path, monkeypatch):
    """The entry is synced before the answer has its name; the same command goes on there, once."""
    with monkeypatch.context() as patch:
        patch.setattr(Staged, "publish", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        assert answering().exit_code != 0
    assert not (tmp_path / "answer").exists()
    done = answering()
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path}/answer: was made and entered before, and is there now\n")
    assert (tmp_path / "answer/manifest.sig").exists()
    assert answering().exit_code == 2
    assert [entry["kind"] for entry in register.entries(Store(tmp_path / "keys", None))][40:] == ["answer"]


@pytest.mark.parametrize("left", [1, 9, 60, -1])
def test_an_entry_that_a_loss_of_power_cut_off_keeps_no_later_one_out(left, answering, tmp_path):
    """No answer was given its name before its entry was synced: what is cut off belongs to none."""
    path, store = tmp_path / "keys/register", Store(tmp_path / "keys", None)
    lines = path.read_text().splitlines()
    line = json.dumps(json.loads(lines[0]) | {"previous": register.head(lines[-1])})
    store.note("answer", register=register.head(line))
    path.write_text(path.read_text() + (line[:left] if left > 0 else line))
    assert len(register.entries(store)) == (40 if left > 0 else 41)
    assert answering().exit_code == 0
    assert len(register.entries(store)) == (41 if left > 0 else 42)
    path.write_text(path.read_text() + "no entry")
    with pytest.raises(HandoverError, match="isn't an entry"):
        register.entries(store)


def test_an_expired_request_stays_so_when_the_clock_goes_back(answering, tmp_path, monkeypatch):
    """L34-II-4: the log's newest time is later than the request's end; the clock was set two hours back."""
    late = datetime.fromisoformat("2027-06-01T12:00:00+00:00")
    Store.confirm(tmp_path / "keys", late.date(), late)
    monkeypatch.setattr(clock, "now", lambda: late - timedelta(minutes=50))
    assert "it has expired" in answering().stderr
    monkeypatch.setattr(clock, "now", lambda: late - timedelta(hours=2))
    assert "before the log's newest entry" in answering().stderr
    assert not (tmp_path / "answer").exists()


if __name__ == "__main__":
    from pathlib import Path

    sys.exit(_part(sys.argv[1], Path(sys.argv[2])))
