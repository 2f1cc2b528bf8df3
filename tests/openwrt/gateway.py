# SPDX-License-Identifier: Apache-2.0
"""A gateway's root file system: busybox, the fake peer's scripts, MicroPython and libraries, in own namespaces.

Of this machine's processor, or of big-endian MIPS: there every program of the root is a MIPS one, busybox included. The
kernel starts each under qemu-mips, by a table of foreign formats (binfmt_misc) that holds in this gateway's user
namespace and nowhere else.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import tarfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.interpreters import PROJECT
from tools.package import adb, apk

if TYPE_CHECKING:
    from collections.abc import Iterator

FAKE = Path(__file__).parent / "root"
MIPS, MIPS_SYSTEM = PROJECT / ".cache/mips", Path("/usr/mips-linux-gnu/lib")
# An executable of a 32-bit, big-endian MIPS; F: qemu-mips is opened now, for no root has it.
FORMAT = (
    r":mips:M::\x7fELF\x01\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x08:"
    r"\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xfe\xff\xff:{emulator}:F"
)
FOLDERS = (
    "bin",
    "sbin",
    "usr/bin",
    "usr/sbin",
    "usr/lib",
    "etc/config",
    "etc/rc.d",
    "lib",
    "tmp",
    "var",
    "proc",
    "dev",
    "srv",
    "host/formats",
    "host/jail",
)


OURS = ("libsodium.so.23", "libz.so.1")  # what the agent opens by itself


def loaded_by(program: Path) -> set[Path]:
    """Return the shared libraries that a program of this machine loads."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return {Path(found) for found in re.findall(r"(/\S+)", said)}


def make(path: Path, processor: str = "host") -> None:
    """Make a root with busybox, MicroPython, libsodium and libz of this machine ("host") or MIPS ("mips")."""
    for folder in FOLDERS:
        (path / folder).mkdir(parents=True, exist_ok=True)
    (path / "var/run").symlink_to("../tmp/run")
    setpriv = Path(shutil.which("setpriv") or "")
    shutil.copy(setpriv, path / "host/setpriv")
    libraries = {library: library.relative_to("/") for library in loaded_by(setpriv)}
    if processor == "mips":
        lists, busybox, interpreter = ["qemu-mips"], MIPS / "busybox", MIPS / "micropython.mips-linux-gnu"
        theirs = [
            *(MIPS / "lib").glob("*.so.*"),
            *(MIPS_SYSTEM / name for name in ("ld.so.1", "libc.so.6", "libm.so.6")),
        ]
        libraries |= {library: Path("lib") / library.name for library in theirs}
    else:
        lists, busybox, interpreter = [], Path(shutil.which("busybox") or ""), Path(shutil.which("micropython") or "")
        shutil.copy(flock := Path(shutil.which("flock") or ""), path / "usr/bin/flock")  # Debian's busybox has none
        theirs = [
            *loaded_by(flock),
            *loaded_by(interpreter),
            *(next(Path("/usr/lib").glob(f"*/{name}")) for name in OURS),
        ]
        libraries |= {library: library.relative_to("/") for library in theirs}
    shutil.copy(interpreter, path / "usr/bin/micropython")
    for library, place in libraries.items():
        (path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, path / place)
    shutil.copy(busybox, path / "bin/busybox")
    for applet in subprocess.run(
        [*lists, busybox, "--list"], capture_output=True, text=True, check=True
    ).stdout.split():
        if applet != "busybox":
            (path / "bin" / applet).symlink_to("busybox")
    shutil.copytree(FAKE, path, dirs_exist_ok=True)
    for script in ("sbin/uci", "etc/rc.common", "host/ujail"):
        (path / script).chmod(0o755)
    (path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/ash\n")
    (path / "etc/group").write_text("root:x:0:\n")


def inside(process: subprocess.Popen[bytes]) -> int:
    """Return the number of what runs in a jail, seen from outside; of a process without one its own."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0]) if children else process.pid


class Jailed(subprocess.Popen[bytes]):
    """A process in a jail; signals go to what runs inside, as ujail passes them on."""

    def send_signal(self, sig: int) -> None:
        """Pass a signal on."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(inside(self), sig)


class Gateway:
    """A root that is running: /proc and a tmpfs on /tmp are mounted, its network is its own."""

    def __init__(self, path: Path, holder: int, spaces: list[str]) -> None:
        self.path = path
        self._enter = ["nsenter", "--target", str(holder), *spaces]  # the process whose namespaces these are

    def command(self, *words: str, user: str = "root", env: tuple[str, ...] = ()) -> list[str]:
        """Return the command line that runs some words inside, as a user without any capability."""
        into = [*self._enter, "chroot", str(self.path)]
        if user != "root":
            uid, gid = self.ids(user)
            into += [
                "/host/setpriv",
                "--reuid",
                uid,
                "--regid",
                gid,
                "--clear-groups",
                "--bounding-set",
                "-all",
                "--no-new-privs",
            ]
        return [*into, "/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *env, *words]

    def ids(self, user: str) -> tuple[str, str]:
        """Return a user's number and its group's."""
        found = re.search(rf"(?m)^{user}:x:(\d+):(\d+):", (self.path / "etc/passwd").read_text())
        assert found is not None, user
        return found[1], found[2]

    def run(
        self, *words: str, check: bool = True, env: tuple[str, ...] = (), stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run some words inside, as root, to the end."""
        command = self.command(*words, env=env)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, input=stdin)
        assert not check or done.returncode == 0, (words, done.returncode, done.stdout, done.stderr)
        return done

    def start(self, instance: dict[str, Any]) -> subprocess.Popen[bytes]:
        """Start an instance of a service as procd does: its command, user, limits.

        Through ujail where it has a jail.
        """
        variables = tuple(f"{name}={value}" for name, value in instance.get("env", {}).items())
        if "jail" not in instance:
            command = self.command(*instance["command"], user=instance.get("user", "root"), env=variables)
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        jail = instance["jail"]
        words = [
            "/sbin/ujail",
            "-n",
            jail["name"],
            "-U",
            instance["user"],
            "-G",
            instance["group"],
            "-c",
            "-C",
            instance["capabilities"],
        ]
        words += ["-S", instance["seccomp"]] if "seccomp" in instance else []
        words += ["-p", "-l", *(word for name in instance.get("env", {}) for word in ("-e", name))]
        words += [word for path, kind in jail["mount"].items() for word in ("-w" if kind == "1" else "-r", path)]
        spaces = ["unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child"]
        path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
        command = [*self._enter, *spaces, "chroot", str(self.path), "/bin/env", "-i", path, *variables, *words, "--"]
        return Jailed(
            [*command, *instance["command"]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def host_command(self, *words: str) -> list[str]:
        """Return the command line that runs one of this machine's programs in the gateway's network."""
        return [*self._enter, *words]

    def host(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of this machine's programs in the gateway's network."""
        command = self.host_command(*words)
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)


@contextmanager
def running(path: Path, processor: str = "host") -> Iterator[Gateway]:
    """Give a root's gateway; its mounts and its network end with it."""
    spaces = ["--mount", "--net"]
    unshared = list(spaces)
    mounts = [f"mount -t proc proc {path}/proc", f"mount --bind /dev {path}/dev"]
    if processor == "mips":
        table = FORMAT.format(emulator=shutil.which("qemu-mips"))
        spaces = ["--user", *spaces]
        unshared += ["--user", "--map-users", "0,0,65536", "--map-groups", "0,0,65536"]
        mounts = [f"mount --rbind /proc {path}/proc", f"mount --rbind /dev {path}/dev"]
        mounts += [
            f"mount -t binfmt_misc none {path}/host/formats",
            f"printf %s {shlex.quote(table)} >{path}/host/formats/register",
        ]
    steps = [
        *mounts,
        f"mount -t tmpfs tmpfs {path}/tmp",
        f"mkdir {path}/tmp/run",
        "ip link set lo up",
        "echo up",
        "exec cat",
    ]
    words = ["unshare", *unshared, "sh", "-c", " && ".join(steps)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"up\n"
        yield Gateway(path, holder.pid, spaces)
        holder.stdin.close()


def octets_of(tar: tarfile.TarFile, name: str) -> bytes:
    """Return what a file of a tar holds."""
    file = tar.extractfile(name)
    assert file is not None, name
    return file.read()


def ipk_scripts(package: bytes) -> dict[str, str]:
    """Return the scripts of an ipk, and "control" and "conffiles"."""
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as tar:
        control = octets_of(tar, "./control.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(control), mode="r:gz") as tar:
        return {member.name[2:]: octets_of(tar, member.name).decode() for member in tar.getmembers() if member.isfile()}


def name_of(scripts: dict[str, str]) -> str:
    """Return the name of a package, by its control file."""
    return scripts["control"].partition("\n")[0].removeprefix("Package: ")


def unpack_ipk(package: bytes, root: Path) -> dict[str, str]:
    """Lay an ipk into a root as opkg does, a conffile that is there stays.

    Control and list go below /usr/lib/opkg/info.

    Returns its scripts. What a former version's list names and this one doesn't have goes.
    """
    scripts = ipk_scripts(package)
    kept = {path: (root / path[1:]).read_bytes() for path in scripts["conffiles"].split() if (root / path[1:]).exists()}
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as tar:
        data = octets_of(tar, "./data.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        listed = [member.name[1:] for member in tar.getmembers() if member.isfile()]
        tar.extractall(root, filter="tar")
    for path, octets in kept.items():
        (root / path[1:]).write_bytes(octets)
    info = root / "usr/lib/opkg/info"
    info.mkdir(parents=True, exist_ok=True)
    name = name_of(scripts)
    others = {path for file in info.glob("*.list") if file.stem != name for path in file.read_text().split()}
    assert not others & {*listed}, others & {*listed}  # opkg refuses a file of another package
    if (info / f"{name}.list").exists():
        for path in {*(info / f"{name}.list").read_text().split()} - {*listed}:
            (root / path[1:]).unlink(missing_ok=True)
    (info / f"{name}.control").write_text(scripts["control"])
    (info / f"{name}.list").write_text("".join(path + "\n" for path in listed))
    return scripts


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
    return {name: scripts[slot].decode() for name, slot in apk.SCRIPT_SLOTS.items() if slot in scripts}
