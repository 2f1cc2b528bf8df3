# SPDX-License-Identifier: Apache-2.0
"""tools/notice: what guests are told, on paper."""
