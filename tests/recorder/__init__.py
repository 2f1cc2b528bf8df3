# SPDX-License-Identifier: Apache-2.0
"""agent/recorder: the fast path beside the plain one, and guests who flood it."""
