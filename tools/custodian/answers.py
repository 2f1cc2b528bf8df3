# SPDX-License-Identifier: Apache-2.0
"""The custodian's answer to a request: what its scope covers, a signed manifest, negatives too (L34-II-4).

A folder with `answer.csv`, `answer.json`, `manifest.json` and `manifest.sig`. The manifest says who asked, on what
ground, what came of it, and has the SHA-256 of the first two. The last is the custodian's Ed25519 signature of the
manifest in hex. Where the requester has a key, the folder is a single file instead, sealed to it (X25519, libsodium's
sealed box, of a tar file).
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from nacl.public import PrivateKey, PublicKey
from nacl.signing import SigningKey

from agent import law
from agent.base.dates import date as date_of
from agent.purposes import words
from agent.purposes.custodian.varint import Cut
from agent.purposes.requests import executor
from agent.vault.stores import parse_name
from tools import clock
from tools.custodian import cover, coverage, matching, segments, signed_folder, times
from tools.custodian.handovers import Handover, HandoverError
from tools.custodian.notes import Note
from tools.custodian.staged import Staged

HELD, NOTHING, NOT_KNOWN, SECOND_NAT = "held", "nothing held", "not known", "second NAT"
BILLING = Note(
    "`billing` doesn't prove that nothing was: what hadn't ended at the handover, a power cut, a wrong clock and, "
    "of a MAC, what it did while a portal user was logged in, may leave no record here",
    "La facturation ne prouve pas une absence : ce qui n'était pas terminé lors de la remise, une coupure de courant, "
    "une heure fausse de la borne et, pour une adresse MAC, ce qu'elle a fait pendant qu'un utilisateur du portail "
    "était connecté peuvent n'y laisser aucun enregistrement.",
)  # a doubt: so `nothing held` is never said of this store
NAMED = Note(
    "of a user: what a device did while the portal named nobody there stands under its MAC alone, and isn't in this "
    "answer: a request about that MAC has it",
    "Ce qu'un appareil a fait alors que le portail n'y nommait personne est conservé sous sa seule adresse MAC, et "
    "n'est pas dans cette réponse : une demande sur cette adresse MAC le donne.",
    doubt=False,  # nothing of it stands under the name
)
UNNAMED = Note(
    "a connection of which the gateway couldn't tell whose device's it was (for instance after a restart, or "
    "where an address passed to another device) stands under no MAC and no name, and isn't in this answer",
    "Une connexion dont la borne n'a pas pu dire de quel appareil elle était (par exemple après un redémarrage, "
    "ou quand une adresse est passée à un autre appareil) n'est conservée sous aucune adresse MAC ni aucun "
    "identifiant, et n'est pas dans cette réponse.",
    doubt=False,  # nothing of it stands under them
)
BEHIND = "a second NAT lies between: public ports can't be matched here"
_FROM = {  # which field of the law's table a column of an answer tells
    "from": "start", "until": "end", "from_paris": "start", "until_paris": "end", "end": "end", "protocol": "protocol",
    "public_address": "public_address",
    "public_ports": "translated_port", "terminal_address": "address", "terminal_mac": "mac",
    "portal_user": "portal_user", "bytes_up": "bytes_up", "bytes_down": "bytes_down",
}  # fmt: skip


def columns(store: str) -> list[str]:
    """Return an answer's columns from a store: those whose field the purpose's row has, and the clock's word."""
    there = [name for name, field in _FROM.items() if field in law.purpose(store).fields]
    return [name for name in there if name != "end" or store == "attribution"] + ["clock_confirmed"]


