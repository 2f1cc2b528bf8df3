# SPDX-License-Identifier: Apache-2.0
"""Cuts of power at every operation on flash of a consent's story, and what must hold (L34-V-2, L34-V-4, EXP-6).

    python|micropython -m host_sim.faults.consent_cuts SEED ROUNDS [VARIANT]

The agent's own code over `host_sim.faults.flash`: a device makes its key, guests consent, suspend, resume, withdraw.
Power is cut before each operation in turn, and in the middle of each sync, then again early in the next boot. What must
hold after each cut:

- whoever was told "suspended" or "withdrawn" is not followed: the next boot says no;
- whoever was told "granted" or "resumed" is followed, and nobody else is;
- a device that has answered anybody keeps its key.

Prints JSON: cuts, operations, octets programmed, syncs, and what was found false by kind. Runs on MicroPython too.
"""

import sys

from agent.purposes.consent.consents import Consents
from agent.purposes.device_key import DeviceKey
from agent.runtime.sodium import Sodium
from host_sim.faults import cutter
from host_sim.faults.cuts import VARIANTS
from host_sim.faults.flash import PREFIX

KEY, FOLDER = PREFIX + "/device.key", PREFIX + "/consents"
NOW = 1800000000
END = NOW + 30 * 86400
GUESTS = [bytes((2, 0, 0, 0, 0, number)) for number in range(4)]
ACTS = (
    (0, "grant"), (1, "grant"), (0, "suspend"), (2, "grant"), (1, "withdraw"), (0, "resume"),
    (2, "suspend"), (3, "grant"), (3, "suspend"), (3, "withdraw"), (0, "suspend"), (0, "resume"),
)  # fmt: skip
ALLOWED = ("grant", "resume")


class Story(cutter.Story):
    """What guests were told. `said` is the last act that was acknowledged, `trying` one that wasn't yet."""

    def __init__(self) -> None:
        super().__init__()
        self.said: "dict[int, str]" = {}
        self.trying: "dict[int, str]" = {}
        self.done = 0

    def live(self) -> None:
        """Boot, look at what is there, and go on with the acts."""
        sodium = Sodium()
        key = DeviceKey(KEY, sodium)
        if key.made and self.said:
            self.blame("the device has lost its key")
        consents = Consents(FOLDER, key, sodium)
        try:
            if consents.unreadable and self.said:
                self.blame("a consent can't be read")
            self.look(consents)
            while self.done < len(ACTS):
                guest, act = ACTS[self.done]
                self.trying[guest] = act
                self.act(consents, GUESTS[guest], act)
                self.said[guest] = self.trying.pop(guest)
                self.done += 1
            self.look(consents)
        finally:
            consents.close()
            key.close()

    def act(self, consents: Consents, mac: bytes, act: str) -> None:
        """Do one act, if it wasn't done before the power went."""
        if act == "grant":
            if consents.active(mac, "location", NOW) < 0:
                consents.grant(mac, ["location"], ["access-point"], "none", END, bytes(32), NOW)
            return
        if act == "resume":
            consents.resume(mac, NOW)
        else:
            getattr(consents, act)(mac, NOW)
        consents.flush()

    def look(self, consents: Consents) -> None:
        """Hold what a boot finds against what was told."""
        for guest, mac in enumerate(GUESTS):
            follows = consents.active(mac, "location", NOW) >= 0
            if guest in self.trying:
                continue  # either is right, for nobody has been told
            if follows and self.said.get(guest) not in ALLOWED:
                self.blame("somebody is followed who said no")
            if not follows and self.said.get(guest) in ALLOWED:
                self.blame("a consent is lost")


def acknowledge_before_flash() -> None:
    """Say "suspended" or "withdrawn" and leave flash for later."""
    Consents.flush = lambda self: True  # type: ignore[method-assign] # noqa: ARG005 (the real one's)


if __name__ == "__main__":
    if len(sys.argv) > 3:
        VARIANTS.get(sys.argv[3], acknowledge_before_flash)()
    cutter.tell(cutter.run(Story, (FOLDER,), int(sys.argv[1]), int(sys.argv[2]), 6))
