# SPDX-License-Identifier: Apache-2.0
"""A root file system of a gateway: busybox, the fake peer's scripts, MicroPython and libsodium, in namespaces of its own."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.package import adb, apk

if TYPE_CHECKING:
    from collections.abc import Iterator

FAKE = Path(__file__).parent / "root"
FOLDERS = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/lib", "etc/config", "etc/rc.d", "lib", "tmp", "var", "proc", "dev", "srv", "host")


def _libraries(program: Path) -> set[Path]:
    """Return the shared libraries that a program loads."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return {Path(found) for found in re.findall(r"(/\S+)", said)}


def make(path: Path) -> None:
    """Make a root with this machine's busybox, MicroPython and libsodium, and the fake peer's scripts."""
    for folder in FOLDERS:
        (path / folder).mkdir(parents=True, exist_ok=True)
    (path / "var/run").symlink_to("../tmp/run")
    busybox = Path(shutil.which("busybox") or "")
    shutil.copy(busybox, path / "bin/busybox")
    for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if applet != "busybox":
            (path / "bin" / applet).symlink_to("busybox")
    shutil.copytree(FAKE, path, dirs_exist_ok=True)
    for script in ("sbin/uci", "etc/rc.common"):
        (path / script).chmod(0o755)
    (path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/ash\n")
    (path / "etc/group").write_text("root:x:0:\n")
    programs = {path / "usr/bin/micropython": "micropython", path / "host/setpriv": "setpriv"}
    libraries = {next(Path("/usr/lib").glob("*/libsodium.so.23"))}
    for place, name in programs.items():
        program = Path(shutil.which(name) or "")
        shutil.copy(program, place)
        libraries |= _libraries(program)
    for library in libraries:
        place = path / library.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, place)


class Gateway:
    """A root that is running: /proc and a tmpfs on /tmp are mounted, its network is its own."""

    def __init__(self, path: Path, holder: int) -> None:
        self.path = path
        self.holder = holder  # the process whose namespaces these are

    def command(self, *words: str, user: str = "root", capabilities: tuple[str, ...] = (), env: tuple[str, ...] = ()) -> list[str]:
        """Return the command line that runs some words inside, as a user who has these capabilities and no other."""
        inside = ["nsenter", "--target", str(self.holder), "--mount", "--net", "chroot", str(self.path)]
        if user != "root":
            uid, gid = self.ids(user)
            wanted = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in capabilities)
            inside += ["/host/setpriv", "--reuid", uid, "--regid", gid, "--clear-groups"]
            inside += ["--inh-caps", wanted, "--ambient-caps", wanted] if wanted else ["--bounding-set", "-all"]
            inside += ["--no-new-privs"]
        return [*inside, "/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *env, *words]

    def ids(self, user: str) -> tuple[str, str]:
        """Return a user's number and its group's."""
        found = re.search(rf"(?m)^{user}:x:(\d+):(\d+):", (self.path / "etc/passwd").read_text())
        assert found is not None, user
        return found[1], found[2]

    def run(self, *words: str, check: bool = True, env: tuple[str, ...] = (), stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run some words inside, as root, to the end."""
        command = self.command(*words, env=env)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, input=stdin)
        assert not check or done.returncode == 0, (words, done.returncode, done.stdout, done.stderr)
        return done

    def start(self, instance: dict[str, Any]) -> subprocess.Popen[bytes]:
        """Start an instance of a service as procd and ujail do: its command, user, capabilities, limits."""
        named = instance.get("capabilities")
        held: list[str] = []
        if named:
            held = json.loads((self.path / named.lstrip("/")).read_text())["ambient"]
        command = self.command(*instance["command"], user=instance.get("user", "root"), capabilities=tuple(held))
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def host(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of this machine's programs in the gateway's network."""
        command = ["nsenter", "--target", str(self.holder), "--net", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)


@contextmanager
def running(path: Path) -> Iterator[Gateway]:
    """Give a root's gateway; its mounts and its network end with it."""
    steps = [
        f"mount -t proc proc {path}/proc",
        f"mount --bind /dev {path}/dev",
        f"mount -t tmpfs tmpfs {path}/tmp",
        f"mkdir {path}/tmp/run",
        "ip link set lo up",
        "echo up",
        "exec cat",
    ]
    script = " && ".join(steps)
    words = ["unshare", "--mount", "--net", "sh", "-c", script]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"up\n"
        yield Gateway(path, holder.pid)
        holder.stdin.close()


def octets_of(tar: tarfile.TarFile, name: str) -> bytes:
    """Return what a file of a tar holds."""
    file = tar.extractfile(name)
    assert file is not None, name
    return file.read()


def unpack_ipk(package: bytes, root: Path) -> dict[str, str]:
    """Lay an ipk into a root as opkg does: files, then control and list below /usr/lib/opkg/info; returns its scripts."""
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as tar:
        parts = {member.name: octets_of(tar, member.name) for member in tar.getmembers()}
    with tarfile.open(fileobj=io.BytesIO(parts["./data.tar.gz"]), mode="r:gz") as tar:
        listed = [member.name[1:] for member in tar.getmembers() if member.isfile()]
        tar.extractall(root, filter="tar")
    with tarfile.open(fileobj=io.BytesIO(parts["./control.tar.gz"]), mode="r:gz") as tar:
        inside = {member.name: octets_of(tar, member.name).decode() for member in tar.getmembers() if member.isfile()}
    info = root / "usr/lib/opkg/info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "oubli.control").write_text(inside["./control"])
    (info / "oubli.list").write_text("".join(path + "\n" for path in listed))
    return {name: inside["./" + name] for name in ("postinst", "prerm")}


def unpack_apk(package: bytes, root: Path) -> dict[str, str]:
    """Lay an apk into a root as apk does; returns its scripts."""
    contents = adb.read(package)
    paths: Any = contents.root[apk.PKG_PATHS]
    for folder in paths:
        (root / folder.get(apk.DI_NAME, b"").decode()).mkdir(parents=True, exist_ok=True)
    for path, index, octets in contents.files:
        entry = paths[path - 1][apk.DI_FILES][index - 1]
        place = root / paths[path - 1].get(apk.DI_NAME, b"").decode() / entry[apk.FI_NAME].decode()
        place.write_bytes(octets)
        place.chmod(entry[apk.FI_ACL][apk.ACL_MODE])
    scripts: Any = contents.root[apk.PKG_SCRIPTS]
    return {name: scripts[slot].decode() for name, slot in apk.SCRIPT_SLOTS.items()}
