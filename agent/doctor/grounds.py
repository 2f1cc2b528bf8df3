# SPDX-License-Identifier: Apache-2.0
"""What the configuration rests on, where two wordings of the article differ (L34-III-1)."""

from agent import law
from agent.doctor.catalogue import Finding


def wording(gateway: "Gateway") -> "Iterator[Finding]":
    """Tell of a ground that only the wording of 2014-2021 knows."""
    for section in gateway.config.purposes.values():
        said = law.other_wording(section.values.get("ground"))
        if said:
            yield Finding("wording", said)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from agent.doctor.gateway import Gateway
