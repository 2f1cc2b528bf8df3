# SPDX-License-Identifier: Apache-2.0
"""agent/runtime, and the processors of boards/."""
