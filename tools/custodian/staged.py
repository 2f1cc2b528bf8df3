# SPDX-License-Identifier: Apache-2.0
"""An answer on its way: made beside its place, entered in the register, and only then given its name (L34-II-4).

So no answer is there that the register doesn't have. Where power is lost after the entry, the same command gives it its
name, if it is what the store's log has the SHA-256 of: another may have put something else there.
"""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from nacl.public import PublicKey

from tools import disk
from tools.custodian import signed_folder
from tools.custodian.own_keys import AgentError, write_new
from tools.custodian.register import Entered


class Staged:
    """Where an answer to a request, or an invoice, goes, and where it lies until it is entered."""

    def __init__(self, place: Path, request: Entered) -> None:
        self.place = place
        self.beside = place.with_name(f".{place.name}.{request.fields['number']}")

    def write(self, files: Mapping[str, bytes], to: PublicKey | None) -> None:
        """Write files beside the place: a folder, or a single file sealed to a recipient.

        AgentError where it can't be.
        """
        self.clear()
        if to is not None:
            write_new(self.beside, signed_folder.seal(files, to), 0o600)
            return
        try:
            signed_folder.write(self.beside, files)
        except OSError as failure:
            self.clear()
            raise AgentError(f"{self.place}: can't be made ({failure.strerror}); accepted: a new folder") from None

    def free(self) -> None:
        """Demand that the place is free; AgentError where it isn't."""
        if self.place.exists() or self.place.is_symlink():
            raise AgentError(f"{self.place}: it is there already; accepted: a new file or folder")

    def clear(self) -> None:
        """Remove what lies beside the place: it was never entered."""
        if self.beside.is_dir():
            shutil.rmtree(self.beside)
        else:
            self.beside.unlink(missing_ok=True)

    def digest(self) -> str:
        """Return the SHA-256 of what lies beside the place: of a file; of a folder's files, each with its name.

        "" for anything else.
        """
        files = sorted(self.beside.iterdir()) if self.beside.is_dir() else [self.beside]
        if self.beside.is_symlink() or not all(one.is_file() and not one.is_symlink() for one in files):
            return ""
        sums = [f"{_sha256(one)} {one.name if one != self.beside else ''}\n" for one in files]
        return hashlib.sha256("".join(sums).encode()).hexdigest()

    def publish(self) -> None:
        """Give an answer that is entered its name."""
        self.free()
        self.beside.rename(self.place)
        disk.sync_folder(self.place.parent)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
