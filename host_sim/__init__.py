# SPDX-License-Identifier: Apache-2.0
"""The host simulator: a gateway's days in seconds, around the very agent that is flashed.

This file stays empty of imports: parts of the package (`stage`, `replay_stage`, `tape`) also run on MicroPython.
"""
