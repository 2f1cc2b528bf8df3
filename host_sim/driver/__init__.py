# SPDX-License-Identifier: Apache-2.0
"""What makes the real daemons live in that world: interpreters, clocks, broker, link, files."""
