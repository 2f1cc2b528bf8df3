# SPDX-License-Identifier: Apache-2.0
"""One file a room, named after it; `tests/lab` needs the real kernel, `tests/vectors` holds its recorded bytes."""
