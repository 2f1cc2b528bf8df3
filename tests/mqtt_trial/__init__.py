# SPDX-License-Identifier: Apache-2.0
"""The trial that an MQTT client must pass before the forwarder may use it, on the interpreter it would run on.

A client takes part through a module with the forwarder's `Client` and `MqttError`. `driver.py` runs that module in a
process of its own. So a client that hangs is a finding, and not the end of the test. `points.py` holds what must be
true, against the real Mosquitto where that can show it and against byte-level peers (`peers.py`) where a broker must
misbehave. `broken.py` holds clients with one known fault each, which the trial must find.

`python -m tests.mqtt_trial MODULE [--interpreter CMD] [--identifier ATTRIBUTE]`
tries one client and prints a line a point.
"""
