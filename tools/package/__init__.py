# SPDX-License-Identifier: Apache-2.0
"""`oubli-package`: from a clone to what opkg and apk take, the same octets whoever builds it."""
