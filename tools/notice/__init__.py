# SPDX-License-Identifier: Apache-2.0
"""`oubli-notice`: the guests' notice as a page of A4 to be hung up."""
