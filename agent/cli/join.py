# SPDX-License-Identifier: Apache-2.0
"""`oubli join ARCHIVE`: take what `oubli-fleet enrol` made for this gateway, so that it can send to its fleet's broker.

An archive is text, so that nothing in it can be a link, another name or another size than it looks: four lines, then
three PEM blocks in this order, nothing else.

    oubli-join 1
    id abcdefgh23456777
    host mqtt.example.org
    port 8883
    certificate of this gateway, its private key (PKCS #8), certificate of the broker's authority

The new configuration is checked by the rules of every start before it takes the old one's place, and goes there last. A
power cut before that leaves a gateway that sends as it did, or not yet. Then the archive is removed, for it holds the
key.
"""

import os

from agent.config.config import load
from agent.config.reader import ConfigError
from agent.runtime import files
from agent.runtime.libc import LIBC

LARGEST = 16384  # octets
_CERTIFICATE, _KEY = "CERTIFICATE", "PRIVATE KEY"
_BLOCKS = (("gateway.pem", _CERTIFICATE, 0o644), ("gateway.key", _KEY, 0o600), ("broker-ca.pem", _CERTIFICATE, 0o644))
_FOLDER = "/etc/oubli/"
_OWNER = "oubli-fwd"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/="
_HOST = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:"
_ACCEPTED = "; accepted: what oubli-fleet enrol wrote, whole"


def run(line: "Line") -> int:
    """Join; returns the exit code, ConfigError with the one line to show where nothing was changed."""
    if LIBC.call("geteuid"):
        raise ConfigError("join: not root; accepted: root, whose files these are")
    archive, where = Archive(_read(line.word)), line.paths
    if os.stat(line.word)[4]:  # its owner
        raise ConfigError(
            "ARCHIVE: not root's, so its key is somebody else's, too; accepted: what enrol --renew makes, in /root"
        )
    if not files.exists(line.config):
        raise ConfigError(line.config + ": absent; accepted: once oubli is installed")
    with open(line.config) as file:
        text = file.read()
    _same(line.config, archive.id)
    owner = _owner(where)
    folder = where.root + _FOLDER
    text = edited(text, "gateway", (("id", archive.id),))
    wanted = [("host", archive.host), ("port", archive.port)]
    wanted += [(option, folder + name) for option, (name, _, _) in zip(("certificate", "key", "ca"), _BLOCKS)]
    text = edited(text, "mqtt", wanted)
    _check(line.config, text)
    files.make_folder(folder[:-1], 0o755)
    for (name, _, mode), block in zip(_BLOCKS, archive.blocks):
        files.write_atomic(folder + name, block.encode(), mode)
        if mode == 0o600:
            LIBC.call("lchown", (folder + name).encode() + b"\0", owner, -1 & 0xFFFFFFFF)
    files.write_atomic(line.config, text.encode(), 0o644)
    files.remove(line.word)
    return line.show(
        {"gateway": archive.id, "host": archive.host, "port": int(archive.port)},
        [
            "joined: " + archive.id + " sends to " + archive.host + ":" + archive.port,
            "the archive is removed: its key is " + folder + "gateway.key",
            "now: /etc/init.d/oubli restart",
        ],
    )


class Archive:
    """What an archive says: `id`, `host`, `port` as text, and its PEM `blocks` in the order of _BLOCKS."""

    def __init__(self, text: str) -> None:
        lines = text.split("\n")
        if lines[:1] != ["oubli-join 1"] or lines[-1] or len(lines) < 5:
            raise ConfigError("ARCHIVE: no archive of version 1" + _ACCEPTED)
        self.id = self._word(lines[1], "id", "abcdefghijklmnopqrstuvwxyz234567", 16)
        self.host = self._word(lines[2], "host", _HOST, 253)
        self.port = self._word(lines[3], "port", "0123456789", 5)
        self.blocks: "list[str]" = []
        rest = lines[4:-1]
        for _, title, _ in _BLOCKS:
            end = "-----END " + title + "-----"
            if rest[:1] != ["-----BEGIN " + title + "-----"] or end not in rest:
                raise ConfigError("ARCHIVE: a " + title.lower() + " is missing" + _ACCEPTED)
            size = rest.index(end)
            if any(not 0 < len(one) <= 64 or any(letter not in _LETTERS for letter in one) for one in rest[1:size]):
                raise ConfigError("ARCHIVE: a " + title.lower() + " isn't PEM" + _ACCEPTED)
            self.blocks.append("\n".join(rest[: size + 1]) + "\n")
            rest = rest[size + 1 :]
        if rest:
            raise ConfigError("ARCHIVE: something follows its last block" + _ACCEPTED)

    def _word(self, line: str, name: str, letters: str, most: int) -> str:
        title, _, value = line.partition(" ")
        if title != name or not 0 < len(value) <= most or any(letter not in letters for letter in value):
            raise ConfigError("ARCHIVE: " + name + ": not understood" + _ACCEPTED)
        return value


