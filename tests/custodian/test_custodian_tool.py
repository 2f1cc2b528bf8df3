# SPDX-License-Identifier: Apache-2.0
"""oubli-custodian: keys are made, signed for, used and destroyed off the device.

And the fleet's round at day 20 (EXP-3, L34-II-4).
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

import pytest
from nacl import pwhash
from typer.testing import CliRunner

from tests.support.interpreters import PROJECT
from tests.support.keyholder import LIFETIME, TODAY, at
from tools import clock
from tools.custodian import bundles, destruction, segments
from tools.custodian.__main__ import app
from tools.custodian.log import Log
from tools.custodian.store import STEP, Store, StoreError

if TYPE_CHECKING:
    from pathlib import Path

PASSPHRASE = b"correct horse battery"
CHEAP = {"operations": pwhash.argon2id.OPSLIMIT_MIN, "octets": pwhash.argon2id.MEMLIMIT_MIN}
DAY = 86400
STAGE = "tests.support.custodian_stage"
FACTS = {"lifetime": LIFETIME * DAY, "budget": 1 << 20, "sync": 900, "hours": 9, "floor": TODAY * DAY}


@pytest.fixture
def folder(tmp_path):
    Store.make(tmp_path / "store", PASSPHRASE, **CHEAP, now=noon(TODAY))
    return tmp_path / "store"


def noon(day: int) -> datetime:
    return datetime.combine(at(day), time(12), UTC)


def opened(folder: Path, day: int = TODAY, passphrase: bytes | None = PASSPHRASE) -> Store:
    """Open a store at noon of a day; the custodian confirms the date first where the step is a large one."""
    newest = Log(folder / "log").newest()
    if newest is None or noon(day) - newest > STEP:
        Store.confirm(folder, at(day), noon(day))
    return Store(folder, passphrase, noon(day))


def destroyed(folder: Path, day: int) -> list[tuple[str, date]]:
    """Run destroy-due at noon of a day, as cron does: without the passphrase."""
    done = destruction.destroy_due(opened(folder, day, None))
    assert done.wrong == []
    return done.keys


def acts(folder: Path) -> list[str]:
    return [json.loads(line)["act"] for line in (folder / "log").read_text().splitlines()]


class Command:
    """Run a command as people do, at noon of `day`."""

    day = TODAY

    def __call__(self, folder: Path, *words: object) -> tuple[int, str, str]:
        (folder.parent / "secret").write_bytes(PASSPHRASE + b"\n")
        (folder.parent / "secret").chmod(0o600)
        line = [str(words[0]), "--store", str(folder), *map(str, words[1:])]
        if words[0] not in ("destroy-due", "confirm-date"):
            line += ["--passphrase-file", str(folder.parent / "secret")]
        done = CliRunner().invoke(app, line)
        return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def command(monkeypatch):
    made = Command()
    monkeypatch.setattr(clock, "now", lambda: noon(made.day))
    return made


def test_a_key_is_made_once_and_destroyed_on_its_date(folder):
    """Overlapping bundles share a day's key.

    Destroy-due destroys what is due and no more, and the log tells each act.
    """
    verify_key = opened(folder).signing.verify_key
    one = bundles.read(opened(folder).bundle(at(TODAY), 35, {"attribution": LIFETIME}), verify_key)
    other = bundles.read(opened(folder, TODAY + 20).bundle(at(TODAY + 20), 35, {"attribution": LIFETIME}), verify_key)
    assert one[1][20:] == other[1][:15]
    assert destroyed(folder, TODAY + LIFETIME - 1) == []
    assert destroyed(folder, TODAY + LIFETIME) == [("attribution", at(TODAY))]
    store = opened(folder, TODAY + LIFETIME)
    assert store.key("attribution", at(TODAY)) is None
    assert store.key("attribution", at(TODAY + 1)) is not None
    assert not (folder / "keys/attribution/2026-11-23.json").exists()
    assert acts(folder) == [
        "new", "bundle", "confirm-date", "bundle", "confirm-date", "destroy-due", "destroy", "destroyed", "destroy-due",
    ]  # fmt: skip
    assert store.verify() == []
    assert opened(folder, TODAY + LIFETIME + 1).verify() == [
        "attribution 2026-11-24: is due since 2026-12-24: run destroy-due"
    ]


def test_a_destruction_that_was_cut_off_is_finished_and_damage_keeps_no_other_key(folder, command):
    """EXP-3: power lost while a key was overwritten.

    A file that isn't a key any more: what is due goes all the same.
    """
    opened(folder).bundle(at(TODAY), 4, {"billing": 2})
    paths = [folder / f"keys/billing/{at(TODAY + day)}.json" for day in range(4)]
    size = paths[0].stat().st_size
    paths[0].write_bytes(b"\0" * 40 + b"\xff" * (size - 40))
    paths[1].write_bytes(b"{" + bytes(size - 1))
    assert "destroy-due where it was overwritten" in command(folder, "verify", "--json", "-")[1]
    code, out, said = command(folder, "destroy-due")
    assert (code, out, said.count("\n")) == (2, f"billing {at(TODAY)}\n1 keys destroyed\n", 1)
    assert f"{paths[1]}: damaged, when it is due isn't known, {at(TODAY + 1 + 365)} at the latest" in said
    assert [path.exists() for path in paths] == [False, True, True, True]
    assert destruction.destroy_due(opened(folder, TODAY + 6, None)).keys == [
        ("billing", at(TODAY + day)) for day in (2, 3)
    ]
    assert destroyed(folder, TODAY + 1 + 365) == [("billing", at(TODAY + 1))]  # a ceiling bounds what no date says
    assert opened(folder, TODAY + 1 + 365).verify() == []


def test_destroying_needs_no_passphrase(folder):
    opened(folder).bundle(at(TODAY), 3, {"billing": 2})
    assert destroyed(folder, TODAY + 6) == [("billing", at(TODAY + day)) for day in range(3)]


def test_keys_lie_sealed_and_only_the_passphrase_opens_them(folder):
    store = opened(folder)
    store.bundle(at(TODAY), 3, {"attribution": LIFETIME})
    key = store.key("attribution", at(TODAY))
    assert key is not None
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for secret in (bytes(key), bytes(store.signing)):
        assert secret not in everything
        assert secret.hex().encode() not in everything
    assert {path.stat().st_mode & 0o077 for path in folder.rglob("*") if path.is_file()} == {0}
    with pytest.raises(StoreError, match="passphrase"):
        opened(folder, passphrase=b"another passphrase")


@pytest.mark.parametrize(
    ("first", "days", "lifetimes"),
    [
        (0, 37, {"attribution": 30}),
        (-1, 3, {"attribution": 30}),
        (34, 3, {"attribution": 30}),
        (0, 3, {"attribution": 366}),
        (0, 3, {"billing": 0}),
    ],
)
def test_no_bundle_is_signed_that_a_gateway_must_refuse(first, days, lifetimes, folder):
    with pytest.raises(StoreError):
        opened(folder).bundle(at(TODAY + first), days, lifetimes)
    assert opened(folder).held() == []


def test_a_changed_log_and_a_changed_key_are_found(folder):
    opened(folder).bundle(at(TODAY), 2, {"attribution": LIFETIME})
    destroyed(folder, TODAY + LIFETIME)
    log = folder / "log"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join([lines[0], *lines[2:]]))
    assert opened(folder, TODAY + LIFETIME).verify() == ["log line 2: doesn't follow the line before"]
    log.write_text("".join(lines))
    kept, other = folder / "keys/attribution/2026-11-24.json", folder / "keys/attribution/2026-11-23.json"
    other.write_bytes(kept.read_bytes())
    assert "attribution 2026-11-23: is called destroyed and is there" in opened(folder, TODAY + LIFETIME).verify()
    other.unlink()
    begun = f"{log}: doesn't begin with the making of this store: it was emptied, or is another's"
    for text in ("", lines[0].replace('"key": "', '"key": "00')):  # emptied, and its register with it; another store's
        log.write_text(text)
        Store.confirm(folder, at(TODAY + LIFETIME), noon(TODAY + LIFETIME))
        assert begun in opened(folder, TODAY + LIFETIME).verify()


def test_the_command_from_new_to_open(folder, tmp_path, remotes, command):
    """Each verb once: what a gateway sealed is opened, what was destroyed is not, and mistakes are one line."""
    store = opened(folder)
    today = store.today
    assert command(folder, "bundle", "--out", tmp_path / "b", "--lifetime", "attribution=30", "--days", 3)[0] == 0
    assert command(folder, "verify", tmp_path / "b")[0] == 0
    gateway = Gateway(tmp_path / "gateway", remotes("cpython", STAGE), store)
    assert gateway.install(tmp_path / "b", (today - segments.EPOCH).days).startswith("keys for attribution")
    gateway.keep((today - segments.EPOCH).days, b"a", b"bc")
    (file,) = gateway.segments()
    code, out, _ = command(folder, "open", file, "--json", "-")
    (said,) = json.loads(out)["segments"]
    assert (code, said["records"], said["wrong"]) == (0, 2, "")
    assert "6263" not in out  # no record is shown without a request
    assert command(folder, "open", file) == (0, f"{file.name}: attribution of {today}, 2 records\n", "")
    assert destroyed(folder, TODAY + 30) == [("attribution", today)]
    command.day = TODAY + 30
    code, out, _ = command(folder, "verify", file, "--json", "-")
    assert code == 1
    assert [row["wrong"] for row in json.loads(out)["checked"]] == [
        "",
        f"its key is destroyed, or due to be since {today + timedelta(30)}",
    ]
    assert command(folder, "destroy-due", "--json", "-")[:2] == (0, '{"destroyed": []}\n')
    assert acts(folder) == [
        "new", "bundle", "open", "open", "confirm-date", "destroy", "destroyed", "destroy-due", "destroy-due",
    ]  # fmt: skip
    code, out, _ = command(tmp_path / "other", "new")
    assert (code, out) == (0, (tmp_path / "other/signing.pub").read_text())


@pytest.mark.parametrize(
    ("words", "accepted"),
    [
        (
            ("bundle", "--out", "/nowhere/b", "--lifetime", "attribution=30"),
            "/nowhere/b: can't be written (No such file or directory); accepted: a file",
        ),
        (("bundle", "--out", "b", "--lifetime", "security=1"), "accepted: PURPOSE=DAYS, of attribution, billing"),
        (("bundle", "--out", "b", "--lifetime", "attribution=30", "--from", "soon"), "accepted: a date such as"),
        (("bundle", "--out", "b", "--lifetime", "attribution=999"), "accepted: 1 to 365"),
        (("open", "pyproject.toml"), "accepted: files of a gateway's store"),
        (("open", "nothing"), "accepted: a file or folder that can be used"),
        (("new",), "accepted: a new folder"),
        (("opens",), "accepted: what oubli-custodian --help says"),
        (("confirm-date", "soon"), "DATE: 'soon'; accepted: a date such as"),
        (
            ("confirm-date", "2028-11-23"),
            "this machine's clock says 2026-11-23; accepted: that date, or set the clock first",
        ),
    ],
)
def test_bad_input_is_one_line(words, accepted, folder, command):
    code, out, complaint = command(folder, *words)
    assert (code, out, complaint.count("\n")) == (2, "", 1)
    assert accepted in complaint
    assert complaint.startswith("oubli-custodian: ")


class Gateway:
    """One gateway of a fleet: its folder, and the store that runs there while it is asked."""

    def __init__(self, root: Path, ask, store: Store) -> None:
        self.root, self.ask = root, ask
        root.mkdir()
        (root / "custodian.pub").write_text((store.folder / "signing.pub").read_text())

    def install(self, file: Path, today: int) -> str:
        return self.ask("installed", str(file), str(self.root), {"attribution": LIFETIME * DAY}, today)

    def keep(self, day: int, *records: bytes) -> str:
        """Keep records at noon of a day and stop; returns what became of them."""
        noon = day * DAY + 43200
        self.ask("opened", str(self.root), f"{day:032x}", FACTS)
        self.ask("tick", noon * 10**9, 10**12, True)
        results = self.ask("append", [[noon, record.hex()] for record in records])["results"]
        self.ask("close")
        (result,) = set(results)
        return result

    def segments(self) -> list[Path]:
        return sorted((self.root / "flash/attribution").iterdir())


@pytest.mark.long
def test_a_fleet_of_twenty_gateways_is_renewed_at_day_twenty_and_forgets_as_one(folder, tmp_path, remotes):
    """The README's procedure: a bundle for all, a loop at day 20; one gateway is missed and stops.

    All forget when keys are destroyed.
    """
    ask = remotes("cpython", STAGE)
    store = opened(folder)
    fleet = [Gateway(tmp_path / f"gw{number}", ask, store) for number in range(20)]
    file = tmp_path / "bundle"
    copies: set[bytes] = set()

    def renew(begin: int, *missed: int) -> None:
        file.write_bytes(opened(folder, TODAY + begin).bundle(at(TODAY + begin), 35, {"attribution": LIFETIME}))
        for number, gateway in enumerate(fleet):
            if number not in missed:
                assert gateway.install(file, TODAY + begin).startswith("keys for attribution")
        for number, gateway in enumerate(fleet):
            assert gateway.keep(TODAY + begin, f"{number} {begin}".encode()) == (
                "lost" if begin == 40 and number in missed else "kept"
            )
            copies.update(path.read_bytes() for path in gateway.segments())

    def readable(day: int) -> set[bytes]:
        """Return when the records are from that a thief of all flash opens with the custodian's keys of that day."""
        destroyed(folder, day)
        found = set()
        for data in copies:
            segment = segments.read(data)
            key = opened(folder, day).key(segment.purpose, segment.day)
            found |= {record.split()[1] for record in segment.records(key)} if key else set()
        return found

    renew(0)
    renew(20, 7)
    assert readable(TODAY + LIFETIME - 1) == {b"0", b"20"}
    assert readable(TODAY + LIFETIME) == {b"20"}
    renew(40, 7)
    assert fleet[7].ask("found", str(fleet[7].root), "attribution", [TODAY + 34], LIFETIME * DAY)["left"] == 1
    assert readable(TODAY + 20 + LIFETIME - 1) == {b"20", b"40"}
    assert readable(TODAY + 20 + LIFETIME) == {b"40"}
    assert readable(TODAY + 40 + LIFETIME) == set()


