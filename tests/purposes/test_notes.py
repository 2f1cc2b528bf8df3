# SPDX-License-Identifier: Apache-2.0
"""Root's note of a sealed store: where it lies and what for, once the configuration tells no more (L34-VI-4)."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent import law
from agent.base.paths import Paths
from agent.config import config
from agent.doctor.gateway import Gateway
from agent.purposes import also_held, checks, words
from agent.vault import expiry, stores
from tests.cli.test_law import GATEWAY, spaced

if TYPE_CHECKING:
    from tests.support.interpreters import Interpreter

SMALL = GATEWAY + "config summary\n option rows '256'\n"
ATTRIBUTION = (
    "config purpose 'attribution'\n option reference 'order 12'\n option budget '90000000'\n option ground '{}'\n"
)
BILL = "config purpose 'billing'\n option lifetime '30d'\n option budget '90000000'\n"
ON, REPEALED = " option enabled '1'\n", " option wording 'repealed'\n"
PAPERS = tuple(itertools.product(("--notice", "--register", "--dpia"), words.LANGUAGES))
# What papers say of a ground (L34-III-1): its basis, and who asks on it.
_REPEALED_BASIS = (
    "L34-1 III (rédaction de 2014 à 2021, abrogée : aucune base en vigueur)",
    "L34-1 III (wording of 2014 to 2021, repealed: no basis in force)",
)
_ENTITLED = ("les autorités que la loi habilite", "the authorities that the law entitles")
BASES = {
    "STAD": _REPEALED_BASIS, "L336-3": _REPEALED_BASIS, "?": words.BLANK,
    "IIbis-3": ("L34-1 II bis, 3°, RGPD 6.1 c", "L34-1 II bis, 3°, GDPR 6.1 c"),
}  # fmt: skip
ASKS = {"STAD": ("l'ANSSI", "ANSSI"), "L336-3": ("l'Arcom", "Arcom"), "IIbis-3": _ENTITLED, "?": words.BLANK}


def attribution(ground: str, more: str = "") -> str:
    return ATTRIBUTION.format(ground) + (REPEALED if ground in law.FORMER_GROUNDS else "") + more


def lay(folder: Path, text: str, note: bytes | None = None, *, of: str = "attribution") -> Path:
    """Write a configuration, root's note of a store, and a segment of it on this flash; returns that."""
    (folder / "oubli").write_text(text)
    file, segment = Path(Paths(str(folder)).note + of), folder / "srv/oubli/vault" / of / "2026-10-01-0001"
    file.parent.mkdir(parents=True)
    if note is not None:
        file.write_bytes(note)
    segment.parent.mkdir(parents=True)
    segment.touch()
    return segment


def told(interpreter: Interpreter, folder: Path, *papers: tuple[str, ...]) -> list[str]:
    """Return what each of these papers says; () is what `oubli law` says without a word more."""
    where = ("law", "--config", folder / "oubli", "--root", folder)
    texts = interpreter.oubli(*((*where, *paper) for paper in papers))
    return [spaced(text).replace("\u202f", " ") for text in texts]


def rows(text: str, language: str, of: str) -> list[str]:
    """Return what a paper says of one purpose: its row, in an impact analysis two."""
    return [one for one in text.splitlines() if one.startswith("- " + words.PURPOSES[of][language == "en"])]


def then(texts: list[str], at: int) -> str:
    """Write what holds now, and what did before."""
    before = dict.fromkeys(one for one in texts[:-1] if one != texts[-1])
    return texts[-1] + (
        ("(avant un changement : ", "(before a change: ")[at].join((" ", ", ".join(before))) + ")" if before else ""
    )


