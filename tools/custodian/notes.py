# SPDX-License-Identifier: Apache-2.0
"""What an answer says of what may be missing: English, for every reader, and French, for the cover page."""


class Note(str):
    """A note; `french` is the same in French. `doubt`: what it says may hide something that was asked for.

    `day`, since the epoch: a part of what was written on it can't be read, and so the end of a holding may be missing.
    """

    __slots__ = ("day", "doubt", "french")
    french: str
    doubt: bool
    day: int | None

    def __new__(cls, english: str, french: str, *, doubt: bool = True, day: int | None = None) -> "Note":
        """Make a note of both texts."""
        made = super().__new__(cls, english)
        made.french, made.doubt, made.day = french, doubt, day
        return made
