# SPDX-License-Identifier: Apache-2.0
"""agent/doctor: each thing that is wrong is found, and nothing where all is right."""
