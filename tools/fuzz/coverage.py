# SPDX-License-Identifier: Apache-2.0
"""What a call ran through: steps from line to line, and how often, as a fuzzer wants to know it."""

import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

Feature = tuple[tuple[int, int], int]


class Coverage:
    """Watches the code of some files; a feature is an edge between two lines with its count's magnitude."""

    def __init__(self, files: list[Path]) -> None:
        self._trail: list[int] = []
        self._local = {str(path): self._follow(number << 16) for number, path in enumerate(files)}

    def of(self, call: Callable[[], str]) -> tuple[str, set[Feature]]:
        """Return what the call returns, and the features it ran through."""
        self._trail.clear()
        former = sys.gettrace()
        sys.settrace(self._enter)
        try:
            result = call()
        finally:
            sys.settrace(former)
        return result, {(edge, count.bit_length()) for edge, count in Counter(pairwise(self._trail)).items()}

    # A trace function, as typeshed has it
    def _enter(self, frame: FrameType, _event: str, _argument: object) -> Any:  # noqa: ANN401
        return self._local.get(frame.f_code.co_filename)

    def _follow(self, base: int) -> Callable[[FrameType, str, object], Any]:
        add = self._trail.append

        def step(frame: FrameType, _event: str, _argument: object) -> Any:  # noqa: ANN401 (the same)
            add(base + frame.f_lineno)
            return step

        return step
