# SPDX-License-Identifier: Apache-2.0
"""`oubli-bench`: every figure that the README quotes, measured here and now beside the peers people use instead."""
