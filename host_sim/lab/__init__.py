# SPDX-License-Identifier: Apache-2.0
"""The real daemons on the real kernel, in network namespaces, beside independent witnesses."""
