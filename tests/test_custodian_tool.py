# SPDX-License-Identifier: Apache-2.0
"""oubli-custodian: keys are made, signed for, used and destroyed off the device; and the fleet's round at day 20 (EXP-3, L34-II-4)."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from nacl import pwhash

from tests.interpreters import PROJECT
from tests.keyholder import LIFETIME, TODAY, at
from tools.custodian import bundles, segments
from tools.custodian.store import Store, StoreError

if TYPE_CHECKING:
    from pathlib import Path

PASSPHRASE = b"correct horse battery"
CHEAP = {"operations": pwhash.argon2id.OPSLIMIT_MIN, "octets": pwhash.argon2id.MEMLIMIT_MIN}
DAY = 86400
STAGE = "tests.custodian_stage"
FACTS = {"lifetime": LIFETIME * DAY, "budget": 1 << 20, "sync": 900, "hours": 9, "floor": TODAY * DAY}


@pytest.fixture
def folder(tmp_path):
    Store.make(tmp_path / "store", PASSPHRASE, **CHEAP)
    return tmp_path / "store"


def opened(folder: Path, day: int = TODAY) -> Store:
    return Store(folder, PASSPHRASE, at(day))


def command(folder: Path, *words: object) -> tuple[int, str, str]:
    (folder.parent / "secret").write_bytes(PASSPHRASE + b"\n")
    line = [sys.executable, "-m", "tools.custodian", str(words[0]), "--store", str(folder), *map(str, words[1:])]
    if words[0] != "destroy-due":
        line += ["--passphrase-file", str(folder.parent / "secret")]
    done = subprocess.run(line, cwd=PROJECT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_key_is_made_once_and_destroyed_on_its_date(folder):
    """Overlapping bundles share a day's key; destroy-due destroys what is due and no more, and the log tells each act."""
    one = bundles.read(opened(folder).bundle(at(TODAY), 35, {"attribution": LIFETIME}), opened(folder).signing.verify_key)
    other = bundles.read(
        opened(folder, TODAY + 20).bundle(at(TODAY + 20), 35, {"attribution": LIFETIME}), opened(folder).signing.verify_key
    )
    assert one[1][20:] == other[1][:15]
    assert opened(folder, TODAY + LIFETIME - 1).destroy_due() == []
    assert opened(folder, TODAY + LIFETIME).destroy_due() == [("attribution", at(TODAY))]
    store = opened(folder, TODAY + LIFETIME)
    assert store.key("attribution", at(TODAY)) is None
    assert store.key("attribution", at(TODAY + 1)) is not None
    assert not (folder / "keys/attribution/2026-11-23.json").exists()
    acts = [json.loads(line)["act"] for line in (folder / "log").read_text().splitlines()]
    assert acts == ["new", "bundle", "bundle", "destroy", "destroyed"]
    assert store.verify() == []
    assert opened(folder, TODAY + LIFETIME + 1).verify() == ["attribution 2026-11-24: is due since 2026-12-24: run destroy-due"]


def test_a_destruction_that_was_cut_off_is_finished_and_damage_keeps_no_other_key(folder):
    """EXP-3: power lost while a key was overwritten; a file that isn't a key any more: what is due goes all the same."""
    opened(folder).bundle(at(TODAY), 4, {"billing": 2})
    paths = [folder / f"keys/billing/{at(TODAY + day)}.json" for day in range(4)]
    size = paths[0].stat().st_size
    paths[0].write_bytes(b"\0" * 40 + b"\xff" * (size - 40))
    paths[1].write_bytes(b"{" + bytes(size - 1))
    assert "destroy-due where it was overwritten" in command(folder, "verify")[2]
    code, out, said = command(folder, "destroy-due")
    assert (code, out, said.count("\n")) == (2, "", 1)
    assert f"{paths[1]}: damaged" in said
    paths[1].unlink()
    assert [path.exists() for path in paths] == [False, False, True, True]
    assert Store(folder, None, at(TODAY + 9)).destroy_due() == [("billing", at(TODAY + day)) for day in (2, 3)]
    assert opened(folder, TODAY).verify() == []


def test_destroying_needs_no_passphrase(folder):
    opened(folder).bundle(at(TODAY), 3, {"billing": 2})
    assert Store(folder, None, at(TODAY + 9)).destroy_due() == [("billing", at(TODAY + day)) for day in range(3)]


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
        Store(folder, b"another passphrase")


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
    assert list(opened(folder).keys()) == []


def test_a_changed_log_and_a_changed_key_are_found(folder):
    opened(folder).bundle(at(TODAY), 2, {"attribution": LIFETIME})
    opened(folder, TODAY + LIFETIME).destroy_due()
    log = folder / "log"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join([lines[0], *lines[2:]]))
    assert opened(folder, TODAY + LIFETIME).verify() == ["log line 2: doesn't follow the line before"]
    log.write_text("".join(lines))
    kept, other = folder / "keys/attribution/2026-11-24.json", folder / "keys/attribution/2026-11-23.json"
    other.write_bytes(kept.read_bytes())
    assert "attribution 2026-11-23: is called destroyed and is there" in opened(folder, TODAY + LIFETIME).verify()


