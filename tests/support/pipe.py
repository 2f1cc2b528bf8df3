# SPDX-License-Identifier: Apache-2.0
"""The loop of a stage: one JSON line in, `[call, argument, ...]`, one JSON line out, until the pipe closes."""

import gc
import json
import sys

from agent.runtime.libc import native


def serve(functions: "tuple[Callable[..., Any], ...]") -> None:
    """Answer calls of these functions."""
    native.function(native.library(None), "I", "umask", "I")(0o077)  # as the daemons do
    calls = {}
    for call in functions:
        calls[call.__name__] = call
    while True:
        line = sys.stdin.readline()
        if not line:
            return
        words = json.loads(line)
        del line
        answer = calls[words[0]](*words[1:])
        json.dump(answer, sys.stdout)  # piece by piece: a small heap can't hold a long answer twice
        print()
        sys.stdout.flush()
        del words, answer
        gc.collect()


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable
