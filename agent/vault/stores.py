# SPDX-License-Identifier: Apache-2.0
"""Which purposes keep a store on flash, and where.

The modules that write it are read only where one does, for they cost heap.
"""

from agent import law
from agent.base.dates import date, day_of
from agent.config import kinds
from agent.runtime import files

BY_CONSENT = ("services", "location")
SEALED = ("attribution", "billing")  # of custodian custody
CONSENTS = 512  # that may have a key at once, for each of these purposes: so many slots of the key ring
_NOTE = 8192  # octets
LASTS = 1 << 30  # the day on which what is kept on now ends
NAMELESS, UNKNOWN = kinds.SIGNS  # in a note: a bill that the operator makes out; what isn't known
PAGES = 4  # days that records of one purpose can wait for at once: so many slots of the key ring


def homeless(config: "Config", paths: "Paths") -> bool:
    """Return True if something kept here needs modules that aren't installed to be destroyed in time (EXP-1)."""
    from agent.config.config import installed

    if installed("location"):
        return False
    for name in needed(config, paths):
        if name in config.purposes or any(True for _ in files.names(place(name, config, paths)[0])):
            return True
    return remembered(paths) or files.exists(paths.run.blocks)


def remembered(paths: "Paths") -> bool:
    """Return True if a consent or a refusal may be kept: a sysupgrade keeps the latter's name, and no empty folder."""
    return files.exists(paths.flash.consents) or files.exists(paths.flash.sealed + "/consent")


def name_of(day: int, number: int) -> str:
    """Return the file name of a segment on flash."""
    return date(day) + "-%04x" % number


def parse_name(name: str) -> "tuple[int, int] | None":
    """Return (day, number) of a segment's file name, None where it is another file's."""
    try:
        day, number = day_of(name[:10]), int(name[11:], 16)
    except ValueError:
        return None
    return (day, number) if name == name_of(day, number) else None


def needed(config: "Config", paths: "Paths") -> "list[str]":
    """Return the purposes of custodian custody that are on, or whose segments are still there and must go in time."""
    return [name for name in SEALED if name in config.purposes or files.exists(place(name, config, paths)[0])]


def by_consent(config: "Config") -> "list[str]":
    """Return the purposes that are on and keep only by consent (L34-IV-1, L34-V-1)."""
    return [name for name in BY_CONSENT if name in config.purposes]


def place(name: str, config: "Config", paths: "Paths") -> "tuple[str, str]":
    """Return where a purpose's segments lie, and what must be mounted there ("": nothing)."""
    path = medium(name, config, noted(name, paths) if name not in config.purposes else None)
    mount = paths.root + path if path else ""
    return (mount or paths.flash.sealed) + "/" + name, mount


def medium(name: str, config: "Config", note: "tuple[str, list[tuple[int, str]]] | None") -> str:
    """Return the path of the medium that a purpose's segments lie on, "" for this flash; `note` as `noted` has it."""
    # What an option names no more is there all the same: it is told of, handed over, and goes in time
    if note and note[1] and name not in config.purposes:
        return note[0]
    path: str = config.sections[name].values.get("storage") or config.vault.path
    return path


def noted(name: str, paths: "Paths") -> "tuple[str, list[tuple[int, str]]] | None":
    """Return root's note of a store: its medium's path, "" for this flash, and what it was kept for, the newest last.

    Each with its last day, LASTS for the present one. None where there is no note, no row where it can't be read as one
    (etc/init.d/oubli writes it).
    """
    if not files.exists(paths.note + name):
        return None
    grounds = law.purpose(name).grounds
    try:
        text = files.read_bounded(paths.note + name, _NOTE).decode()
        lines = text.split("\n")
        if text[:1] not in ("/", "\n") or lines.pop() or min(text.replace("\n", " ")) < " ":
            return "", []
        rows = [(day_of(line[:10]), line[11:]) for line in lines[1:-1]] + [(LASTS, lines[1:][-1])]
    except (OSError, ValueError, IndexError):
        return "", []
    fine = all((row[1] in grounds + (UNKNOWN,)) if grounds else row[1] for row in rows)
    return (lines[0], rows) if fine else ("", [])


def kept_for(name: str, config: "Config") -> "list[tuple[int, str]]":
    """Return on which grounds a custodian's store was kept, or for which billers: rows as `noted` has them.

    `config.notes` has what that says. It holds for what is off, and for what was kept on another ground before:
    without one nobody knows.
    """
    note = config.notes.get(name)
    told = (note[1] or [(LASTS, UNKNOWN)]) if note else []
    if name not in config.purposes:  # its section may say what was never kept on
        return told or [(LASTS, UNKNOWN)]
    now = config.sections[name].values["ground" if law.purpose(name).grounds else "biller"] or NAMELESS
    if told and told[-1][1] == now:
        return told
    return [(day if day < LASTS else 0, word) for day, word in told] + [(LASTS, now)]


def forgetful(config: "Config", paths: "Paths") -> str:
    """Return where a store that must outlive a loss of power would lie in memory, "" where none would."""
    for name in needed(config, paths):
        folder, mount = place(name, config, paths)
        while not mount and not files.exists(folder):
            folder = folder.rsplit("/", 1)[0] or "/"
        # A medium that isn't there yet is another matter: the store says so until it is.
        if files.in_memory(folder) if not mount else files.is_mount(mount) and files.in_memory(mount):
            return mount or folder
    return ""


def custodians(
    config: "Config",
    paths: "Paths",
    ring: "KeyRing",
    sodium: "Sodium",
    boot: str,
    hours: "Callable[[], int]",
    floor: "Callable[[], int]",
    lose: "Callable[[str, int], None]",
) -> "dict[str, Custodian]":
    """Open the store of each of these purposes; parameters as of `agent.purposes.custodian.custodian.Custodian`."""
    names = needed(config, paths)
    opened: "dict[str, Custodian]" = {}
    if not names:
        return opened
    from agent.purposes.custodian.bundle import Bundle
    from agent.purposes.custodian.custodian import Custodian

    bundle = Bundle(paths.flash.bundles, paths.etc.anchor, sodium)
    for name in names:
        folder, mount = place(name, config, paths)
        section = config.sections[name]
        lifetime = section.lifetime or law.purpose(name).ceiling
        sync = config.vault.sync_minutes * 60
        pages = paths.run.vault + "/" + name
        opened[name] = Custodian(
            name, folder, pages, ring, sodium, bundle, lifetime, section.budget, sync, boot, hours, floor, lose, mount
        )
    return opened


def key_days(opened: "dict[str, Any]", config: "Config") -> "int | None":
    """Return for how many days there are keys for every purpose that needs them; None where none does."""
    left = [
        opened[name].key_days()
        for name in opened
        if name in config.purposes and law.purpose(name).custody == law.CUSTODIAN
    ]
    return min(left) if left else None


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from agent.base.paths import Paths
    from agent.config.config import Config
    from agent.purposes.custodian.custodian import Custodian
    from agent.runtime.sodium import Sodium
    from agent.vault.keys import KeyRing
