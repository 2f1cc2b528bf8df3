# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on purpose: power that is cut, flash that loses, daemons with one fault each."""
