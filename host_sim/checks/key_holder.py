# SPDX-License-Identifier: Apache-2.0
"""The custodian of a simulated gateway: his keys, and his own store of them, under a clock that may be wrong (EXP-3).

Whenever he comes he destroys what is due, and what his clock says may be wrong by seconds or years. By the book, not by
`tools/`: a clock up to seven days past the newest time that was believed is believed. One that is further ahead
destroys nothing before he confirms the date. One that is behind makes no key younger. So it is known at each visit
which keys must be gone, and which must be there.
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from nacl import pwhash
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from host_sim.venue.device_clock import SECOND
from tools.custodian import bundles, destruction
from tools.custodian.log import Log
from tools.custodian.store import AHEAD, Store, StoreError

_FLASH = "srv/oubli"
_PASSPHRASE = b"a simulation"
_BELIEVED = timedelta(days=7)


class KeyHolder:
    """The keys of `days` days from `first` on, in a folder; each goes `lifetime` days after its day."""

    def __init__(self, folder: Path, stores: tuple[str, ...], first: date, days: int, lifetime: int) -> None:
        self._folder, self._believed = folder, datetime.combine(first, datetime.min.time(), UTC)
        cheap = {"operations": pwhash.argon2id.OPSLIMIT_MIN, "octets": pwhash.argon2id.MEMLIMIT_MIN}
        self.anchor = bytes(Store.make(folder, _PASSPHRASE, now=self._believed, **cheap))
        store, days = Store(folder, _PASSPHRASE, self._believed), min(days, AHEAD)
        self.bundle = store.bundle(first, days, dict.fromkeys(stores, lifetime))
        self._due = {(name, day): destroy for name, day, destroy in store.held()}
        self.keys: dict[tuple[str, date], PrivateKey] = {}
        for one in self._due:
            key = store.key(*one)
            assert key is not None  # noqa: S101 (nothing is due on the first day)
            self.keys[one] = key

    def visit(self, now: int, wrong: float = 0) -> list[str]:
        """Let him come at a true time (ns), by a clock that is wrong by so many seconds.

        Returns what isn't as it must be. A clock that is right and isn't believed he confirms.
        """
        shown = datetime.fromtimestamp(max(now / SECOND + wrong, 0), UTC)
        asks = shown - self._believed > _BELIEVED
        if asks and not wrong:
            Store.confirm(self._folder, shown.date(), shown)
            asks = False
        if not asks:
            self._believed = max(self._believed, shown)
        try:
            said = destruction.destroy_due(Store(self._folder, None, shown)).wrong
            asked = False
        except StoreError:
            said, asked = [], True
        due = {one for one, destroy in self._due.items() if destroy <= self._believed.date()}
        there = {one for one in self._due if (self._folder / "keys" / one[0] / f"{one[1]}.json").exists()}
        found = list(said) + Log(self._folder / "log").wrong()
        if asked != asks:
            found.append(f"a clock that shows {shown:%Y-%m-%d %H:%M} is {'not ' * asked}believed")
        found += [f"{len(due & there)} keys are there after their date"] * bool(due & there)
        found += [f"{len(self._due.keys() - due - there)} keys were destroyed before their date"] * (
            there | due != self._due.keys()
        )
        for one in self.keys.keys() - there:
            del self.keys[one]
        return found


class Custodian:
    """The key holder of one gateway: a key a store and day.

    Keys begin a day before the run, and go `lifetime` days after their day. `holder` makes them, where there is one.
    """

    def __init__(
        self, stores: tuple[str, ...], first: date, days: int, lifetime: int, holder: KeyHolder | None = None
    ) -> None:
        self.holder = holder
        self._signing = SigningKey.generate()
        self._first = first
        every = [(store, first + timedelta(days=number)) for store in stores for number in range(days)]
        self.keys = {one: PrivateKey.generate() for one in every}
        self._rows = [
            bundles.Row(store, day, bytes(key.public_key), day + timedelta(days=lifetime))
            for (store, day), key in self.keys.items()
        ]
        if holder:
            self.keys = dict(holder.keys)

    def key(self, store: str, day: date) -> PrivateKey | None:
        """Return the key that answers for a day, None where it was destroyed."""
        return (self.holder.keys if self.holder else self.keys).get((store, day))

    def install(self, root: Path) -> None:
        """Put bundle and anchor where the gateway looks for them."""
        bundle, anchor = bundles.write(self._first, self._rows, self._signing), bytes(self._signing.verify_key)
        if self.holder:
            bundle, anchor = self.holder.bundle, self.holder.anchor
        for path, data in (
            (root / _FLASH / "bundles/0", bundle),
            (root / "etc/oubli/custodian.pub", anchor.hex().encode() + b"\n"),
        ):
            path.parent.mkdir(parents=True)
            path.write_bytes(data)
