# SPDX-License-Identifier: Apache-2.0
"""`oubli-image`: a whole image with oubli in it, by OpenWrt's image builder."""
