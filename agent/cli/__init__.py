# SPDX-License-Identifier: Apache-2.0
"""The command `oubli`: its tables of verbs and options, and what each verb prints."""
