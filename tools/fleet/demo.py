# SPDX-License-Identifier: Apache-2.0
"""`oubli-fleet demo`: a broker, a fleet with four weeks behind it that goes on speaking, and the page.

All in a folder that goes afterwards.
"""

import threading
from random import Random

from paho.mqtt import client as paho

from agent.summary.noise import Sampler
from tools import clock, listening
from tools.fleet import simulated

_DAY = 86_400
_EVERY = 10  # seconds between two health messages of a gateway: thirty times a real one's
_TROUBLED = 45  # seconds after which one more gateway is late


class Speaking:
    """Gateways that publish to a broker here until `close`: state, health, and each hour's arrivals after it."""

    def __init__(self, port: int, venues: list[simulated.Venue]) -> None:
        self._venues = venues
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, "oubli-fleet-demo")
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True)
        self._thread.start()

    def _speak(self) -> None:
        sampler, begun = Sampler(Random(7).randbytes), clock.seconds()
        told = int(begun) // 3600
        silent = len(self._venues) // 2
        speaking = [(number, venue) for number, venue in enumerate(self._venues) if number != silent]
        while True:
            for number, venue in speaking:
                late = {"late": True} if number == 0 and clock.seconds() > begun + _TROUBLED else {}
                one = simulated.health(venue.ident, int(clock.seconds()), **simulated.trouble(number) | late)
                self._client.publish(one.topic, one.payload, qos=1, retain=True)
                if self._stop.wait(_EVERY / len(speaking)):
                    return
            if int(clock.seconds()) // 3600 > told:
                told += 1
                day = (told * 3600 - 1 - 3 * 3600) // _DAY
                for _, venue in speaking:
                    for end, message in simulated.published(venue, day, sampler):
                        if end == told * 3600:
                            self._client.publish(message.topic, message.payload, qos=1)

    def close(self) -> None:
        """Fall silent."""
        self._stop.set()
        self._thread.join()
        listening.end(self._client)
