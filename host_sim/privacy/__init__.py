# SPDX-License-Identifier: Apache-2.0
"""What an attacker learns who knows everything but whether one terminal was there."""
