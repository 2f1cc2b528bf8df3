# SPDX-License-Identifier: Apache-2.0
"""The project's own Python files as the tests of the repository look at them, each parsed once in a process.

Those tests are one group, which is one worker's: `pytestmark = IN_ONE_PROCESS`.
"""

import ast
import functools
from pathlib import Path

import pytest

IN_ONE_PROCESS = pytest.mark.xdist_group("sources")


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a file, which is everybody's: nobody changes it."""
    return ast.parse(path.read_text())
