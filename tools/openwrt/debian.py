# SPDX-License-Identifier: Apache-2.0
"""What comes from Debian by apt, at today's version: the kernel, sources of programs that OpenWrt patches.

/etc/apt is left as it is: the lists are private ones, made from the Debian repositories that this machine already uses.
"""

import subprocess
from pathlib import Path

from tools.openwrt.sources import BuildError

FIELDS = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)"


def _run(*words: str, folder: Path | None = None) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"{' '.join(words[:1])} ... {words[-1]}: {done.stderr.strip()[-300:]}")
    return done.stdout


class Debian:
    """Debian's repositories, seen through lists of our own in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "lists/partial").mkdir(parents=True, exist_ok=True)
        (folder / "archives/partial").mkdir(parents=True, exist_ok=True)
        lines = set()
        for row in _run("apt-get", "indextargets", "--format", FIELDS, "Created-By: Packages").splitlines():
            origin, address, release, component, key = row.split("|")
            signed = f"[signed-by={key}] " if key.startswith("/") else ""
            if origin == "Debian":
                lines |= {f"{kind} {signed}{address} {release} {component}\n" for kind in ("deb", "deb-src")}
        if not lines:
            raise BuildError(
                "no Debian repository among this machine's sources of packages; accepted: after `apt-get update`"
            )
        (folder / "sources.list").write_text("".join(sorted(lines)))
        settings = {
            "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": folder / "lists",
            "Dir::Cache": folder,
            "APT::Sandbox::User": "",
            "Acquire::Retries": 3,
        }
        self._options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        _run("apt-get", *self._options, "update")

    def kernel(self, into: Path) -> str:
        """Lay Debian's newest kernel with its modules into a folder; returns its release, as `uname -r` says it."""
        depends = _run("apt-cache", *self._options, "depends", "--important", "linux-image-amd64")
        package = next(line.split()[-1] for line in depends.splitlines() if "Depends: linux-image-" in line)
        _run("apt-get", *self._options, "download", package, folder=self._folder)
        (archive,) = self._folder.glob(f"{package}_*.deb")
        _run("dpkg-deb", "-x", str(archive), str(into))
        archive.unlink()
        return package.removeprefix("linux-image-")

    def source(self, package: str, into: Path) -> None:
        """Lay upstream's tree of a source package, without Debian's changes, into the folder `into`."""
        _run("apt-get", *self._options, "--tar-only", "source", package, folder=self._folder)
        (archive,) = [path for path in self._folder.glob(f"{package}_*.orig.tar.*") if path.suffix != ".asc"]
        into.mkdir(parents=True)
        _run("tar", "-xf", str(archive), "--strip-components=1", "-C", str(into))