@pytest.mark.parametrize(
    ("now", "note", "grounds"),
    [
        ("", "STAD", ["STAD"]), ("", "L336-3", ["L336-3"]), ("", "IIbis-3", ["IIbis-3"]), ("", None, ["?"]),
        (attribution("STAD"), None, ["?"]), (attribution("IIbis-3"), "STAD", ["STAD"]),  # changed while it was off
        ("", "2026-09-01 STAD\nIIbis-3", ["STAD", "IIbis-3"]), ("", "2026-09-01 IIbis-3\nSTAD", ["IIbis-3", "STAD"]),
        (attribution("IIbis-3", ON), "2026-09-01 STAD\nIIbis-3", ["STAD", "IIbis-3"]),
        (attribution("STAD", ON), "2026-09-01 IIbis-3\nSTAD", ["IIbis-3", "STAD"]),
        (attribution("IIbis-3", ON), "STAD", ["STAD", "IIbis-3"]), (attribution("STAD", ON), None, ["STAD"]),
        ("", "2026-09-01 ?\nIIbis-3", ["?", "IIbis-3"]), ("", "?", ["?"]),
        (
            attribution("IIbis-3", ON), "2026-08-01 L336-3\n2026-09-01 STAD\n2026-09-09 L336-3\nIIbis-3",
            ["L336-3", "STAD", "L336-3", "IIbis-3"],
        ),
    ],
)  # fmt: skip
def test_papers_name_the_ground_on_which_it_was_kept(
    interpreter: Interpreter, tmp_path: Path, now: str, note: str | None, grounds: list[str]
) -> None:
    """L34-III-1, GDPR 13.1 c and e: its basis and whoever asks on it, the present one first; a blank where unknown."""
    lay(tmp_path, SMALL + now, None if note is None else f"\n{note}\n".encode())
    *texts, shown = told(interpreter, tmp_path, *PAPERS, ("--json",))
    for (paper, language), text in zip(PAPERS, texts, strict=True):
        at = words.LANGUAGES.index(language)
        basis = then([BASES[one][at] for one in grounds], at)
        whom = then([ASKS[one][at] for one in grounds], at)
        if grounds[-1] in law.FORMER_GROUNDS:
            whom += (", et en cas d'injonction ", ", and by an injunction ")[at] + _ENTITLED[at]
        row, *need = rows(text, language, "attribution")
        said = ("base : ", "basis: ")[at] + basis
        if paper != "--notice" and "?" not in grounds:
            said += ", " + then(grounds, at)
        if paper != "--notice" and now and f"'{grounds[-1]}'" in now:
            said += ", order 12"
        assert said + (" ;", ";")[at] in row
        assert f"; {whom}, {('sur demande signée', 'on a request signed')[at]}" in row
        assert [f", {basis}, " in one for one in need] == [True] * (paper == "--dpia")
    purposes = json.loads(shown)["purposes"]
    assert [one["ground"] for one in purposes if one["purpose"] == "attribution"] == [grounds[-1]]


@pytest.mark.parametrize(
    ("now", "note", "billers"),
    [
        ("", "Fid SARL", ["Fid SARL"]), ("", "-", ["-"]), ("", "?", ["?"]), ("", None, ["?"]), (BILL, None, ["?"]),
        (BILL + " option biller 'Autre'\n", "Fid SARL", ["Fid SARL"]),
        (BILL + ON + " option biller 'Autre'\n", "2026-09-01 Fid SARL\nAutre", ["Fid SARL", "Autre"]),
        (BILL + ON, "2026-09-01 Fid SARL\n-", ["Fid SARL", "-"]), (BILL + ON, None, ["-"]),
        (BILL + ON + " option biller 'STAD'\n", "2026-09-01 IIbis-3\nSTAD", ["IIbis-3", "STAD"]),  # names as others
        ("", "2026-09-01 -n\nL336-3", ["-n", "L336-3"]),
    ],
)  # fmt: skip
def test_papers_name_who_makes_out_the_bills_of_what_was_kept(
    interpreter: Interpreter, tmp_path: Path, now: str, note: str | None, billers: list[str]
) -> None:
    """L34-IV-3, GDPR 13.1 e: whoever gets a period's sessions, or got those of a period before."""
    lay(tmp_path, SMALL + now, None if note is None else f"\n{note}\n".encode(), of="billing")
    for (_, language), text in zip(PAPERS, told(interpreter, tmp_path, *PAPERS), strict=True):
        at = words.LANGUAGES.index(language)
        names = {"-": ("l'exploitant", "the operator")[at], "?": words.BLANK[at]}
        whom = then([names.get(one, one) for one in billers], at)
        row = rows(text, language, "billing")[0]
        assert f"; {whom}, {('qui établit les factures', 'who makes out the bills')[at]}" in row
        assert ("L34-1 IV, R10-14 I, RGPD 6.1 b", "L34-1 IV, R10-14 I, GDPR 6.1 b")[at] in row


