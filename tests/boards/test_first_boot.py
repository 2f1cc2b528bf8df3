# SPDX-License-Identifier: Apache-2.0
"""The first boot's script, under cuts of power and a full flash.

The configuration is whole, or the script stays (EXP-6).
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.interpreters import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = PROJECT / "boards/common/etc/uci-defaults/50-oubli"
CONFIG = PROJECT / "boards/common/etc/config/oubli"
GIVEN = re.compile(r"(?m)^\toption id '[a-z2-7]{16}'$")
# A program of each name that writes down in which order they came, and what the configuration held by then.
WITNESS = """#!/bin/sh
config=$IPKG_INSTROOT/etc/config/oubli
echo "{name} $(grep -c "^	option id" "$config") $(wc -c <"$config")" >>"$IPKG_INSTROOT/seen"
[ "$FAILS" != {name} ] || exit 1
exec /bin/{name} "$@"
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "etc/config").mkdir(parents=True)
    (tmp_path / "etc/config/oubli").write_bytes(CONFIG.read_bytes())
    (tmp_path / "etc/config/oubli").chmod(0o640)
    (tmp_path / "bin").mkdir()
    for name in ("sync", "mv", "cp", "sed"):
        path = tmp_path / "bin" / name
        path.write_text(WITNESS.format(name=name))
        path.chmod(0o755)
    return tmp_path


def boot(root: Path, fails: str = "") -> int:
    variables = {"PATH": f"{root}/bin:/usr/bin:/bin", "IPKG_INSTROOT": str(root), "FAILS": fails}
    return subprocess.run(["sh", SCRIPT], env=variables, check=False, stderr=subprocess.DEVNULL).returncode


def test_the_configuration_has_its_name_only_once_it_is_on_flash_and_the_script_ends_after_that(root):
    """A cut left it at 0 octets, and the script gone: sed -i renames what no sync has written."""
    size = CONFIG.stat().st_size
    assert boot(root) == 0
    assert len(GIVEN.findall((root / "etc/config/oubli").read_text())) == 1
    assert (root / "etc/config/oubli").stat().st_mode & 0o777 == 0o640
    seen = [line.split() for line in (root / "seen").read_text().splitlines()]
    assert [name for name, *_ in seen] == ["cp", "sed", "sync", "mv", "sync"]
    assert [given for _, given, _ in seen] == ["0", "0", "0", "0", "1"]
    assert all(int(octets) >= size - 80 for *_, octets in seen)
    before = (root / "etc/config/oubli").read_bytes()
    assert boot(root) == 0
    assert (root / "etc/config/oubli").read_bytes() == before
    assert {path.name for path in (root / "etc/config").iterdir()} == {"oubli"}


@pytest.mark.parametrize("fails", ["cp", "sed", "sync", "mv"])
def test_where_a_step_fails_the_script_stays_and_the_next_boot_tries_again(root, fails):
    """/etc/uci-defaults keeps a script that ends with another code than 0."""
    before = (root / "etc/config/oubli").read_bytes()
    assert boot(root, fails) == 1
    assert (root / "etc/config/oubli").read_bytes() == before
    assert {path.name for path in (root / "etc/config").iterdir()} == {"oubli"}
    assert boot(root) == 0
    assert GIVEN.search((root / "etc/config/oubli").read_text())


@pytest.mark.needs("root", "unshare")
def test_a_full_flash_leaves_the_configuration_as_it_was(tmp_path):
    """ENOSPC: a tmpfs with no block left."""
    script = """
mount -t tmpfs -o size=64k none "$1"
mkdir -p "$1/etc/config" && cp "$3" "$1/etc/config/oubli"
cat /dev/zero >"$1/rest" 2>/dev/null || true
IPKG_INSTROOT=$1 sh "$2" && exit 9
cmp "$3" "$1/etc/config/oubli" || exit 8
rm "$1/rest"
IPKG_INSTROOT=$1 sh "$2" && grep -q "option id '[a-z2-7]" "$1/etc/config/oubli"
"""
    done = subprocess.run(
        ["unshare", "-m", "sh", "-ec", script, "sh", tmp_path, SCRIPT, CONFIG], capture_output=True, check=False
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
