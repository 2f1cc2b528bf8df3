# SPDX-License-Identifier: Apache-2.0
"""A buffer that forgets on time: packed records, sealed segments, keys that are destroyed (EXP-1, EXP-2)."""