@pytest.mark.long
def test_what_is_no_text_or_no_file_is_refused_in_one_line_before_anything_is_made(folder, tmp_path):
    """A passphrase, a register and a bundle's place: exit 2, no key made, nothing left beside."""
    (tmp_path / "binary").write_bytes(b"\x7f\xff")
    (tmp_path / "binary").chmod(0o600)
    place, binary, deep = tmp_path / "place", tmp_path / "binary", tmp_path / "deep"
    deep.write_text("[" * 100_000)
    place.mkdir()
    tool = [sys.executable, "-m", "tools.custodian"]
    for words, line in (
        (
            ["new", "--store", tmp_path / "new", "--passphrase-file", "/dev/zero"],
            "--passphrase-file: /dev/zero: can't be read (File too large); accepted: a file",
        ),
        (
            ["request", "sign", "/dev/zero", "--key", binary],
            "/dev/zero: can't be read (File too large); accepted: a request",
        ),
        (["register", "--store", place], f"{place}: not a key store; accepted: what oubli-custodian new made"),
        (
            ["new", "--store", tmp_path / "new", "--passphrase-file", binary],
            f"--passphrase-file: {binary}: byte 1: not UTF-8; accepted: a file of text",
        ),
        (
            ["bundle", "--store", folder, "--out", place, "--lifetime", "billing=2"],
            f"--out: {place}: can't be written (Is a directory); accepted: a file",
        ),
    ):
        done = subprocess.run(
            [*tool, *map(str, words)],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"oubli-custodian: {line}\n")
    assert {path.name for path in tmp_path.iterdir()} == {"binary", "deep", "place", "store"}
    assert not list(folder.glob("keys/*/*"))
