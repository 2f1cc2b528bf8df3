# SPDX-License-Identifier: Apache-2.0
"""Holds the agent's counters against what the world told of: every connection has one fate, every loss its cause."""

from host_sim.checks.findings import Finding
from host_sim.venue.world import World


class CountsAuditor:
    """The counters of one gateway. `sealed`: a custodian's store is on, which loses what it has no key for.

    `trusted` is whether the time was believed at the last look. `full`: the ring has come near its budget, so that what
    no longer fits displaces the oldest.
    """

    def __init__(self, world: World, *, sealed: bool) -> None:
        self._world, self._sealed = world, sealed
        self.counted = Finding(
            "counted", "every connection that the kernel told of is kept, excluded or counted as lost"
        )
        self.losses = Finding("losses", "nothing is lost but what the kernel dropped, and that is counted")
        self.trusted = self.full = False
        self._no_key = 0  # records that were lost before the time was known

    def forget(self) -> None:
        """A cut of power: the counters begin anew."""
        self.trusted, self._no_key = False, 0

    def look(self, counters: dict[str, int]) -> None:
        """Every connection has one fate, and no loss goes uncounted or is made up."""
        lost = {name: count for name, count in counters.items() if name.startswith("lost: ") and count}
        self._look_at_fates(counters, sum(count for name, count in lost.items() if name != "lost: overrun"))
        self._look_at_losses(counters, lost)

    def _look_at_fates(self, counters: dict[str, int], lost: int) -> None:
        gateway, heard = self._world.gateway, counters["connections"]
        told = gateway.heard.told - gateway.heard.dropped
        self.counted.seen += 1
        if told != heard:
            self.counted.wrong.append(f"the kernel told of {told} connections, the agent counts {heard}")
        kept = counters["kept"] + counters["due on arrival"] + counters["no purpose"]
        kept += sum(count for name, count in counters.items() if name.startswith("excluded: "))
        # what a custodian's store finds due on arrival counts there too: exact is then what `records` says of the vault
        if not (-counters["due on arrival"] if self._sealed else 0) <= heard - kept <= lost:
            self.counted.wrong.append(f"of {heard} connections {kept} are kept or excluded, {lost} lost")

    def _look_at_losses(self, counters: dict[str, int], lost: dict[str, int]) -> None:
        gateway, days, wrong = self._world.gateway, self._world.days, self.losses.wrong
        self.losses.seen += 1
        dropped, overrun = gateway.heard.dropped, counters["lost: overrun"]
        if overrun != dropped:
            wrong.append(f"the kernel dropped {dropped}, the agent counts {overrun}")
        allowed = self._allowed(counters)
        wrong += [f"{name}: {count}" for name, count in lost.items() if name not in allowed]
        wrong += [f"{name}: {counters[name]}" for name in ("malformed", "neighbour overruns") if counters[name]]
        if counters["messages lost"] != days.lost:
            wrong.append(f"flash had no room for {days.lost} messages, the agent counts {counters['messages lost']}")
        if counters["gaps"] != gateway.heard.crashes:
            wrong.append(f"nobody listened {gateway.heard.crashes} times, the agent counts {counters['gaps']} gaps")
        if counters["messages dropped"] and not self._world.events.outages:
            wrong.append(f"messages dropped: {counters['messages dropped']}")

    def _allowed(self, counters: dict[str, int]) -> set[str]:
        """Return the causes for which something may be lost now."""
        gateway = self._world.gateway
        if self._sealed and (gateway.clock.stepped or not self.trusted):
            # Of a day that isn't known, or isn't the right one, it need not have a key
            self._no_key = counters["lost: no key"]
        self.trusted = self._world.days.trusted
        allowed = {"lost: overrun"} | ({"lost: clock"} if gateway.clock.stepped else set())
        allowed |= {"lost: ring full"} if self.full else set()
        allowed |= {"lost: no key"} if counters["lost: no key"] == self._no_key else set()
        allowed |= {"lost: no room", "lost: store"} if "stores" in gateway.flash.was_full else set()
        return allowed
