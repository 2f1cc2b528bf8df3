# SPDX-License-Identifier: Apache-2.0
"""How the store's tables came to be, one file a step."""
