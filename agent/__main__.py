# SPDX-License-Identifier: Apache-2.0
"""The command `oubli VERB ...`, the same on both interpreters."""

import sys

from agent import VERSION
from agent.cli import daemons
from agent.config.reader import ConfigError
from agent.runtime.libc import LIBC, native, reason
from agent.runtime.sodium import LIBRARY

_EPIPE = 32


def main(words: "list[str] | None" = None) -> int:
    """Run one command; returns its exit code."""
    status = 0
    try:
        status = _run(sys.argv[1:] if words is None else words)
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as failure:
        LIBC.function("close")(1)
        # What waits goes there: an interpreter that tries again at its end says so in its own words
        LIBC.call("open", b"/dev/null", 1, 0)
        if not status and failure.errno != _EPIPE:  # who reads has enough: `oubli status | head`
            sys.stderr.write("oubli: can't go on" + reason(failure.errno) + "\n")
            status = 1
    return status


def _run(words: "list[str]") -> int:
    try:
        status = daemons.run(words) if words else None
        if status is not None:
            return status
        from agent.cli.table import TABLE

        if "--help" in words or "-h" in words:
            print(TABLE.help(words[0]))
            return 0
        if words == ["--version"]:
            print("oubli " + VERSION)
            return 0
        return TABLE.parse(words).run()
    except ConfigError as failure:
        sys.stderr.write("oubli: " + str(failure) + "\n")
        return 2
    except OSError as failure:
        if failure.errno == _EPIPE and words[0] not in daemons.NAMES:
            raise
        # Never the exception's own text, which may carry a path or a name, but
        # which C function or library it came from.
        word = failure.args[1] if len(failure.args) > 1 else ""
        step = ": " + word if word == LIBRARY or LIBC.has(word) else ""
        sys.stderr.write("oubli: can't go on" + step + reason(failure.errno) + "\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("oubli: interrupted\n")
        return 130
    except Exception as failure:  # noqa: BLE001 (whatever it is, its text stays here)
        # A fault of the program. Its text isn't shown: a KeyError's is the key, and that may be somebody's address.
        sys.stderr.write(
            "oubli: a fault of the program, " + type(failure).__name__ + " at " + native.place_of(failure) + "\n"
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
