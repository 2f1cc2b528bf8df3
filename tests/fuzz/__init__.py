# SPDX-License-Identifier: Apache-2.0
"""tools/fuzz: a bounded run finds nothing, and what is broken is found."""
