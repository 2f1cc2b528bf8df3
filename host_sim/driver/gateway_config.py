# SPDX-License-Identifier: Apache-2.0
"""The /etc/config/oubli of a simulated gateway, from its scenario."""

from host_sim.venue.portal import NOTICE
from host_sim.venue.scenario import GROUND, Purposes, Scenario

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_CONFIG = """\
config gateway 'gateway'
	option id '{identity}'
	option duty 'portal'

config purpose 'security'
	option lifetime '{lifetime}'
	option budget '{budget}'

config summary 'summary'
	option rows '{rows}'

config mqtt 'mqtt'
	option host '127.0.0.1'
	option port '{port}'
	option insecure '1'
	option spool_bytes '{spool}'
	option spool_days '{days}'
"""
_SEALED = """
config purpose '{store}'
	option enabled '1'
	option lifetime '{days}d'
	option budget '67108864'
"""
_GROUND = """	option ground '{ground}'
	option reference 'a simulation'
"""
_BY_CONSENT = """
config purpose 'services'
	option enabled '1'

config purpose 'location'
	option enabled '1'

"""


def written(scenario: Scenario, seed: int, port: int) -> str:
    """Return the file's text; the gateway's id follows from the seed, `port` is the broker's on this machine."""
    text = _CONFIG.format(
        identity="".join(_BASE32[seed >> shift & 31] for shift in range(0, 80, 5)),
        lifetime=scenario.gateway.lifetime_text,
        rows=scenario.gateway.rows,
        budget=scenario.gateway.budget,
        port=port,
        spool=scenario.gateway.spool_bytes,
        days=scenario.gateway.spool_days,
    )
    return text + _more(scenario.purposes)


def _more(purposes: Purposes) -> str:
    """Return the sections of the purposes that are off by default."""
    text = ""
    for store in purposes.custodian:
        text += _SEALED.format(store=store, days=purposes.sealed)
        text += _GROUND.format(ground=GROUND) if store == "attribution" else ""
    return text + (_BY_CONSENT + NOTICE if purposes.consent else "")
