# SPDX-License-Identifier: Apache-2.0
"""The daemons: what `oubli recorder`, `oubli forwarder` and, with its package, `oubli page` do.

They are started by what `run` understands, without the tables of agent.cli.table: a
daemon would hold these as long as it lives.
"""

import sys

from agent import law
from agent.base.paths import Paths, make_folders
from agent.config.config import running
from agent.config.uci import agreeing_clock
from agent.runtime import files, process
from agent.runtime.clocks import DeviceTime


class Start:
    """Where a command has its files: `paths` below a root, and `config`."""

    def __init__(self, root: str, config: "str | None") -> None:
        self.paths = Paths(root)
        self.config = config or self.paths.etc.config

    def settings(self) -> "Config":
        """Return the configuration that runs; ConfigError."""
        return running(self.config, self.paths, starts=True)


def run(words: "list[str]") -> "int | None":
    """Run the daemon that these words start and return its exit code; None where anything about them is wrong."""
    options = dict(zip(words[1::2], words[2::2]))
    whole = len(words) == 1 + 2 * len(options)
    root, file = options.pop("--root", "/"), options.pop("--config", None)
    daemon = _DAEMONS.get(words[0]) if whole and not options and files.exists(root + "/.") else None
    if daemon is None:
        return None
    process.hold_stop()
    return daemon(Start(root, file))


def recorder(start: "Start") -> int:
    """Run the daemon that sees terminals, once what is due is destroyed."""
    from agent.recorder import loop as module
    from agent.vault import expiry, stores

    source = DeviceTime()
    expiry.destroy_due(start.paths.root, source.boot, source.monotonic())
    settings = start.settings()
    if settings.gateway.hardware_clock and not (start.paths.root or agreeing_clock(start.paths.networks)):
        # No such clock, or the system shows another time, such as that of its newest file (EXP-5).
        settings.gateway.values["hardware_clock"] = False
        process.log(
            "oubli recorder: the clock with a battery isn't believed, "
            "for the system shows another time or has none (EXP-5)"
        )
    if stores.homeless(settings, start.paths):
        kept = f"oubli: attribution, billing, consents, objections: what was kept goes on time with {law.PACKAGE} alone"
        sys.stderr.write(
            kept + "; accepted: install it, or oubli erase --all, and a reboot where there were port blocks (EXP-1)\n"
        )
        return 2
    if not start.paths.root and process.swaps_to_disk():
        sys.stderr.write(
            "oubli: swap on a disk is in use: memory could outlive its deadline there; accepted: none, "
            "or zram (EXP-2)\n"
        )
        return 1
    if not start.paths.root:
        make_folders(start.paths)
        vault = start.paths.run.vault
        if not files.in_memory(vault):
            sys.stderr.write(f"oubli: {vault} isn't in memory, and a disk doesn't forget; accepted: tmpfs (EXP-2)\n")
            return 1
        place = stores.forgetful(settings, start.paths)
        if place:
            why = "is in memory, and what is sealed must outlive a loss of power; accepted: flash (EXP-6)"
            sys.stderr.write(f"oubli: {place} {why}\n")
            return 1
        from agent.vault.space import lacking

        short = lacking(settings, start.paths)
        if short:
            sys.stderr.write("oubli: " + short + " (EXP-6)\n")
            return 1
    return module.run(settings, start.paths.root, source)


def forwarder(start: "Start") -> int:
    """Run the daemon that sends."""
    from agent.forwarder import forwarder as module

    settings = start.settings()
    settings.require_mqtt()
    return module.run(settings, start.paths.root, DeviceTime())


def page(start: "Start") -> "int | None":
    """Run the guests' page; None where its package isn't installed."""
    try:
        from agent.purposes.consent import page_server as module
    except ImportError:
        return None
    return module.run(start)


_DAEMONS = {"recorder": recorder, "forwarder": forwarder, "page": page}
NAMES = tuple(_DAEMONS)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent.config.config import Config
