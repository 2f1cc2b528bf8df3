# SPDX-License-Identifier: Apache-2.0
"""The control socket: the person at the gateway, one JSON line each way."""
