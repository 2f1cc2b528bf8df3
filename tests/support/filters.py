# SPDX-License-Identifier: Apache-2.0
"""procd's own loader of seccomp filters, as tools/setup-openwrt built it, for a daemon on this machine's kernel.

On a gateway ujail starts a daemon with the library preloaded that reads
boards/common/etc/seccomp; here the same library is.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from host_sim.driver.interpreters import HEAP
from tests.support.interpreters import PROJECT
from tools.openwrt import packages

if TYPE_CHECKING:
    from pathlib import Path

FILTERS = PROJECT / "boards/common/etc/seccomp"
BUILT = PROJECT / ".cache/openwrt"
THEIRS = ("libubox.so", "libblobmsg_json.so")
# The daemon that the words start is kept to its own filter; a verb of `oubli` isn't.
SCRIPT = """#!/bin/sh
case " $* " in
*" recorder "*) name=recorder ;;
*" forwarder "*) name=forwarder ;;
*) exec {interpreter} "$@" ;;
esac
LD_LIBRARY_PATH={folder} LD_PRELOAD={folder}/libpreload-seccomp.so SECCOMP_FILE={folder}/oubli-$name.json \\
    exec {interpreter} "$@"
"""


class Loader:
    """The library and the filters, in a folder that every user reads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        package = next((BUILT / "feed").glob("procd-ujail-*.apk"))
        (folder / "apk").mkdir()
        words: list[str | Path] = [
            "extract",
            "--allow-untrusted",
            "--no-chown",
            "--destination",
            folder / "apk",
            package,
        ]
        packages.apk(BUILT / "host/apk", *words, libraries=BUILT / "host/lib")
        shutil.copy(folder / "apk/lib/libpreload-seccomp.so", folder)
        words = ["unsquashfs", "-quiet", "-no-progress", "-dest", folder / "image", BUILT / "root.squashfs"]
        subprocess.run([*words, *(f"lib/{name}" for name in THEIRS)], check=True, capture_output=True)
        for name in THEIRS:
            shutil.copy(folder / "image/lib" / name, folder)
        for path in FILTERS.iterdir():
            shutil.copy(path, folder)
        folder.chmod(0o755)

    def variables(self, name: str) -> dict[str, str]:
        """Return what a program's environment says for it to be kept to a filter."""
        library = str(self._folder / "libpreload-seccomp.so")
        return {
            "LD_LIBRARY_PATH": str(self._folder),
            "LD_PRELOAD": library,
            "SECCOMP_FILE": str(self._folder / f"oubli-{name}.json"),
        }

    def interpreter(self) -> str:
        """Return a command line that runs the agent on MicroPython, each daemon under its filter."""
        script = self._folder / "micropython"
        words = f"{shutil.which('micropython')} -X heapsize={HEAP}"
        script.write_text(SCRIPT.format(folder=self._folder, interpreter=words))
        script.chmod(0o755)
        return str(script)
