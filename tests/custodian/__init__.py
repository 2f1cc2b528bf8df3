# SPDX-License-Identifier: Apache-2.0
"""tools/custodian: the key holder's command."""
