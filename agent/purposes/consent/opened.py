# SPDX-License-Identifier: Apache-2.0
"""The consents on flash: where it refuses them or their key, there are none until it doesn't (L34-V-2)."""

from agent.purposes.consent import consents
from agent.purposes.device_key import DeviceKey
from agent.runtime import files
from agent.runtime.libc import reason
from agent.vault.stores import remembered


class Opened:
    """`consents` is None where none are kept, or can't be read; `trouble` is the errno of that, or 0."""

    def __init__(self, paths: "Paths", sodium: "Sodium", log: "Callable[[str], None]") -> None:
        self._paths, self._sodium, self._log = paths, sodium, log
        self.consents: "consents.Consents | None" = None
        self.trouble = 0

    def read(self, make: bool) -> bool:
        """Read them, where they aren't yet; `make`: also where none were kept before. True where they are new."""
        paths = self._paths
        if self.consents is not None or not (make or self.trouble or remembered(paths)):
            return False
        try:
            files.make_folder(paths.flash.consents, 0o700)
            key = DeviceKey(paths.flash.device_key, self._sodium)
            try:
                self.consents = consents.Consents(paths.flash.consents, key, self._sodium)
            except OSError:
                key.close()
                raise
        except OSError as failure:
            if self.trouble != failure.errno:
                why = reason(failure.errno)
                self._log(f"flash refuses the consents or their key{why}: all of them are suspended (L34-V-2)")
            self.trouble = failure.errno or 5
            return False
        self.trouble = 0
        if key.made:
            lost = files.exists(paths.flash.sealed + "/consent")
            self._log(
                "made the device's key" + (": no objection or refusal of before is known any more" if lost else "")
            )
        if self.consents.unreadable:
            self._log("a consent can't be read: it counts as none (L34-V-2)")
        return True

    def tick(self, now: "int | None", monotonic: int) -> None:
        """Look at the ends of consents; both times in seconds."""
        if self.consents is not None:
            try:
                self.consents.tick(now, monotonic)
            except OSError as failure:
                self._log("flash refused a change of consents" + reason(failure.errno))

    def close(self) -> None:
        """Write what waits, and close."""
        if self.consents is not None:
            self.consents.flush()
            self.consents.close()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from agent.base.paths import Paths
    from agent.runtime.sodium import Sodium
