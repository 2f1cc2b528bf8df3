# SPDX-License-Identifier: Apache-2.0
"""/etc/config/oubli: read, checked, and what the program then works with."""
