# SPDX-License-Identifier: Apache-2.0
"""The first boot's script of the package under cuts of power, on a configuration that it must give an id (EXP-6).

A cut comes before one of the programs that write. What was synced by then is on flash. Of what wasn't, each name is as
it was or as it became. The octets of a new file may end anywhere, also before the first one. The script is run again at
the next boot, unless it ended well and so is gone.
"""

import re
import shutil
import subprocess
from pathlib import Path
from random import Random

SCRIPT = "boards/common/etc/uci-defaults/50-oubli"
Files = dict[str, bytes]
_WRITING = ("cp", "sed", "sync", "mv", "rm")
_CUTS = 3  # at most
_LATEST = 10  # programs within which a cut comes
_ID = re.compile(r"(?m)^#?\toption id '.*'$")
# Counts, takes the power away before the program of a number, and keeps what a sync brings to flash.
_PROGRAM = """#!/bin/sh
root=$IPKG_INSTROOT
count=$(($(cat "$root/count") + 1))
echo $count >"$root/count"
if [ $count = "$CUT" ]; then kill -9 $PPID; exit 1; fi
/bin/{name} "$@" || exit
[ {name} != sync ] || {{ rm -rf "$root/safe"; /bin/cp -Rp "$root/etc/config" "$root/safe"; }}
"""


def boots(script: Path, config: Path, folder: Path, number: bytes) -> str:
    """Let a device with this configuration, but for its id, come to its first boots; returns what is wrong, or "".

    The cuts follow from a number. The configuration is afterwards what came of it, with the id that it had; `folder` is
    an empty one.
    """
    dice, text = Random(number), config.read_text()
    identity = _ID.findall(text)[0]
    blank = _ID.sub("#\toption id ''", text)
    for name in _WRITING:
        path = folder / "bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_PROGRAM.format(name=name))
        path.chmod(0o755)
    flash = {"oubli": blank.encode()}
    for left in range(dice.randint(0, _CUTS), -1, -1):
        seen, safe, ended = _boot(script, folder, flash, dice.randint(1, _LATEST) if left else 0)
        if not left:
            flash = seen
            break
        flash = _after_cut(seen, safe, dice)
        if ended:
            break
    made = flash.get("oubli", b"").decode(errors="replace")
    if len(ids := _ID.findall(made)) != 1 or _ID.sub("#\toption id ''", made) != blank or len(ids[0]) != len(identity):
        return f"a configuration of {len(made)} octets with {len(ids)} ids is left"
    config.write_text(_ID.sub(identity, made))
    return ""


def _boot(script: Path, folder: Path, flash: Files, cut: int) -> tuple[Files, Files, bool]:
    """Run the script; returns what a process sees then, what is synced, and whether the script has ended well."""
    for name in ("etc/config", "safe"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
        for file, data in flash.items():
            (folder / name / file).write_bytes(data)
    (folder / "count").write_text("0")
    variables = {"PATH": f"{folder}/bin:/usr/bin:/bin", "IPKG_INSTROOT": str(folder), "CUT": str(cut)}
    done = subprocess.run(["/bin/sh", script], env=variables, check=False, stderr=subprocess.DEVNULL)
    seen, safe = (
        {path.name: path.read_bytes() for path in (folder / name).iterdir()} for name in ("etc/config", "safe")
    )
    return seen, safe, done.returncode == 0


def _after_cut(seen: Files, safe: Files, dice: Random) -> Files:
    flash = {}
    for name in sorted(seen.keys() | safe.keys()):
        data = dice.choice((seen, safe)).get(name)
        if data is not None:
            torn = dice.choice((0, dice.randrange(len(data) + 1), None))
            flash[name] = data if data in safe.values() else data[:torn]
    return flash
