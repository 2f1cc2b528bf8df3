# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between the forwarder and its broker.

Both MQTT clients raise this one exception, and only it. Its text names the step that failed and never an address, a
name, a credential or a payload (L34-II-5).
"""


class MqttError(Exception):
    """The connection to the broker could not be made, or is lost. Nothing is known of an unacknowledged message."""
