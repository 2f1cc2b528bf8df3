# SPDX-License-Identifier: Apache-2.0
"""agent/control: the control socket."""
