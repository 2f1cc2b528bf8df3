# SPDX-License-Identifier: Apache-2.0
"""`services`: a consenting terminal's connections, each under its consent's key (L34-IV-1)."""
