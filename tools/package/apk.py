# SPDX-License-Identifier: Apache-2.0
"""The apk v3 package of OpenWrt 25 and later, and its index: their values in `adb`.

Source: apk-tools 3 (src/apk_adb.h: slots of package, info, file, folder, scripts, index) and OpenWrt
include/package-pack.mk (files below /lib/apk/packages by which its scripts find users, conffiles and what was
installed).
"""

import hashlib
from collections import defaultdict

from cryptography.hazmat.primitives.asymmetric import ec

from tools.package import adb
from tools.package.board import Board
from tools.package.contents import File
from tools.package.packages import LICENSE, OUBLI, RELEASE, Package

# Slots (apk_adb.h): ADBI_PKG_*, ADBI_PI_*, ADBI_DI_*, ADBI_FI_*, ADBI_ACL_*, ADBI_SCRPT_*, ADBI_DEP_*, ADBI_NDX_*.
PKG_INFO, PKG_PATHS, PKG_SCRIPTS = 1, 2, 3
PI_NAME, PI_VERSION, PI_HASHES, PI_DESCRIPTION, PI_ARCH, PI_LICENSE, PI_ORIGIN, PI_MAINTAINER = 1, 2, 3, 4, 5, 6, 7, 8
PI_BUILD_TIME, PI_INSTALLED_SIZE, PI_FILE_SIZE, PI_DEPENDS = 11, 12, 13, 15
DI_NAME, DI_ACL, DI_FILES = 1, 2, 3
FI_NAME, FI_ACL, FI_SIZE, FI_MTIME, FI_HASHES = 1, 2, 3, 4, 5
ACL_MODE, ACL_USER, ACL_GROUP = 1, 2, 3
SCRIPT_SLOTS = {
    "pre-install": 2,
    "post-install": 3,
    "pre-deinstall": 4,
    "post-deinstall": 5,
    "pre-upgrade": 6,
    "post-upgrade": 7,
}
DEP_NAME, DEP_VERSION = 1, 2  # without a third slot the version is the one that is needed
NDX_DESCRIPTION, NDX_PACKAGES = 1, 2
_IDENTITY = 20  # octets of SHA-256 that name a package


def registered(package: Package, content: list[File]) -> list[File]:
    """Return a package's files with those of /lib/apk/packages added."""
    found = {file.path: file for file in content}
    base = f"/lib/apk/packages/{package.name}"
    texts = {".rusers": package.users + "\n"} if package.users else {}
    if package.conffiles:
        texts[".conffiles"] = "".join(path + "\n" for path in package.conffiles)
        sums = [hashlib.sha256(found[path].octets).hexdigest() for path in package.conffiles]
        texts[".conffiles_static"] = "".join(
            f"{path} {sum_}\n" for path, sum_ in zip(package.conffiles, sums, strict=True)
        )
    added = [File(base + ending, 0o644, text.encode()) for ending, text in texts.items()]
    listed = sorted([*found, *(file.path for file in added if file.path.endswith(".rusers"))])
    added.append(File(base + ".list", 0o644, "".join(path + "\n" for path in listed).encode()))
    return sorted([*content, *added], key=lambda file: file.path)


def _acl(mode: int) -> adb.Object:
    return adb.Object({ACL_MODE: mode, ACL_USER: "root", ACL_GROUP: "root"})


def _tree(board: Board, package: Package, folders: dict[str, list[File]], when: int, identity: bytes) -> adb.Object:
    size = sum(len(file.octets) for files in folders.values() for file in files)
    info = adb.Object(
        {
            PI_NAME: package.name,
            PI_VERSION: RELEASE,
            PI_HASHES: identity,
            PI_DESCRIPTION: package.description,
            PI_ARCH: board.architecture,
            PI_LICENSE: LICENSE,
            PI_ORIGIN: OUBLI,
            PI_MAINTAINER: OUBLI,
            PI_BUILD_TIME: when,
            PI_INSTALLED_SIZE: size,
            PI_DEPENDS: [
                adb.Object({DEP_NAME: name, DEP_VERSION: version}) for name, version in sorted(package.needs())
            ],
        }
    )
    paths: list[adb.Value] = []
    for folder in sorted(folders, key=str.encode):
        entries: list[adb.Value] = [
            adb.Object(
                {
                    FI_NAME: file.path.rpartition("/")[2],
                    FI_ACL: _acl(file.mode),
                    FI_SIZE: len(file.octets),
                    FI_MTIME: when,
                    FI_HASHES: hashlib.sha256(file.octets).digest(),
                }
            )
            for file in folders[folder]
        ]
        paths.append(adb.Object({DI_NAME: folder, DI_ACL: _acl(0o755), DI_FILES: entries}))
    scripts = adb.Object({SCRIPT_SLOTS[name]: text for name, text in package.apk_scripts.items()})
    return adb.Object({PKG_INFO: info, PKG_PATHS: paths, PKG_SCRIPTS: scripts})


def build(
    board: Board, package: Package, content: list[File], when: int, key: ec.EllipticCurvePrivateKey | None = None
) -> bytes:
    """Return the package, signed where a key is given (ECDSA: never the same); `when` in s since the epoch."""
    folders: dict[str, list[File]] = defaultdict(list)
    for file in registered(package, content):
        folder, _, _ = file.path[1:].rpartition("/")
        folders[folder].append(file)
        while folder:
            folders.setdefault(folder, [])
            folder = folder.rpartition("/")[0]
    folders.setdefault("", [])
    for files in folders.values():
        files.sort(key=lambda file: file.path.rpartition("/")[2].encode())
    # The identity is the hash of the values with zeros in its own place.
    empty = adb.Writer().block(_tree(board, package, folders, when, bytes(_IDENTITY)))
    block = adb.Writer().block(_tree(board, package, folders, when, hashlib.sha256(empty).digest()[:_IDENTITY]))
    data = [
        (path, index, file.octets)
        for path, folder in enumerate(sorted(folders, key=str.encode), 1)
        for index, file in enumerate(folders[folder], 1)
        if file.octets
    ]
    return adb.write(adb.PACKAGE, block, key, data)


def index(packages: list[bytes], key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    """Return packages.adb, the index of packages, signed where a key is given."""
    infos: list[adb.Object] = []
    for package in packages:
        contents = adb.read(package)
        info = contents.root[PKG_INFO]
        assert isinstance(info, adb.Object)  # noqa: S101 (for the type checker: build made it)
        infos.append(
            adb.Object({**info, PI_FILE_SIZE: len(package), PI_HASHES: hashlib.sha256(contents.block).digest()})
        )
    infos.sort(key=lambda info: (info[PI_NAME], info[PI_VERSION]))
    root = adb.Object({NDX_DESCRIPTION: "oubli", NDX_PACKAGES: list(infos)})
    return adb.write(adb.INDEX, adb.Writer().block(root), key, [])


def file_name(_board: Board, package: Package) -> str:
    """Return the package's file name, as an index of architecture expects it."""
    return f"{package.name}-{RELEASE}.apk"
