# SPDX-License-Identifier: Apache-2.0
"""Which authority may ask on which ground, and the articles that entitle it (L34-III-1).

Engineering, not legal advice.
"""

from agent import law

_JUDICIAL = ("CPP 60-1", "CPP 60-2", "CPP 77-1-1", "CPP 77-1-2", "CPP 99-3", "CPP 99-4")
_ADMINISTRATIVE = ("CSI L851-1", "CMF L621-10-2", "CDou 65 quinquies", "CCom L450-3-3", "LPF L96 G")
# ground -> the kinds of authority that may ask on it, and the articles that entitle each (L34-III-1). `arcom` and
# `anssi` are the only ones that the NOTA left to the former wording; a bill is disputed before a court, or by a party
# to it; access is for the person herself.
AUTHORITIES: "dict[str, dict[str, tuple[str, ...]]]" = {
    "L336-3": {"arcom": ("CPI L331-12",)},
    "STAD": {"anssi": ("CDef L2321-1",)},
    law.IN_FORCE: {"judicial": _JUDICIAL, "administrative": _ADMINISTRATIVE},
    "IIIbis": {"judicial": _JUDICIAL, "administrative": _ADMINISTRATIVE},
    "IV-1": {"judicial": ("CPC 138",), "party": ("CPCE L34-1",)},
    "RGPD": {"person": ("RGPD 15",)},
}
