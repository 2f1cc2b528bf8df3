# SPDX-License-Identifier: Apache-2.0
"""The C library: one table of signatures, one table of the constants that differ by processor.

Codes:

    v, i, I     nothing, int, unsigned
    Q, B, z     64 bits unsigned, octet, size_t
    p           pointer: None, an address, bytes, a buffer
    a           pointer that is no buffer: CPython takes it three times as fast

Offsets: both forms of a 32-bit libc (glibc's 32-bit off_t, musl's 64-bit one) read zeros where mmap gets spare zero
arguments. `ftruncate64` and `posix_fallocate64` are used where they exist.

Sources: Linux UAPI headers asm-generic/{fcntl,socket,mman}.h and arch/{mips,arm,arm64}/include/uapi/asm.
"""

import struct
import sys

try:
    from agent.runtime import micropython as native
except ImportError:
    from agent.runtime import cpython as native  # type: ignore[no-redef]

_SIGNATURES = {
    "_exit": ("v", "i"),
    "accept4": ("i", "ippi"),
    "alarm": ("I", "I"),
    "bind": ("i", "ipI"),
    "chmod": ("i", "pI"),
    "close": ("i", "i"),
    "connect": ("i", "ipI"),
    "fchmod": ("i", "iI"),
    "flock": ("i", "ii"),
    "fork": ("i", ""),
    "fsync": ("i", "i"),
    "geteuid": ("i", ""),
    "getpeername": ("i", "ipp"),
    "getsockname": ("i", "ipp"),
    "getsockopt": ("i", "iiipp"),
    "kill": ("i", "ii"),
    "lchown": ("i", "pII"),
    "listen": ("i", "ii"),
    "memcpy": ("p", "aaz"),
    "memmove": ("p", "aaz"),
    "memset": ("p", "aiz"),
    "mlock": ("i", "pz"),
    "mmap": ("p", "pziiiiii"),
    "munmap": ("i", "pz"),
    "nice": ("i", "i"),
    "open": ("i", "aiI"),
    "prctl": ("i", "iIIII"),
    "read": ("i", "ipz"),
    "recv": ("i", "ipzi"),
    "send": ("i", "ipzi"),
    "sendto": ("i", "ipzipI"),
    "setgid": ("i", "I"),
    "setgroups": ("i", "zp"),
    "setrlimit": ("i", "ip"),
    "setsockopt": ("i", "iiipI"),
    "setuid": ("i", "I"),
    "sigaddset": ("i", "pi"),
    "sigemptyset": ("i", "p"),
    "signal": ("p", "ip"),
    "signalfd": ("i", "ipi"),
    "sigprocmask": ("i", "ipp"),
    "socket": ("i", "iii"),
    "statfs": ("i", "pp"),
    "umask": ("I", "I"),
    "uname": ("i", "p"),
    "waitpid": ("i", "ipi"),
    "write": ("i", "ipz"),
}

_GENERIC = {
    "O_CREAT": 0o100,
    "O_EXCL": 0o200,
    "O_APPEND": 0o2000,
    "O_NONBLOCK": 0o4000,
    "O_DIRECTORY": 0o200000,
    "O_NOFOLLOW": 0o400000,
    "O_CLOEXEC": 0o2000000,
    "SOL_SOCKET": 1,
    "SO_REUSEADDR": 2,
    "SO_RCVBUF": 8,
    "SO_RCVBUFFORCE": 33,
    "SO_PEERCRED": 17,
    "SOCK_STREAM": 1,
    "SIG_BLOCK": 0,
    "MAP_ANONYMOUS": 0x20,
}
_ARM = {"O_DIRECTORY": 0o40000, "O_NOFOLLOW": 0o100000}
_MIPS = {
    "O_CREAT": 0x100,
    "O_EXCL": 0x400,
    "O_APPEND": 8,
    "O_NONBLOCK": 0x80,
    "O_DIRECTORY": 0x10000,
    "O_NOFOLLOW": 0x20000,
    "SOL_SOCKET": 0xFFFF,
    "SO_REUSEADDR": 4,
    "SO_RCVBUF": 0x1002,
    "SO_PEERCRED": 18,
    "SOCK_STREAM": 2,
    "SIG_BLOCK": 1,
    "MAP_ANONYMOUS": 0x800,
}


# -1 as an int, and as an address where the interpreter reads pointers unsigned (mmap's MAP_FAILED).
_FAILED = (-1, (1 << 8 * struct.calcsize("P")) - 1)


class Libc:
    """The functions of the table as attributes, bound when this object is made."""

    def __init__(self) -> None:
        lib = native.library(None)
        self._functions: "dict[str, Callable[..., Any]]" = {}
        for name in _SIGNATURES:
            result, arguments = _SIGNATURES[name]
            self._functions[name] = native.function(lib, result, name, arguments)
        for name, arguments in (("ftruncate", "iQ"), ("posix_fallocate", "iQQ")):
            try:
                self._functions[name] = native.function(lib, "i", name + "64", arguments)
            except AttributeError:
                self._functions[name] = native.function(lib, "i", name, arguments)
        uname = bytearray(390)
        self._functions["uname"](uname)
        self.machine = bytes(uname[260:325]).split(b"\0")[0].decode()
        self.constants = dict(_GENERIC)
        if self.machine.startswith("mips"):
            self.constants.update(_MIPS)
        elif self.machine.startswith(("arm", "aarch64")):
            self.constants.update(_ARM)

    def __getitem__(self, name: str) -> int:
        """Return a constant of this processor by its header name."""
        return self.constants[name]

    def address(self, name: str) -> int:
        """Return where a function of the C library is, for C itself to call."""
        return native.address(native.library(None), name)

    def call(self, name: str, *arguments: "object") -> int:
        """Call a function that answers -1 on failure; OSError with errno and the function's name alone then."""
        result: int = self._functions[name](*arguments)
        if result in _FAILED:
            raise OSError(native.last_error(), name)
        return result

    def has(self, word: str) -> bool:
        """Return True if a word is the name of one of these functions."""
        return word in self._functions

    def function(self, name: str) -> "Callable[..., Any]":
        """Return the bare function, for callers that read errno themselves."""
        return self._functions[name]


LIBC = Libc()
BIG_ENDIAN = sys.byteorder == "big"
NAME = native.NAME
buffer_at = native.buffer_at
address_of = native.address_of
words = native.words
halves = native.halves
last_error = native.last_error


def reason(number: "int | None") -> str:
    """Return what an errno means in the C library's own words, as " (no space left on device)"."""
    text = native.strerror(number or 5)  # EIO: an interpreter's own OSError has none
    return " (" + text[0].lower() + text[1:] + ")"


def int32(value: int) -> bytes:
    """Return a C int in this host's order."""
    return struct.pack("i", value)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable
