# SPDX-License-Identifier: Apache-2.0
"""`python -m tools.openwrt NAME`: builds the system into .cache/NAME.

.cache/openwrt leads there; tools/setup-openwrt makes the name.

In the result: vmlinuz, initramfs.gz, root.squashfs, libraries.txt (those of the image), feed/ (the packages that aren't
in the image, with the key that signs them), host/ (programs of the same build, for the internet's side), built.json.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tools.openwrt import packages, root, sources
from tools.openwrt.compile import Compiler
from tools.openwrt.debian import Debian
from tools.openwrt.kernel import Kernel
from tools.package import signing

HERE = Path(__file__).parent
CACHE = sources.PROJECT / ".cache"
MOST = 60 << 20  # octets of image and kernel together
HOST = ("sbin/dnsmasq", "sbin/odhcpd", "bin/apk")  # what the internet's side of the lab runs


def build(work: Path, result: Path) -> None:
    """Build everything below `work` and lay what is kept into `result`."""
    start = time.monotonic()

    def say(text: str) -> None:
        print(f"tools/openwrt: {time.monotonic() - start:5.0f} s  {text}", flush=True)

    known: list[Debian] = []

    def debian() -> Debian:
        if not known:
            say("reading Debian's list of packages")
            known.append(Debian(work / "apt"))
        return known[0]

    (work / "src").mkdir(parents=True, exist_ok=True)
    for source in sources.read().values():
        if not (work / "src" / source.name).exists():
            sources.unpack(source, work / "src")
    Compiler(work, debian, say).all()
    kernels = work / "kernel"
    if not (kernels / "release").exists():
        say("Debian's kernel")
        (kernels / "release").parent.mkdir(exist_ok=True)
        release = debian().kernel(kernels)
        (kernels / "release").write_text(release)
    kernel = Kernel(kernels, (kernels / "release").read_text())
    say("packages")
    made = packages.Packages(work, kernel)
    made.lay_out()
    result.mkdir(parents=True)
    keys = result / "feed/keys"
    keys.mkdir(parents=True)
    signing.make(keys)
    base = made.folder / "base-files"
    root.base_files(base)
    shutil.copy(keys / signing.APK_PUBLIC, base / "etc/apk/keys/local.pem")
    made.strip()
    made.share_libraries()
    made.make()
    say("image")
    root.compose(made, work / "root")
    root.squash(work / "root", result / "root.squashfs")
    for row in made.rows:
        if not row.image:
            shutil.copy(made.made / f"{row.name}.apk", result / f"feed/{row.name}-{packages.VERSION}.apk")
    libraries = sorted(path.name for path in (made.folder / packages.LIBRARIES / "lib").iterdir() if path.is_file())
    (result / "libraries.txt").write_text("".join(f"{name}\n" for name in libraries))
    shutil.copy(kernel.image, result / "vmlinuz")
    kernel.initramfs(work, result / "initramfs.gz", Path(shutil.which("busybox") or ""))
    _host(work, result / "host")
    sizes = {path.name: path.stat().st_size for path in result.iterdir() if path.is_file()}
    facts = {"kernel": kernel.release, "seconds": round(time.monotonic() - start), "octets": sizes}
    (result / "built.json").write_text(json.dumps(facts, indent=1) + "\n")
    if sum(sizes.values()) > MOST:
        raise sources.BuildError(f"image and kernel take {sum(sizes.values())} octets; accepted: {MOST}")
    say(
        f"done: kernel {kernel.release}, {', '.join(f'{name} {size:,}' for name, size in sorted(sizes.items()))} octets"
    )


def _host(work: Path, place: Path) -> None:
    """Keep the programs that the lab runs on this machine, with their libraries."""
    (place / "lib").mkdir(parents=True)
    stage = work / "stage/usr"
    programs = [stage / name for name in HOST]
    for program in programs:
        shutil.copy(program, place)
    shutil.copy(work / "stage/busybox/bin/busybox", place)
    for library in packages.loaded(programs, stage / "lib"):
        if library.is_relative_to(work):
            shutil.copy(library, place / "lib")


def stand_ins() -> str:
    """Return what in the system isn't real: the part of README.md."""
    text = (HERE / "README.md").read_text()
    return text.split("## What isn't real\n", 1)[1].split("\n## ", 1)[0].strip()


def main() -> int:
    """Build what isn't there yet."""
    parser = argparse.ArgumentParser(prog="python -m tools.openwrt", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("name", help="name of the result's folder below .cache")
    parser.add_argument(
        "--work", metavar="DIR", type=Path, help="build there and keep it: a second build there does only what is left"
    )
    chosen = parser.parse_args()
    name, result = chosen.name, CACHE / chosen.name
    if not (result / "built.json").exists():
        CACHE.mkdir(exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix="building-", dir=CACHE))
        try:
            build(chosen.work or temporary / "work", temporary / "result")
            shutil.rmtree(result, ignore_errors=True)
            (temporary / "result").rename(result)
        except sources.BuildError as failure:
            print(f"tools/openwrt: {failure}", file=sys.stderr)
            return 1
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        for former in CACHE.glob("openwrt-????????????"):
            if former != result:
                shutil.rmtree(former)
    link = CACHE / "openwrt"
    if not link.is_symlink() or link.readlink() != Path(name):
        link.unlink(missing_ok=True)
        link.symlink_to(name)
    print(f"What isn't real in it:\n\n{stand_ins()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
