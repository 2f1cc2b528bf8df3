# SPDX-License-Identifier: Apache-2.0
"""`oubli-custodian`: what the key holder does, off the device and not at the venue (EXP-3, L34-II-4)."""
