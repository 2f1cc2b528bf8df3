# SPDX-License-Identifier: Apache-2.0
"""What the pages say, in French by the English text, one file a group of pages."""
