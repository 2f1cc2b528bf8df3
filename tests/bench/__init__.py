# SPDX-License-Identifier: Apache-2.0
"""tools/bench: small runs of what the figures come from."""
