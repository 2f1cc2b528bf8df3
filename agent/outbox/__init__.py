# SPDX-License-Identifier: Apache-2.0
"""What both daemons share: the folder of finished messages, their topics, and the moments at which they may be seen."""
