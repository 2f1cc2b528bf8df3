# SPDX-License-Identifier: Apache-2.0
"""`billing`: a record for each session of a terminal (L34-1 IV, 1st par.)."""
