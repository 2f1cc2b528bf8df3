# SPDX-License-Identifier: Apache-2.0
"""What people run beside the agent, on a host: `tools/demo` and `tools/test` set up what they need by themselves."""
