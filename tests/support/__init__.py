# SPDX-License-Identifier: Apache-2.0
"""What tests share: interpreters, stages behind a pipe, fake peers, brokers."""
