# SPDX-License-Identifier: Apache-2.0
"""What an operator makes of many gateways' messages: their schemas, and estimates with bands."""