def test_the_command_from_new_to_open(folder, tmp_path, remotes):
    """Each verb once: what a gateway sealed is opened, what was destroyed is not, and mistakes are one line."""
    store = Store(folder, PASSPHRASE)
    today = store.today
    assert command(folder, "bundle", "--out", tmp_path / "b", "--lifetime", "attribution=30", "--days", 3)[0] == 0
    assert command(folder, "verify", tmp_path / "b")[0] == 0
    gateway = Gateway(tmp_path / "gateway", remotes("cpython", STAGE), store)
    assert gateway.install(tmp_path / "b", (today - segments.EPOCH).days).startswith("keys for attribution")
    gateway.keep((today - segments.EPOCH).days, b"a", b"bc")
    (file,) = gateway.segments()
    code, out, _ = command(folder, "open", file, "--json", "-")
    (said,) = json.loads(out)["segments"]
    assert (code, said["records"], said["wrong"], said["rows"]) == (0, 2, "", [{"octets": "61"}, {"octets": "6263"}])
    code, out, complaint = command(folder, "open", file)
    assert (code, out.split(), complaint) == (0, ["octets=61", "octets=6263"], f"{file.name}: attribution of {today}, 2 records\n")
    assert Store(folder, None, today + timedelta(30)).destroy_due() == [("attribution", today)]
    code, out, _ = command(folder, "verify", file, "--json", "-")
    assert code == 1
    assert [row["wrong"] for row in json.loads(out)["checked"]] == [
        "",
        f"no key: destroyed on {today + timedelta(30)}, or never this custodian's",
    ]
    assert command(folder, "destroy-due", "--json", "-")[:2] == (0, '{"destroyed": []}\n')
    acts = [json.loads(line)["act"] for line in (folder / "log").read_text().splitlines()]
    assert acts == ["new", "bundle", "open", "open", "destroy", "destroyed"]
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
    ],
)
def test_bad_input_is_one_line(words, accepted, folder):
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


def test_a_fleet_of_twenty_gateways_is_renewed_at_day_twenty_and_forgets_as_one(folder, tmp_path, remotes):
    """The README's procedure: a bundle for all, a loop at day 20; one gateway is missed and stops; all forget when keys are destroyed."""
    ask = remotes("cpython", STAGE)
    store = opened(folder)
    fleet = [Gateway(tmp_path / f"gw{number}", ask, store) for number in range(20)]
    file = tmp_path / "bundle"
    copies: set[bytes] = set()
    for begin, missed in ((0, ()), (20, (7,)), (40, (7,))):
        file.write_bytes(opened(folder, TODAY + begin).bundle(at(TODAY + begin), 35, {"attribution": LIFETIME}))
        for number, gateway in enumerate(fleet):
            if number not in missed:
                assert gateway.install(file, TODAY + begin).startswith("keys for attribution")
        for number, gateway in enumerate(fleet):
            assert gateway.keep(TODAY + begin, f"{number} {begin}".encode()) == ("lost" if begin == 40 and number in missed else "kept")
            copies |= {path.read_bytes() for path in gateway.segments()}
    assert fleet[7].ask("found", str(fleet[7].root), "attribution", [TODAY + 34], LIFETIME * DAY)["left"] == 1

    def readable(day: int) -> set[bytes]:
        """Return when the records are from that a thief of all flash opens with the custodian's keys of that day."""
        opened(folder, day).destroy_due()
        found = set()
        for data in copies:
            segment = segments.read(data)
            key = store.key(segment.purpose, segment.day)
            found |= {record.split()[1] for record in segment.records(key)} if key else set()
        return found

    assert readable(TODAY + LIFETIME - 1) == {b"0", b"20", b"40"}
    assert readable(TODAY + LIFETIME) == {b"20", b"40"}
    assert readable(TODAY + 20 + LIFETIME) == {b"40"}
    assert readable(TODAY + 40 + LIFETIME) == set()


def test_what_is_no_text_or_no_file_is_refused_in_one_line_before_anything_is_made(folder, tmp_path):
    """A passphrase, a register and a bundle's place: exit 2, no key made, nothing left beside."""
    (tmp_path / "binary").write_bytes(b"\x7f\xff")
    place, binary, deep = tmp_path / "place", tmp_path / "binary", tmp_path / "deep"
    deep.write_text("[" * 100_000)
    place.mkdir()
    tool = [sys.executable, "-m", "tools.custodian"]
    for words, line in (
        (
            ["register", "--register", "/dev/zero"],
            "/dev/zero: can't be read (File too large); accepted: a register",
        ),
        (
            ["register", "--register", deep],
            f"{deep}: line 1 or before isn't an entry; accepted: a register",
        ),
        (
            ["new", "--store", tmp_path / "new", "--passphrase-file", "/dev/zero"],
            "--passphrase-file: /dev/zero: can't be read (File too large); accepted: a file",
        ),
        (["request", "sign", "/dev/zero", "--key", binary], "/dev/zero: can't be read (File too large); accepted: a request"),
        (["register", "--register", binary], f"{binary}: byte 1: not UTF-8; accepted: a register"),
        (
            ["register", "--register", tmp_path / "misspelt"],
            f"{tmp_path / 'misspelt'}: there is no register; accepted: one that answer or freeze has written",
        ),
        (
            ["new", "--store", tmp_path / "new", "--passphrase-file", binary],
            f"--passphrase-file: {binary}: byte 1: not UTF-8; accepted: a file of text",
        ),
        (
            ["bundle", "--store", folder, "--out", place, "--lifetime", "billing=2"],
            f"--out: {place}: can't be written (Is a directory); accepted: a file",
        ),
    ):
        done = subprocess.run([*tool, *map(str, words)], cwd=PROJECT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"oubli-custodian: {line}\n")
    assert {path.name for path in tmp_path.iterdir()} == {"binary", "deep", "place", "store"}
    assert not list(folder.glob("keys/*/*"))
