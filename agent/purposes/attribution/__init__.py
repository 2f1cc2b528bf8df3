# SPDX-License-Identifier: Apache-2.0
"""`attribution`: which terminal stood behind a public address and port at a time (L34-1 III)."""
