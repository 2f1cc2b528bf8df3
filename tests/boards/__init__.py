# SPDX-License-Identifier: Apache-2.0
"""boards and tools/package: what lands on a gateway, and how it lives there."""