def edited(text: str, kind: str, options: "Sequence[tuple[str, str]]") -> str:
    """Return a configuration in which a section has these options, its comments and everything else as they were.

    An option takes the place of the lines that had it, as an option or a list, or of the comment that shows its
    default. A section that isn't there comes last.
    """
    lines = text.split("\n")
    first = _after(lines, 0, ["config", kind])
    if first == len(lines):
        while lines and not lines[-1]:
            lines.pop()
        lines += ["", "config " + kind + " '" + kind + "'", ""]
        first = len(lines) - 2
    end = _after(lines, first + 1, ["config"])
    section = lines[first + 1 : end]
    for name, value in options:
        new = "\toption " + name + " '" + value + "'"
        places = [number for number, one in enumerate(section) if _names(one, ("option", "list"), name)]
        shown = [number for number, one in enumerate(section) if _names(one, ("#option", "#list"), name)]
        if places or shown:
            section[(places or shown)[0]] = new
        else:
            section.insert(0, new)
        for number in reversed(places[1:]):
            section.pop(number)
    return "\n".join(lines[: first + 1] + section + lines[end:])


def _after(lines: "list[str]", number: int, words: "list[str]") -> int:
    """Return the number of the next line that begins with these words, or how many lines there are."""
    while number < len(lines) and lines[number].split()[: len(words)] != words:
        number += 1
    return number


def _names(line: str, words: "tuple[str, str]", name: str) -> bool:
    parts = line.replace("#\t", "#").replace("# ", "#").split()
    return len(parts) > 1 and parts[0] in words and parts[1].strip("'\"") == name


def _same(path: str, ident: str) -> None:
    """Refuse to make another gateway of one that has its place in a fleet already."""
    try:
        former = load(path)
    # No id yet, or no host without a CA: what is wrong otherwise stays wrong, and is found by `_check`
    except ConfigError:
        return
    if former.mqtt.host is not None and former.gateway.id != ident:
        raise ConfigError("ARCHIVE: is for another gateway; accepted: one for " + former.gateway.id)


def _read(path: str) -> str:
    try:
        octets = files.read_at(path, 0, LARGEST + 1)
    except OSError:
        raise ConfigError("ARCHIVE: " + path + ": can't be read" + _ACCEPTED)
    if len(octets) > LARGEST:
        raise ConfigError("ARCHIVE: larger than " + str(LARGEST) + " octets" + _ACCEPTED)
    if any(octet > 126 or (octet < 32 and octet != 10) for octet in octets):
        raise ConfigError("ARCHIVE: no plain text" + _ACCEPTED)
    return octets.decode()


def _owner(where: "Paths") -> int:
    """Return the number of the user that the forwarder runs as."""
    with open(where.root + "/etc/passwd") as file:
        for row in file:
            name, _, rest = row.partition(":")
            if name == _OWNER:
                return int(rest.split(":")[1])
    raise ConfigError("user " + _OWNER + ": isn't there; accepted: once oubli is installed")


def _check(path: str, text: str) -> None:
    """Hold a configuration against the rules of every start; ConfigError names the file that it is to be."""
    beside = path.rsplit("/", 1)[0] + "/.oubli.join"  # a name that uci doesn't read
    files.write_atomic(beside, text.encode(), 0o644)
    try:
        load(beside)
    except ConfigError as failure:
        raise ConfigError(str(failure).replace(beside, path))
    finally:
        files.remove(beside)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.base.paths import Paths
    from agent.cli.command import Line
