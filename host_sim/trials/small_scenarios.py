# SPDX-License-Identifier: Apache-2.0
"""The small scenarios in which agents that are broken on purpose must be found out.

Each is written as an operator would write it.
"""

SMALL_SCENARIOS = {
    "noon": """
description = "A café's noon, 3 h, each record kept for 3 h"
[time]
start = 2026-11-25T11:00:00Z
days = 0.125
[people]
visitors = 60
[gateway]
lifetime = "3h"
""",
    "crowd": """
description = "Many who stay for long, and do little"
[time]
start = 2026-11-25T05:00:00Z
days = 0.85
[people]
visitors = 500
stay = 12
activity = 0.001
[gateway]
lifetime = "1h"
""",
    "reboots": """
description = "Power is cut again and again within an agent-day"
[time]
start = 2026-11-25T03:00:00Z
days = 0.4
[people]
visitors = 30
[gateway]
lifetime = "1h"
[[event]]
what = "power cut"
at = 2.2
every = 2
minutes = 6
""",
    "outage": """
description = "The broker is away for longer than a message may wait"
[time]
start = 2026-11-25T03:00:00Z
days = 1.3
[people]
visitors = 5
[gateway]
lifetime = "1h"
spool_days = 1
[[event]]
what = "broker down"
at = 1
minutes = 1740
""",
    "burst": """
description = "The connection table ends at once, faster than a slow processor reads"
[time]
start = 2026-11-25T11:00:00Z
days = 0.06
[people]
visitors = 60
[gateway]
lifetime = "1h"
rate = 300
[[event]]
what = "connection flood"
at = 0.8
amount = 14000
minutes = 1
[[event]]
what = "uplink lost"
at = 0.815
minutes = 3
""",
    "far": """
description = "A bar's noon, a satellite away from its broker"
[time]
start = 2026-11-25T11:00:00Z
days = 0.1
[people]
visitors = 20
[network]
latency = 300
[gateway]
lifetime = "1h"
""",
    "two days": """
description = "A quiet venue over the change of an agent-day"
[time]
start = 2026-11-24T12:00:00Z
days = 1
[people]
visitors = 25
[gateway]
lifetime = "24h"
""",
    "steps": """
description = "Somebody steps the clock by more than a day"
[time]
start = 2026-11-25T09:00:00Z
days = 0.2
[people]
visitors = 60
[gateway]
lifetime = "3h"
[[event]]
what = "clock step"
at = 2.1
seconds = 200000
""",
    "cuts": """
description = "A venue whose power is cut again and again, with port blocks under a custodian's keys"
[time]
start = 2026-11-25T10:00:00Z
days = 0.15
[people]
visitors = 90
activity = 0.2
[network.timeouts]
tcp_timeout_established = 600
[gateway]
lifetime = "10m"
rows = 512
[purposes]
attribution = true
portal = 0.5
[[event]]
what = "power cut"
at = 1.3
every = 0.7
minutes = 5
""",
    "examiners": """
description = "Somebody sets the clock of a venue with port blocks ahead, for good; examiners ask afterwards"
[time]
start = 2026-11-25T08:00:00Z
days = 0.3
[people]
visitors = 150
stay = 0.7
activity = 0.1
[network]
addresses = 8
[network.timeouts]
tcp_timeout_established = 600
[gateway]
lifetime = "10m"
rows = 512
[clock]
confirms = 600
[purposes]
attribution = true
[[event]]
what = "clock step"
at = 2.3
seconds = 5400
""",
    "addresses": """
description = "A guest takes very many IPv6 addresses"
[time]
start = 2026-11-25T10:00:00Z
days = 0.05
[people]
visitors = 150
ipv6 = 1
[gateway]
lifetime = "10m"
rows = 64
[[event]]
what = "address flood"
at = 0.3
minutes = 20
amount = 1500
""",
    "looks": """
description = "Guests look at what is held on their terminals"
[time]
start = 2026-11-25T11:00:00Z
days = 0.125
[people]
visitors = 80
[gateway]
lifetime = "1h"
[[event]]
what = "look"
at = 0.5
every = 0.1
""",
    "crashes": """
description = "The recorder is killed while a guest claims another's address"
[time]
start = 2026-11-25T10:00:00Z
days = 0.1
[people]
visitors = 700
ipv6 = 0
[gateway]
lifetime = "1h"
[[event]]
what = "forged neighbour"
at = 0.5
every = 0.2
minutes = 8
[[event]]
what = "crash"
at = 0.55
every = 0.2
minutes = 0.5
""",
    "steps back": """
description = "Somebody sets the clock back for an hour, again and again"
[time]
days = 0.5
[people]
visitors = 60
[gateway]
lifetime = "6h"
[[event]]
what = "clock step"
at = 6
every = 4
seconds = -5400
""",
    "guests": """
description = "A bar's noon with a portal: port blocks and bills under a custodian's keys, consents that come and go"
[time]
start = 2026-11-25T11:00:00Z
days = 0.07
[people]
visitors = 150
stay = 0.5
roams = 2
activity = 0.3
[network.timeouts]
tcp_timeout_established = 600
[gateway]
lifetime = "10m"
rows = 512
[purposes]
attribution = true
billing = true
portal = 0.5
consent = 0.6
suspend = 0.5
withdraw = 0.5
""",
}
