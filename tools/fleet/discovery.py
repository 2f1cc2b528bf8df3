# SPDX-License-Identifier: Apache-2.0
"""For operators who also have Home Assistant: its entities for each gateway, made here; nothing more leaves a gateway.

Home Assistant finds entities by retained configuration messages. `oubli-fleet discovery` prints them as lines of
`TOPIC PAYLOAD`, to be published on a broker that Home Assistant reads. Published figures are left out on purpose: a
dashboard that shows a noisy number without its band claims more than there is to know.
"""

import json
from collections.abc import Iterator

from agent.outbox import topics

_SENSORS = (
    # (key, what it is called, template, device class)
    (
        "late",
        "late expiry",
        "{{ 'ON' if value_json.purposes.values() | selectattr('late') | list else 'OFF' }}",
        "problem",
    ),
    ("capture", "capture", "{{ 'OFF' if value_json.capture == 'ok' else 'ON' }}", "problem"),
    ("clock", "clock", "{{ 'OFF' if value_json.clock == 'trusted' else 'ON' }}", "problem"),
    ("tls", "plain text", "{{ 'OFF' if value_json.tls | default(true) else 'ON' }}", "problem"),
    ("doctor", "doctor's findings", "{{ 'ON' if value_json.doctor | default(false) else 'OFF' }}", "problem"),
    ("duty", "duty undeclared", "{{ 'ON' if value_json.duty == 'undeclared' else 'OFF' }}", "problem"),
)


def entities(ident: str, name: str, version: str, prefix: str = "homeassistant") -> Iterator[tuple[str, str]]:
    """Yield (topic, payload) of a gateway's entities, to be retained (Home Assistant, MQTT discovery)."""
    device = {"identifiers": [f"oubli-{ident}"], "name": name or ident, "manufacturer": "oubli", "sw_version": version}
    alive = {
        "state_topic": topics.state(ident),
        "value_template": "{{ 'ON' if value_json.state == 'online' else 'OFF' }}",
    }
    found = {"connected": {"name": "connected", "device_class": "connectivity", **alive}}
    for key, called, template, kind in _SENSORS:
        found[key] = {
            "name": called,
            "device_class": kind,
            "state_topic": topics.health(ident),
            "value_template": template,
        }
    for key, entity in found.items():
        whole = {
            **entity,
            "unique_id": f"oubli-{ident}-{key}",
            "device": device,
            "expire_after": 900 if key != "connected" else 0,
        }
        yield (
            f"{prefix}/binary_sensor/oubli-{ident}/{key}/config",
            json.dumps({name: value for name, value in whole.items() if value}, sort_keys=True),
        )
