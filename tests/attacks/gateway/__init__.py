# SPDX-License-Identifier: Apache-2.0
"""On a gateway: by its daemons and its other processes."""
