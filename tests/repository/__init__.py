# SPDX-License-Identifier: Apache-2.0
"""What holds the tree itself: lint, types, requirements, documents, packages, commands."""
