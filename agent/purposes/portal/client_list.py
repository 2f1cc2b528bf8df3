# SPDX-License-Identifier: Apache-2.0
"""What openNDS's list of clients says (`ndsctl json`), read line by line.

The list is almost JSON: openNDS prints a field a line, and the text of `custom` as it is, quotes and line ends
included. A guest may have had a word in that. So no JSON parser reads it, and nothing of it is believed before there
are as many clients as the list announces. Each has one `mac`, which is its name, one `state` and one `custom`. A text
that makes up a client is one too many, and the list is none. One that makes up a field leaves its own client odd. A
small heap holds a line at a time.
"""

LINE = 4096  # octets; a list with a longer one is none
_READ = (b"mac", b"state", b"custom")
_LENGTH, _CLIENTS = b'"client_list_length":"', b'"clients":{'


class ClientList:
    """One list. `client(name, fields, odd)` takes a client over; `odd`: a line of its is no field, or comes twice."""

    def __init__(self, client: "Callable[[bytes, dict[bytes, bytes], bool], None]") -> None:
        self._client = client
        self.begin()

    def begin(self) -> None:
        """Begin with another list."""
        self.broken = False  # it is none
        self._rest = b""
        self._announced, self._clients = -1, 0
        self._inside = self._closed = False  # of the object of clients
        self._name = b""  # of the client whose lines are being read
        self._fields: "dict[bytes, bytes]" = {}
        self._odd = False

    def whole(self) -> bool:
        """Return True if what was read is a list with as many clients as it announced."""
        return self._closed and not self.broken and self._clients == self._announced

    def take(self, part: bytes) -> None:
        """Take over the lines in a part of the list; what is left of it waits for the next one."""
        lines = (self._rest + part).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            self._line(line.strip())
        self.broken = self.broken or len(self._rest) > LINE

    def _line(self, line: bytes) -> None:
        end = line in (b"}", b"},")
        if self._closed:
            return  # the list of trusted MACs follows
        if self._name:
            if end:
                self._clients += 1
                self._client(self._name, self._fields, self._odd)
                self._name = b""
            else:
                self._field(line)
        elif self._inside:
            if end:
                self._closed = True
            elif len(line) > 4 and line[:1] == b'"' and line.endswith(b'":{'):
                self._name, self._fields, self._odd = line[1:-3], {}, False
            else:
                self.broken = True
        elif line.startswith(_LENGTH):
            digits = line[len(_LENGTH) :].rstrip(b'",')
            self._announced = int(digits) if digits.isdigit() and len(digits) < 6 else -1
        else:
            self._inside = line == _CLIENTS

    def _field(self, line: bytes) -> None:
        """Take note of one line of a client: a name and a text, each in quotes, the text as it is."""
        text = line[:-1] if line.endswith(b",") else line
        middle = text.find(b'":"')
        if text[:1] != b'"' or middle < 0 or len(text) < middle + 4 or not text.endswith(b'"'):
            self._odd = True
            return
        name = text[1:middle]
        if name in _READ:
            self._odd = self._odd or name in self._fields
            self._fields[name] = text[middle + 3 : -1]


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable
