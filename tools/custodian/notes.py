# SPDX-License-Identifier: Apache-2.0
"""What an answer says of what may be missing: an English text, which is what every reader gets, and its French for the cover page."""


class Note(str):
    """A note; `french` is the same in French. `doubt`: what it says may hide something that was asked for."""

    __slots__ = ("doubt", "french")
    french: str
    doubt: bool

    def __new__(cls, english: str, french: str, *, doubt: bool = True) -> "Note":
        """Make a note of both texts."""
        made = super().__new__(cls, english)
        made.french, made.doubt = french, doubt
        return made
