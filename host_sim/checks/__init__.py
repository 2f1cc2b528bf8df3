# SPDX-License-Identifier: Apache-2.0
"""What must never be false, looked at after every step; read from the requirements, not from the agent."""
