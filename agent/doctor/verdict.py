# SPDX-License-Identifier: Apache-2.0
"""What the newest examination found, in a small file from the doctor (root) to the recorder's health (ANON-4).

Names of the catalogue, a line each, and only those that the operator can set right by a setting, a file or a package.
What depends on what terminals do (`HERE`) stays on the gateway. What the recorder knows at once (`OWN`) it adds itself.
It lies on tmpfs, so a boot begins without a verdict.
"""

from agent.runtime import files

LIMIT, MOST = 640, 40  # octets, names: health has one length
# Terminals fill a block and the flash, and end connections; the broker's state and the forwarder's are over when health
# reaches it; a recorder that doesn't run says nothing; capture and clock have fields of their own.
HERE = ("block-full", "flash", "deaf", "broker", "unconnected", "forwarder", "recorder", "no-lan", "clock-untrusted")
OWN = ("configuration", "flash-refuses")


def leave(path: str, findings: "list[Finding]") -> None:
    """Write what may be told and isn't a mere note; where there is no folder of the recorder's, nobody is told."""
    names = sorted(
        {finding.name for finding in findings if finding.severity != "note" and finding.name not in HERE + OWN}
    )
    try:
        if files.exists(path.rsplit("-", 1)[0]):
            files.make_folder(path.rsplit("/", 1)[0], 0o755)
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


def with_own(names: "list[str] | None", own: "list[str]") -> "list[str] | None":
    """Return the names of an examination, None where there was none, with what the recorder knows itself."""
    return sorted(set(own).union(names or ())) if own else names


TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.doctor.catalogue import Finding
