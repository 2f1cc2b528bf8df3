# SPDX-License-Identifier: Apache-2.0
"""Coverage-guided fuzzing of the agent's modules: what `tools/soak` runs for hours and the suite for seconds.

Of our own making because the ready one (atheris) is built for x86-64 alone, in another version for each Python. It
never returns from its loop. This one is a pure function of its seed, and asks a second interpreter about all that is
new.
"""
