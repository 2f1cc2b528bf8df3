# SPDX-License-Identifier: Apache-2.0
"""What the newest examination found, in a small file that the doctor writes as root and the recorder reads into health (ANON-4).

Names of the catalogue, a line each, and only those that the operator can set right by a setting, a file or a package: what depends on
what terminals do (`HERE`) stays on the gateway. It lies on tmpfs, so a boot begins without a verdict.
"""

from agent.runtime import files

LIMIT, MOST = 480, 32  # octets, names: health has one length
# Terminals fill a block and the flash; the broker's state is over when health reaches it, and the clock's has a field of its own.
HERE = ("block-full", "flash", "broker", "clock-untrusted")


def leave(path: str, findings: "list[Finding]") -> None:
    """Write what may be told and isn't a mere note; where there is no folder of the recorder's, nobody is told."""
    names = sorted({finding.name for finding in findings if finding.severity != "note" and finding.name not in HERE})
    try:
        files.write_atomic(path, "".join([name + "\n" for name in names]).encode(), 0o644, durable=False)
    except OSError:
        pass


def newest(path: str) -> "list[str] | None":
    """Return the names, None where no examination has left any, or something that is no verdict."""
    try:
        text = files.read_bounded(path, LIMIT).decode()
    except (OSError, ValueError):
        return None
    names = text.split("\n")
    if (
        names.pop()
        or len(names) > MOST
        or not all(name and all("a" <= letter <= "z" or letter == "-" for letter in name) for name in names)
    ):
        return None
    return names


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.doctor.catalogue import Finding
