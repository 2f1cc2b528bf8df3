# SPDX-License-Identifier: Apache-2.0
"""The control socket, for the person at the gateway: a line of JSON there, a line back.

Where an answer takes long, it is several lines (calls.py).

Its folder is 0711 and the socket 0666: everybody on the gateway may knock, for a suspension needs no account (L34-V-4).
What each may ask is decided by the kernel's word about him and the one table of calls and roles.
"""
