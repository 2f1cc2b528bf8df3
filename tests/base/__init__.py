# SPDX-License-Identifier: Apache-2.0
"""agent/base: what the device believes about the time."""