DAMAGED = {
    "empty": b"", "no ground": b"\n", "cut": b"/mnt/card\nIIbis-3", "no text": b"\xff/mnt\nSTAD\n", "zeros": bytes(10),
    "relative": b"mnt/card\nSTAD\n", "long": b"/a" * 5000, "folder": None, "no such ground": b"\nSTAID\n",
    "no day": b"\n2026-13-01 STAD\nIIbis-3\n", "blank": b"\nSTAD\n\n", "control": b"/mnt/\x1b[2J\nSTAD\n",
}  # fmt: skip


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_note_is_found_and_papers_say_what_is_not_known(
    interpreter: Interpreter, tmp_path: Path, how: str, *, kept: bool
) -> None:
    """L34-VI-4, EXP-1: where it lies and what for isn't known; what is seen is destroyed all the same."""
    note = DAMAGED[how]
    segment, file = lay(tmp_path, SMALL, note), tmp_path / "srv/oubli-root/store-attribution"
    if note is None:
        file.mkdir()
    if not kept:
        segment.unlink()
    *notices, shown = told(interpreter, tmp_path, *(("--notice", language) for language in words.LANGUAGES), ())
    unseens = ("la borne ne voit pas s'il en reste ; ", "the gateway can't see whether anything is left; ")
    for language, unseen, text in zip(words.LANGUAGES, unseens, notices, strict=True):
        row = rows(text, language, "attribution")[0]
        assert (unseen in row) == (not kept)
        assert words.BLANK[language == "en"] in row.partition(" : " if language == "fr" else "basis: ")[2]
        assert "L34-1" not in row
    state = "attribution: off, " + ("still kept; " if kept else "perhaps still kept; ")
    assert state in shown
    assert [one.what for one in examined(tmp_path)] == ["attribution: what was kept isn't known"]
    asked = ("--config", tmp_path / "oubli", "--root", tmp_path)
    interpreter.run("-m", "agent", "erase", "--all", *asked)
    assert not segment.exists()


def examined(folder: Path) -> list[checks.Finding]:
    """Return what doctor finds of notes."""
    gateway = Gateway(config.load(str(folder / "oubli")), str(folder), lambda: 0, 0)
    return [one for one in checks.found(gateway) if one.name == "store"]


@pytest.mark.parametrize(
    ("now", "note", "found"),
    [
        ("", None, "attribution: what was kept isn't known"), ("", "\nSTAD\n", ""),
        ("", "\n?\n", "attribution: what was kept isn't known"),
        (attribution("IIbis-3", ON), "\n2026-09-01 ?\nIIbis-3\n", "attribution: what was kept isn't known"),
        (attribution("IIbis-3", ON), "\nIIbis-3\n", ""), (attribution("IIbis-3", ON), None, ""),
        (attribution("IIbis-3", ON), "", "attribution: what was kept isn't known"),
        ("", "/mnt/card\nSTAD\n", "attribution: what was kept isn't known"),
        (attribution("STAD", ON), "/mnt/card\nSTAD\n", ""),  # `status` and "flash-refuses" say so
    ],
)  # fmt: skip
def test_doctor_finds_what_papers_cannot_tell(tmp_path: Path, now: str, note: str | None, found: str) -> None:
    """L34-VI-4: "store", of what is kept, or may be."""
    segment = lay(tmp_path, SMALL + now, None if note is None else note.encode())
    if note and note.startswith("/mnt"):
        segment.unlink()
    one = examined(tmp_path)
    assert [finding.what for finding in one] == [found] * bool(found)
    assert {(finding.severity, "store-NAME" in finding.fix) for finding in one} <= {("warning", True)}


