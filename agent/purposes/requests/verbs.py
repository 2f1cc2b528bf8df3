# SPDX-License-Identifier: Apache-2.0
"""What the operator does for the custodian, `oubli bundle install FILE`, and for an authority.

`oubli request` (EXP-3, L34-II-4).
"""

import sys
import time
from binascii import hexlify

from agent import BUILT, law
from agent.cli.command import UsageError
from agent.cli.verbs import as_recorder
from agent.config.config import load
from agent.purposes.custodian import bundle as module
from agent.purposes.requests import executor, requests
from agent.runtime import files
from agent.runtime.clocks import DeviceTime
from agent.runtime.libc import LIBC, reason
from agent.runtime.sodium import Sodium

PAUSE = 0.2  # s between two looks at a handover that is being written


def _read(path: str, limit: int, what: str) -> str:
    try:
        data = files.read_bounded(path, limit)
    except OSError as failure:
        raise UsageError(path + ": can't be read" + reason(failure.errno) + "; accepted: " + what)
    try:
        if any(octet == 127 or (octet < 32 and octet != 10) for octet in data):
            raise ValueError
        return data.decode()
    except ValueError:
        raise UsageError(path + ": not plain text in UTF-8; accepted: " + what)


def bundle_install(line: "Line") -> int:
    """Install a bundle; the recorder finds it by itself."""
    purposes = load(line.config).purposes
    lifetimes = {}
    for name in purposes:
        if law.purpose(name).custody == law.CUSTODIAN:
            lifetimes[name] = purposes[name].lifetime
    today = max(DeviceTime().wall() // 1000000000, BUILT) // law.DAY
    try:
        paths = line.paths
        said = module.install(
            line.word, paths.flash.bundles, paths.etc.anchor, lifetimes, today, Sodium(), lambda: as_recorder(paths)
        )
    except module.BundleError as failure:
        sys.stderr.write("oubli: " + str(failure) + "\n")
        return 2
    return line.show({"installed": said}, [said])


def enrol(line: "Line") -> int:
    """Enrol an agent's public key: a file with a line `HEX NAME`, as oubli-custodian request key writes it."""
    accepted = "a file with one line, 64 hexadecimal digits and a name, of an agent who isn't enrolled yet"
    if LIBC.call("geteuid"):
        raise UsageError("request enrol: not permitted for this user; accepted: root")
    text = _read(line.word, 256, accepted)
    try:
        if text.strip().count("\n") or not text.strip():
            raise ValueError
        new = executor.enrol(line.paths.etc.agents, text)
    except ValueError:
        raise UsageError(line.word + ": not a key to enrol; accepted: " + accepted)
    line.ask("enrolled", digest=hexlify(Sodium().digest(text.encode(), 8)).decode())
    return line.show({"enrolled": sorted(new.values())}, ["enrolled " + ", ".join(sorted(new.values()))])


def identity(line: "Line") -> int:
    """Show the key that this gateway signs handovers with: a line for the custodian's file of gateways."""
    answer = line.ask("request identity")
    return 1 if answer is None else line.show(answer, [answer["key"] + " " + answer["gateway"]])


def run(line: "Line") -> int:
    """Run a signed request.

    The recorder checks it and hands over the sealed segments that cover its window, a part at a time.
    """
    text = _read(
        line.word, requests.LIMIT, "a request that two agents signed, at most " + str(requests.LIMIT) + " octets"
    )
    answer = line.ask("request", document=text)
    number = answer["number"] if answer is not None else ""
    while answer is not None:
        answer = line.ask("request state", number=number)
        if answer is not None and "export" in answer:
            told = str(answer["segments"]) + " sealed segments, " + str(answer["octets"]) + " octets: for the custodian"
            return line.show(answer, [answer["export"] + ": " + told])
        time.sleep(PAUSE)
    return 1


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.cli.command import Line
