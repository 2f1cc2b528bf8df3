# SPDX-License-Identifier: Apache-2.0
"""Reads the recorder's rooms so that a small heap stays whole: the largest first, what is needed only by some purposes where it is."""

from agent.runtime.libc import native


def recorder(config: "Config") -> "Any":
    """Return the room agent.recorder, with all that this configuration needs read before."""
    native.dense_heap(True)
    deferred = "attribution" in config.purposes or "billing" in config.purposes
    if deferred:
        from agent.vault import custodian, bundle  # noqa: F401, I001 (read, not used; in this order)
        from agent import deferral  # noqa: F401 (the same)
    from agent import recorder as room

    # Sessions and leases come and go among what is only passing through: the heap stays dense for them.
    native.dense_heap(deferred)
    return room


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.config import Config
