# SPDX-License-Identifier: Apache-2.0
"""OpenWrt's configuration files: how a line is read, and what is asked of other packages' files."""

from agent.runtime.files import read_bounded

LIMIT = 65536  # octets of a file


def split(line: str) -> "list[str]":
    """Split one line as uci does: words, single or double quotes, a backslash outside single ones, # begins a comment.

    ValueError with what was wrong and what is accepted: what would go on in another
    line, or begin another command, is refused.
    """
    words, word, quote, open_word, escaped = [], "", "", False, False
    for letter in line:
        if escaped:
            word += letter
            escaped = False
        elif letter == "\\" and quote != "'":
            escaped = open_word = True
        elif quote:
            if letter == quote:
                quote = ""
            else:
                word += letter
        elif letter in "'\"":
            quote, open_word = letter, True
        elif letter in " \t\r":
            if open_word:
                words.append(word)
            word, open_word = "", False
        elif letter == "#":
            break
        elif letter == ";":
            raise ValueError("a ; outside quotes", "one command a line")
        else:
            word += letter
            open_word = True
    if quote:
        raise ValueError("a quote left open", "a closing quote")
    if escaped:
        raise ValueError("a backslash at the end", "a line that ends where it is")
    if open_word:
        words.append(word)
    return words


def sections(path: str) -> "Iterator[tuple[str, str, list[str]]]":
    """Yield type and name of the section, and the words, of each line of a UCI file; nothing where it is unreadable."""
    try:
        text = read_bounded(path, LIMIT).decode()
    except (OSError, UnicodeError):
        return
    kind = name = ""
    for line in text.split("\n"):
        try:
            words = split(line)
        except ValueError:
            continue
        if words[:1] == ["config"]:
            kind, name = (words[1:] + ["", ""])[:2]
        else:
            yield kind, name, words


def devices(names: "Sequence[str]", path: str) -> "list[str]":
    """Return the interfaces that names stand for: OpenWrt networks of the file at `path`, else interfaces."""
    known = {}
    for kind, section, words in sections(path):
        if (
            kind == "interface"
            and section
            and len(words) == 3
            and words[0] == "option"
            and words[1] in ("device", "ifname")
        ):
            known[section] = words[2].split()
    return [device for name in names for device in known.get(name, [name])]


def agreeing_clock(path: str) -> bool:
    """Return True if root's word at `path` is that battery clock and system clock agree (etc/init.d/oubli)."""
    return any(kind == "clock" and words == ["option", "agrees", "1"] for kind, _, words in sections(path))


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Sequence