def test_who_may_not_look_at_flash_reads_of_a_change_all_the_same(interpreter: Interpreter, tmp_path: Path) -> None:
    """L34-VI-4: root's note is open to all, the stores aren't; what is kept now was kept on another ground before."""
    segment = lay(tmp_path, SMALL + attribution("IIbis-3", ON), b"\n2026-09-01 STAD\nIIbis-3\n")
    segment.unlink()
    for folder in list(segment.parents)[:3]:
        folder.rmdir()
    (tmp_path / "srv/oubli").touch()  # nobody can look below it
    row = rows(told(interpreter, tmp_path, ("--notice", "fr"))[0], "fr", "attribution")[0]
    assert then([BASES["STAD"][0], BASES["IIbis-3"][0]], 0) in row


def test_without_a_store_or_a_note_there_is_nothing_to_find(tmp_path: Path) -> None:
    lay(tmp_path, SMALL).unlink()
    assert examined(tmp_path) == []


def test_an_empty_folder_needs_no_package_to_be_destroyed_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EXP-1: root makes a store's folder on a medium at each start; removed with its package, it held back the rest."""
    segment = lay(tmp_path, SMALL, b"\nIIbis-3\n")
    read, paths = config.load(str(tmp_path / "oubli")), Paths(str(tmp_path))
    monkeypatch.setattr(config, "installed", lambda _: False)
    assert stores.homeless(read, paths)
    (segment.parent / "handovers").mkdir()
    segment.unlink()
    assert stores.homeless(read, paths)
    (segment.parent / "handovers").rmdir()
    assert not stores.homeless(read, paths)


@pytest.mark.parametrize("duty", ["oubli", "portal"])
def test_what_is_still_sealed_needs_agents_and_is_seen_among_the_duties(tmp_path: Path, duty: str) -> None:
    """L34-II-4: its section is gone; an authority, and the person, ask for it all the same."""
    lay(tmp_path, SMALL.replace("config summary", f" option duty '{duty}'\nconfig summary"), b"\nIIbis-3\n")
    gateway = Gateway(config.load(str(tmp_path / "oubli")), str(tmp_path), lambda: 0, 0)
    found = [*checks.found(gateway)]
    assert [one.what for one in found if one.name == "agents"] == ["no agent is enrolled"]
    answers = [one.what for one in found if one.name == "duty" and "internal procedures" in one.what]
    assert ["on what is sealed (requests of authorities), the custodian" in one for one in answers] == [True] * (
        duty == "oubli"
    )


@pytest.mark.needs("root", "mount", "umount")
def test_a_store_on_a_medium_that_no_option_names_any_more_is_told_of(interpreter: Interpreter, tmp_path: Path) -> None:
    """L34-VI-4, EXP-1: turned off, and `storage` left out since: it is found where it was until it is due."""
    lay(tmp_path, SMALL, b"/mnt/card\nIIbis-3\n").unlink()
    read, paths, store = config.load(str(tmp_path / "oubli")), Paths(str(tmp_path)), tmp_path / "mnt/card/attribution"
    assert also_held.remembered(read, paths) == read.unseen == ["attribution"]  # not mounted
    assert "attribution: off, perhaps still kept; " in told(interpreter, tmp_path, ())[0]
    store.parent.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", store.parent], check=True)
    try:
        assert (also_held.remembered(read, paths), read.unseen) == ([], [])
        store.mkdir()
        (store / "2026-10-01-0001").touch()
        assert (also_held.remembered(read, paths), read.unseen) == (["attribution"], [])
        assert "attribution: off, still kept; " in told(interpreter, tmp_path, ())[0]
        assert stores.needed(read, paths) == ["attribution"]
        assert stores.place("attribution", read, paths) == (str(store), str(store.parent))
        assert [one[0] for one in also_held.sealed(read, paths)] == ["attribution"]  # the guests' page
        assert expiry.erase_all(paths, str(tmp_path / "oubli")) == 1
        assert "attribution: off; " in told(interpreter, tmp_path, ())[0]
    finally:
        subprocess.run(["umount", store.parent], check=True)
    Path(paths.note + "attribution").write_text("\nIIbis-3\n")  # on this flash, when it was on last
    assert stores.place("attribution", read, paths) == (paths.flash.sealed + "/attribution", "")
    (tmp_path / "oubli").write_text(SMALL + attribution("IIbis-3", ON) + " option storage '/mnt/other'\n")
    on = config.load(str(tmp_path / "oubli"))
    assert stores.place("attribution", on, paths)[1] == str(tmp_path / "mnt/other")
