# SPDX-License-Identifier: Apache-2.0
"""The folders of `agent/` and the tools again.

`tests/lab` needs the real kernel, `tests/vectors` holds its recorded bytes.
"""
