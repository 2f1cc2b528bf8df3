# SPDX-License-Identifier: Apache-2.0
"""The one module that knows which interpreter, processor and C library this is.

`cpython` and `micropython` offer the same eight names for calling C. On top of them `libc` holds the table of
signatures and of constants that differ by processor. `clocks`, `files`, `memory`, `sockets`, `process` and `sodium` are
written once.
"""