@dataclass
class Answer:
    """What came of a request: held, nothing held, or not known, where what there is doesn't say. `notes` tell why."""

    handover: Handover
    result: str
    rows: list[dict[str, Any]] = field(repr=False)
    notes: list[Note] = field(default_factory=list)
    preserved: int = 0  # records of orders to preserve that were looked into
    register: str = ""  # SHA-256 of its entry in the register
    answered: str = field(default_factory=lambda: times.utc(int(clock.now().timestamp())))

    @property
    def manifest(self) -> dict[str, Any]:
        """Return who asked for what, and what came of it; no terminal is named in it."""
        fields = self.handover.request.fields
        told = (
            "number",
            "gateway",
            "purpose",
            "ground",
            "authority_kind",
            "basis",
            "authority",
            "reference",
            "from",
            "until",
        )
        return {name: fields[name] for name in told} | {
            "agents": self.handover.agents,
            "handed_over": times.utc(self.handover.statement["made"]),
            "answered": self.answered,
            "result": BEHIND if self.result == SECOND_NAT else self.result,
            "records": len(self.rows),
            "notes": self.notes,
            "register": self.register,
        }

    def cover(self) -> str:
        """Return the cover page, in French."""
        missing = [note.french for note in self.notes]
        first, last = executor.days(self.handover.request)
        days = first, min(last, self.handover.statement["made"] // 86400)
        return cover.page(self.handover, days, self.result, self.rows, missing, self.register, self.preserved)

    def files(self, key: SigningKey) -> dict[str, bytes]:
        """Return the files of the answer by name, the manifest signed."""
        names = columns(self.handover.request.store)
        rows = [{name: row[name] for name in names} for row in self.rows]
        content = {
            "answer.csv": signed_folder.table(names, rows),
            "couverture.html": self.cover().encode(),
            "answer.json": (json.dumps(self.manifest | {"rows": rows}, indent=1) + "\n").encode(),
        }
        return signed_folder.sign(content, self.manifest, key)


# Of a store, a day, and when the segment says that it is destroyed
Key = Callable[[str, date, date], PrivateKey | None]


def opened(handover: Handover, key: Key) -> tuple[dict[str, list[bytes]], list[Note]]:
    """Return the octets of each segment's records by its name, and a note on each that couldn't be read whole."""
    return opened_segments(handover.request.store, handover.segments, key)


def opened_segments(store: str, files: Mapping[str, bytes], key: Key) -> tuple[dict[str, list[bytes]], list[Note]]:
    """Do so with segments of a store by their names.

    HandoverError where none opens with its key: another custodian's store.
    """
    parts: dict[str, list[bytes]] = {}
    notes, closed = [], 0
    for name, data in sorted(files.items()):
        day = (parse_name(name) or (None,))[0]
        try:
            segment = segments.read(data)
            if segment.purpose != store:
                raise HandoverError("malformed", f"{name}: a segment of another store; accepted: {store}")
            private = key(store, segment.day, segment.destroy)
            if private is None:
                notes.append(
                    Note(
                        f"{name}: the key of that day is destroyed, or due to be; nothing of it can be read any more",
                        f"{name} : la clé de ce jour est détruite, ou devait l'être ; plus rien n'en est lisible.",
                    )
                )
                continue
            parts[name] = list(segment.records(private))
        except segments.SegmentError as failure:
            notes.append(Note(f"{name}: {failure}", f"{name} : fichier endommagé ou étranger, illisible.", day=day))
            closed += 1
            continue
        if segment.damage:
            notes.append(
                Note(
                    f"{name}: {segment.damage}; what was before it is read",
                    f"{name} : fichier endommagé ; ce qui précède le défaut est lu, la suite ne l'est pas.",
                    day=day,
                )
            )
        if segment.torn:
            notes.append(
                Note(
                    f"{name}: ended by a loss of power or a refused write; what was not yet written then may be lost",
                    f"{name} : interrompu (coupure de courant, écriture refusée) ; "
                    "ce qui n'était pas encore écrit a pu être perdu.",
                    doubt=store != "attribution",  # there it is the marks that tell
                )
            )
    if closed and not parts:
        raise HandoverError(
            "key", "no segment opens with this store's keys; accepted: the key store whose bundle the gateway had"
        )
    return parts, notes


def answer(handover: Handover, key: Key, frozen: Iterable[tuple[bytes, bool]] = ()) -> Answer:
    """Answer a handover; `key(purpose, day, destroy)` gives the day's private key, None where it is destroyed.

    `frozen`: records that an order to preserve has kept (freezes.kept); what of them lies in the scope is in the answer
    too. One whose time could still be denied names nobody where no segment of the window's days opens to say so.
    """
    request, statement = handover.request, handover.statement
    if statement["second_nat"] and request.scope.public:
        return Answer(handover, SECOND_NAT, [], [Note(BEHIND, cover.RESULTS[SECOND_NAT])])
    if request.end > statement["made"]:
        raise HandoverError(
            "too early",
            f"request.until: after {times.utc(statement['made'])}, when it was handed over (L34-II-4); accepted: "
            "a window over by then",
        )
    found, missing = opened(handover, key)
    parts = [*found.values()]
    lost = absent(handover)
    damaged = {note.day for note in [*missing, *lost]}
    attributed = request.store == "attribution"
    try:
        preserved = dict(sorted(frozen))  # settled in one copy, settled in all
        there = {matching.identity(request, one) for part in parts for one in part} if preserved else set()
        readable = {name[:10] for name in found}
        told = all(date_of(day) in readable for day in range(request.start // 86400, request.end // 86400 + 1))
        parts.append(
            [
                one if told or settled else matching.unsure(one)
                for one, settled in preserved.items()
                if matching.identity(request, one) not in there
            ]
        )
        read = matching.records(parts) if attributed else []
        unproven = coverage.notes(request, read, statement["made"]) if attributed else []
        rows, unknown = matching.rows(
            request, parts, statement["made"], statement["unbroken"], damaged, parts[-1], read
        )
    except Cut:
        raise HandoverError("malformed", "a record that can't be read; accepted: records of this version") from None
    notes = [*missing, *unknown, *lost, *unproven, *[BILLING] * (not attributed), *alive(handover)]
    notes += [NAMED] * bool(request.scope.user)
    notes += [UNNAMED] * (attributed and not request.scope.public)
    if attributed and statement["second_nat"]:  # of a device: whose it was holds there too
        inside = " Là où l'adresse IP dite publique est privée, c'est celle de la borne."
        notes.append(Note(BEHIND, cover.RESULTS[SECOND_NAT] + inside))
    doubt = any(note.doubt for note in notes)
    return Answer(handover, HELD if rows else NOT_KNOWN if doubt else NOTHING, rows, notes, len(preserved))


def absent(handover: Handover) -> list[Note]:
    """Return a note on each day of the window, or the day before it, that wasn't handed over whole."""
    first, last = executor.days(handover.request)
    there = {name[:10] for name in handover.segments}
    notes = [absent_day(day, doubt=day > first) for day in range(first, last) if date_of(day) not in there]
    for day in range(first + 1, last):
        notes += lost_segments(
            day, {found[1] for name in handover.segments if (found := parse_name(name)) and found[0] == day}
        )
    return notes


def lost_segments(day: int, numbers: set[int]) -> list[Note]:
    """Return a note where a day (since the epoch) lacks segments before the highest of these numbers, else none."""
    lost = len(set(range(1, max(numbers, default=0))) - numbers)
    note = Note(
        f"{date_of(day)}: {lost} segments of that day are missing, by their numbers: what they held isn't known",
        f"{date_of(day)} : {lost} fichier(s) de ce jour manquent d'après leurs numéros ; leur contenu n'est pas connu.",
        day=day,
    )
    return [note] * bool(lost)


def absent_day(day: int, *, doubt: bool = True) -> Note:
    """Return the note on a day, in days since the epoch, of which there is no segment."""
    return Note(
        f"{date_of(day)}: the gateway held no segment of that day",
        f"{date_of(day)} : la borne n'a remis aucun fichier de ce jour (terme échu, effacement, perte, arrêt, absence "
        "de clé, ou rien à enregistrer).",
        doubt=doubt,
    )


def alive(handover: Handover) -> list[Note]:
    """Return what the gateway had not written when it handed over: what lasted, from the midnight before on.

    It knows that by its list of what lasts; what began after that isn't in it.
    """
    said, end = handover.statement, handover.request.end
    count, listed = said.get("alive", 0), said.get("listed", 0)
    if handover.request.store != "attribution" or end < said["made"] - said["made"] % 86400:
        return []
    if not isinstance(listed, int) or end > listed:
        return [
            Note(
                "the window is so young that a connection of it may not have ended, "
                "and the gateway hadn't listed it yet: ask once more",
                "La période est si récente qu'une connexion peut n'être ni terminée ni recensée par la borne : "
                "à redemander.",
            )
        ]
    if not count:
        return []
    had = words.counted(count, ("connection had", "connections had"), "en")
    forms = "connexion n'était pas terminée", "connexions n'étaient pas terminées"
    return [
        Note(
            f"{had} not ended when it handed over: what no holding covers is in no record yet",
            f"{words.counted(count, forms, 'fr')} lors de la remise : ce qu'aucune attribution de ports ne couvre "
            "n'est pas encore enregistré.",
        )
    ]


def write(made: Answer, key: SigningKey, staged: Staged, to: PublicKey | None) -> str:
    """Write an answer beside its place: a folder, or a file sealed to the requester. Returns its manifest's SHA-256.

    AgentError where it can't be written.
    """
    files = made.files(key)
    staged.write(files, to)
    return hashlib.sha256(files[signed_folder.MANIFEST]).hexdigest()
